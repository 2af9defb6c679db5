//! The session alone: documents that are tokens already, batch after batch.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Documents, per_second, process_time};
use crate::tagger::batch::{Batcher, Next};
use crate::tagger::taggers::Taggers;

/// A batch for one of the models.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// Which of the lanes.
    pub lane: usize,
    /// Its rows, without special tokens.
    pub rows: Vec<&'a [u32]>,
    /// Tokens that each row takes, special ones and padding included.
    pub width: usize,
    /// Tokens of all rows, special ones included.
    pub tokens: usize,
}

impl Batch<'_> {
    /// Tokens that the model computes: padding included.
    #[must_use]
    pub fn computed(&self) -> usize {
        self.rows.len() * self.width
    }
}

/// In which order documents come to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are.
    Arrival,
    /// Short ones first: no batch pads less.
    Length,
}

/// The batches that the worker would make of the documents, all of which wait: shortest first, or (as they come) oldest first.
#[must_use]
pub fn batches<'a>(taggers: &Taggers, documents: &'a Documents, budget: usize, order: Order) -> Vec<Batch<'a>> {
    let now = Instant::now();
    let mut made = Vec::new();
    for (number, lane) in taggers.lanes.iter().enumerate() {
        let special = lane.model.frame.len();
        let mut rows: Vec<&[u32]> = documents.rows(lane).collect();
        if order == Order::Length {
            rows.sort_by_key(|ids| ids.len());
        }
        let mut batcher = Batcher::new(budget, Duration::ZERO);
        batcher.go_alone(lane.model.runs_alone());
        for ids in rows {
            batcher.push(ids, lane.model.width(ids.len() + special), now);
        }
        while let Next::Batch(rows) = batcher.next(now, false, 1) {
            let longest = rows.iter().map(|ids| ids.len()).max().unwrap_or_default();
            let tokens = rows.iter().map(|ids| ids.len() + special).sum();
            made.push(Batch { lane: number, rows, width: lane.model.width(longest + special), tokens });
        }
    }
    made
}

/// What running some batches came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// How long it took.
    pub elapsed: Duration,
    /// Processor time of all threads, in seconds.
    pub processor: f64,
    /// Tokens, special ones included.
    pub tokens: usize,
    /// Tokens that were computed: padding included.
    pub computed: usize,
}

impl Ran {
    /// Tokens a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per_second(self.tokens, self.elapsed)
    }
}

/// Runs the batches, in all sessions at once.
///
/// # Errors
/// When a model fails.
pub fn run<'a>(taggers: &Taggers, batches: impl IntoIterator<Item = &'a Batch<'a>>) -> Result<Ran> {
    let batches: Vec<_> = batches.into_iter().collect();
    let (started, processor, next) = (Instant::now(), process_time(), AtomicUsize::new(0));
    let sessions = taggers.lanes.iter().map(|lane| lane.model.sessions()).max().unwrap_or(1);
    in_each(sessions, || {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            taggers.lanes[batch.lane].model.infer(&batch.rows)?;
        }
        Ok(())
    })?;
    let (elapsed, processor) = (started.elapsed(), process_time() - processor);
    let tokens = batches.iter().map(|batch| batch.tokens).sum();
    Ok(Ran { elapsed, processor, tokens, computed: batches.iter().map(|batch| batch.computed()).sum() })
}

/// Does something in so many threads.
///
/// # Errors
/// With the first error of any of them.
pub fn in_each(threads: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
