//! A job over files: which of them are to be done, and by whom; and the line that does them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use crossbeam_channel::{Receiver, Sender, unbounded};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::runtime::{Handle, Runtime};

pub use super::book::{Counts, Done};
pub use super::format::{Compression, Style};
pub use super::look::Order;

use super::book::{self, Job};
use super::claims::LEASE;
use super::columns::Columns;
use super::format::Reader;
use super::look::{Task, look};
use super::output::Output;
use super::place::Place;
use super::sink::{Begin, Ended, Files, State, Step};
use super::tags::Schema;
use super::target::{Paths, Target};
use crate::config::{Config, ModelSettings, TaggerSettings};
use crate::pipeline::Pipeline;
use crate::record::budget::Budget;
use crate::record::envelope::{Envelope, Origin, Record};
use crate::record::stop::Stop;
use crate::tagger::live::Live;
use crate::telemetry::metrics::Metrics;

/// What came of the job.
#[derive(Debug)]
pub struct Summary {
    /// The files that are done, by whichever process.
    pub done: Vec<Done>,
    /// Those of them that were done before, or by others.
    pub by_others: usize,
    /// Those that could not be done, and why.
    pub failed: Vec<(String, anyhow::Error)>,
    /// Where the rows are that could not be tagged.
    pub rejected: Place,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of all files that are not done yet, at the start.
    pub bytes: u64,
    /// Bytes of those that have been read through.
    pub read: u64,
    /// Rows that have come out.
    pub rows: u64,
}

/// Does a job, and tells how far it is.
///
/// # Errors
/// When it can't be begun, or a model fails for good. Of single files, the summary tells.
pub fn run(config: &Config, order: &Order, stop: &Arc<Stop>, tell: impl Fn(Progress)) -> Result<Summary> {
    let runtime = Runtime::new().context("threads")?;
    let handle = runtime.handle();
    let (files, destination) = handle.block_on(look(order))?;
    let live = Live::load(config)?;
    let taggers = live.current();
    let job = Job {
        enrich: 1,
        models: taggers.models().into_iter().cloned().collect(),
        settings: settings(config, &order.style),
    };
    let tags = Schema::new(&order.style.tags, order.style.flat, &taggers);
    let target = handle.block_on(Target::open(destination, &job, handle))?;

    let rejected = target.rejected();
    let budget = Budget::new(config.limits.in_flight.as_u64());
    let metrics = Metrics::unseen(&budget);
    let (steps, announced) = unbounded();
    let (told, ended) = unbounded();
    let out = Arc::<AtomicU64>::default();
    let sink = Files {
        steps: announced,
        ended: told,
        tags: tags.clone(),
        runtime: handle.clone(),
        out: Arc::clone(&out),
        state: State::default(),
    };
    let pipeline = Pipeline::start(config, &live, None, sink, &metrics, stop)?;
    let mut work = Work {
        order,
        target,
        columns: Columns::new(config),
        tags,
        pipeline,
        budget,
        steps,
        ended,
        out,
        fed: 0,
        topic: order.output.as_str().into(),
        under_way: VecDeque::new(),
        summary: Summary { done: Vec::new(), by_others: 0, failed: Vec::new(), rejected },
        progress: Progress { bytes: 0, read: 0, rows: 0 },
        reading: 0,
        tell: &tell,
        runtime: handle.clone(),
        stop: Arc::clone(stop),
    };
    work.run(files);
    let Work { pipeline, target, summary, .. } = work;
    pipeline.finish();
    if let Some(error) = stop.take_failure() {
        return Err(error);
    }
    if summary.failed.is_empty() && !stop.is_requested() {
        handle.block_on(target.close(&job, &summary.done))?;
    }
    Ok(summary)
}

