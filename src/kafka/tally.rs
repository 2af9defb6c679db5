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
    /// By partition; each with the assignment that it was read in.
    parts: BTreeMap<TopicPartition, Vec<(u64, i64, i64)>>,
}

impl Tally {
    /// What came of a record is safe.
    pub fn count(&self, origin: &Origin, count: impl FnOnce(&mut Account, &str)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut state.account, &origin.record_id());
        let parts = state.parts.entry((origin.topic.clone(), origin.partition)).or_default();
        match parts.last_mut() {
            Some((epoch, _, to)) if *epoch == origin.epoch || *to == origin.offset => {
                (*epoch, *to) = (origin.epoch, origin.offset + 1);
            }
            _ => parts.push((origin.epoch, origin.offset, origin.offset + 1)),
        }
    }

    /// All of it until now.
    #[must_use]
    pub fn total(&self) -> (Vec<Part>, Account) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = state.parts.iter().flat_map(|((topic, partition), parts)| {
            let part =
                |&(_, from, to): &(u64, i64, i64)| Part { topic: topic.to_string(), partition: *partition, from, to };
            parts.iter().map(part)
        });
        (parts.collect(), state.account.clone())
    }
}
