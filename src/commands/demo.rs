//! `tagbert demo`: the worker of `tagbert run`, with a broker inside the process and real documents.

mod broker;
mod corpus;
mod report;

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stderr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::cli::Demo;
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::worker::Worker;
use broker::{Broker, Feeder, Reader};
use corpus::Corpus;
use report::Report;

/// How many tagged documents are shown on the way.
const SHOWN: usize = 4;

/// Without a document for so long, the demo gives up.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) fn run(args: &Demo) -> Result<ExitCode> {
    let corpus = Corpus::read(&args.corpus, args.documents)?;
    let mut output = args
        .output
        .as_ref()
        .map(|path| File::create(path).map(BufWriter::new).with_context(|| path.display().to_string()))
        .transpose()?;
    let mut config = Config::parse(include_str!("../../configs/demo.yaml"), config::environment(), &[])?;
    let broker = Broker::start(&config)?;
    config.kafka.brokers = broker.address();
    let mut feeder = Feeder::connect(&config, &corpus)?;
    let reader = Reader::connect(&config)?;

    let worker = Worker::start(config, false)?;
    worker.stop_on_signals()?;
    let (metrics, stop) = (worker.metrics(), worker.stop());
    let running = AtomicBool::new(true);
    let mut report = Report::new(&corpus);
    let mut progress = Progress::new(corpus.documents.len());

    let summary = thread::scope(|scope| {
        let work = scope.spawn(|| {
            let summary = worker.run();
            running.store(false, Ordering::Release);
            summary
        });
        let mut last_news = Instant::now();
        while !report.is_complete() && running.load(Ordering::Acquire) && !stop.is_requested() {
            feeder.feed(&mut report)?;
            let Some(record) = reader.next()? else {
                if last_news.elapsed() > PATIENCE {
                    stop.fail(anyhow!("no document came out for {} s", PATIENCE.as_secs()));
                }
                progress.show(&metrics, &report);
                continue;
            };
            last_news = Instant::now();
            let tagged = report.note(&record)?;
            if let (Some(output), Some(tagged)) = (&mut output, &tagged) {
                writeln!(output, "{tagged}").context("--output")?;
            }
            if report.out <= SHOWN
                && let Some(tagged) = &tagged
            {
                progress.clear();
                println!("{}", report::for_people(tagged));
            }
            progress.show(&metrics, &report);
        }
        let interrupted = stop.is_requested();
        stop.request();
        let summary = work.join().map_err(|_| anyhow!("the worker panicked"))??;
        if interrupted {
            bail!("interrupted");
        }
        Ok(summary)
    })?;
    if let Some(output) = &mut output {
        output.flush().context("--output")?;
    }
    progress.clear();
    println!("{summary}");
    println!("{report}");
    if report.is_complete() && report.repeated == 0 && summary.given_up() == 0 {
        println!("every document is accounted for");
        return Ok(ExitCode::SUCCESS);
    }
    bail!("{} documents are missing, {} came more than once", report.missing(), report.repeated)
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
        eprint!("{start}{done}/{total} documents  {rate:.1} documents/s  lag {lag}  {fill:.1} documents a batch{end}");
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}
