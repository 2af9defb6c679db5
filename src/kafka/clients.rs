//! Clients of the cluster: their configuration, what they log, and whether the topics are there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::TopicPartitionListElem;

use crate::config::{Config, ConfigError, Delivery, Inputs};
use crate::record::partition::TopicPartition;

/// How long any one request to the cluster may take before the worker gives up at its start.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What every client of the worker is configured with.
fn client(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.kafka.brokers).set("client.id", "tagbert");
    for (name, value) in &config.kafka.properties {
        client.set(name, value);
    }
    let debugs = config.kafka.properties.contains_key("debug");
    client.set_log_level(if debugs { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Warning });
    client
}

/// Less is not fetched of a partition at once, in bytes: each fetch costs a request.
const MIN_FETCH: u64 = 64 * 1024;

/// The configuration of a second consumer, which looks where logs end: what is in an open transaction is there, though it
/// can't be read yet.
#[must_use]
pub fn watcher(config: &Config) -> ClientConfig {
    let mut watcher = consumer(config, 1);
    watcher.set("isolation.level", "read_uncommitted").set("statistics.interval.ms", "0");
    watcher
}

/// The partitions of these topics.
pub fn partitions(metadata: &Metadata, topics: &[String]) -> impl Iterator<Item = TopicPartition> {
    let named = metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name()));
    named.flat_map(|topic| topic.partitions().iter().map(|partition| (Arc::from(topic.name()), partition.id())))
}

/// The consumer's configuration. Offsets are the worker's own affair; so nothing commits by itself. What it fetches ahead
/// is a quarter of the budget, shared by so many partitions.
#[must_use]
pub fn consumer(config: &Config, partitions: usize) -> ClientConfig {
    let mut consumer = client(config);
    let given = |name: &str| config.kafka.properties.contains_key(name);
    let mut default = |name: &str, value: &str| {
        if !given(name) {
            consumer.set(name, value);
        }
    };
    // So that new partitions are found soon: it is five minutes otherwise.
    default("topic.metadata.refresh.interval.ms", "10000");
    if config.kafka.properties.get("group.protocol").map(String::as_str) != Some("consumer") {
        default("partition.assignment.strategy", "cooperative-sticky");
        // The library's is 3 s, which a short session would not survive.
        if let Some(session) = config.session_timeout() {
            default("heartbeat.interval.ms", &(session / 3).clamp(1, 3000).to_string());
        }
    }
    // librdkafka prefetches 64 MiB of each partition unless told otherwise, and looks only once a second whether there is
    // room again.
    let share = (config.limits.in_flight.as_u64() / 4 / partitions.max(1) as u64).max(MIN_FETCH);
    default("queued.max.messages.kbytes", &(share / 1024).min(65536).to_string());
    if !given("fetch.message.max.bytes") {
        default("max.partition.fetch.bytes", &share.min(1024 * 1024).to_string());
    }
    default("fetch.queue.backoff.ms", "10");
    consumer
        .set("group.id", &config.kafka.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to begin then is for the worker to say (decision 0015).
        .set("auto.offset.reset", "error")
        .set("statistics.interval.ms", "1000")
        // So that it is known where a partition ends in which nothing can be seen.
        .set("enable.partition.eof", "true")
        // What a transaction aborted is no document (G-56).
        .set("isolation.level", "read_committed");
    consumer
}

/// The producer's configuration.
#[must_use]
pub fn producer(config: &Config) -> ClientConfig {
    let mut producer = client(config);
    let mut default = |name: &str, value: &str| {
        if !config.kafka.properties.contains_key(name) {
            producer.set(name, value);
        }
    };
    // The Java client's: so that a key goes to the partition where other producers put it.
    default("partitioner", "murmur2_random");
    // What is too large is for the broker to say: what it gave as input, it may take as a dead letter.
    default("message.max.bytes", "1000000000");
    let timeout = config.transaction_timeout().as_millis().to_string();
    match config.delivery {
        // A slow broker is waited for (G-16): giving up would only read and tag the same records again.
        Delivery::AtLeastOnce => default("message.timeout.ms", "0"),
        Delivery::ExactlyOnce => {
            default("message.timeout.ms", &timeout);
            // So that of a topic that is missing it is heard that it is, and not that time was over.
            default("topic.metadata.propagation.max.ms", &(config.transaction_timeout() / 2).as_millis().to_string());
            default("transaction.timeout.ms", &timeout);
            // A static member takes its own last transaction over; others are told apart by chance, and fenced by
            // their group (KIP-447).
            let member = config.kafka.properties.get("group.instance.id").cloned();
            let member = member.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            producer.set("transactional.id", format!("{}-{member}", config.kafka.group));
        }
    }
    producer.set("enable.idempotence", "true");
    if config.delivery == Delivery::ExactlyOnce {
        // The end of a connection is told for sure only there.
        let debug = config.kafka.properties.get("debug").map_or("broker".into(), |given| format!("{given},broker"));
        producer.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    }
    producer
}

/// What the client library says of a configuration that it refuses.
#[must_use]
pub fn refused(error: KafkaError) -> anyhow::Error {
    match error {
        KafkaError::ClientConfig(_, why, property, _) => {
            ConfigError::Value { key: format!("kafka.properties.{property}"), why: format!("can't be set: {why}") }
                .into()
        }
        KafkaError::ClientCreation(why) => ConfigError::Value { key: "kafka.properties".into(), why }.into(),
        other => other.into(),
    }
}

/// Passes the client library's log lines on, without those that are of no use to a user.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    // Properties are for consumer and producer alike; that one ignores the other's is as it should be.
    // Commits that fail are the source's to report.
    if facility == "CONFWARN" || facility == "COMMITFAIL" || level as i32 > RDKafkaLogLevel::Warning as i32 {
        tracing::debug!(target: "librdkafka", "{facility}: {message}");
    } else if level as i32 <= RDKafkaLogLevel::Error as i32 {
        tracing::error!(target: "librdkafka", "{facility}: {message}");
    } else {
        tracing::warn!(target: "librdkafka", "{facility}: {message}");
    }
}

