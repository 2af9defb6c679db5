//! Partitions that the client library has no offset to begin at. The choice is made here, not there: an offset that a
//! transaction holds back for now is none at all to the library when partitions come or go meanwhile, and it would read from
//! the beginning what is done (decision 0015).

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use super::assignment::Assignment;
use super::{Source, lost_offset};
use crate::kafka::clients;
use crate::record::partition::TopicPartition;

/// How long the group's offsets are waited for, until they are asked for again. A stop waits for it, too.
const TIMEOUT: Duration = Duration::from_secs(2);

/// So often it is told that partitions still wait.
const TELL: Duration = Duration::from_secs(10);

/// What failed is not tried again sooner.
const PAUSE: Duration = Duration::from_millis(200);

/// What the group has committed, or the error of each partition.
type Answer = KafkaResult<Vec<(TopicPartition, KafkaResult<Option<i64>>)>>;

/// The partitions, and what is found out about them; each with its assignment.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// To be asked about.
    due: HashMap<TopicPartition, u64>,
    asked: Option<Asked>,
    /// Where they were begun last.
    places: HashMap<TopicPartition, (u64, Offset)>,
    last: Option<Instant>,
    /// Since when partitions wait, or when that was told last; and why they do.
    waiting: Option<Instant>,
    why: String,
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

    /// Whether it is being found out where it begins.
    pub fn is_pending(&self, partition: &TopicPartition) -> bool {
        let is_asked = |asked: &Asked| asked.partitions.contains_key(partition);
        self.due.contains_key(partition) || self.asked.as_ref().is_some_and(is_asked)
    }

    /// The client library has it from here on: should it not know where to begin, it says so anew.
    pub fn begun(&mut self, partition: &TopicPartition, epoch: u64, place: Offset) {
        self.due.remove(partition);
        if let Some(asked) = &mut self.asked {
            asked.partitions.remove(partition);
        }
        self.places.insert(partition.clone(), (epoch, place));
    }

    /// Where it was begun last in this assignment.
    pub fn place(&self, partition: &TopicPartition, epoch: u64) -> Option<Offset> {
        self.places.get(partition).filter(|(of, _)| *of == epoch).map(|(_, place)| *place)
    }

    /// Asks what the group has committed, on the side: while a transaction holds it back, there is no answer.
    fn ask(&mut self, consumer: &Arc<BaseConsumer<Assignment>>) {
        if self.asked.is_some() || self.due.is_empty() || self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        let (consumer, partitions) = (Arc::clone(consumer), mem::take(&mut self.due));
        let keys: Vec<_> = partitions.keys().cloned().collect();
        let (tell, answer) = bounded(1);
        let thread = thread::spawn(move || drop(tell.send(clients::committed(&consumer, &keys, TIMEOUT))));
        self.asked = Some(Asked { partitions, answer, thread });
    }

    /// What the group has committed of partitions, each with the assignment that it was asked for.
    fn answer(&mut self) -> Vec<(TopicPartition, u64, Option<i64>)> {
        let Some(Asked { answer, .. }) = &self.asked else { return Vec::new() };
        let answer = match answer.try_recv() {
            Ok(Ok(answer)) => answer,
            Err(TryRecvError::Empty) => return Vec::new(),
            Ok(Err(error)) => {
                self.why = clients::plain(&error);
                self.last = Some(Instant::now());
                Vec::new()
            }
            Err(TryRecvError::Disconnected) => Vec::new(),
        };
        let mut partitions = self.asked.take().map(|asked| asked.partitions).unwrap_or_default();
        let mut known = Vec::new();
        for (key, committed) in answer {
            match committed {
                Ok(committed) => known.extend(partitions.remove(&key).map(|epoch| (key, epoch, committed))),
                Err(error) => self.why = clients::plain(&error),
            }
        }
        if !partitions.is_empty() {
            self.last = Some(Instant::now());
        }
        for (key, epoch) in partitions {
            // Of a later assignment it may have been noted meanwhile.
            self.due.entry(key).or_insert(epoch);
        }
        known
    }

    /// Says now and then which partitions still wait: they are read by nobody, and their lag is not known.
    fn tell(&mut self, now: Instant) {
        let asked = self.asked.iter().flat_map(|asked| asked.partitions.keys());
        let mut waiting = self.due.keys().chain(asked).peekable();
        if waiting.peek().is_none() {
            self.waiting = None;
        } else if now.duration_since(*self.waiting.get_or_insert(now)) >= TELL {
            self.waiting = Some(now);
            let names: Vec<_> = waiting.map(|(topic, number)| format!("{topic}/{number}")).collect();
            tracing::warn!(
                "{}: not read yet, since the group's offset is not known: {} (a transaction that is not ended, by whichever \
                 producer, holds it back)",
                names.join(" "),
                self.why
            );
        }
    }

    /// The thread that asks, if one does.
    pub fn into_thread(self) -> Option<JoinHandle<()>> {
        self.asked.map(|asked| asked.thread)
    }
}

impl Source {
    /// Finds out where to begin, and begins there. To be called when the client library has just told all that it has to tell: it
    /// takes a change of what is assigned for the answer to a rebalance that is not served yet.
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
            self.resets.last = Some(Instant::now());
            for partition in places.into_keys() {
                if let Some(epoch) = self.ledger.epoch(&partition) {
                    self.resets.note(partition, epoch);
                }
            }
        }
        self.resets.ask(&self.consumer);
        self.resets.tell(Instant::now());
        Ok(())
    }

    /// Where to begin: where it was read up to, else where the group stands, and elsewhere only if that was tried and refused.
    fn place(&mut self, partition: &TopicPartition, epoch: u64, committed: Option<i64>) -> Result<Offset> {
        let wanted = self.ledger.position(partition).or(committed);
        if let Some(offset) = wanted
            && self.resets.place(partition, epoch) != Some(Offset::Offset(offset))
        {
            return Ok(Offset::Offset(offset));
        }
        let Some(place) = self.reset.place() else { return Err(lost_offset::explain(&self.consumer, partition)) };
        if let Some(offset) = wanted {
            let (topic, number) = partition;
            tracing::warn!(
                "{topic}/{number}: the log does not have offset {offset}: it is read from where `auto.offset.reset: {}` says",
                self.reset
            );
            // It takes the client a moment to forget where it was.
            if let Some(stale) = self.client_position(partition) {
                self.stale.insert(partition.clone(), stale);
            }
            self.ledger.rewind(partition);
        }
        Ok(place)
    }
}
