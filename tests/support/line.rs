//! What most tests of the worker need: topics, documents, and a configuration.

use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::kafka::Kafka;

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
    pub fn produce(&self, values: &[Vec<u8>]) {
        let keys: Vec<_> = (0..values.len()).map(|n| n.to_string()).collect();
        let record = |(key, value)| BaseRecord::<[u8], [u8]>::to(&self.input).key(key).payload(value);
        let keys = keys.iter().map(String::as_bytes);
        Kafka::shared().produce(keys.zip(values.iter().map(Vec::as_slice)).map(record));
    }

    /// The enriched records.
    pub fn tagged(&self) -> Vec<OwnedMessage> {
        Kafka::shared().read_all(&self.output)
    }

    /// The dead letters.
    pub fn dead(&self) -> Vec<OwnedMessage> {
        Kafka::shared().read_all(&self.dead)
    }

    /// All that was read is committed.
    pub fn assert_committed_to_the_end(&self) {
        let ends: Vec<_> = Kafka::shared().end_offsets(&self.input).into_iter().map(Some).collect();
        let committed = Kafka::shared().committed(self.name, &self.input);
        // A partition without a record needs no offset.
        let committed: Vec<_> = committed.into_iter().map(|offset| offset.or(Some(0))).collect();
        assert_eq!(committed, ends);
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
