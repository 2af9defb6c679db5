//! A small world for tests of the worker: topics with documents, workers on them, and what a reader sees then.

use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::kafka::Kafka;
use super::tagbert::Worker;

/// A model of kilobytes.
pub const TINY: &str = "tests/fixtures/tiny-distilbert";

/// Topics and a group of a test's own, and the configuration that names them.
pub struct Line {
    /// Its name, which the group has, too.
    pub name: &'static str,
    /// The input topic.
    pub input: String,
    /// The topic of enriched records.
    pub output: String,
    /// The topic of dead letters.
    pub dead: String,
}

impl Line {
    /// With so many partitions.
    pub fn create(name: &'static str, partitions: i32) -> Self {
        let line = Self { name, input: name.into(), output: format!("{name}.tagged"), dead: format!("{name}.dead") };
        for (topic, partitions) in [(&line.input, partitions), (&line.output, partitions), (&line.dead, 1)] {
            Kafka::shared().create_topic(topic, partitions);
        }
        line
    }

    /// With an input topic of one partition and these settings in the place of the usual one.
    pub fn with_input(self, settings: &[(&str, &str)]) -> Self {
        Self { input: self.topic_with("input", settings), ..self }
    }

    /// The same for enriched records.
    pub fn with_output(self, settings: &[(&str, &str)]) -> Self {
        Self { output: self.topic_with("output", settings), ..self }
    }

    /// The same for dead letters.
    pub fn with_dead(self, settings: &[(&str, &str)]) -> Self {
        Self { dead: self.topic_with("letters", settings), ..self }
    }

    fn topic_with(&self, of: &str, settings: &[(&str, &str)]) -> String {
        let topic = format!("{}.own.{of}", self.name);
        Kafka::shared().create_topic_with(&topic, 1, settings);
        topic
    }

    /// A worker on it, to be started. It has the tiny model unless it is given another.
    pub fn worker(&self) -> Start {
        Start { yaml: self.yaml(TINY), args: Vec::new() }
    }

    /// Its configuration. Each document is tagged, however many are alike.
    pub fn yaml(&self, model: &str) -> String {
        let Self { name, input, output, dead } = self;
        let brokers = Kafka::shared().brokers();
        format!(
            "kafka: {{brokers: '{brokers}', group: {name}}}\n\
             input: {{topics: [{input}]}}\n\
             output: {{topic: {output}, dead_letters: {dead}}}\n\
             model: {{path: {model}}}\n\
             cache: {{size: 0}}\n"
        )
    }

    /// Writes values with the keys 0, 1, 2 …
    pub fn produce(&self, values: impl IntoIterator<Item: AsRef<[u8]>>) {
        let values: Vec<_> = values.into_iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect();
        let record = |(key, value)| BaseRecord::<[u8], [u8]>::to(&self.input).key(key).payload(value);
        Kafka::shared().produce(values.iter().map(|(key, value)| record((key.as_bytes(), value.as_ref()))));
    }

    /// The enriched records that a `read_committed` reader sees.
    pub fn tagged(&self) -> Vec<OwnedMessage> {
        Kafka::shared().read_committed(&self.output)
    }

    /// The dead letters that such a reader sees.
    pub fn dead(&self) -> Vec<OwnedMessage> {
        Kafka::shared().read_committed(&self.dead)
    }

    /// What its group has committed, by partition.
    pub fn committed(&self) -> Vec<Option<i64>> {
        Kafka::shared().committed(self.name, &self.input)
    }

    /// All that was read is committed.
    pub fn assert_committed_to_the_end(&self) {
        let ends: Vec<_> = Kafka::shared().end_offsets(&self.input).into_iter().map(Some).collect();
        // A partition without a record needs no offset.
        let committed: Vec<_> = self.committed().into_iter().map(|offset| offset.or(Some(0))).collect();
        assert_eq!(committed, ends);
    }
}

/// A worker that is to be started, once or several times: `line.worker().exactly_once().start()`.
#[derive(Clone)]
pub struct Start {
    yaml: String,
    args: Vec<String>,
}

impl Start {
    /// With another value for a key of the configuration.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.args.extend(["--set".into(), format!("{key}={value}")]);
        self
    }

    /// With a property of the client library.
    pub fn property(self, name: &str, value: &str) -> Self {
        self.set(&format!("kafka.properties.{name}"), value)
    }

    /// With another model.
    pub fn model(self, path: &str) -> Self {
        self.set("model.path", path)
    }

    /// `delivery: exactly-once`.
    pub fn exactly_once(self) -> Self {
        self.set("delivery", "exactly-once")
    }

    /// Its run is bounded, and however many dead letters there are, they are the test's affair.
    pub fn until_end(self) -> Self {
        self.with(&["--until-end", "--max-dead", "1000000"])
    }

    /// With these arguments.
    pub fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Starts one.
    pub fn start(&self) -> Worker {
        Worker::start(&self.yaml, &self.args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts one whose run is bounded, and expects that it ends well.
    pub fn run_to_the_end(&self) -> Worker {
        let mut worker = self.clone().until_end().start();
        worker.wait_for_success();
        worker
    }
}

/// A document with this text.
pub fn document(text: &str) -> Vec<u8> {
    json!({ "id": "1", "body": text }).to_string().into_bytes()
}

/// A record's value.
pub fn value(record: &OwnedMessage) -> Value {
    serde_json::from_slice(record.payload().expect("a value")).expect("JSON")
}

/// Which of the values of [`Line::produce`] it came of.
pub fn number(record: &OwnedMessage) -> usize {
    std::str::from_utf8(record.key().expect("a key")).expect("digits").parse().expect("a number")
}
