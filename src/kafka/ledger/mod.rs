//! Which offsets are safe to commit: for each partition the one behind the last record of the acknowledged beginning (G-1,
//! G-33).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::record::envelope::{Lease, Origin};
use crate::record::partition::TopicPartition;
use crate::record::sync::{Condvar, Mutex, MutexGuard};

/// A partition and the offset to commit for it: the one behind all that is safe.
pub type Watermark = (Arc<str>, i32, i64);

/// The ledger of all records in flight, shared by the source, which enters them, and the sink, which sends them and hears of
/// their acknowledgements.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
    acknowledged: Condvar,
}

#[derive(Debug, Default)]
struct State {
    partitions: HashMap<TopicPartition, Partition>,
    epochs: u64,
}

#[derive(Debug)]
struct Partition {
    epoch: u64,
    lease: Lease,
    /// Records in flight, oldest first; `first` is the sequence number of the front.
    entries: VecDeque<Entry>,
    first: u64,
    /// Sent to the output broker, and not acknowledged by it yet.
    unacknowledged: usize,
    /// Where this assignment began to read, once that is known.
    start: Option<i64>,
    /// What comes next: passes over transaction markers and aborted records, which nobody sees.
    position: Option<i64>,
    /// The offset to commit, once there is one.
    watermark: Option<i64>,
    /// The offset committed last.
    committed: Option<i64>,
    /// True while the partition is given up: nothing more may be sent.
    closing: bool,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    acknowledged: bool,
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition is assigned to this worker: what is in flight of an earlier assignment is stale from now on
    /// (G-37).
    pub fn open(&self, topic: &str, partition: i32) {
        let mut state = self.state();
        state.epochs += 1;
        let epoch = state.epochs;
        let opened = Partition {
            epoch,
            lease: Lease::default(),
            entries: VecDeque::new(),
            first: 0,
            unacknowledged: 0,
            start: None,
            position: None,
            watermark: None,
            committed: None,
            closing: false,
        };
        if let Some(earlier) = state.partitions.insert((topic.into(), partition), opened) {
            earlier.lease.lose();
        }
    }

    /// A record was fetched. `None` when the partition is not (or no more) assigned, or the record was entered before: it must
    /// be dropped.
    pub fn enter(&self, topic: &str, partition: i32, offset: i64) -> Option<Origin> {
        let key = (Arc::from(topic), partition);
        let mut state = self.state();
        let open = state.partitions.get_mut(&key).filter(|open| !open.closing)?;
        if open.position.is_some_and(|position| offset < position) {
            // A client library that hands out a record twice, around a pause or a rebalance, would have it written twice.
            return None;
        }
        let seq = open.first + open.entries.len() as u64;
        open.entries.push_back(Entry { offset, acknowledged: false });
        open.position = Some(offset + 1);
        open.start.get_or_insert(offset);
        Some(Origin { topic: key.0, partition, offset, epoch: open.epoch, seq, lease: open.lease.clone() })
    }

    /// Nothing that anybody sees is left before `offset`: all of it was entered.
    pub fn reach(&self, partition: &TopicPartition, offset: i64) {
        if let Some(open) = self.state().partitions.get_mut(partition) {
            open.position = open.position.max(Some(offset));
            open.start.get_or_insert(offset);
            open.advance();
        }
    }

    /// The log does not have what comes next: it is read on somewhere else. What is in flight counts as before.
    pub fn rewind(&self, partition: &TopicPartition) {
        if let Some(open) = self.state().partitions.get_mut(partition) {
            (open.start, open.position) = (None, None);
            if open.entries.is_empty() {
                // These were of what the log does not have any more.
                (open.watermark, open.committed) = (None, None);
            }
        }
    }

    /// Asks to send what came of the record. False when the partition was given up meanwhile: it must be dropped.
    #[must_use]
    pub fn send(&self, origin: &Origin) -> bool {
        self.with_entry(origin, |open, _| {
            let send = !open.closing;
            open.unacknowledged += usize::from(send);
            send
        })
        .unwrap_or(false)
    }

    /// What came of the record is safe with the output broker.
    pub fn acknowledge(&self, origin: &Origin) {
        self.with_entry(origin, |open, index| {
            open.entries[index].acknowledged = true;
            open.unacknowledged -= 1;
            open.advance();
        });
        self.acknowledged.notify_all();
    }

