//! The embedded broker (librdkafka's mock cluster), and the demo's own clients of it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedMessage;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::corpus::{Corpus, PARTITIONS, partition_of};
use super::report::Report;
use crate::config::Config;
use crate::kafka::clients::plain;

/// The mock cluster forgets, without a word, what exceeds 5 MB a partition. So no partition may be further behind than
/// this: a quarter, since enriched records are larger than documents, and the reader can be behind as well.
const WINDOW: usize = 1_250_000;

/// A cluster of one broker, within this process.
pub(super) struct Broker(MockCluster<'static, DefaultProducerContext>);

impl Broker {
    /// Starts it, with the topics that the configuration names.
    pub(super) fn start(config: &Config) -> Result<Self> {
        let cluster = MockCluster::new(1).context("the embedded broker")?;
        for topic in config.input.topics.iter().chain([&config.output.topic, &config.output.dead_letters]) {
            cluster.create_topic(topic, PARTITIONS as i32, 1).with_context(|| format!("topic {topic}"))?;
        }
        Ok(Self(cluster))
    }

    pub(super) fn address(&self) -> String {
        self.0.bootstrap_servers()
    }
}

fn client(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.kafka.brokers);
    client
}

/// Streams the corpus into the input topic, no faster than the worker takes it.
pub(super) struct Feeder<'a> {
    producer: BaseProducer,
    topic: String,
    corpus: &'a Corpus,
    /// Bytes fed, by partition.
    fed: [usize; PARTITIONS],
}

impl<'a> Feeder<'a> {
    pub(super) fn connect(config: &Config, corpus: &'a Corpus) -> Result<Self> {
        let producer = client(config)
            .set("linger.ms", "5")
            .set("message.max.bytes", "1000000000")
            .create()
            .context("the demo's producer")?;
        Ok(Self { producer, topic: config.input.topics[0].clone(), corpus, fed: [0; PARTITIONS] })
    }

    /// Feeds as much as may be fed now.
    pub(super) fn feed(&mut self, report: &mut Report) -> Result<()> {
        while let Some(document) = self.corpus.documents.get(report.fed) {
            let partition = partition_of(report.fed);
            if self.fed[partition] - report.bytes_done[partition] > WINDOW {
                break;
            }
            let key = report.fed.to_string();
            let record = BaseRecord::to(&self.topic).partition(partition as i32).key(&key).payload(&document.json);
            match self.producer.send(record) {
                Ok(()) => {}
                Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => break,
                Err((error, _)) => return Err(anyhow!("the demo's producer: {}", plain(&error))),
            }
            self.fed[partition] += document.json.len();
            report.fed += 1;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }
}

/// Reads both output topics.
pub(super) struct Reader(BaseConsumer);

impl Reader {
    pub(super) fn connect(config: &Config) -> Result<Self> {
        let consumer: BaseConsumer =
            client(config).set("group.id", "tagbert-demo-reader").create().context("the demo's consumer")?;
        let mut assignment = TopicPartitionList::new();
        for topic in [&config.output.topic, &config.output.dead_letters] {
            for partition in 0..PARTITIONS {
                assignment.add_partition_offset(topic, partition as i32, Offset::Beginning)?;
            }
        }
        consumer.assign(&assignment).context("the demo's consumer")?;
        Ok(Self(consumer))
    }

    /// The next record, if there is one soon.
    pub(super) fn next(&self) -> Result<Option<OwnedMessage>> {
        match self.0.poll(Duration::from_millis(20)) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message.detach())),
            Some(Err(error)) => Err(anyhow!("the demo's consumer: {}", plain(&error))),
        }
    }
}
