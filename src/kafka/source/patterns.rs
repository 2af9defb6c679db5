//! Topics that come and go under patterns of `input.topics`. The worker looks for them itself and subscribes to names: what it
//! writes to is never read, and a pattern means the same whichever protocol the group has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, bounded};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use super::Source;
use super::assignment::Assignment;
use crate::config::{Config, Inputs};
use crate::kafka::clients;

/// How often it is looked, unless `topic.metadata.refresh.interval.ms` says so.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is looked for, and what was found.
pub(super) struct Patterns {
    inputs: Inputs,
    /// What is read now.
    pub topics: BTreeSet<String>,
    interval: Duration,
    next: Instant,
    asked: Option<(Receiver<Answer>, JoinHandle<()>)>,
}

/// The topics to be read, of those that there are.
type Answer = KafkaResult<BTreeSet<String>>;

impl Patterns {
    /// With these topics to begin with.
    pub fn new(config: &Config, topics: &[String]) -> Self {
        let millis = config.kafka.properties.get("topic.metadata.refresh.interval.ms");
        let millis = millis.and_then(|millis| millis.parse().ok()).filter(|&millis: &u64| millis > 0);
        let interval = millis.map_or(INTERVAL, Duration::from_millis);
        let topics = topics.iter().cloned().collect();
        Self { inputs: Inputs::of(config), topics, interval, next: Instant::now() + interval, asked: None }
    }

    /// Asks which topics there are when it is time to, on the side; gives those to be read, once there is an answer.
    fn look(&mut self, consumer: &Arc<BaseConsumer<Assignment>>, now: Instant) -> Option<BTreeSet<String>> {
        if self.asked.is_none() && self.inputs.has_patterns() && now >= self.next {
            self.next = now + self.interval;
            let (consumer, inputs) = (Arc::clone(consumer), self.inputs.clone());
            let (tell, answer) = bounded(1);
            let thread = thread::spawn(move || {
                let metadata = consumer.fetch_metadata(None, clients::REQUEST_TIMEOUT);
                let names = |metadata: rdkafka::metadata::Metadata| {
                    inputs.among(metadata.topics().iter().map(rdkafka::metadata::MetadataTopic::name))
                };
                drop(tell.send(metadata.map(names)));
            });
            self.asked = Some((answer, thread));
        }
        let answer = self.asked.as_ref()?.0.try_recv().ok()?;
        self.asked = None;
        answer
            .inspect_err(|error| tracing::warn!("which topics there are is not known: {}", clients::plain(error)))
            .ok()
    }

    /// Whether a topic is read for its name, and not because a pattern matches it.
    pub fn is_named(&self, topic: &str) -> bool {
        self.inputs.names().iter().any(|name| name == topic)
    }

    /// The thread that asks, if one does.
    pub fn into_thread(self) -> Option<JoinHandle<()>> {
        self.asked.map(|(_, thread)| thread)
    }
}

impl Source {
    /// Reads topics that are new, and no longer those that are gone. A bounded run reads what there was when it began.
    pub(super) fn follow_patterns(&mut self, now: Instant) -> Result<()> {
        if self.end.is_some() {
            return Ok(());
        }
        let Some(found) = self.patterns.look(&self.consumer, now) else { return Ok(()) };
        // A broker that has just come may not know of all topics yet: one is gone when its own description says so, too.
        let is_kept =
            |topic: &&String| found.contains(*topic) || self.patterns.is_named(topic) || !self.topics.is_gone(topic);
        let topics: BTreeSet<_> = self.patterns.topics.iter().filter(is_kept).chain(&found).cloned().collect();
        if topics == self.patterns.topics {
            return Ok(());
        }
        for topic in topics.difference(&self.patterns.topics) {
            tracing::info!("input.topics: the topic `{topic}` is new, and is read from now on");
        }
        for topic in self.patterns.topics.difference(&topics) {
            tracing::info!("input.topics: the topic `{topic}` is there no more, and is no longer read");
            self.topics.forget(topic);
            self.gone.remove(topic);
        }
        self.describe.about(&topics);
        self.patterns.topics = topics;
        self.subscribe()
    }

    /// Joins the group, or tells it what is to be read now.
    ///
    /// # Errors
    /// When the client library does not take the topics.
    pub fn subscribe(&self) -> Result<()> {
        let topics: Vec<_> = self.patterns.topics.iter().map(String::as_str).collect();
        if topics.is_empty() {
            tracing::warn!("input.topics: no topic matches yet; waiting until there is one");
            return Ok(());
        }
        self.consumer.subscribe(&topics).context("can't subscribe to the input topics")
    }
}
