//! Reads records from Kafka and commits their offsets. One thread does both: it alone touches the consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::statistics::Statistics;
use rdkafka::{Offset, TopicPartitionList};

use crate::budget::Budget;
use crate::config::{Config, Delivery};
use crate::end::End;
use crate::envelope::{Envelope, Record};
use crate::health::Health;
use crate::kafka;
use crate::ledger::{Ledger, TopicPartition, Watermark};
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::stop::Stop;
use crate::telemetry::RecordSpan;

/// How long one poll may wait: it bounds how late a stop or a full budget is noticed.
const POLL: Duration = Duration::from_millis(50);

/// How often offsets are committed. What a crash may cost is what was done since, done again.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How long the last commit, and then leaving the group, may take each.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// A source that got no record for so long may be at the end of a bounded run, and should look.
const IDLE: Duration = Duration::from_secs(1);

/// How long a rebalance waits for what was sent to be acknowledged. The group waits with it.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The consumer and what it feeds.
pub struct Source {
    consumer: Arc<BaseConsumer<Assignment>>,
    ledger: Arc<Ledger>,
    budget: Budget,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: Arc<Stop>,
    /// For a bounded run: where to end.
    end: Option<End>,
    delivery: Delivery,
    shutdown: Duration,
    traced: bool,
    paused: bool,
    last_commit: Instant,
    last_record: Instant,
}

/// Follows which partitions are ours. Its methods run inside [`BaseConsumer::poll`], on the source's own thread.
pub struct Assignment {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: Arc<Stop>,
    delivery: Delivery,
    changed: AtomicBool,
}

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.stop.fail(anyhow!("the consumer can't go on: {reason}"));
        } else {
            tracing::warn!("consumer: {reason}");
        }
    }

    fn stats(&self, statistics: Statistics) {
        let ours = self.ledger.positions();
        let partitions = statistics.topics.values().flat_map(|topic| {
            topic
                .partitions
                .values()
                .map(|partition| ((Arc::from(topic.topic.as_str()), partition.partition), partition))
        });
        let lags = partitions.filter(|(key, _)| ours.contains_key(key)).map(|(key, partition)| {
            let uncommitted = partition.hi_offset - partition.lo_offset.max(0);
            let lag = if partition.consumer_lag >= 0 { partition.consumer_lag } else { uncommitted.max(0) };
            (key, lag)
        });
        self.metrics.set_lag(lags.collect());
    }
}

impl ConsumerContext for Assignment {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                for (topic, partition) in keys(partitions) {
                    self.ledger.open(&topic, partition);
                }
            }
            Rebalance::Revoke(partitions) => {
                let lost = consumer.assignment_lost();
                let patience = if lost { Duration::ZERO } else { REVOKE_TIMEOUT };
                let safe = self.ledger.close(&keys(partitions), Instant::now() + patience);
                // What was lost belongs to another by now: nothing of it may be committed.
                if !lost
                    && self.delivery == Delivery::AtLeastOnce
                    && !safe.is_empty()
                    && let Err(error) = consumer.commit(&list(&safe), CommitMode::Sync)
                {
                    let error = kafka::plain(&error);
                    tracing::warn!(
                        "offsets of revoked partitions were not committed, their records are done again: {error}"
                    );
                }
            }
            Rebalance::Error(error) => tracing::warn!("rebalance: {error}"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let (what, partitions) = match rebalance {
            Rebalance::Assign(partitions) => ("assigned", partitions),
            Rebalance::Revoke(partitions) => ("revoked", partitions),
            Rebalance::Error(_) => return,
        };
        if let Rebalance::Assign(partitions) = rebalance {
            self.health.set_assigned();
            // A pause from an earlier assignment would survive.
            drop(consumer.resume(partitions));
        }
        let names: Vec<_> = keys(partitions).iter().map(|(topic, partition)| format!("{topic}/{partition}")).collect();
        tracing::info!("{what}: {}", if names.is_empty() { "no partition".into() } else { names.join(" ") });
        self.changed.store(true, Ordering::Release);
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.ledger.committed(&watermarks(offsets)),
            Err(error) => tracing::warn!("offsets were not committed, trying again: {}", kafka::plain(&error)),
        }
    }
}