/// What the tags depend on, and how they are written.
fn settings(config: &Config, style: &Style) -> String {
    let about = |tagger: TaggerSettings| {
        // Which models they are stands beside it; what they run on makes no difference.
        let ModelSettings { max_tokens, consistent, .. } = tagger.model;
        let TaggerSettings { name, windows, text, head, labels, thresholds, aggregation, window_scores, .. } = tagger;
        let read = (name, windows, text, head, labels);
        format!("{max_tokens:?} {consistent} {read:?} {thresholds:?} {aggregation:?} {window_scores:?}")
    };
    let taggers: Vec<_> = config.taggers().into_iter().map(about).collect();
    let limit = config.limits.document.as_u64();
    let written = (config.output.offsets, &config.output.labels);
    let cleaned = match &config.input.clean[..] {
        // As it was hashed before texts could be cleaned: those jobs go on.
        [] => String::new(),
        steps => format!("\n{steps:?}"),
    };
    hex::encode(Sha256::digest(format!("{taggers:?}\n{limit}\n{written:?}\n{style:?}{cleaned}")))
}

/// The job as this process does it.
struct Work<'w, T> {
    order: &'w Order,
    target: Target,
    columns: Columns,
    tags: Schema,
    pipeline: Pipeline,
    budget: Budget,
    steps: Sender<Step>,
    ended: Receiver<Ended>,
    out: Arc<AtomicU64>,
    fed: u64,
    /// What stands for a topic in the line.
    topic: Arc<str>,
    /// Files that have been read, or are, and are not written yet.
    under_way: VecDeque<Task>,
    summary: Summary,
    progress: Progress,
    /// Bytes of the file that is being read.
    reading: u64,
    tell: &'w T,
    runtime: Handle,
    stop: Arc<Stop>,
}

/// Whose turn it is with a file.
enum Turn {
    Done(Box<Done>),
    Ours,
    Others,
}

