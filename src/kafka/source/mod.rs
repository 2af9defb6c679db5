//! Reads records from Kafka, and under at-least-once commits their offsets. One thread does so, and it alone polls the
//! consumer (G-41): the sink only asks for what the group knows, and commits are made on the side while polling goes on.

mod anew;
pub mod assignment;
pub mod bounds;
mod commit;
pub mod end;
mod ends;
mod intake;
mod lost_offset;
mod patterns;
mod positions;
mod prefetched;
mod resets;
mod start;
mod topics;
pub mod watchdog;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};

use self::assignment::Assignment;
use self::bounds::Bounds;
use self::end::End;
use self::ends::Ends;
use self::patterns::Patterns;
use self::resets::Resets;
use self::watchdog::{Pulse, Watchdog};
use super::clients;
use super::describe::Describe;
use super::ledger::Ledger;
use super::reach;
use super::reset::Reset;
use super::tally::Part;
use crate::config::{Config, Delivery};
use crate::pipeline::Pipeline;
use crate::record::budget::Budget;
use crate::record::partition::TopicPartition;
use crate::record::stop::Stop;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// How long it is waited for records: it bounds how late a stop or a rebalance is noticed.
const POLL: Duration = Duration::from_millis(20);

/// How long it is waited for room in the budget.
const FULL: Duration = Duration::from_millis(2);

/// How often offsets are committed. What a crash may cost is what was done since, done again.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// A source that got no record for so long may be at the end of a bounded run, and should look.
const IDLE: Duration = Duration::from_secs(1);

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
    watchdog: Watchdog,
    ends: Ends,
    topics: topics::Watch,
    patterns: Patterns,
    describe: Describe<Assignment>,
    /// Topics that are not there, and the latest assignment when that was noticed.
    gone: HashMap<String, u64>,
    /// Partitions of new topics that are still to be begun.
    anew: Vec<TopicPartition>,
    /// Where the client was in partitions that were taken back from it: no position of ours.
    stale: HashMap<TopicPartition, i64>,
    reset: Reset,
    resets: Resets,
    /// Of the sink.
    pulse: Pulse,
    last_commit: Instant,
    committing: Option<JoinHandle<()>>,
    last_record: Instant,
}

impl Source {
    /// Connects, and looks for the topics. Brokers that can't be reached are waited for, but not by a bounded run, whose end
    /// offsets are taken now.
    ///
    /// # Errors
    /// When a property is wrong, the brokers refuse the worker, or a topic is missing.
    pub fn connect(
        config: &Config,
        bounds: Option<Bounds>,
        ledger: Arc<Ledger>,
        budget: Budget,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        stop: Arc<Stop>,
    ) -> Result<Self> {
        let reset = Reset::of(config);
        let reset = if bounds.is_some() { reset.bounded() } else { reset };
        let context = Assignment::new(config.delivery, &ledger, &metrics, &health, &stop);
        // A job ends, one way or the other; a service has nothing to do but wait.
        let metadata = if bounds.is_some() { reach::metadata(config)? } else { reach::metadata_when_there(config)? };
        health.set_connected();
        let (inputs, partitions) = clients::check_topics(config, &metadata)?;
        let consumer: BaseConsumer<Assignment> =
            clients::consumer(config, partitions).create_with_context(context).map_err(clients::refused)?;
        let consumer = Arc::new(consumer);
        consumer.context().prefetched().of(&consumer);
        let mut describe = Describe::new(&consumer, &inputs);
        let mut topics = topics::Watch::default();
        describe.ask();
        if let Some(answer) = describe.answer(clients::REQUEST_TIMEOUT) {
            topics.look(answer.unwrap_or_default());
        }
        // A job that is told where to begin or to end is told all.
        if bounds.is_none_or(|bounds| bounds == Bounds::default()) {
            start::begin(config, &consumer, &inputs)?;
        }
        let end = bounds.map(|bounds| End::take(config, &inputs, &consumer, bounds)).transpose();
        let end = end.map_err(|error| {
            // Of what is denied the client library says only that time was over; why, it tells apart.
            let told = (0..50).find_map(|_| {
                let polled = consumer.poll(POLL).and_then(Result::err);
                polled.as_ref().and_then(clients::denied).or_else(|| consumer.context().denied())
            });
            told.map_or(error, |why| anyhow!(why))
        })?;
        Ok(Self {
            consumer,
            ledger,
            budget,
            metrics,
            health,
            stop,
            end,
            delivery: config.delivery,
            shutdown: config.shutdown.timeout,
            traced: false,
            watchdog: Watchdog::default(),
            ends: Ends::default(),
            topics,
            patterns: Patterns::new(config, &inputs),
            describe,
            gone: HashMap::new(),
            anew: Vec::new(),
            stale: HashMap::new(),
            reset,
            resets: Resets::default(),
            pulse: Pulse::default(),
            last_commit: Instant::now(),
            committing: None,
            last_record: Instant::now(),
        })
    }

