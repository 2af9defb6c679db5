//! Batching by length finishes documents out of order; here each partition's order is put right again (G-2, G-35).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::record::envelope::{Lease, Origin};

/// Holds back what is finished early, until all before it in its partition is finished too.
///
/// It is bounded by the budget of bytes in flight, since what it holds is still in flight.
#[derive(Debug)]
pub struct Reorder<T> {
    partitions: HashMap<(Arc<str>, i32), Partition<T>>,
}

#[derive(Debug)]
struct Partition<T> {
    epoch: u64,
    lease: Lease,
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { partitions: HashMap::new() }
    }
}

impl<T> Reorder<T> {
    /// Takes what is finished; gives what may be emitted now, in order. What belongs to an earlier assignment of the
    /// partition is dropped: another worker does it again (G-37).
    pub fn push(&mut self, origin: &Origin, finished: T) -> Vec<T> {
        let partition = self
            .partitions
            .entry((Arc::clone(&origin.topic), origin.partition))
            .or_insert_with(|| Partition::of(origin));
        if origin.epoch < partition.epoch {
            return Vec::new();
        }
        if origin.epoch > partition.epoch {
            *partition = Partition::of(origin);
        }
        partition.early.insert(origin.seq, finished);
        let mut ready = Vec::new();
        while let Some(finished) = partition.early.remove(&partition.next) {
            partition.next += 1;
            ready.push(finished);
        }
        ready
    }

    /// Drops what is held back of partitions that were lost: what it waits for will never come, and its share of the
    /// budget would be gone for good (G-36, G-39).
    pub fn forget_lost(&mut self) {
        self.partitions.retain(|_, partition| !partition.lease.is_gone());
    }
}

impl<T> Partition<T> {
    fn of(origin: &Origin) -> Self {
        Self { epoch: origin.epoch, lease: origin.lease.clone(), next: 0, early: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(partition: i32, epoch: u64, seq: u64) -> Origin {
        Origin { topic: "documents".into(), partition, offset: 7, epoch, seq, lease: Lease::default() }
    }

    proptest! {
        #[test]
        fn any_finishing_order_is_emitted_in_input_order(
            order in Just((0..60u64).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut reorder = Reorder::default();
            let mut emitted: [Vec<u64>; 2] = Default::default();
            for n in order {
                let partition = n % 2;
                for seq in reorder.push(&origin(partition as i32, 1, n / 2), n / 2) {
                    emitted[partition as usize].push(seq);
                }
            }
            let expected: Vec<u64> = (0..30).collect();
            prop_assert_eq!(&emitted[0], &expected);
            prop_assert_eq!(&emitted[1], &expected);
        }
    }

    #[test]
    fn what_a_lost_partition_held_back_is_given_up() {
        let mut reorder = Reorder::default();
        let (lost, kept) = (origin(0, 1, 1), origin(1, 2, 1));
        let budget = std::rc::Rc::new(());
        assert!(reorder.push(&lost, std::rc::Rc::clone(&budget)).is_empty());
        assert!(reorder.push(&kept, std::rc::Rc::clone(&budget)).is_empty());
        lost.lease.lose();
        reorder.forget_lost();
        assert_eq!(std::rc::Rc::strong_count(&budget), 2, "what is kept, and the test's own");
        assert_eq!(reorder.push(&origin(1, 2, 0), budget).len(), 2, "the other partition goes on");
    }

    #[test]
    fn an_earlier_assignment_is_dropped() {
        let mut reorder = Reorder::default();
        assert!(reorder.push(&origin(0, 1, 1), "held back").is_empty());
        assert_eq!(reorder.push(&origin(0, 2, 0), "new"), ["new"]);
        assert!(reorder.push(&origin(0, 1, 0), "stale").is_empty());
        assert_eq!(reorder.push(&origin(0, 2, 1), "next"), ["next"]);
    }
}
