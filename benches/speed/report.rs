//! The table of goals and figures.

use std::fmt;
use std::fs;
use std::process::Command;

use crate::work::Scale;

/// What was measured.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    point: &'static str,
    what: String,
    goal: String,
    figure: String,
    met: Option<bool>,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is for information.
    None,
}

/// Several measurements of one thing.
pub struct Figure {
    values: Vec<f64>,
}

impl Figure {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self { values }
    }

    pub fn median(&self) -> f64 {
        let (low, high) = (self.values[(self.values.len() - 1) / 2], self.values[self.values.len() / 2]);
        f64::midpoint(low, high)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |value: f64| {
            if value.abs() >= 100.0 {
                0
            } else if value.abs() >= 10.0 {
                1
            } else {
                3
            }
        };
        let median = self.median();
        write!(f, "{median:.*}", digits(median))?;
        if let ([low, .., high], true) = (&*self.values, self.values.len() > 1) {
            write!(f, " ({low:.*} to {high:.*})", digits(*low), digits(*high))?;
        }
        Ok(())
    }
}

impl Report {
    /// A row of the table; `point` is the number in the list of goals. Whether the goal is met, if there is one.
    pub fn add(&mut self, point: &'static str, what: &str, goal: Goal, figure: &Figure) -> bool {
        let (goal, met) = match goal {
            Goal::AtLeast(least) => (format!("≥ {least}"), Some(figure.median() >= least)),
            Goal::AtMost(most) => (format!("≤ {most}"), Some(figure.median() <= most)),
            Goal::None => (String::new(), None),
        };
        let row = Row { point, what: what.into(), goal, figure: figure.to_string(), met };
        eprintln!("{row}");
        self.rows.push(row);
        met.unwrap_or(true)
    }

    /// Something that figures alone do not say.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The whole file. What `make bench-engines` has added to the one before stays.
    pub fn document(&self, scale: Scale, before: &str) -> String {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = read("/proc/meminfo");
        let memory = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20;
        let run = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).current_dir(crate::support::root()).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().replace('\n', ", ")).unwrap_or_default()
        };
        let versions = run(env!("CARGO_BIN_EXE_tagbert"), &["--version"]);
        let engines = before.find("## Engines").map_or(String::new(), |start| format!("\n{}", &before[start..]));
        let commit = run("git", &["describe", "--always", "--dirty", "--exclude=*"]);
        format!(
            "# Results\n\nWritten by `make bench`; [README.md](README.md) says how each figure is measured.\n\n- machine: \
             {cores} cores of{}, {memory} GiB\n- versions: {versions}, commit {commit}\n- command: `{}`\n\n{self}{engines}",
            cpu.trim_start_matches([':', '\t']),
            scale.command(),
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, what, goal, figure, met } = self;
        let met = met.map_or("", |met| if met { "met" } else { "**not met**" });
        write!(f, "| {point} | {what} | {goal} | {figure} | {met} |")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| point | what | goal | median (least to most) | |\n|---|---|--:|--:|---|")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        writeln!(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}
