//! Partitions that are fetched anew: because nothing comes of them, or because their topic is another one now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::Source;
use super::topics::Change;
use crate::kafka::clients;
use crate::kafka::reset::Reset;
use crate::record::partition::TopicPartition;

/// How long the log of a new topic may take to be found: the consumer is not polled meanwhile.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Source {
    /// Looks whether the topics are still what they were, and does what follows.
    pub(super) fn watch_topics(&mut self, now: Instant) -> Result<()> {
        if self.topics.is_due(now) {
            self.describe.ask();
        }
        let answer = self.describe.answer(Duration::ZERO);
        let Some(Ok(topics)) = answer else { return Ok(()) };
        for change in self.topics.look(topics) {
            match change {
                Change::Gone(topic) => {
                    if self.end.is_some() {
                        bail!("input.topics: the topic `{topic}` was deleted during the run: run it again");
                    }
                    // Of those that a pattern matches, any may go.
                    if self.patterns.is_named(&topic) {
                        tracing::warn!(
                            "input.topics: the topic `{topic}` was deleted; waiting until it is there again"
                        );
                        self.health.set_gone(&topic, true);
                    }
                    self.gone.insert(topic, self.ledger.latest_epoch());
                }
                Change::Back(topic) => {
                    tracing::info!("input.topics: the topic `{topic}` is there again");
                    self.health.set_gone(&topic, false);
                    self.gone.remove(&topic);
                }
                Change::MadeAnew(topic) => {
                    self.health.set_gone(&topic, false);
                    self.allow_anew(&topic)?;
                    // What was assigned since the old one was gone is the new one's: the brokers forget offsets with their
                    // topic.
                    let gone = self.gone.remove(&topic).unwrap_or(u64::MAX);
                    let of_old = |partition: &TopicPartition| self.ledger.epoch(partition).is_some_and(|it| it <= gone);
                    let ours = self.ledger.positions().into_keys().filter(|(name, _)| **name == *topic);
                    self.anew.extend(ours.filter(of_old));
                }
                Change::Grown { topic, before, now } => {
                    tracing::info!("input.topics: the topic `{topic}` has {now} partitions now, {before} before");
                }
            }
        }
        let mut waited = false;
        for partition in std::mem::take(&mut self.anew) {
            if waited {
                // The consumer has to be polled before the next one may take as long.
                self.anew.push(partition);
                continue;
            }
            if self.ledger.epoch(&partition).is_none() {
                // It is not ours any more, or there is no such partition in the new topic.
                continue;
            }
            if let Err(error) = self.begin_anew(&partition) {
                let (topic, number) = &partition;
                tracing::warn!("{topic}/{number} can't be read anew yet, trying again: {}", clients::plain(&error));
                waited = clients::is_timeout(&error);
                self.anew.push(partition);
            }
        }
        Ok(())
    }

    fn allow_anew(&self, topic: &str) -> Result<()> {
        let reset = self.reset;
        if self.end.is_some() {
            bail!("input.topics: the topic `{topic}` was deleted and made again during the run: run it again");
        }
        if reset == Reset::Error {
            bail!(
                "input.topics: the topic `{topic}` was deleted and made again, and `auto.offset.reset: error` says to \
                 stop then: set the group's offsets (kafka-consumer-groups.sh --reset-offsets), and start again"
            );
        }
        tracing::warn!(
            "input.topics: the topic `{topic}` was deleted and made again: the new one is read from where \
             `auto.offset.reset: {reset}` says, whatever the group has committed"
        );
        Ok(())
    }

    /// Another topic has the name: nothing that is known of the old one's offsets holds for it.
    fn begin_anew(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        let (topic, number) = partition;
        let (low, high) = self.consumer.fetch_watermarks(topic, *number, TIMEOUT)?;
        let latest = self.reset == Reset::Latest;
        // Results of the old topic's records, and of the new one's that were taken for them, count for nothing.
        self.ledger.open(topic, *number);
        self.ledger.reach(partition, if latest { high } else { low });
        if let Some(stale) = self.client_position(partition) {
            self.stale.insert(partition.clone(), stale);
        }
        self.fetch_anew(partition)
    }

    /// A record came where only events do: its partition's queue is not the one that is ours. It is fetched again, through
    /// the right one.
    ///
    /// # Errors
    /// When it can't be: passing over the record would lose it.
    pub(super) fn return_stray(&mut self, stray: &BorrowedMessage<'_>) -> Result<()> {
        if self.consumer.assignment_lost() {
            return Ok(());
        }
        let partition = (Arc::from(stray.topic()), stray.partition());
        self.stale.insert(partition.clone(), stray.offset() + 1);
        self.fetch_anew(&partition).map_err(|error| {
            anyhow!("{}/{} could not be fetched anew: {}", partition.0, partition.1, clients::plain(&error))
        })
    }

    /// Takes a partition out of the client's hands, and puts it there again; the group does not notice.
    pub(super) fn fetch_anew(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        let place = self.where_it_goes_on(partition);
        self.fetch_at(&HashMap::from([(partition.clone(), place)]))
    }

    /// Where a partition was read up to, or else begun; without either, where the group stands.
    fn where_it_goes_on(&self, partition: &TopicPartition) -> Offset {
        let position = self.ledger.position(partition);
        let begun = || self.resets.place(partition, self.ledger.epoch(partition)?);
        position.map(Offset::Offset).or_else(begun).unwrap_or(Offset::Invalid)
    }

    /// The same for several partitions, each from its place on.
    pub(super) fn fetch_at(&mut self, places: &HashMap<TopicPartition, Offset>) -> KafkaResult<()> {
        if self.consumer.assignment_lost() {
            // Its revocation is about to be told of: nothing of it is ours.
            return Err(KafkaError::Rebalance(RDKafkaErrorCode::AssignmentLost));
        }
        let assignment = self.consumer.context();
        assignment.touch();
        let prefetched = assignment.prefetched();
        if let RebalanceProtocol::Cooperative = self.consumer.rebalance_protocol() {
            let list = listed(places)?;
            self.consumer.incremental_unassign(&list)?;
            // The client may have made another queue by now, which is not ours yet.
            prefetched.open(&places.keys().cloned().collect::<Vec<_>>());
            self.consumer.incremental_assign(&list)?;
            self.note_begun(places);
            return Ok(());
        }
        // Eager assignments change as a whole.
        let mut all = places.clone();
        for partition in self.ledger.positions().into_keys() {
            let place = self.where_it_goes_on(&partition);
            all.entry(partition).or_insert(place);
        }
        let list = listed(&all)?;
        self.consumer.unassign()?;
        prefetched.open(&all.keys().cloned().collect::<Vec<_>>());
        self.consumer.assign(&list)?;
        self.note_begun(&all);
        Ok(())
    }

    fn note_begun(&mut self, places: &HashMap<TopicPartition, Offset>) {
        for (partition, place) in places {
            if let Some(epoch) = self.ledger.epoch(partition) {
                self.resets.begun(partition, epoch, *place);
            }
        }
    }
}

/// Partitions, each with the place where it begins.
fn listed(places: &HashMap<TopicPartition, Offset>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for ((topic, number), place) in places {
        list.add_partition_offset(topic, *number, *place)?;
    }
    Ok(list)
}