/// Looks for the topics; gives the number of partitions of the input topics.
///
/// # Errors
/// When one is missing.
pub fn check_topics(config: &Config, metadata: &Metadata) -> Result<(Vec<String>, usize)> {
    let brokers = &config.kafka.brokers;
    let present: HashSet<_> = metadata.topics().iter().map(MetadataTopic::name).collect();
    let inputs = Inputs::of(config);
    let named = inputs.names().iter().map(|topic| ("input.topics", topic.as_str()));
    for (key, topic) in named.chain(config.outputs()) {
        if !present.contains(topic) {
            bail!("{key}: there is no topic `{topic}` on {brokers} (or this user may not see it); create it first");
        }
    }
    let read = inputs.among(present);
    let partitions = metadata.topics().iter().filter(|topic| read.contains(topic.name()));
    let partitions = partitions.map(|topic| topic.partitions().len()).sum();
    Ok((read.into_iter().collect(), partitions))
}

/// What the group has committed of the partitions, each with an error of its own; `None` where it has not yet.
///
/// # Errors
/// When the brokers do not say.
pub fn committed<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    timeout: Duration,
) -> KafkaResult<Vec<(TopicPartition, KafkaResult<Option<i64>>)>> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in partitions {
        asked.add_partition(topic, *partition);
    }
    if asked.count() == 0 {
        return Ok(Vec::new());
    }
    let answer = consumer.committed_offsets(asked, timeout)?;
    let offset = |one: &TopicPartitionListElem<'_>| one.offset().to_raw().filter(|&offset| offset >= 0);
    let elements = answer.elements().into_iter();
    Ok(elements.map(|one| ((Arc::from(one.topic()), one.partition()), one.error().map(|()| offset(&one)))).collect())
}

/// What the brokers do not let this worker do, if the error is of that kind: it would ask in vain for ever.
#[must_use]
pub fn denied(error: &KafkaError) -> Option<&'static str> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            Some("kafka.group: the brokers deny the group to this user: it needs an ACL, Read on the group")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            Some("input.topics: the brokers deny a topic to this user: it needs an ACL, Read on each input topic")
        }
        _ => None,
    }
}

/// An error of the client library in plain words, without its Rust wrapping.
#[must_use]
pub fn plain(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
}

/// Whether no answer came, and time was spent waiting for one.
#[must_use]
pub fn is_timeout(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, OperationTimedOut, RequestTimedOut};
    matches!(error.rdkafka_error_code(), Some(OperationTimedOut | RequestTimedOut | AllBrokersDown))
}

/// Whether the client goes on by itself.
#[must_use]
pub fn is_passing(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(error, KafkaError::PartitionEOF(_))
        || matches!(code, Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown))
}

/// Passes on what the client library logs.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That a partition is read to its end is what whoever asked for it waits for.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!("consumer: {reason}");
        }
    }
}

impl ConsumerContext for Log {}
