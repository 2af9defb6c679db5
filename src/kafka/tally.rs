//! Which records are done, and what became of them: told at the end of a run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::account::Account;
use crate::record::envelope::Origin;
use crate::record::partition::TopicPartition;

/// Offsets of a partition, from the first to the last, which is not one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset behind the last.
    pub to: i64,
}

impl Part {
    /// Whether this offset of that partition is one of them.
    #[must_use]
    pub fn has(&self, (topic, partition): &TopicPartition, offset: i64) -> bool {
        self.topic == **topic && self.partition == *partition && (self.from..self.to).contains(&offset)
    }
}

/// Keeps account while the worker runs.
#[derive(Debug, Default)]
pub struct Tally(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    account: Account,
    /// By partition, in the order of their offsets.
    runs: BTreeMap<TopicPartition, Vec<Run>>,
}

/// Offsets of which every record is done.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: i64,
    to: i64,
    first: Place,
    last: Place,
}

/// Where a record stood in what was read: its assignment, and its number therein. So neighbours are known although offsets
/// between them are markers of transactions.
type Place = (u64, u64);

impl Run {
    fn of(origin: &Origin) -> Self {
        let place = (origin.epoch, origin.seq);
        Self { from: origin.offset, to: origin.offset + 1, first: place, last: place }
    }

    /// Both as one, if nothing was read between them.
    fn join(self, next: Self) -> Option<Self> {
        let (epoch, seq) = self.last;
        let neighbours = self.to == next.from || (epoch, seq + 1) == next.first;
        neighbours.then_some(Self { to: next.to, last: next.last, ..self })
    }
}

impl Tally {
    /// What came of a record is safe. Results come in any order, and one that a partition brings again counts once.
    pub fn count(&self, origin: &Origin, count: impl FnOnce(&mut Account, &str)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { account, runs } = &mut *state;
        let runs = runs.entry((origin.topic.clone(), origin.partition)).or_default();
        let at = runs.partition_point(|run| run.from <= origin.offset);
        let before = at.checked_sub(1).map(|before| &mut runs[before]);
        if let Some(before) = before.filter(|before| origin.offset < before.to) {
            if origin.offset + 1 == before.to {
                before.last = (origin.epoch, origin.seq);
            }
            return;
        }
        count(account, &origin.record_id());
        runs.insert(at, Run::of(origin));
        // With its neighbours, the later one first.
        for left in (at.saturating_sub(1)..=at).rev() {
            if let [one, next, ..] = runs[left..]
                && let Some(joined) = one.join(next)
            {
                runs.splice(left..left + 2, [joined]);
            }
        }
    }

    /// All of it until now.
    #[must_use]
    pub fn total(&self) -> (Vec<Part>, Account) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = state.runs.iter().flat_map(|((topic, partition), runs)| {
            let part = |run: &Run| Part { topic: topic.to_string(), partition: *partition, from: run.from, to: run.to };
            runs.iter().map(part)
        });
        (parts.collect(), state.account.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(offset: i64, epoch: u64, seq: u64) -> Origin {
        Origin { topic: "in".into(), partition: 0, offset, epoch, seq, lease: <_>::default() }
    }

    fn parts(tally: &Tally) -> Vec<(i64, i64)> {
        tally.total().0.iter().map(|part| (part.from, part.to)).collect()
    }

    fn count(tally: &Tally, origin: &Origin) {
        tally.count(origin, Account::dead_letter);
    }

    #[test]
    fn what_is_done_backwards_is_done_all_the_same() {
        let tally = Tally::default();
        // Between 7 and 9 is the marker of a transaction.
        for (offset, seq) in [(5, 0), (9, 3), (7, 2)] {
            count(&tally, &origin(offset, 1, seq));
        }
        assert_eq!(parts(&tally), [(5, 6), (7, 10)]);
        count(&tally, &origin(6, 1, 1));
        assert_eq!(parts(&tally), [(5, 10)]);
    }

    #[test]
    fn what_a_partition_brings_again_counts_once() {
        let tally = Tally::default();
        (0..5).for_each(|n| count(&tally, &origin(n, 1, n.cast_unsigned())));
        let first = tally.total().1;
        (3..5).for_each(|n| count(&tally, &origin(n, 2, n.cast_unsigned() - 3)));
        assert_eq!(tally.total().1, first);
        // Behind a marker.
        count(&tally, &origin(6, 2, 2));
        assert_eq!(parts(&tally), [(0, 7)]);
        assert_eq!(tally.total().1.input, 6);
    }

    proptest! {
        /// Whatever comes again, and in whatever order: what is told is what was done.
        #[test]
        fn what_is_told_is_what_was_done(done in prop::collection::vec((0..30i64, 1..3u64), 0..80)) {
            let tally = Tally::default();
            for (offset, epoch) in &done {
                // Each third offset is a marker.
                let record = offset / 2 * 3 + offset % 2;
                count(&tally, &origin(record, *epoch, offset.cast_unsigned()));
            }
            let records: std::collections::BTreeSet<_> = done.iter().map(|(n, _)| n / 2 * 3 + n % 2).collect();
            let told = parts(&tally);
            prop_assert!(told.is_sorted());
            for record in (0..45).filter(|record| record % 3 != 2) {
                let is_told = told.iter().filter(|(from, to)| (*from..*to).contains(&record)).count();
                prop_assert_eq!(is_told, usize::from(records.contains(&record)));
            }
            prop_assert_eq!(tally.total().1.input, records.len() as u64);
        }
    }
}
