//! The threads that run the models: each batches what waits for its model, and runs it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::batch::{Batcher, Next};
use crate::config::{Batch, Retries};
use crate::envelope::{Envelope, Outcome, Rejection, Stage};
use crate::gather::Gathered;
use crate::metrics::Metrics;
use crate::model::Logits;
use crate::pipeline::Finished;
use crate::sink::pace::backoff;
use crate::stop::Stop;
use crate::taggers::{Lane, Taggers, Work};
use crate::windows::Window;

/// So many failures in a row are the model's fault, not the documents'.
const BROKEN: usize = 20;

/// A row of a batch: a document (by the number that it has here), or a window of it.
pub(crate) struct Row {
    document: u64,
    number: usize,
    window: Window,
    /// How many runs with it alone have failed.
    failures: u32,
    /// How many runs, with whatever, had gone well when the first one with it failed.
    well_before: Option<u64>,
}

/// A document, and what came of its windows so far.
struct Waiting {
    document: Envelope<Work>,
    gathered: Gathered,
}

/// Where documents come from and go to.
pub(crate) struct Ends {
    /// From the threads that prepare documents, or the lane before.
    pub documents: Receiver<Envelope<Work>>,
    /// How many are on their way here.
    pub upstream: Arc<AtomicUsize>,
    /// The next lane, and how many are on their way there; the last lane has none.
    pub next: Option<(Sender<Envelope<Work>>, Arc<AtomicUsize>)>,
    /// The end of the line.
    pub finished: Sender<Finished>,
}

/// One of the models, and the documents that wait for it.
pub(crate) struct Runner {
    /// Which lane of the taggers.
    lane: usize,
    batcher: Batcher<Row>,
    /// Rows that the model failed on, and when each is tried again, alone.
    later: Vec<(Instant, Row)>,
    retries: Retries,
    waiting: HashMap<u64, Waiting>,
    admitted: u64,
    /// What the waiting documents are tagged by, and are what holds it. Those of another load wait until these are done.
    taggers: Weak<Taggers>,
    held: Option<Envelope<Work>>,
    ends: Ends,
    /// How many runs have gone well.
    well: u64,
    failed_in_a_row: usize,
    metrics: Arc<Metrics>,
}

impl Runner {
    pub(crate) fn new(lane: usize, batch: &Batch, retries: Retries, ends: Ends, metrics: Arc<Metrics>) -> Self {
        let batcher = Batcher::new(batch.tokens, batch.wait);
        let (later, waiting, admitted, taggers, held, well, failed_in_a_row) = Default::default();
        Self { lane, batcher, later, retries, waiting, admitted, taggers, held, ends, well, failed_in_a_row, metrics }
    }

