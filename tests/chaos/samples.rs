//! What a process takes of the machine, over time.

use std::fs;
use std::time::Instant;

/// One kind of figure: when, in hours, and how much.
#[derive(Default)]
struct Series(Vec<(f64, f64)>);

/// Looks at one process.
pub struct Samples {
    process: u32,
    started: Instant,
    memory: Series,
    files: Series,
    threads: Series,
}

impl Samples {
    /// Of this process.
    pub fn of(process: u32) -> Self {
        let (memory, files, threads) = <_>::default();
        Self { process, started: Instant::now(), memory, files, threads }
    }

    /// Looks once.
    pub fn take(&mut self) {
        let hours = self.started.elapsed().as_secs_f64() / 3600.0;
        // Gone with the process.
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.process)) else { return };
        let field = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let files = fs::read_dir(format!("/proc/{}/fd", self.process)).map_or(0, Iterator::count);
        if let (Some(kib), Some(threads)) = (field("VmRSS:"), field("Threads:")) {
            self.memory.0.push((hours, kib / 1024.0));
            self.threads.0.push((hours, threads));
            self.files.0.push((hours, files as f64));
        }
    }

    /// Whether nothing has grown by more than what comes and goes.
    pub fn are_flat(&self) -> bool {
        // Pools of memory fill, and connections come and go; a leak has no such bound.
        self.memory.growth() < self.memory.mean() / 10.0 && self.files.growth() < 3.0 && self.threads.growth() < 3.0
    }

    /// Means, slopes and the verdict, as cells of a table.
    pub fn report(&self) -> String {
        let cells = |series: &Series, unit: &str| format!("{:.1}{unit} | {:+.2}{unit}", series.mean(), series.slope());
        let verdict = if self.are_flat() { "flat" } else { "**GROWS**" };
        let (memory, files, threads) = (cells(&self.memory, " MiB"), cells(&self.files, ""), cells(&self.threads, ""));
        format!("{memory} | {files} | {threads} | {verdict}")
    }
}

impl Series {
    /// Without the first fifth, in which a worker becomes what it is.
    fn settled(&self) -> &[(f64, f64)] {
        &self.0[self.0.len() / 5..]
    }

    fn mean(&self) -> f64 {
        let settled = self.settled();
        settled.iter().map(|(_, much)| much).sum::<f64>() / settled.len() as f64
    }

    /// Least squares, per hour.
    fn slope(&self) -> f64 {
        let settled = self.settled();
        let mean_time = settled.iter().map(|(when, _)| when).sum::<f64>() / settled.len() as f64;
        let mean = self.mean();
        let together: f64 = settled.iter().map(|(when, much)| (when - mean_time) * (much - mean)).sum();
        together / settled.iter().map(|(when, _)| (when - mean_time).powi(2)).sum::<f64>()
    }

    /// What the slope comes to, over the time that was measured.
    fn growth(&self) -> f64 {
        let settled = self.settled();
        match (settled.first(), settled.last()) {
            (Some((first, _)), Some((last, _))) => self.slope() * (last - first),
            // Nothing was measured: that is not flat.
            _ => f64::INFINITY,
        }
    }
}
