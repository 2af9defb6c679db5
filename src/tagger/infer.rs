//! The threads that run the models: each batches what waits for its model, and runs it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::batch::{Batcher, Next};
use super::finished::Finished;
use super::gather::Gathered;
use super::taggers::{Lane, Taggers, Work};
use super::windows::Window;
use crate::config::{Batch, Retries};
use crate::model::session::Logits;
use crate::record::envelope::Envelope;
use crate::record::outcome::Outcome;
use crate::record::rejection::{Rejection, Stage};
use crate::record::stop::Stop;
use crate::telemetry::metrics::Metrics;

/// So many failures in a row are the model's fault, not the documents' (G-19).
const BROKEN: usize = 20;

/// A thread with nothing to do looks again so often.
const IDLE: Duration = Duration::from_secs(1);

/// The same while it waits for what others run.
const HOLD: Duration = Duration::from_millis(5);

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

/// What a run needs.
struct Job {
    taggers: Arc<Taggers>,
    rows: Vec<Row>,
    /// Copies, so that nobody has to wait for the run.
    ids: Vec<Vec<u32>>,
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

/// One of the models, and the documents that wait for it. Several threads run it: one for each of the model's sessions.
pub(crate) struct Runner {
    /// Which lane of the taggers.
    lane: usize,
    threads: usize,
    retries: Retries,
    ends: Ends,
    /// Wakes another thread when there is a batch for it, too.
    wake: (Sender<()>, Receiver<()>),
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

/// What the threads share.
struct State {
    batcher: Batcher<Row>,
    /// Rows that the model failed on, and when each is tried again, alone.
    later: Vec<(Instant, Row)>,
    waiting: HashMap<u64, Waiting>,
    admitted: u64,
    /// What the waiting documents are tagged by, and are what holds it. Those of another load wait until these are done
    /// (G-46).
    taggers: Weak<Taggers>,
    held: VecDeque<Envelope<Work>>,
    /// How many threads run the model now.
    running: usize,
    /// How many runs have gone well.
    well: u64,
    failed_in_a_row: usize,
}

/// What a thread does next.
enum Turn {
    Run(Vec<Row>),
    /// Nothing, for so long, unless a document comes.
    Wait(Duration),
    /// As before, but what is there comes first.
    Hold(Duration),
}

impl Runner {
    pub(crate) fn new(
        lane: usize,
        threads: usize,
        batch: &Batch,
        retries: Retries,
        ends: Ends,
        metrics: Arc<Metrics>,
    ) -> Self {
        let batcher = Batcher::new(batch.tokens, batch.wait).within(batch.latency_target);
        let (later, waiting, admitted, taggers, held, running, well, failed_in_a_row) = Default::default();
        let state = State { batcher, later, waiting, admitted, taggers, held, running, well, failed_in_a_row };
        Self { lane, threads, retries, ends, wake: bounded(1), metrics, state: Mutex::new(state) }
    }

