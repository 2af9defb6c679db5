//! Where a bounded run ends (`tagbert run --until-end`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::config::Config;
use crate::kafka::clients;
use crate::kafka::ledger::Ledger;
use crate::record::partition::TopicPartition;

/// How long a look may take: the consumer is not polled meanwhile. The next look asks again.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is looked whether the end is reached: it costs requests.
const INTERVAL: Duration = Duration::from_millis(500);

/// The end offsets of all partitions of the input topics, taken when the run began.
///
/// A run has ended when each partition was read up to its end: by this worker, or, as the group's committed offsets
/// tell, by another of the same job.
pub struct End {
    offsets: HashMap<TopicPartition, i64>,
    /// Where a partition without a committed offset is read from.
    start: Offset,
    prober: ClientConfig,
    last_look: Instant,
}

impl End {
    /// Takes the end offsets. Partitions that hold no record have none.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn take<C: ConsumerContext>(config: &Config, consumer: &BaseConsumer<C>) -> Result<Self> {
        let mut offsets = HashMap::new();
        let metadata =
            consumer.fetch_metadata(None, clients::REQUEST_TIMEOUT).context("metadata of the input topics")?;
        for topic in
            metadata.topics().iter().filter(|topic| config.input.topics.iter().any(|name| name == topic.name()))
        {
            for partition in topic.partitions() {
                let (low, high) = consumer
                    .fetch_watermarks(topic.name(), partition.id(), clients::REQUEST_TIMEOUT)
                    .with_context(|| format!("end offset of {}/{}", topic.name(), partition.id()))?;
                if high > low {
                    offsets.insert((Arc::from(topic.name()), partition.id()), high);
                }
            }
        }
        let mut prober = clients::consumer(config, 1);
        prober.set("enable.partition.eof", "true").set("statistics.interval.ms", "0");
        let reset = config.kafka.properties.get("auto.offset.reset").map(String::as_str);
        let start = if matches!(reset, Some("latest" | "largest" | "end")) { Offset::End } else { Offset::Beginning };
        Ok(Self { offsets, start, prober, last_look: Instant::now() })
    }

    /// False for a record that came after the run began. It also proves that its partition was read to its end.
    pub fn wants(&self, message: &BorrowedMessage<'_>, ledger: &Ledger) -> bool {
        let end = self.offsets.get(&(Arc::from(message.topic()), message.partition()));
        let wanted = end.is_some_and(|&end| message.offset() < end);
        if let (Some(&end), false) = (end, wanted) {
            ledger.reach(message.topic(), message.partition(), end);
        }
        wanted
    }

    /// Whether every partition was read up to its end. With `idle`, no record has come for a while: then it asks the
    /// cluster what it can't see by itself.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn is_reached<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        ledger: &Ledger,
        idle: bool,
    ) -> Result<bool> {
        if self.last_look.elapsed() < INTERVAL {
            return Ok(false);
        }
        self.last_look = Instant::now();
        let ours = ledger.positions();
        let position = |key: &TopicPartition| ours.get(key).copied().flatten();
        let open = self.offsets.iter().filter(|&(key, &end)| position(key).is_none_or(|position| position < end));
        let (begun, unknown): (Vec<_>, Vec<_>) = open.map(|(key, _)| key).partition(|key| position(key).is_some());
        if !begun.is_empty() && !idle {
            return Ok(false);
        }
        for key in begun {
            if !self.is_read_up(key, position(key).map_or(self.start, Offset::Offset), ledger)? {
                return Ok(false);
            }
        }
        // Another worker's, or nothing was read of it yet.
        for (key, committed) in committed(consumer, unknown, LOOK_TIMEOUT)? {
            if committed.is_none_or(|committed| committed < self.offsets[&key]) {
                let position = committed.map_or(self.start, Offset::Offset);
                let read_up = idle && ours.contains_key(&key) && self.is_read_up(&key, position, ledger)?;
                if !read_up {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether the group's offsets are committed up to the end: the proof that nothing was left out (G-13).
    ///
    /// # Errors
    /// When they are not, or can't be read.
    pub fn check_committed<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> Result<()> {
        let committed = committed(consumer, self.offsets.keys(), clients::REQUEST_TIMEOUT)?;
        let behind =
            committed.iter().filter(|(key, committed)| committed.is_none_or(|committed| committed < self.offsets[key]));
        match behind.count() {
            0 => Ok(()),
            count => bail!("stopped before the end: {count} partitions are not done; run it again to go on"),
        }
    }

    fn is_read_up(&self, key: &TopicPartition, position: Offset, ledger: &Ledger) -> Result<bool> {
        let read_up = self.only_markers_left(key, position)?;
        if read_up {
            ledger.reach(&key.0, key.1, self.offsets[key]);
        }
        Ok(read_up)
    }

    /// Whether no record is left between `position` and the end: the markers that transactions leave count as offsets,
    /// but no consumer ever sees them, so that the position alone would never reach the end.
    fn only_markers_left(&self, (topic, partition): &TopicPartition, position: Offset) -> Result<bool> {
        let consumer: BaseConsumer<Quiet> =
            self.prober.create_with_context(Quiet).context("a second consumer can't be made")?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, *partition, position)?;
        consumer.assign(&assignment)?;
        match consumer.poll(LOOK_TIMEOUT) {
            Some(Ok(message)) => Ok(message.offset() >= self.offsets[&(Arc::clone(topic), *partition)]),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(true),
            Some(Err(error)) => bail!("{topic}/{partition}: {}", clients::plain(&error)),
            None => Ok(false),
        }
    }
}

/// What the group has committed of the partitions; `None` where it has not yet, or does not say.
fn committed<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    timeout: Duration,
) -> Result<Vec<(TopicPartition, Option<i64>)>> {
    let answer =
        clients::committed(consumer, partitions, timeout).context("the group's committed offsets can't be read")?;
    Ok(answer.into_iter().map(|(key, offset)| (key, offset.ok().flatten())).collect())
}

/// The prober says nothing: what it meets is what it is there to find out.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}
