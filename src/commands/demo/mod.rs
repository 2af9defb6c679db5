//! `tagbert demo`: the worker of `tagbert run`, with a broker inside the process and real documents.

mod broker;
mod corpus;
mod report;

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stderr};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use self::broker::{Broker, Feeder, Reader};
use self::corpus::Corpus;
use self::report::Report;
use super::cli::Demo;
use super::output;
use crate::config::{self, Config};
use crate::telemetry::metrics::Metrics;
use crate::worker::lifecycle::Worker;

/// How many tagged documents are shown on the way.
const SHOWN: usize = 4;

/// Without a document for so long, the demo gives up.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) fn run(args: &Demo) -> Result<ExitCode> {
    let corpus = Corpus::read(&args.corpus.clone().unwrap_or_else(corpus::at_hand), args.documents)?;
    let mut output = args
        .output
        .as_ref()
        .map(|path| File::create(path).map(BufWriter::new).with_context(|| path.display().to_string()))
        .transpose()?;
    let mut config = Config::parse(include_str!("../../../configs/demo.yaml"), config::environment(), &[])?;
    if let Some(model) = &args.model {
        config.model.path = model.clone();
    }
    // What is reported is read of that.
    config.output.make_nested_json();
    let broker = Broker::start(&config)?;
    config.kafka.brokers = broker.address();
    let mut feeder = Feeder::connect(&config, &corpus)?;
    let reader = Reader::connect(&config)?;

    let worker = Worker::start(&config, None, None)?;
    let (metrics, stop) = (worker.metrics(), worker.stop());
    let work = thread::spawn(move || worker.run());
    let mut report = Report::new(&corpus);
    let mut progress = Progress::new(corpus.documents.len());
    let mut last_news = Instant::now();
    let mut turn = |report: &mut Report| -> Result<()> {
        feeder.feed(report)?;
        if let Some(record) = reader.next()? {
            last_news = Instant::now();
            if let Some(tagged) = report.note(&record)? {
                if let Some(output) = &mut output {
                    writeln!(output, "{tagged}").context("--output")?;
                }
                if report.out <= SHOWN {
                    progress.clear();
                    output::print(report::for_people(&tagged))?;
                }
            }
        }
        progress.show(&metrics, report);
        ensure!(last_news.elapsed() < PATIENCE, "no document came out for {} s", PATIENCE.as_secs());
        Ok(())
    };
    while !report.is_complete() && !work.is_finished() && !stop.is_requested() {
        if let Err(error) = turn(&mut report) {
            stop.fail(error);
        }
    }
    progress.clear();
    let interrupted = stop.is_requested();
    stop.request();
    let summary = work.join().map_err(|_| anyhow!("the worker panicked"))??;
    ensure!(!interrupted, "interrupted");
    if let Some(output) = &mut output {
        output.flush().context("--output")?;
    }
    output::print(format_args!("{summary}\n{report}"))?;
    let (missing, repeated) = (report.missing(), report.repeated);
    ensure!(missing == 0 && repeated == 0, "{missing} documents are missing, {repeated} came more than once");
    ensure!(summary.given_up() == 0, "{} documents were given up", summary.given_up());
    output::print("every document is accounted for")?;
    Ok(ExitCode::SUCCESS)
}

/// One line that is written over on a terminal, and a line now and then elsewhere.
struct Progress {
    total: usize,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { total, shown: None, terminal: stderr().is_terminal() }
    }

    fn show(&mut self, metrics: &Metrics, report: &Report) {
        let interval = Duration::from_millis(if self.terminal { 200 } else { 5000 });
        if self.shown.is_some_and(|shown| shown.elapsed() < interval) {
            return;
        }
        self.shown = Some(Instant::now());
        let done = self.total - report.missing();
        let rate = done as f64 / metrics.busy().as_secs_f64().max(1e-9);
        let lag = report.fed - done;
        let fill = metrics.rows.get() as f64 / metrics.batches.get().max(1) as f64;
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let total = self.total;
        let _ = write!(
            stderr(),
            "{start}{done}/{total} documents  {rate:.1} documents/s  lag {lag}  {fill:.1} documents a batch{end}"
        );
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