    /// Runs the model until no more documents come, or the work is abandoned.
    pub(crate) fn run(mut self, stop: &Stop) {
        while !stop.is_abandoned() {
            while self.held.is_none()
                && let Ok(document) = self.ends.documents.try_recv()
            {
                self.admit(document);
            }
            if let ControlFlow::Break(error) = self.run_what_is_due() {
                return stop.fail(error);
            }
            let more_coming = self.held.is_none() && self.ends.upstream.load(Ordering::Acquire) > 0;
            let patience = match self.batcher.next(Instant::now(), more_coming) {
                Next::Batch(rows) => {
                    if let ControlFlow::Break(error) = self.run_batch(rows) {
                        return stop.fail(error);
                    }
                    continue;
                }
                Next::Until(due) => due.saturating_duration_since(Instant::now()),
                Next::Idle => {
                    if let Some(document) = self.held.take_if(|_| self.waiting.is_empty()) {
                        self.admit(document);
                        continue;
                    }
                    Duration::from_secs(1)
                }
            };
            let retry = self.later.iter().map(|(due, _)| due.saturating_duration_since(Instant::now())).min();
            let patience = retry.map_or(patience, |retry| patience.min(retry));
            if self.held.is_some() {
                // What is held waits for what is tried again.
                thread::sleep(patience);
                continue;
            }
            match self.ends.documents.recv_timeout(patience) {
                Ok(document) => self.admit(document),
                Err(RecvTimeoutError::Disconnected) if self.waiting.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => thread::sleep(patience),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Puts a document's windows among those that wait, if they are for the same models.
    fn admit(&mut self, document: Envelope<Work>) {
        let work = &document.body;
        let same = std::ptr::eq(self.taggers.as_ptr(), Arc::as_ptr(&work.taggers));
        if !same && !self.waiting.is_empty() {
            self.held = Some(document);
            return;
        }
        let lane = &work.taggers.lanes[self.lane];
        let Some(tokens) = lane.tokens(work).map(|encoded| encoded.ids.len()) else {
            return self.send(document, Vec::new());
        };
        let special = lane.model.frame.len();
        let rows = lane.windows.count(tokens);
        for (number, window) in lane.windows.of(tokens).enumerate() {
            let length = window.tokens.len() + special;
            self.batcher.push(
                Row { document: self.admitted, number, window, failures: 0, well_before: None },
                length,
                Instant::now(),
            );
        }
        if !same {
            self.failed_in_a_row = 0;
            self.taggers = Arc::downgrade(&work.taggers);
        }
        if let Some((_, upstream)) = &self.ends.next {
            upstream.fetch_add(1, Ordering::AcqRel);
        }
        self.waiting.insert(self.admitted, Waiting { document, gathered: Gathered::nothing_of(rows) });
        self.admitted += 1;
    }

    fn run_what_is_due(&mut self) -> ControlFlow<Error> {
        let now = Instant::now();
        let due: Vec<_> = self.later.extract_if(.., |(due, _)| *due <= now).collect();
        due.into_iter().try_for_each(|(_, row)| self.run_batch(vec![row]))
    }

    /// Runs a batch. If it fails, its halves are tried, and so on, so that only the culprit becomes a dead letter; that
    /// one is tried again a few times before.
    fn run_batch(&mut self, mut rows: Vec<Row>) -> ControlFlow<Error> {
        let lost = self.waiting.extract_if(|_, waiting| waiting.document.origin.lease.is_over()).count();
        (0..lost).for_each(|_| self.left());
        // Gone are those of lost partitions, and those of which another window has failed.
        rows.retain(|row| self.waiting.contains_key(&row.document));
        let Some(taggers) = self.taggers.upgrade().filter(|_| !rows.is_empty()) else {
            return ControlFlow::Continue(());
        };
        let lane = &taggers.lanes[self.lane];
        let since = Instant::now();
        let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids(&self.waiting, lane)).collect();
        let infer = || {
            fail::fail_point!(
                "model-run",
                rows.iter().any(|row| self.waiting[&row.document].document.origin.offset % 7 == 3),
                |_| Err(anyhow!("the failpoint `model-run`"))
            );
            lane.model.infer(&ids)
        };
        let result = infer();
        self.metrics.took("infer", since);
        self.metrics.ran(ids.iter().map(|ids| ids.len() + lane.model.frame.len()));
        match result {
            Ok(logits) => {
                for (row, logits) in rows.iter().zip(logits) {
                    self.keep(row, &logits, lane);
                }
                self.well += 1;
                self.failed_in_a_row = 0;
                self.batcher.grow();
                ControlFlow::Continue(())
            }
            Err(error) => {
                let width = ids.iter().map(|ids| ids.len() + lane.model.frame.len()).max().unwrap_or_default();
                if is_out_of_memory(&error) {
                    self.batcher.shrink(rows.len() * width);
                }
                self.failed(rows, &error, &lane.model.identity.name)
            }
        }
    }

    fn failed(&mut self, mut rows: Vec<Row>, error: &Error, name: &str) -> ControlFlow<Error> {
        for row in &mut rows {
            row.well_before.get_or_insert(self.well);
        }
        let half = rows.len() / 2;
        if half > 0 {
            tracing::warn!("{name} failed on a batch of {}, trying its halves: {error:#}", rows.len());
            let rest = rows.split_off(half);
            self.run_batch(rows)?;
            return self.run_batch(rest);
        }
        let Some(mut row) = rows.pop() else { return ControlFlow::Continue(()) };
        row.failures += 1;
        if row.failures <= self.retries.max {
            let wait = backoff(&self.retries, row.failures);
            tracing::warn!("{name} failed on a document, trying again in {} ms: {error:#}", wait.as_millis());
            self.later.push((Instant::now() + wait, row));
            return ControlFlow::Continue(());
        }
        tracing::warn!("{name} failed on a document, after {} attempts: {error:#}", row.failures);
        if let Some(Waiting { document, .. }) = self.waiting.remove(&row.document) {
            let rejection = Rejection::new(Stage::Infer, "ModelError", format!("the model failed: {error:#}"));
            self.reject(document, Rejection { attempts: row.failures, ..rejection });
        }
        if row.well_before.is_some_and(|before| self.well > before) {
            // The model works. That many such documents can wait for their last attempt at once is not its fault.
            return ControlFlow::Continue(());
        }
        self.failed_in_a_row += 1;
        if self.failed_in_a_row < BROKEN {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(anyhow!("{name} failed on {BROKEN} documents in a row, so it is the model: {error:#}"))
    }

    /// Puts a window's logits where they belong; the document goes on with its last.
    fn keep(&mut self, row: &Row, logits: &[Logits], lane: &Lane) {
        let Some(Waiting { document, gathered }) = self.waiting.get_mut(&row.document) else { return };
        let tokens = lane.tokens(&document.body).map_or(0, |encoded| encoded.ids.len());
        gathered.add(row.number, &row.window, logits, lane, tokens);
        if gathered.is_complete()
            && let Some(Waiting { document, gathered }) = self.waiting.remove(&row.document)
        {
            self.pass_on(document, gathered.into_logits());
        }
    }

    fn pass_on(&self, document: Envelope<Work>, logits: Vec<Logits>) {
        self.left();
        self.send(document, logits);
    }

    fn send(&self, mut document: Envelope<Work>, logits: Vec<Logits>) {
        document.body.logits.push(logits);
        // A receiver is gone only when the worker has failed, and then the document is fetched again.
        match &self.ends.next {
            Some((next, _)) => drop(next.send(document)),
            None => drop(self.ends.finished.send(Finished::Tagged(document))),
        }
    }

    fn reject(&self, document: Envelope<Work>, rejection: Rejection) {
        self.left();
        drop(self.ends.finished.send(Finished::Outcome(Outcome::DeadLetter(document.map(|_| rejection)))));
    }

    /// A document waits here no longer. Said before it is passed on: the next model must not wait for what it has.
    fn left(&self) {
        if let Some((_, upstream)) = &self.ends.next {
            upstream.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Whether the device had too little memory for a batch. ONNX Runtime has no code of its own for that.
fn is_out_of_memory(error: &Error) -> bool {
    let text = format!("{error:#}").to_ascii_lowercase();
    ["out of memory", "failed to allocate memory", "bad_alloc", "bad allocation"].iter().any(|part| text.contains(part))
}

impl Row {
    fn ids<'a>(&self, waiting: &'a HashMap<u64, Waiting>, lane: &Lane) -> &'a [u32] {
        let encoded = waiting.get(&self.document).and_then(|waiting| lane.tokens(&waiting.document.body));
        encoded.map_or(&[], |encoded| &encoded.ids[self.window.tokens.clone()])
    }
}
