//! Partitions that the client library has no offset to begin at. The choice is made here, not there: an offset that a
//! transaction holds back for now is none at all to the library when partitions come or go meanwhile, and it would read from
//! the beginning what is done (decision 0015).

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::{Receiver, bounded};
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use super::assignment::Assignment;
use super::{Source, lost_offset};
use crate::kafka::clients;
use crate::record::partition::TopicPartition;

/// How long the group's offsets are waited for, until they are asked for again. A stop waits for it, too.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What the group has committed, or the error of each partition.
type Answer = KafkaResult<Vec<(TopicPartition, KafkaResult<Option<i64>>)>>;

/// The partitions, and what is found out about them.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// Each with its assignment.
    due: HashMap<TopicPartition, u64>,
    asked: Option<Asked>,
    /// Committed offsets that were begun at, each with its assignment.
    tried: HashMap<TopicPartition, (u64, i64)>,
}

#[derive(Debug)]
struct Asked {
    partitions: HashMap<TopicPartition, u64>,
    answer: Receiver<Answer>,
    thread: JoinHandle<()>,
}

impl Resets {
    /// The client library has no offset to begin at, or one that the brokers refuse.
    pub fn note(&mut self, partition: TopicPartition, epoch: u64) {
        self.due.insert(partition, epoch);
    }

    /// Asks what the group has committed, on the side: while a transaction holds it back, there is no answer.
    fn ask(&mut self, consumer: &Arc<BaseConsumer<Assignment>>) {
        if self.asked.is_some() || self.due.is_empty() {
            return;
        }
        let (consumer, partitions) = (Arc::clone(consumer), std::mem::take(&mut self.due));
        let keys: Vec<_> = partitions.keys().cloned().collect();
        let (tell, answer) = bounded(1);
        let thread = thread::spawn(move || drop(tell.send(clients::committed(&consumer, &keys, TIMEOUT))));
        self.asked = Some(Asked { partitions, answer, thread });
    }

    /// What the group has committed of partitions, each with the assignment it was asked for.
    fn answer(&mut self) -> Vec<(TopicPartition, u64, Option<i64>)> {
        let Some(answer) = self.asked.as_ref().and_then(|asked| asked.answer.try_recv().ok()) else {
            return Vec::new();
        };
        let mut partitions = self.asked.take().map(|asked| asked.partitions).unwrap_or_default();
        let committed = answer.inspect_err(|error| tracing::debug!("the group's offsets are asked for again: {error}"));
        let known = committed.unwrap_or_default().into_iter().filter_map(|(key, committed)| {
            let committed = committed.ok()?;
            Some((partitions.remove(&key)?, key, committed))
        });
        let known: Vec<_> = known.map(|(epoch, key, committed)| (key, epoch, committed)).collect();
        self.due.extend(partitions);
        known
    }

    /// The thread that asks, if one does.
    pub fn into_thread(self) -> Option<JoinHandle<()>> {
        self.asked.map(|asked| asked.thread)
    }
}

impl Source {
    /// Finds out where to begin, and begins there.
    pub(super) fn reset_offsets(&mut self) -> Result<()> {
        let answer = self.resets.answer();
        let mut places = HashMap::new();
        for (partition, epoch, committed) in answer {
            // Else it was given up meanwhile.
            if self.ledger.epoch(&partition) == Some(epoch) {
                let place = self.place(&partition, epoch, committed)?;
                places.insert(partition, place);
            }
        }
        if !places.is_empty()
            && let Err(error) = self.fetch_at(&places)
        {
            tracing::warn!("reading can't begin yet, trying again: {}", clients::plain(&error));
            let epoch = |partition: TopicPartition| Some((self.ledger.epoch(&partition)?, partition));
            let again: Vec<_> = places.into_keys().filter_map(epoch).collect();
            for (epoch, partition) in again {
                self.resets.note(partition, epoch);
            }
        }
        self.resets.ask(&self.consumer);
        Ok(())
    }

    fn place(&mut self, partition: &TopicPartition, epoch: u64, committed: Option<i64>) -> Result<Offset> {
        let position = self.ledger.positions().get(partition).copied().flatten();
        let refused = match committed {
            // Not yet said to be gone.
            Some(offset) if position.is_none() && self.resets.tried.get(partition) != Some(&(epoch, offset)) => {
                self.resets.tried.insert(partition.clone(), (epoch, offset));
                return Ok(Offset::Offset(offset));
            }
            committed => position.or(committed),
        };
        let Some(place) = self.reset.place() else { return Err(lost_offset::explain(&self.consumer, partition)) };
        if let Some(offset) = refused {
            let (topic, number) = partition;
            tracing::warn!(
                "{topic}/{number}: the log does not have offset {offset}: it is read from where `auto.offset.reset: {}` says",
                self.reset
            );
        }
        Ok(place)
    }
}
