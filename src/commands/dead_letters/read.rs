//! Reads the dead-letter topic, up to its end as it was at the start.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message, OwnedHeaders};
use rdkafka::{Offset, TopicPartitionList};

use super::notes::Offsets;
use crate::codec::dead_letter::{self, Explanation};
use crate::config::Config;
use crate::kafka::clients::{self, Log, is_passing};

/// How long the brokers may take for the next record.
const PATIENCE: Duration = Duration::from_secs(30);

/// The dead-letter topic.
pub struct Letters {
    consumer: BaseConsumer<Log>,
    topic: String,
    /// First offset and end of each partition.
    bounds: BTreeMap<i32, (i64, i64)>,
    /// How many partitions each topic of the cluster has.
    partitions: HashMap<String, i32>,
}

/// A record of the dead-letter topic that is a dead letter.
pub struct Letter<'a> {
    /// The record.
    pub record: &'a BorrowedMessage<'a>,
    /// Its headers.
    pub headers: &'a OwnedHeaders,
    /// What they say.
    pub explanation: Explanation,
}

impl Letter<'_> {
    /// Where it is in the dead-letter topic.
    pub fn id(&self) -> String {
        format!("{}/{}", self.record.partition(), self.record.offset())
    }

    /// The timestamp of the record that it was.
    pub fn timestamp(&self) -> Option<i64> {
        self.explanation.timestamp.or_else(|| self.record.timestamp().to_millis())
    }
}

impl Letters {
    /// Connects, and takes the end offsets.
    ///
    /// # Errors
    /// When the cluster can't be reached, or the topic is missing.
    pub fn connect(config: &Config) -> Result<Self> {
        let topic = config.output.dead_letters.clone();
        let mut consumer = clients::consumer(config, 1);
        consumer
            .set("enable.partition.eof", "true")
            .set("statistics.interval.ms", "0")
            // A fetch that waits for more at the end of one partition would hold up the next.
            .set("fetch.wait.max.ms", "10")
            // What retention removed since the start is passed over.
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Log> = consumer.create_with_context(Log).map_err(clients::refused)?;
        let metadata = clients::metadata(config)?;
        let topics = metadata.topics().iter();
        let partitions: HashMap<_, _> =
            topics.map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32)).collect();
        let Some(&own) = partitions.get(&topic) else {
            bail!(
                "output.dead_letters: there is no topic `{topic}` on {} (or this user may not see it)",
                config.kafka.brokers
            );
        };
        let bounds = (0..own).map(|partition| {
            let bounds = consumer.fetch_watermarks(&topic, partition, clients::REQUEST_TIMEOUT);
            Ok((partition, bounds.map_err(|error| reading(&topic, partition, &error))?))
        });
        let bounds = bounds.collect::<Result<_>>()?;
        Ok(Self { consumer, topic, bounds, partitions })
    }

    /// How many partitions another topic has; `None` if there is no such topic.
    pub fn partitions_of(&self, topic: &str) -> Option<i32> {
        self.partitions.get(topic).copied()
    }

    /// The partitions to read: all, or the one that was asked for.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn partitions(&self, asked: Option<i32>) -> Result<Vec<i32>> {
        match asked {
            None => Ok(self.bounds.keys().copied().collect()),
            Some(partition) if self.bounds.contains_key(&partition) => Ok(vec![partition]),
            Some(partition) => {
                bail!("{} has no partition {partition}: it has {}, from 0 on", self.topic, self.bounds.len())
            }
        }
    }

    /// Which dead letters of a partition were replayed.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn replayed(&self, partition: i32) -> Result<Offsets> {
        let mut replayed = Offsets::default();
        self.each(partition, 0, |_, headers| {
            replayed.read_note(headers);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(replayed)
    }

    /// Visits the dead letters of a partition, from an offset to the end or until the visitor breaks off.
    ///
    /// # Errors
    /// When it can't be read, or the visitor fails.
    pub fn each_letter(
        &self,
        partition: i32,
        from: i64,
        mut visit: impl FnMut(&Letter<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.each(partition, from, |record, headers| {
            let explained = headers.and_then(|headers| Some((headers, dead_letter::explanation(headers)?)));
            let Some((headers, explanation)) = explained else { return Ok(ControlFlow::Continue(())) };
            visit(&Letter { record, headers, explanation })
        })
    }

    /// Visits all records of a partition, in their order, from an offset to the end or until the visitor breaks off.
    ///
    /// # Errors
    /// When it can't be read, or the visitor fails.
    pub fn each(
        &self,
        partition: i32,
        from: i64,
        mut visit: impl FnMut(&BorrowedMessage<'_>, Option<&OwnedHeaders>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (first, end) = self.bounds.get(&partition).copied().unwrap_or_default();
        let from = from.max(first);
        if from >= end {
            return Ok(());
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, partition, Offset::Offset(from))?;
        self.consumer.assign(&assignment).map_err(|error| reading(&self.topic, partition, &error))?;
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(record)) if record.partition() == partition => {
                    if record.offset() >= end {
                        break;
                    }
                    let headers = record.headers().map(BorrowedHeaders::detach);
                    if visit(&record, headers.as_ref())?.is_break() || record.offset() + 1 >= end {
                        break;
                    }
                    deadline = Instant::now() + PATIENCE;
                }
                // The last offsets may be markers of transactions, which nobody sees.
                Some(Err(KafkaError::PartitionEOF(at))) if at == partition => break,
                Some(Err(error)) if !is_passing(&error) => return Err(reading(&self.topic, partition, &error)),
                _ if Instant::now() > deadline => {
                    bail!("{}/{partition}: no answer from the brokers in {} s", self.topic, PATIENCE.as_secs())
                }
                _ => {}
            }
        }
        self.consumer.unassign().context("can't end fetching")
    }
}

fn reading(topic: &str, partition: i32, error: &KafkaError) -> anyhow::Error {
    anyhow::anyhow!("{topic}/{partition} can't be read: {}", clients::plain(error))
}
