//! Where a bounded run ends (`tagbert run --until-end`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};

use super::bounds::{self, Bounds, Edge};
use super::lost_offset;
use crate::config::Config;
use crate::kafka::clients;
use crate::kafka::ledger::Ledger;
use crate::kafka::reset::Reset;
use crate::kafka::tally::Part;
use crate::record::partition::TopicPartition;

/// How long a look may take: the consumer is not polled meanwhile. The next look asks again.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is looked whether the end is reached: it may cost requests.
const INTERVAL: Duration = Duration::from_millis(500);

/// How often it is said what the run waits for.
const SAY: Duration = Duration::from_secs(10);

/// So many partitions are named in an error.
const NAMED: usize = 3;

/// The end offsets of all partitions of the input topics, taken when the run began.
///
/// A run has ended when each partition was read up to its end: by this worker, or, as the group's committed offsets
/// tell, by another of the same job. A committed offset that the log does not have tells nothing.
pub struct End {
    ends: HashMap<TopicPartition, Log>,
    /// The first record of a partition that is none of this run's.
    beyond: Mutex<HashMap<TopicPartition, i64>>,
    /// Sees the logs as they are: behind an open transaction, too.
    watcher: BaseConsumer<Quiet>,
    last_look: Instant,
    last_said: Instant,
    broken: Option<Error>,
}

/// Where this worker's partitions are read up to.
type Positions = HashMap<TopicPartition, Option<i64>>;

/// What a partition had when the run began, and up to where it is read.
struct Log {
    low: i64,
    high: i64,
    end: i64,
    /// Where the run is to begin, whatever was done of it before.
    asked: i64,
    /// Where the run began.
    start: i64,
}

impl Log {
    fn is_empty(&self) -> bool {
        self.low >= self.end
    }
}

impl End {
    /// Takes the end offsets, says which committed offsets are of no use, and has the group begin where it is told to.
    ///
    /// # Errors
    /// When the cluster does not answer, or `auto.offset.reset` forbids to go on without those.
    pub fn take<C: ConsumerContext>(
        config: &Config,
        inputs: &[String],
        consumer: &BaseConsumer<C>,
        bounds: Bounds,
    ) -> Result<Self> {
        let watcher = clients::watcher(config).create_with_context(Quiet).context("a second consumer can't be made")?;
        let mut end = Self {
            ends: HashMap::new(),
            beyond: Mutex::default(),
            watcher,
            last_look: Instant::now(),
            last_said: Instant::now(),
            broken: None,
        };
        let metadata =
            consumer.fetch_metadata(None, clients::REQUEST_TIMEOUT).context("metadata of the input topics")?;
        let mut logs = BTreeMap::new();
        for key in clients::partitions(&metadata, inputs) {
            let range = end.log(&key, clients::REQUEST_TIMEOUT)?;
            logs.insert(key, range);
        }
        let missing = |topic: &&String| !logs.keys().any(|(name, _)| **name == ***topic);
        if let Some(topic) = inputs.iter().find(missing) {
            bail!("input.topics: the brokers say nothing of the topic `{topic}`; try again");
        }
        if inputs.is_empty() {
            bail!("input.topics: no topic matches {}: there is nothing to read", config.input.topics.join(", "));
        }
        let to = bounds.to.unwrap_or(Edge::Latest).resolve(&end.watcher, &logs)?;
        // A job that is told its end alone begins at the beginning.
        let from = bounds.from.or(bounds.to.map(|_| Edge::Earliest));
        let starts = from.map(|from| from.resolve(&end.watcher, &logs)).transpose()?;
        for (key, (low, high)) in logs {
            let end_of_it = to.get(&key).copied().unwrap_or(high);
            end.ends.insert(key, Log { low, high, end: end_of_it, asked: low, start: low });
        }
        let lost = end.lost_offsets(config, consumer)?;
        let mut starts = starts.unwrap_or_default();
        for (key, committed) in &lost {
            let Log { low, high, .. } = end.ends[key];
            let start = *starts.entry(key.clone()).or_insert(low);
            tracing::warn!(
                "{}/{}: the committed offset {committed} is not in the log, which has {low} to {high}: it is read from \
                 {start} on",
                key.0,
                key.1
            );
        }
        // A partition may have nothing between the two.
        for (key, start) in &mut starts {
            *start = end.ends[key].end.min(*start);
        }
        let asked = from.map(|_| starts.clone()).unwrap_or_default();
        // That brokers refuse to read where the log ends is no help: the log may have grown so far by then.
        bounds::begin(consumer, &starts, &lost)?;
        end.note_starts(config, consumer)?;
        for (key, log) in &mut end.ends {
            log.asked = asked.get(key).copied().unwrap_or(log.start);
        }
        end.say_where_it_goes_on(config);
        Ok(end)
    }