    /// What came of these records is safe, and their offsets are committed: one transaction did both (G-8).
    pub fn settle<'a>(&self, origins: impl IntoIterator<Item = &'a Origin>) {
        for origin in origins {
            self.with_entry(origin, |open, index| {
                open.entries[index].acknowledged = true;
                open.unacknowledged -= 1;
                open.advance();
                // The watermark may be further: behind what no consumer sees.
                open.committed = Some(origin.offset + 1);
            });
        }
        self.acknowledged.notify_all();
    }

    /// True while a rebalance waits for what was sent.
    pub fn is_awaited(&self) -> bool {
        self.state().partitions.values().any(|open| open.closing)
    }

    fn with_entry<T>(&self, origin: &Origin, then: impl FnOnce(&mut Partition, usize) -> T) -> Option<T> {
        let mut state = self.state();
        let key = (Arc::clone(&origin.topic), origin.partition);
        let open = state.partitions.get_mut(&key).filter(|open| open.epoch == origin.epoch)?;
        let index = usize::try_from(origin.seq.checked_sub(open.first)?).ok()?;
        (index < open.entries.len()).then(|| then(open, index))
    }

    /// What can be committed and is not yet.
    pub fn to_commit(&self) -> Vec<Watermark> {
        let state = self.state();
        let due =
            state.partitions.iter().filter(|(_, open)| open.watermark.is_some() && open.watermark != open.committed);
        due.filter_map(|((topic, partition), open)| Some((Arc::clone(topic), *partition, open.watermark?))).collect()
    }

    /// These were committed. Those of an assignment that has ended meanwhile count for nothing (G-37).
    pub fn committed(&self, watermarks: &[Watermark]) {
        let mut state = self.state();
        for (topic, partition, offset) in watermarks {
            let open = state.partitions.get_mut(&(Arc::clone(topic), *partition));
            if let Some(open) = open.filter(|open| open.can_have_committed(*offset)) {
                open.committed = Some(*offset);
            }
        }
    }

    /// Gives partitions up: nothing more of them is sent, what was sent is waited for (until `deadline` at most), and
    /// the offsets that may still be committed are returned (G-36).
    pub fn close(&self, partitions: &[TopicPartition], deadline: Instant) -> Vec<Watermark> {
        let mut state = self.state();
        for partition in partitions {
            if let Some(open) = state.partitions.get_mut(partition) {
                open.closing = true;
                open.lease.end();
            }
        }
        let busy = |state: &mut State| {
            partitions.iter().any(|key| state.partitions.get(key).is_some_and(|open| open.unacknowledged > 0))
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.acknowledged.wait_timeout_while(state, left, busy);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let closed = partitions.iter().filter_map(|key| Some((key, state.partitions.remove(key)?)));
        closed
            .inspect(|(_, open)| open.lease.lose())
            .filter(|(_, open)| open.watermark != open.committed)
            .filter_map(|((topic, partition), open)| Some((Arc::clone(topic), *partition, open.watermark?)))
            .collect()
    }

    /// True when nothing is in flight.
    pub fn is_drained(&self) -> bool {
        self.state().partitions.values().all(|open| open.entries.is_empty())
    }

    /// True when something is in flight that was not handed to the brokers yet.
    pub fn is_any_unsent(&self) -> bool {
        self.state()
            .partitions
            .values()
            .any(|open| open.entries.iter().filter(|entry| !entry.acknowledged).count() > open.unacknowledged)
    }

    /// Which assignment of the partition this is.
    pub fn epoch(&self, partition: &TopicPartition) -> Option<u64> {
        self.state().partitions.get(partition).filter(|open| !open.closing).map(|open| open.epoch)
    }

    /// The latest assignment of any partition.
    pub fn latest_epoch(&self) -> u64 {
        self.state().epochs
    }

    /// Where what is not committed begins, in each assigned partition.
    pub fn uncommitted(&self) -> HashMap<TopicPartition, Option<i64>> {
        let state = self.state();
        state.partitions.iter().map(|(key, open)| (key.clone(), open.committed.or(open.start))).collect()
    }

    /// Where a partition is read up to.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.state().partitions.get(partition)?.position
    }

    /// Where each assigned partition is read up to.
    pub fn positions(&self) -> HashMap<TopicPartition, Option<i64>> {
        self.state().partitions.iter().map(|(key, open)| (key.clone(), open.position)).collect()
    }
}

impl Partition {
    /// Whether it may be this assignment that has committed the offset: it neither began behind it nor is short of it.
    fn can_have_committed(&self, offset: i64) -> bool {
        self.start <= Some(offset) && Some(offset) <= self.watermark
    }

    fn advance(&mut self) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.acknowledged) {
            self.first += 1;
            self.watermark = Some(entry.offset + 1);
        }
        if self.entries.is_empty() {
            // Nothing in flight: whatever was read is safe, markers of transactions included.
            self.watermark = self.watermark.max(self.position);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
