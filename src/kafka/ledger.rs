//! Which offsets are safe to commit: for each partition the one behind the last record of the acknowledged beginning (G-1,
//! G-33).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::record::envelope::{Lease, Origin};
use crate::record::partition::TopicPartition;

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

    /// A record was fetched. `None` when the partition is not (or no more) assigned: the record must be dropped.
    pub fn enter(&self, topic: &str, partition: i32, offset: i64) -> Option<Origin> {
        let key = (Arc::from(topic), partition);
        let mut state = self.state();
        let open = state.partitions.get_mut(&key).filter(|open| !open.closing)?;
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

    /// These were committed.
    pub fn committed(&self, watermarks: &[Watermark]) {
        let mut state = self.state();
        for (topic, partition, offset) in watermarks {
            if let Some(open) = state.partitions.get_mut(&(Arc::clone(topic), *partition)) {
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
        let busy = |state: &State| {
            partitions.iter().any(|key| state.partitions.get(key).is_some_and(|open| open.unacknowledged > 0))
        };
        while busy(&state) {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                break;
            };
            state = self.acknowledged.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
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

    /// Where each assigned partition is read up to.
    pub fn positions(&self) -> HashMap<TopicPartition, Option<i64>> {
        self.state().partitions.iter().map(|(key, open)| (key.clone(), open.position)).collect()
    }
}

impl Partition {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn open() -> Ledger {
        let ledger = Ledger::default();
        ledger.open("documents", 0);
        ledger
    }

    fn enter(ledger: &Ledger, offset: i64) -> Origin {
        ledger.enter("documents", 0, offset).expect("the partition is open")
    }

    fn send_and_acknowledge(ledger: &Ledger, origin: &Origin) {
        assert!(ledger.send(origin));
        ledger.acknowledge(origin);
    }

    fn to_commit(ledger: &Ledger) -> Option<i64> {
        ledger.to_commit().first().map(|watermark| watermark.2)
    }

    #[test]
    fn what_a_transaction_did_not_commit_is_still_to_be_committed() {
        let ledger = open();
        let origin = enter(&ledger, 9);
        // The marker of a transaction stands behind it.
        ledger.reach(&("documents".into(), 0), 11);
        assert!(ledger.send(&origin));
        ledger.settle([&origin]);
        assert_eq!(to_commit(&ledger), Some(11));
    }

    #[test]
    fn offset_waits_for_every_ack() {
        let ledger = open();
        let origins: Vec<_> = [10, 11, 15].map(|offset| enter(&ledger, offset)).into();
        send_and_acknowledge(&ledger, &origins[1]);
        assert_eq!(to_commit(&ledger), None);
        send_and_acknowledge(&ledger, &origins[0]);
        assert_eq!(to_commit(&ledger), Some(12));
        send_and_acknowledge(&ledger, &origins[2]);
        assert_eq!(to_commit(&ledger), Some(16));
        ledger.committed(&ledger.to_commit());
        assert_eq!(to_commit(&ledger), None);
    }

    #[test]
    fn the_end_is_committed_past_transaction_markers() {
        let ledger = open();
        let origin = enter(&ledger, 4);
        ledger.reach(&("documents".into(), 0), 6);
        assert_eq!(to_commit(&ledger), None, "a record is in flight");
        send_and_acknowledge(&ledger, &origin);
        assert_eq!(to_commit(&ledger), Some(6));
    }

    #[test]
    fn a_partition_given_up_sends_nothing_more_and_commits_what_was_acknowledged() {
        let ledger = open();
        let (first, second) = (enter(&ledger, 0), enter(&ledger, 1));
        send_and_acknowledge(&ledger, &first);
        let closed = ledger.close(&[("documents".into(), 0)], Instant::now());
        assert_eq!(closed, [("documents".into(), 0, 1)]);
        assert!(!ledger.send(&second));
        assert!(ledger.enter("documents", 0, 2).is_none());
        assert!(second.lease.is_gone());
    }

    #[test]
    fn a_partition_that_is_waited_for_may_still_deliver_what_is_finished() {
        let ledger = Arc::new(open());
        let origin = enter(&ledger, 0);
        assert!(ledger.send(&origin) && !ledger.is_awaited());
        let source = {
            let ledger = Arc::clone(&ledger);
            std::thread::spawn(move || {
                ledger.close(&[("documents".into(), 0)], Instant::now() + Duration::from_secs(10))
            })
        };
        while !ledger.is_awaited() {
            std::thread::yield_now();
        }
        assert!(origin.lease.is_over() && !origin.lease.is_gone());
        ledger.settle([&origin]);
        assert_eq!(source.join().expect("closes"), [], "the transaction has committed it");
        assert!(origin.lease.is_gone());
    }

    #[test]
    fn a_late_acknowledgement_of_an_earlier_assignment_counts_for_nothing() {
        let ledger = open();
        let stale = enter(&ledger, 0);
        assert!(ledger.send(&stale));
        ledger.close(&[("documents".into(), 0)], Instant::now());
        ledger.open("documents", 0);
        let again = enter(&ledger, 0);
        ledger.acknowledge(&stale);
        assert_eq!(to_commit(&ledger), None);
        send_and_acknowledge(&ledger, &again);
        assert_eq!(to_commit(&ledger), Some(1));
    }

    #[test]
    fn giving_up_waits_for_what_was_sent() {
        let ledger = Arc::new(open());
        let origin = enter(&ledger, 0);
        assert!(ledger.send(&origin));
        let late = {
            let ledger = Arc::clone(&ledger);
            std::thread::spawn(move || ledger.acknowledge(&origin))
        };
        let closed = ledger.close(&[("documents".into(), 0)], Instant::now() + Duration::from_secs(10));
        late.join().expect("acknowledges");
        assert_eq!(closed, [("documents".into(), 0, 1)]);
    }

    proptest! {
        #[test]
        fn the_watermark_is_the_first_unacknowledged_offset(order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle()) {
            let ledger = open();
            let origins: Vec<_> = (0..40).map(|n| enter(&ledger, 3 * n)).collect();
            let mut acknowledged = [false; 40];
            for n in order {
                send_and_acknowledge(&ledger, &origins[n]);
                acknowledged[n] = true;
                let expected = match acknowledged.iter().position(|done| !done) {
                    Some(0) => None,
                    Some(first) => Some(origins[first - 1].offset + 1),
                    None => Some(3 * 39 + 1),
                };
                prop_assert_eq!(to_commit(&ledger), expected);
            }
        }
    }
}