    /// Runs the model until no more documents come, or the work is abandoned. Each of the threads calls it.
    pub(crate) fn run(&self, stop: &Stop) {
        while !stop.is_abandoned() {
            match self.turn() {
                Turn::Run(rows) => {
                    if let ControlFlow::Break(error) = self.run_batch(rows) {
                        return stop.fail(error);
                    }
                }
                Turn::Hold(patience) => thread::sleep(patience.min(HOLD)),
                Turn::Wait(patience) => select! {
                    recv(self.ends.documents) -> document => match document {
                        Ok(document) => self.admit(&mut self.state(), document),
                        Err(_) if self.state().waiting.is_empty() => return,
                        Err(_) => thread::sleep(patience.min(HOLD)),
                    },
                    recv(self.wake.1) -> _ => {}
                    default(patience) => {}
                },
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> Turn {
        let state = &mut *self.state();
        while state.held.is_empty()
            && let Ok(document) = self.ends.documents.try_recv()
        {
            self.admit(state, document);
        }
        let now = Instant::now();
        if let Some(due) = state.later.iter().position(|(due, _)| *due <= now) {
            let row = state.later.swap_remove(due).1;
            self.wake_another(state);
            return Turn::Run(vec![row]);
        }
        let more_coming = state.held.is_empty() && self.ends.upstream.load(Ordering::Acquire) > 0;
        let free = self.threads - state.running;
        let patience = match state.batcher.next(now, more_coming, free) {
            Next::Batch(rows) => {
                self.wake_another(state);
                return Turn::Run(rows);
            }
            Next::Until(due) => due.saturating_duration_since(now),
            Next::Idle => {
                if state.waiting.is_empty() && !state.held.is_empty() {
                    // Those of yet another load are held again.
                    for document in std::mem::take(&mut state.held) {
                        self.admit(state, document);
                    }
                    return Turn::Wait(Duration::ZERO);
                }
                IDLE
            }
        };
        let retry = state.later.iter().map(|(due, _)| due.saturating_duration_since(now)).min();
        let patience = retry.map_or(patience, |retry| patience.min(retry));
        if state.held.is_empty() { Turn::Wait(patience) } else { Turn::Hold(patience) }
    }

    /// One thread goes to work: another looks after what is left.
    fn wake_another(&self, state: &State) {
        if !state.batcher.is_empty() || !state.later.is_empty() {
            let _ = self.wake.0.try_send(());
        }
    }

    /// Puts a document's windows among those that wait, if they are for the same models.
    fn admit(&self, state: &mut State, document: Envelope<Work>) {
        let work = &document.body;
        let same = std::ptr::eq(state.taggers.as_ptr(), Arc::as_ptr(&work.taggers));
        if !same && !state.waiting.is_empty() {
            state.held.push_back(document);
            return;
        }
        let lane = &work.taggers.lanes[self.lane];
        let Some(tokens) = lane.tokens(work).map(|encoded| encoded.ids.len()) else {
            return self.send(document, Vec::new());
        };
        let special = lane.model.frame.len();
        let rows = lane.windows.count(tokens);
        let id = state.admitted;
        for (number, window) in lane.windows.of(tokens).enumerate() {
            let length = lane.model.width(window.tokens.len() + special);
            let row = Row { document: id, number, window, failures: 0, well_before: None };
            state.batcher.push(row, length, work.ready);
        }
        if !same {
            state.failed_in_a_row = 0;
            state.taggers = Arc::downgrade(&work.taggers);
            state.batcher.go_alone(lane.model.runs_alone());
        }
        if let Some((_, upstream)) = &self.ends.next {
            upstream.fetch_add(1, Ordering::AcqRel);
        }
        state.waiting.insert(state.admitted, Waiting { document, gathered: Gathered::nothing_of(rows) });
        state.admitted += 1;
    }

    /// Runs a batch. If it fails, its halves are tried, and so on, so that only the culprit becomes a dead letter
    /// (G-18); that one is tried again a few times before.
    fn run_batch(&self, rows: Vec<Row>) -> ControlFlow<Error> {
        let Some(job) = self.begin(rows) else { return ControlFlow::Continue(()) };
        let lane = &job.taggers.lanes[self.lane];
        let since = Instant::now();
        let ids: Vec<&[u32]> = job.ids.iter().map(Vec::as_slice).collect();
        let infer = || {
            fail::fail_point!("model-run", self.is_any_poisoned(&job.rows), |_| Err(anyhow!(
                "the failpoint `model-run`"
            )));
            lane.model.infer(&ids)
        };
        let result = infer();
        let took = since.elapsed();
        self.metrics.took("infer", since);
        let lengths = ids.iter().map(|ids| ids.len() + lane.model.frame.len());
        let width = lane.model.width(lengths.clone().max().unwrap_or_default());
        if result.is_ok() {
            // Of a batch that failed, the halves are counted.
            self.metrics.ran(lengths, width);
        }
        let mut guard = self.state();
        let state = &mut *guard;
        state.running -= 1;
        match result {
            Ok(logits) => {
                for (row, logits) in job.rows.iter().zip(logits) {
                    self.keep(state, row, &logits, lane);
                }
                state.well += 1;
                state.failed_in_a_row = 0;
                state.batcher.ran(job.rows.len() * width, took);
                ControlFlow::Continue(())
            }
            Err(error) => {
                if is_out_of_memory(&error) {
                    state.batcher.shrink(job.rows.len() * width);
                }
                let (mut rows, name) = (job.rows, &lane.model.identity.name);
                for row in &mut rows {
                    row.well_before.get_or_insert(state.well);
                }
                let rest = rows.split_off(rows.len().div_ceil(2));
                if rest.is_empty() {
                    return rows.into_iter().try_for_each(|row| self.failed(state, row, &error, name));
                }
                drop(guard);
                tracing::warn!("{name} failed on a batch of {}, trying its halves: {error:#}", rows.len() + rest.len());
                self.run_batch(rows)?;
                self.run_batch(rest)
            }
        }
    }

    /// For the failpoint.
    #[cfg(feature = "failpoints")]
    fn is_any_poisoned(&self, rows: &[Row]) -> bool {
        let state = self.state();
        let mut documents = rows.iter().filter_map(|row| state.waiting.get(&row.document));
        documents.any(|waiting| waiting.document.origin.offset % 7 == 3)
    }

    /// What a run of these rows needs; nothing if none of them is wanted any more.
    fn begin(&self, mut rows: Vec<Row>) -> Option<Job> {
        let state = &mut *self.state();
        for row in &rows {
            if let Entry::Occupied(waiting) = state.waiting.entry(row.document)
                && waiting.get().document.origin.lease.is_over()
            {
                waiting.remove();
                self.left();
            }
        }
        // Gone are those of lost partitions, and those of which another window has failed.
        rows.retain(|row| state.waiting.contains_key(&row.document));
        let taggers = state.taggers.upgrade().filter(|_| !rows.is_empty())?;
        let lane = &taggers.lanes[self.lane];
        let ids = rows.iter().map(|row| row.ids(&state.waiting, lane).to_vec()).collect();
        state.running += 1;
        Some(Job { taggers, rows, ids })
    }

    /// The model failed on this row alone.
    fn failed(&self, state: &mut State, mut row: Row, error: &Error, name: &str) -> ControlFlow<Error> {
        row.failures += 1;
        if row.failures <= self.retries.max {
            let wait = self.retries.wait_before(row.failures);
            tracing::warn!("{name} failed on a document, trying again in {} ms: {error:#}", wait.as_millis());
            state.later.push((Instant::now() + wait, row));
            return ControlFlow::Continue(());
        }
        tracing::warn!("{name} failed on a document, after {} attempts: {error:#}", row.failures);
        if let Some(Waiting { document, .. }) = state.waiting.remove(&row.document) {
            let rejection = Rejection::new(Stage::Infer, "ModelError", format!("the model failed: {error:#}"));
            self.reject(document, Rejection { attempts: row.failures, ..rejection });
        }
        if row.well_before.is_some_and(|before| state.well > before) {
            // The model works. That many such documents can wait for their last attempt at once is not its fault.
            return ControlFlow::Continue(());
        }
        state.failed_in_a_row += 1;
        if state.failed_in_a_row < BROKEN {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(anyhow!("{name} failed on {BROKEN} documents in a row, so it is the model: {error:#}"))
    }

    /// Puts a window's logits where they belong; the document goes on with its last.
    fn keep(&self, state: &mut State, row: &Row, logits: &[Logits], lane: &Lane) {
        let Some(Waiting { document, gathered }) = state.waiting.get_mut(&row.document) else { return };
        let tokens = lane.tokens(&document.body).map_or(0, |encoded| encoded.ids.len());
        gathered.add(row.number, &row.window, logits, lane, tokens);
        if gathered.is_complete()
            && let Some(Waiting { document, gathered }) = state.waiting.remove(&row.document)
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
        document.body.ready = Instant::now();
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

/// Whether the device had too little memory for a batch (G-57). ONNX Runtime has no code of its own for that.
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