    /// What is left to read of a bounded run: from what the group has committed on.
    #[must_use]
    pub fn job(&self) -> Vec<Part> {
        self.end.as_ref().map(End::job).unwrap_or_default()
    }

    /// What a bounded run was asked for, done or not.
    #[must_use]
    pub fn range(&self) -> Vec<Part> {
        self.end.as_ref().map(End::range).unwrap_or_default()
    }

    /// The consumer, for who needs to know its group, and only asks (G-41).
    #[must_use]
    pub fn consumer(&self) -> Arc<BaseConsumer<Assignment>> {
        Arc::clone(&self.consumer)
    }

    /// Where the sink's calls are watched from.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
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
        drop(self.describe);
        // With a transaction in flight whose outcome is not known, a plain commit could set the group back.
        let rest = self.delivery == Delivery::AtLeastOnce || self.ledger.is_drained();
        let earlier = [self.committing, self.resets.into_thread(), self.patterns.into_thread()];
        commit::finish(self.consumer, self.ledger, self.end, earlier, rest)
    }

    fn feed_until_stopped(&mut self, pipeline: &Pipeline) -> Result<()> {
        while !self.stop.is_requested() && !self.has_ended() {
            self.poll()?;
            self.reset_offsets()?;
            self.take(pipeline)?;
            self.watch()?;
            self.commit_now_and_then();
        }
        Ok(())
    }

    /// Whether a bounded run is over: all was read, and nothing is in flight (G-13). Until then partitions may still
    /// come and go.
    fn has_ended(&mut self) -> bool {
        let due = self.end.as_ref().is_some_and(End::is_due);
        if !due || !self.health.is_assigned() || !self.ledger.is_drained() {
            return false;
        }
        self.note_positions();
        let Some(end) = &mut self.end else { return false };
        let idle = self.last_record.elapsed() > IDLE;
        let reached = end.is_reached(&self.consumer, &self.ledger, idle);
        if let Some(error) = end.take_broken() {
            self.stop.fail(error);
        }
        reached.unwrap_or_else(|error| {
            tracing::warn!("whether the end is reached can't be told now: {error:#}");
            false
        })
    }

    /// Fetches anew what has stopped moving, each time that the client library tells how fetching stands.
    fn watch(&mut self) -> Result<()> {
        let now = Instant::now();
        self.pulse.look(now).map_err(|why| anyhow!(why))?;
        self.watch_topics(now)?;
        self.follow_patterns(now)?;
        let assignment = self.consumer.context();
        if assignment.has_changed() {
            self.watchdog.excuse_all();
            // A rebalance throws away what was fetched and not taken, of kept partitions too: their ends have to be told
            // again.
            self.ends = Ends::default();
        }
        let Some(mut fetching) = assignment.take_fetching() else { return Ok(()) };
        let positions = self.ledger.positions();
        let is_past = |partition: &TopicPartition| {
            let position = positions.get(partition).copied().flatten();
            self.end.as_ref().is_some_and(|end| end.is_past(partition, position))
        };
        let is_pending = |partition: &TopicPartition| self.resets.is_pending(partition);
        fetching
            .retain(|partition, _| !self.topics.is_gone(&partition.0) && !is_past(partition) && !is_pending(partition));
        for (partition, offset) in self.ends.look(&fetching, |partition| self.ledger.epoch(partition)) {
            self.reach(&partition, offset);
        }
        let waits = self.ledger.is_any_unsent() && !self.pulse.is_recovering();
        self.watchdog.look_at_work(self.metrics.done(), waits, now).map_err(|why| anyhow!(why))?;
        let stalled = self.watchdog.look(fetching, now).map_err(|why| anyhow!("fetching has stalled: {why}"))?;
        for partition in stalled {
            let (topic, number) = &partition;
            tracing::warn!("{topic}/{number} has records, but nothing came for a while: fetching it anew");
            if let Err(error) = self.fetch_anew(&partition) {
                tracing::warn!("{topic}/{number} could not be fetched anew: {}", clients::plain(&error));
            }
        }
        Ok(())
    }

    fn commit_now_and_then(&mut self) {
        if self.last_commit.elapsed() < COMMIT_INTERVAL {
            return;
        }
        self.last_commit = Instant::now();
        self.note_positions();
        // Transactions commit offsets themselves, and a late commit from here could set them back.
        if self.delivery == Delivery::ExactlyOnce {
            return;
        }
        if self.committing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.committing = commit::commit(&self.consumer, &self.ledger);
        }
    }

    /// Fetches nothing more, and waits until all in flight is acknowledged; what takes too long is given up (G-5).
    fn drain(&mut self) -> Result<()> {
        self.health.set_stopping();
        let deadline = Instant::now() + self.shutdown;
        while !self.ledger.is_drained() && !self.stop.is_abandoned() {
            if Instant::now() > deadline {
                tracing::warn!("shutdown.timeout is over: what is still in flight is given up, and will be read again");
                return Ok(());
            }
            self.poll()?;
            self.commit_now_and_then();
            thread::sleep(FULL);
        }
        Ok(())
    }
}