    /// Says what the group has done of the run before, and where it stands elsewhere.
    fn say_where_it_goes_on(&self, config: &Config) {
        let group = &config.kafka.group;
        let (mut done, mut all) = (0, 0);
        for ((topic, partition), log) in &self.ends {
            done += (log.start - log.asked).max(0);
            all += log.end - log.asked;
            if log.start < log.asked {
                tracing::warn!(
                    "{topic}/{partition}: the group `{group}` has committed {} before, and goes on there: the beginning of \
                     this run, {}, counts for nothing; another --group begins there",
                    log.start,
                    log.asked
                );
            }
        }
        if done > 0 {
            tracing::info!("goes on with the group `{group}`: {done} of {all} offsets are done");
        }
    }

    /// Where the group goes on.
    fn note_starts<C: ConsumerContext>(&mut self, config: &Config, consumer: &BaseConsumer<C>) -> Result<()> {
        for (key, committed) in known(config, consumer, self.ends.keys())? {
            let Some(log) = self.ends.get_mut(&key) else { continue };
            log.start = committed.unwrap_or(log.low).clamp(log.low, log.end.max(log.low));
        }
        Ok(())
    }

    /// What there was to read when the run began: what the group had left of its range.
    pub fn job(&self) -> Vec<Part> {
        self.parts(|log| log.start)
    }

    /// What the run was asked for, whatever the group had done of it; all that it had left, if no beginning was said.
    pub fn range(&self) -> Vec<Part> {
        self.parts(|log| log.asked)
    }

    fn parts(&self, from: fn(&Log) -> i64) -> Vec<Part> {
        let part = |((topic, partition), log): (&TopicPartition, &Log)| Part {
            topic: topic.to_string(),
            partition: *partition,
            from: from(log),
            to: log.end,
        };
        let mut parts: Vec<_> = self.ends.iter().map(part).filter(|part| part.from < part.to).collect();
        parts.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        parts
    }

    /// The committed offsets that the log does not have.
    fn lost_offsets<C: ConsumerContext>(
        &self,
        config: &Config,
        consumer: &BaseConsumer<C>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let mut lost = BTreeMap::new();
        for (key, committed) in known(config, consumer, self.ends.keys())? {
            let Some(log) = self.ends.get(&key) else { continue };
            let is_in = |(low, high): (i64, i64), offset: &i64| (low..=high).contains(offset);
            let Some(committed) = committed.filter(|committed| !is_in((log.low, log.high), committed)) else {
                continue;
            };
            // A log that is written on may have grown past it only after it was asked for its end.
            if is_in(self.log(&key, clients::REQUEST_TIMEOUT)?, &committed) {
                continue;
            }
            if Reset::of(config) == Reset::Error {
                return Err(lost_offset::error(&key, Some(committed), Some((log.low, log.high))));
            }
            lost.insert(key, committed);
        }
        Ok(lost)
    }

    /// False for a record that came after the run began. It also proves that its partition was read to its end.
    pub fn wants(&self, message: &BorrowedMessage<'_>, ledger: &Ledger) -> bool {
        let key = (Arc::from(message.topic()), message.partition());
        let Some(log) = self.ends.get(&key) else { return false };
        let wanted = message.offset() < log.end;
        if !wanted {
            let first = *self.beyond().entry(key.clone()).or_insert(message.offset());
            ledger.reach(&key, first);
        }
        wanted
    }

    /// How far of what was read up to `offset` is a part of this run: up to the first record that is not.
    pub fn within(&self, partition: &TopicPartition, offset: i64) -> Option<i64> {
        self.ends.get(partition)?;
        Some(self.beyond().get(partition).map_or(offset, |first| offset.min(*first)))
    }

    /// Whether nothing that comes of a partition from now on is a part of this run: it is read to its end, being read up to
    /// `position`, or was added since.
    pub fn is_past(&self, partition: &TopicPartition, position: Option<i64>) -> bool {
        self.ends.get(partition).is_none_or(|log| position >= Some(log.end))
    }

    fn beyond(&self) -> MutexGuard<'_, HashMap<TopicPartition, i64>> {
        self.beyond.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look again.
    pub fn is_due(&self) -> bool {
        self.last_look.elapsed() >= INTERVAL
    }

    /// Why the end can't be reached any more, if it can't.
    pub fn take_broken(&mut self) -> Option<Error> {
        self.broken.take()
    }

