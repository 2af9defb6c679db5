//! Reads a topic from its beginning to its end as it was at the start, without a group.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message, OwnedHeaders};
use rdkafka::{Offset, TopicPartitionList};

use super::clients::{self, Log, is_passing};
use super::reach;
use crate::config::Config;

/// How long the brokers may take for the next record.
const PATIENCE: Duration = Duration::from_secs(30);

/// The topics of a cluster.
pub struct Topics<'a> {
    config: &'a Config,
    /// How many partitions each has.
    pub partitions: HashMap<String, i32>,
}

impl<'a> Topics<'a> {
    /// Asks for them.
    ///
    /// # Errors
    /// When the cluster can't be reached.
    pub fn of(config: &'a Config) -> Result<Self> {
        Ok(Self { config, partitions: reach::partition_counts(config)? })
    }

    /// One of them, to be read.
    ///
    /// # Errors
    /// When there is no such topic, or the cluster can't be reached.
    pub fn scan(&self, topic: &str) -> Result<Scan> {
        let partitions = self.partitions.get(topic).copied().with_context(|| {
            format!("there is no topic `{topic}` on {} (or this user may not see it)", self.config.kafka.brokers)
        })?;
        Scan::of(self.config, topic, partitions)
    }
}

/// A topic, as it is now.
pub struct Scan {
    reader: BaseConsumer<Log>,
    topic: String,
    /// First offset and end of each partition.
    bounds: BTreeMap<i32, (i64, i64)>,
}

impl Scan {
    /// Connects, and takes the end offsets of so many partitions.
    fn of(config: &Config, topic: &str, partitions: i32) -> Result<Self> {
        let mut settings = clients::consumer(config, 1);
        settings
            .set("statistics.interval.ms", "0")
            // A fetch that waits for more at the end of one partition would hold up the next.
            .set("fetch.wait.max.ms", "10")
            // What retention removed since the start is passed over.
            .set("auto.offset.reset", "earliest");
        let reader: BaseConsumer<Log> = settings.create_with_context(Log).map_err(clients::refused)?;
        let bounds = (0..partitions).map(|partition| {
            let bounds = reader.fetch_watermarks(topic, partition, clients::REQUEST_TIMEOUT);
            Ok((partition, bounds.map_err(|error| reading(topic, partition, &error))?))
        });
        let bounds = bounds.collect::<Result<_>>()?;
        Ok(Self { reader, topic: topic.to_owned(), bounds })
    }

    /// First offset and end of each partition.
    #[must_use]
    pub fn bounds(&self) -> &BTreeMap<i32, (i64, i64)> {
        &self.bounds
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
        self.reader.assign(&assignment).map_err(|error| reading(&self.topic, partition, &error))?;
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            match self.reader.poll(Duration::from_millis(100)) {
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
        self.reader.unassign().context("can't end fetching")
    }
}

fn reading(topic: &str, partition: i32, error: &KafkaError) -> anyhow::Error {
    anyhow!("{topic}/{partition} can't be read: {}", clients::plain(error))
}