impl Source {
    /// Connects, looks for the topics, and subscribes. With `until_end`, the end offsets are taken now.
    ///
    /// # Errors
    /// When a property is wrong, the cluster can't be reached, or a topic is missing.
    pub fn connect(
        config: &Config,
        until_end: bool,
        ledger: Arc<Ledger>,
        budget: Budget,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        stop: Arc<Stop>,
    ) -> Result<Self> {
        let context = Assignment {
            ledger: Arc::clone(&ledger),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            stop: Arc::clone(&stop),
            delivery: config.delivery,
            changed: AtomicBool::new(false),
        };
        let consumer: BaseConsumer<Assignment> =
            kafka::consumer(config).create_with_context(context).map_err(kafka::refused)?;
        kafka::check_topics(config, consumer.client())?;
        let end = until_end.then(|| End::take(config, &consumer)).transpose()?;
        let topics: Vec<_> = config.input.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).context("can't subscribe to the input topics")?;
        Ok(Self {
            consumer: Arc::new(consumer),
            ledger,
            budget,
            metrics,
            health,
            stop,
            end,
            delivery: config.delivery,
            shutdown: config.shutdown.timeout,
            traced: false,
            paused: false,
            last_commit: Instant::now(),
            last_record: Instant::now(),
        })
    }

    /// The consumer, for who needs to know its group.
    #[must_use]
    pub fn consumer(&self) -> Arc<BaseConsumer<Assignment>> {
        Arc::clone(&self.consumer)
    }

    /// Traces each record.
    #[must_use]
    pub fn traced(mut self, traced: bool) -> Self {
        self.traced = traced;
        self
    }

    /// Feeds the pipeline until a stop is asked for or the end is reached; then drains it, and commits.
    ///
    /// # Errors
    /// When what was done can't be committed at the end, or a bounded run is not complete. What fails earlier is told to
    /// [`Stop`].
    pub fn run(mut self, pipeline: Pipeline) -> Result<()> {
        if let Err(error) = self.feed_until_stopped(&pipeline).and_then(|()| self.drain()) {
            self.stop.fail(error);
        }
        self.stop.abandon();
        pipeline.finish();
        self.finish()
    }

    fn feed_until_stopped(&mut self, pipeline: &Pipeline) -> Result<()> {
        while !self.stop.is_requested() && !self.has_ended() {
            self.balance_memory()?;
            self.poll(Some(pipeline))?;
            self.commit_now_and_then();
        }
        Ok(())
    }

    /// Whether a bounded run is over: all was read, and nothing is in flight. Until then partitions may still come and go.
    fn has_ended(&mut self) -> bool {
        let Some(end) = &mut self.end else { return false };
        if !self.health.is_assigned() || !self.ledger.is_drained() {
            return false;
        }
        let idle = !self.paused && self.last_record.elapsed() > IDLE;
        end.is_reached(&self.consumer, &self.ledger, idle).unwrap_or_else(|error| {
            tracing::warn!("whether the end is reached can't be told now: {error:#}");
            false
        })
    }

    /// Pauses all partitions when the budget is spent, and resumes them when there is room again. Polling goes on
    /// meanwhile, so that the group does not take this worker for dead.
    fn balance_memory(&mut self) -> Result<()> {
        let changed = self.consumer.context().changed.swap(false, Ordering::AcqRel);
        if !self.paused && self.budget.is_spent() {
            self.paused = true;
            self.pause_all()?;
        } else if self.paused && self.budget.has_room() {
            self.paused = false;
            let partitions = self.consumer.assignment()?;
            self.consumer.resume(&partitions).context("can't resume fetching")?;
        } else if self.paused && changed {
            self.pause_all()?;
        }
        Ok(())
    }

    fn pause_all(&self) -> Result<()> {
        let partitions = self.consumer.assignment()?;
        self.consumer.pause(&partitions).context("can't pause fetching")
    }

    /// Takes one record, if there is one, and feeds it to the pipeline; without a pipeline it is dropped.
    fn poll(&mut self, pipeline: Option<&Pipeline>) -> Result<()> {
        self.health.alive();
        match self.consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                let wanted = self.end.as_ref().is_none_or(|end| end.wants(&message, &self.ledger));
                if let Some(pipeline) = pipeline.filter(|_| wanted) {
                    self.feed(pipeline, &message);
                    self.last_record = Instant::now();
                }
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(anyhow!("the consumer can't go on: {code}"));
            }
            Some(Err(error)) => tracing::warn!("consumer: {}", kafka::plain(&error)),
        }
        Ok(())
    }

    fn feed(&self, pipeline: &Pipeline, message: &BorrowedMessage<'_>) {
        // No origin: it was still in the client's queue when its partition was revoked.
        let Some(origin) = self.ledger.enter(message.topic(), message.partition(), message.offset()) else { return };
        let record = Record {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(rdkafka::message::BorrowedHeaders::detach),
            timestamp: message.timestamp().to_millis(),
        };
        self.metrics.fetch();
        let span =
            if self.traced { RecordSpan::start(&origin, record.headers.as_ref()) } else { RecordSpan::default() };
        let permit = self.budget.take(record.size());
        pipeline.feed(Envelope { origin, record, body: (), fetched: Instant::now(), span, permit });
    }

    fn commit_now_and_then(&mut self) {
        // Transactions commit offsets themselves, and a late commit from here could set them back.
        if self.delivery == Delivery::ExactlyOnce || self.last_commit.elapsed() < COMMIT_INTERVAL {
            return;
        }
        self.last_commit = Instant::now();
        let due = self.ledger.to_commit();
        if !due.is_empty()
            && let Err(error) = self.consumer.commit(&list(&due), CommitMode::Async)
        {
            tracing::warn!("offsets were not committed, trying again: {}", kafka::plain(&error));
        }
    }

    /// Fetches nothing more, and waits until all in flight is acknowledged; what takes too long is given up.
    fn drain(&mut self) -> Result<()> {
        self.health.set_stopping();
        let deadline = Instant::now() + self.shutdown;
        while !self.ledger.is_drained() && !self.stop.is_abandoned() {
            if Instant::now() > deadline {
                tracing::warn!("shutdown.timeout is over: what is still in flight is given up, and will be read again");
                return Ok(());
            }
            self.pause_all()?;
            self.poll(None)?;
            self.commit_now_and_then();
        }
        Ok(())
    }

    /// Commits, and leaves the group. Brokers that are gone must not hold it up: so it is done on the side, and waited for
    /// with patience.
    fn finish(self) -> Result<()> {
        let Self { consumer, ledger, end, .. } = self;
        let (tell, told) = crossbeam_channel::unbounded();
        std::thread::spawn(move || {
            let due = ledger.to_commit();
            let committed = if due.is_empty() { Ok(()) } else { consumer.commit(&list(&due), CommitMode::Sync) };
            let committed = committed.map_err(|error| anyhow!("{}", kafka::plain(&error)));
            drop(tell.send(committed.context("the last offsets were not committed, their records will be read again")));
            drop(tell.send(end.map_or(Ok(()), |end| end.check_committed(&consumer))));
            drop(consumer);
        });
        let mut results = Ok(());
        for _ in 0..2 {
            let answer = told.recv_timeout(FINISH_TIMEOUT);
            let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer from the brokers to the last commit")));
            results = results.and(answer);
        }
        // What is left is leaving the group: the channel closes when that is done.
        let _ = told.recv_timeout(FINISH_TIMEOUT);
        results
    }
}

/// The partitions of a list.
fn keys(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    partitions.elements().iter().map(|element| (Arc::from(element.topic()), element.partition())).collect()
}

fn list(watermarks: &[Watermark]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(watermarks.len());
    for (topic, partition, offset) in watermarks {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("offsets are not negative");
    }
    list
}

fn watermarks(list: &TopicPartitionList) -> Vec<Watermark> {
    let elements = list.elements();
    let committed = elements.iter().filter(|element| element.error().is_ok());
    committed
        .filter_map(|element| Some((Arc::from(element.topic()), element.partition(), element.offset().to_raw()?)))
        .collect()
}