    /// Whether every partition was read up to its end. With `idle`, no record has come for a while: then it says what
    /// it waits for.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn is_reached<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        ledger: &Ledger,
        idle: bool,
    ) -> Result<bool> {
        self.last_look = Instant::now();
        let ours = ledger.positions();
        let reached = self.are_all_done(consumer, &ours)?;
        if !reached && idle {
            self.say_what_holds_back(consumer, &ours);
        }
        Ok(reached)
    }

    fn are_all_done<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, ours: &Positions) -> Result<bool> {
        let mut unknown = Vec::new();
        for (key, log) in &self.ends {
            match ours.get(key).copied().flatten() {
                Some(position) if position >= log.end => {}
                Some(_) => return Ok(false),
                None => unknown.push(key),
            }
        }
        // Another worker's, or nothing was read of it yet.
        for (key, committed) in committed(consumer, unknown, LOOK_TIMEOUT)? {
            if !self.is_done(&key, committed, LOOK_TIMEOUT)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the group's offsets are committed up to the end: the proof that nothing was left out (G-13).
    ///
    /// # Errors
    /// When they are not, or can't be read.
    pub fn check_committed<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> Result<()> {
        let mut open = Vec::new();
        for (key, committed) in committed(consumer, self.ends.keys(), clients::REQUEST_TIMEOUT)? {
            if !self.is_done(&key, committed, clients::REQUEST_TIMEOUT)? {
                let committed = committed.map_or("nothing".into(), |offset| format!("offset {offset}"));
                let Log { low, end, .. } = self.ends[&key];
                open.push(format!("{}/{}: {committed} committed, the log had {low} to {end}", key.0, key.1));
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let (count, more) = (open.len(), if open.len() > NAMED { ", …" } else { "" });
        open.sort();
        open.truncate(NAMED);
        bail!(
            "stopped before the end: {count} partitions are not done ({}{more}); run it again to go on",
            open.join(", ")
        )
    }

    /// Whether a committed offset says that all was done up to the end. One beyond it counts if the log has grown so far.
    fn is_done(&self, key: &TopicPartition, committed: Option<i64>, timeout: Duration) -> Result<bool> {
        let log = &self.ends[key];
        let Some(committed) = committed else { return Ok(log.is_empty()) };
        if committed <= log.end {
            return Ok(committed == log.end);
        }
        Ok(committed <= self.log(key, timeout)?.1)
    }

    /// Says, now and then, that records wait behind a transaction, or that they are not there any more.
    fn say_what_holds_back<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, ours: &Positions) {
        if self.last_said.elapsed() < SAY {
            return;
        }
        self.last_said = Instant::now();
        for (key, log) in &self.ends {
            let Some(position) = ours.get(key) else { continue };
            if position.is_some_and(|position| position >= log.end) {
                continue;
            }
            let (topic, partition) = key;
            let Ok((low, high)) = self.log(key, LOOK_TIMEOUT) else { return };
            if high < log.high {
                self.broken = Some(anyhow!(
                    "{topic}/{partition}: the log has {low} to {high} now, and had {} when the run began: was the topic \
                     deleted and made again? Run it again",
                    log.high
                ));
                return;
            }
            // What the consumer may read ends before the log does.
            let Ok((_, stable)) = consumer.fetch_watermarks(&key.0, key.1, LOOK_TIMEOUT) else { return };
            if stable < log.end {
                tracing::warn!(
                    "{topic}/{partition}: the offsets {stable} to {} wait for a transaction that is still open; the run \
                     goes on when its producer, or the brokers after its transaction.timeout.ms, have ended it",
                    log.end
                );
            }
        }
    }

    fn log(&self, (topic, partition): &TopicPartition, timeout: Duration) -> Result<(i64, i64)> {
        let range = self.watcher.fetch_watermarks(topic, *partition, timeout);
        range.with_context(|| format!("end offset of {topic}/{partition}"))
    }
}

/// What the group has committed of the partitions; `None` where it has not yet. A worker that was killed may have left a
/// transaction open, and until that is over the brokers do not say.
///
/// # Errors
/// When they don't then.
pub(super) fn known<'a, C: ConsumerContext>(
    config: &Config,
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> Result<Vec<(TopicPartition, Option<i64>)>> {
    let patience = config.transaction_timeout() + clients::REQUEST_TIMEOUT;
    let answer = clients::committed(consumer, partitions, patience).and_then(|answer| {
        answer.into_iter().map(|(key, offset)| offset.map(|offset| (key, offset))).collect::<KafkaResult<_>>()
    });
    answer.map_err(|error| anyhow!("the group's committed offsets can't be read: {}", clients::plain(&error)))
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

/// The watcher says nothing: what it meets is what it is there to find out.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}
