//! The documents that are written while faults are injected, and what must come of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::tagbert::tagbert;

/// Texts of the corpus, cut short.
const TEXTS: usize = 1000;
const CHARACTERS: usize = 120;

/// What must come of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// An enriched record.
    Tagged,
    /// A tombstone on the output topic.
    Tombstone,
    /// A dead letter of that stage.
    Dead(&'static str),
}

impl Fate {
    /// Of one that the model fails on, if it gets so far.
    pub fn poisoned(self) -> Self {
        if self == Self::Tagged { Self::Dead("infer") } else { self }
    }
}

/// Of the record with this number.
pub fn fate(n: usize) -> Fate {
    match n % 50 {
        17 => Fate::Dead("decode"),
        33 => Fate::Tombstone,
        _ => Fate::Tagged,
    }
}

/// Real texts, and the tags that `tagbert tag` gives them, in peace.
pub struct Corpus {
    texts: Vec<String>,
    tags: Vec<Value>,
}

impl Corpus {
    /// Reads the texts, and has this model tag them.
    pub fn tagged(model: &str) -> Self {
        let short = |text: String| text.chars().take(CHARACTERS).collect::<String>();
        let texts = crate::support::corpus().map(|document| short(document.text()));
        let texts: Vec<_> = texts.filter(|text| !text.trim().is_empty()).take(TEXTS).collect();
        let lines: String = texts.iter().map(|text| format!("{}\n", json!({ "id": 1, "body": text }))).collect();
        let output = tagbert(&["tag", "--model", model, "--set", "input.text=/body"], lines.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tags = String::from_utf8(output.stdout).unwrap();
        let tags: Vec<_> =
            tags.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["tags"].take()).collect();
        assert_eq!(tags.len(), texts.len());
        Self { texts, tags }
    }

    /// The tags that the document with this number must have.
    pub fn tags(&self, n: usize) -> &Value {
        &self.tags[n % self.tags.len()]
    }

    /// The value of the record with this number; none for a tombstone.
    pub fn value(&self, n: usize) -> Option<Vec<u8>> {
        let text = &self.texts[n % self.texts.len()];
        match fate(n) {
            Fate::Tombstone => None,
            Fate::Tagged => Some(json!({ "id": n, "body": text }).to_string().into_bytes()),
            Fate::Dead(_) => Some(match n / 50 % 4 {
                0 => format!("{{not JSON {n}").into_bytes(),
                1 => json!({ "id": n, "title": text }).to_string().into_bytes(),
                2 => json!({ "id": n, "body": " " }).to_string().into_bytes(),
                _ => [b"{\"body\":\"\xff\"}", n.to_string().as_bytes()].concat(),
            }),
        }
    }
}

/// Writes the records 0, 1, 2 … to a topic.
pub struct Writer<'a> {
    corpus: &'a Corpus,
    topic: String,
    producer: ThreadedProducer<Deliveries>,
    failed: Arc<AtomicUsize>,
    next: usize,
}

impl<'a> Writer<'a> {
    /// One that reaches the nodes directly.
    pub fn new(corpus: &'a Corpus, cluster: &Cluster, topic: &str) -> Self {
        let failed = Arc::new(AtomicUsize::new(0));
        let mut client = cluster.client();
        client.set("enable.idempotence", "true").set("linger.ms", "5").set("partitioner", "murmur2_random");
        let producer = client.create_with_context(Deliveries(Arc::clone(&failed))).unwrap();
        Self { corpus, topic: topic.into(), producer, failed, next: 0 }
    }

    /// Writes so many more, without waiting until they are there.
    pub fn write(&mut self, count: usize) {
        for n in self.next..self.next + count {
            let (number, key) = (n.to_string(), format!("key {}", n % 97));
            let value = self.corpus.value(n);
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).key(key.as_bytes());
            record.payload = value.as_deref();
            record.headers = Some(OwnedHeaders::new().insert(Header { key: "n", value: Some(&number) }));
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.next += count;
    }

    /// Waits until all that was written is there.
    pub fn flush(&self) {
        self.producer.flush(Duration::from_mins(2)).unwrap();
        assert_eq!(self.failed.load(Ordering::Relaxed), 0, "input records could not be written");
    }

    /// How many were written.
    pub fn written(&self) -> usize {
        self.next
    }
}

struct Deliveries(Arc<AtomicUsize>);

impl ClientContext for Deliveries {
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
