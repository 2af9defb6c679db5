//! Which partitions are this worker's: what the group tells the consumer, and what the consumer tells of itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::{Offset, TopicPartitionList};

use super::prefetched::Prefetched;
use super::watchdog::{self, Fetching};
use crate::config::Delivery;
use crate::kafka::clients;
use crate::kafka::ledger::{Ledger, Watermark};
use crate::record::partition::TopicPartition;
use crate::record::stop::Stop;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// How long a rebalance waits for what was sent to be acknowledged (G-36). The group waits with it.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A rebalance that was not told of yet when the assignment was changed is told of within so long.
const TOUCH: Duration = Duration::from_secs(1);

/// Follows which partitions are ours. Its methods run inside [`BaseConsumer::poll`], on the source's own thread (G-41).
pub struct Assignment {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: Arc<Stop>,
    delivery: Delivery,
    prefetched: Prefetched<Self>,
    changed: AtomicBool,
    fetching: Mutex<Option<HashMap<TopicPartition, Fetching>>>,
    /// What the brokers do not let this worker do, once they have said so.
    denied: Mutex<Option<&'static str>>,
    /// When it was last changed without the group.
    touched: Mutex<Option<Instant>>,
}

impl Assignment {
    pub(crate) fn new(
        delivery: Delivery,
        ledger: &Arc<Ledger>,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
        stop: &Arc<Stop>,
    ) -> Self {
        let (ledger, metrics, health, stop) = (ledger.clone(), metrics.clone(), health.clone(), stop.clone());
        let (prefetched, changed, fetching, denied, touched) = <_>::default();
        Self { ledger, metrics, health, stop, delivery, prefetched, changed, fetching, denied, touched }
    }

    /// What the brokers do not let this worker do, once they have said so.
    pub(crate) fn denied(&self) -> Option<&'static str> {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was fetched of our partitions.
    pub(crate) fn prefetched(&self) -> &Prefetched<Self> {
        &self.prefetched
    }

    /// Partitions are about to be assigned anew without the group. The client library takes that for the answer to a rebalance
    /// that it has not told of yet: it joins again, and forgets that what it is about to revoke was lost.
    pub(crate) fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether partitions that are revoked now may be another's already.
    fn may_be_lost(&self, consumer: &BaseConsumer<Self>) -> bool {
        let touched = *self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        consumer.assignment_lost() || touched.is_some_and(|when| when.elapsed() < TOUCH)
    }

    /// Whether partitions have come or gone since it was last asked.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// How fetching stands, once for each time that the client library says so.
    pub(crate) fn take_fetching(&self) -> Option<HashMap<TopicPartition, Fetching>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(why) = clients::denied(&error) {
            *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.stop.fail(anyhow!("the consumer can't go on: {reason}"));
        } else if !matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::AutoOffsetReset)
        ) {
            tracing::warn!("consumer: {reason}");
        }
    }

    fn stats(&self, statistics: Statistics) {
        let uncommitted = self.ledger.uncommitted();
        let mut fetching = watchdog::fetching(&statistics);
        fetching.retain(|key, _| uncommitted.contains_key(key));
        let partitions = statistics.topics.values().flat_map(|topic| {
            topic
                .partitions
                .values()
                .map(|partition| ((Arc::from(topic.topic.as_str()), partition.partition), partition))
        });
        let lags = partitions.filter_map(|(key, partition)| {
            let uncommitted = *uncommitted.get(&key)?;
            Some((key, lag(partition, uncommitted)))
        });
        self.metrics.set_lag(lags.collect());
        *self.fetching.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetching);
    }
}

/// How much of a partition is not committed yet, up to the end that a `read_committed` reader sees. What the client
/// library says of it knows no transaction's commits.
fn lag(partition: &Partition, uncommitted: Option<i64>) -> i64 {
    let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
    let lag = match uncommitted {
        Some(offset) => end - offset,
        // Nothing was read yet: the group's committed offset, else all of it.
        None if partition.consumer_lag >= 0 => partition.consumer_lag,
        None => end - partition.lo_offset.max(0),
    };
    lag.max(0)
}

impl ConsumerContext for Assignment {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                let partitions = keys(partitions);
                for (topic, partition) in &partitions {
                    self.ledger.open(topic, *partition);
                }
                self.prefetched.open(&partitions);
            }
            Rebalance::Revoke(partitions) => {
                // What is behind its end in a bounded run was paused, and would still be when it is assigned again: the client
                // library forgets only pauses of its own.
                let _ = consumer.resume(partitions);
                let lost = self.may_be_lost(consumer);
                let patience = if lost || self.stop.is_abandoned() { Duration::ZERO } else { REVOKE_TIMEOUT };
                let partitions = keys(partitions);
                let safe = self.ledger.close(&partitions, Instant::now() + patience);
                // What was lost belongs to another by now: nothing of it may be committed (G-36).
                if !lost
                    && self.delivery == Delivery::AtLeastOnce
                    && !safe.is_empty()
                    && let Err(error) = consumer.commit(&list(&safe), CommitMode::Sync)
                {
                    let error = clients::plain(&error);
                    tracing::warn!(
                        "offsets of revoked partitions were not committed, their records are done again: {error}"
                    );
                }
            }
            Rebalance::Error(error) => tracing::warn!("rebalance: {error}"),
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let (what, partitions) = match rebalance {
            Rebalance::Assign(partitions) => {
                self.health.set_assigned();
                ("assigned", keys(partitions))
            }
            Rebalance::Revoke(partitions) => {
                let partitions = keys(partitions);
                self.prefetched.close(&partitions);
                ("revoked", partitions)
            }
            Rebalance::Error(_) => return,
        };
        let names: Vec<_> = partitions.iter().map(|(topic, partition)| format!("{topic}/{partition}")).collect();
        tracing::info!("{what}: {}", if names.is_empty() { "no partition".into() } else { names.join(" ") });
        self.changed.store(true, Ordering::Release);
    }
}

/// The partitions of a list.
fn keys(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    partitions.elements().iter().map(|element| (Arc::from(element.topic()), element.partition())).collect()
}

/// A list of offsets to commit.
pub(crate) fn list(watermarks: &[Watermark]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(watermarks.len());
    for (topic, partition, offset) in watermarks {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("offsets are not negative");
    }
    list
}