impl<T: Fn(Progress)> Work<'_, T> {
    fn run(&mut self, files: Vec<Task>) {
        self.progress.bytes = files.iter().map(|task| task.input.bytes).sum();
        let mut left = VecDeque::from(files);
        let mut passed = 0;
        while let Some(task) = left.pop_front().filter(|_| !self.stop.is_requested()) {
            self.collect(0);
            match self.turn(&task) {
                Ok(Turn::Done(done)) => {
                    self.progress.read += task.input.bytes;
                    self.summary.done.push(*done);
                    self.summary.by_others += 1;
                }
                Ok(Turn::Ours) => self.read(task),
                Ok(Turn::Others) => {
                    // Who gives up leaves it to us, in the end.
                    left.push_back(task);
                    passed += 1;
                    if passed >= left.len() {
                        self.collect(usize::MAX);
                        thread::sleep(LEASE / 20);
                        passed = 0;
                    }
                    continue;
                }
                // A store that refuses one file may have room for the next.
                Err(error) => {
                    self.progress.read += task.input.bytes;
                    self.fail(&task.input.path, error);
                }
            }
            passed = 0;
        }
        self.collect(usize::MAX);
        // Stopped: others need not wait for us.
        while let Some(task) = self.under_way.pop_front() {
            self.fail(&task.input.path, anyhow!("stopped"));
        }
    }

    /// Whose a file is; if nobody's, it is ours from now on.
    fn turn(&mut self, task: &Task) -> Result<Turn> {
        self.runtime.block_on(async {
            if let Some(done) = self.target.done(&task.input).await? {
                return Ok(Turn::Done(Box::new(done)));
            }
            Ok(if self.target.claim(&task.input).await? { Turn::Ours } else { Turn::Others })
        })
    }

    /// Reads a file into the line.
    fn read(&mut self, task: Task) {
        match self.begin(&task) {
            Err(error) => {
                let path = task.input.path.clone();
                self.fail(&path, error);
            }
            Ok((mut reader, begin)) => {
                self.announce(Step::Begin(Box::new(begin)));
                let size = task.input.bytes;
                self.under_way.push_back(task);
                let read = self.rows(&mut reader, size);
                self.announce(Step::End(read));
                self.progress.read += size;
                self.reading = 0;
            }
        }
    }

    fn begin(&self, task: &Task) -> Result<(Reader, Begin)> {
        let Paths { to, rejected, scratch } = self.target.paths(&task.found.relative);
        let reader = Reader::open(&task.found, task.format, &self.order.style, &self.runtime)?;
        if let Some(schema) = reader.schema() {
            self.columns.check(schema.fields())?;
        }
        let output = Output::create(to, &scratch, task.input.bytes, &self.runtime)?;
        let writer = reader.writer(output, &self.order.style, &self.tags)?;
        let is_free = task.format.is_free();
        Ok((reader, Begin { writer, rejected, scratch, is_free }))
    }

    fn rows(&mut self, reader: &mut Reader, size: u64) -> Result<()> {
        let mut number = 0;
        while let Some(rows) = reader.next()? {
            self.reading = reader.read_of(size);
            let documents = rows.documents(&self.columns)?;
            let mut permit = self.budget.take(0);
            permit.grow(rows.size());
            self.announce(Step::Rows(rows, permit));
            for document in documents {
                self.wait();
                if self.stop.is_requested() {
                    bail!("stopped");
                }
                self.feed(number, document);
                number += 1;
            }
        }
        Ok(())
    }

    /// Waits for room. Whatever the rows need that came last, theirs is the turn when all before them are out.
    fn wait(&mut self) {
        while self.budget.is_spent() && self.out.load(Ordering::Acquire) < self.fed && !self.stop.is_requested() {
            thread::sleep(Duration::from_millis(2));
            self.tell();
        }
        if self.fed.is_multiple_of(64) {
            self.tell();
        }
    }

    fn feed(&mut self, offset: i64, document: Vec<u8>) {
        // All files are one partition of the line, so that everything comes out in the order that it went in.
        let origin = Origin::elsewhere(Arc::clone(&self.topic), offset, self.fed);
        self.pipeline.feed(Envelope::begin(origin, Record::of(document), &self.budget));
        self.fed += 1;
    }

    fn announce(&self, step: Step) {
        // It has gone when the work is abandoned.
        let _ = self.steps.send(step);
    }

    /// Takes note of files that are written; waits for so many.
    fn collect(&mut self, wait: usize) {
        let mut waited = 0;
        while !self.under_way.is_empty() {
            let ended = if waited < wait {
                match self.ended.recv_timeout(Duration::from_millis(100)) {
                    Ok(ended) => ended,
                    Err(_) if self.stop.is_requested() => return,
                    Err(_) => {
                        self.tell();
                        continue;
                    }
                }
            } else {
                let Ok(ended) = self.ended.try_recv() else { return };
                ended
            };
            waited += 1;
            let Some(task) = self.under_way.pop_front() else { return };
            let relative = task.input.path.clone();
            match ended {
                Ok((counts, bytes)) => {
                    let (job, finished) = (self.target.job().to_owned(), Timestamp::now());
                    let done = Done { job, input: task.input, finished, bytes, counts };
                    match self.runtime.block_on(self.target.finish(&done)) {
                        Ok(()) => self.summary.done.push(done),
                        // Written, but nobody will know: the same command does it again.
                        Err(error) => self.fail(&relative, error),
                    }
                }
                Err(error) => self.fail(&relative, error),
            }
        }
    }

    fn fail(&mut self, relative: &str, error: anyhow::Error) {
        if let Err(other) = self.runtime.block_on(self.target.give_up(relative)) {
            tracing::warn!("{other:#}");
        }
        self.summary.failed.push((relative.to_owned(), error));
    }

    fn tell(&mut self) {
        self.progress.rows = self.out.load(Ordering::Acquire);
        (self.tell)(Progress { read: self.progress.read + self.reading, ..self.progress });
    }
}

/// What all files come to.
#[must_use]
pub fn total(summary: &Summary) -> Counts {
    book::total(&summary.done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Clean;

    #[test]
    fn texts_that_are_cleaned_otherwise_are_another_job() {
        let style =
            Style { csv_escape: None, tags: "tags".into(), flat: false, compression: None, row_group_rows: None };
        let cleaned = |steps: &[Clean]| {
            let mut config = Config::default();
            config.input.clean = steps.to_vec();
            settings(&config, &style)
        };
        let steps: [&[Clean]; 4] = [&[], &[Clean::Unicode], &[Clean::Html], &[Clean::Unicode, Clean::Html]];
        let all = steps.map(cleaned);
        assert!((1..all.len()).all(|one| !all[..one].contains(&all[one])), "{all:?}");
    }
}
