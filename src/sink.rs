//! Writes outcomes to the output topics, and tells the ledger what the broker acknowledged.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use crate::budget::Permit;
use crate::config::Config;
use crate::dead_letter;
use crate::envelope::{Envelope, Origin, Outcome, Record, Rejection, Stage};
use crate::kafka;
use crate::ledger::Ledger;
use crate::metrics::{Count, Metrics};
use crate::pipeline::Sink;
use crate::stop::Stop;
use crate::telemetry::RecordSpan;

/// The sink of `tagbert run`: an idempotent producer.
pub struct KafkaSink {
    producer: ThreadedProducer<Acknowledge>,
    shared: Arc<Shared>,
    output: String,
    dead_letters: String,
}

/// What the sink and the producer's own thread share.
struct Shared {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    stop: Arc<Stop>,
    /// Results that the output topic refused for their size; the sink makes dead letters of their records.
    too_large: (crossbeam_channel::Sender<Sent>, crossbeam_channel::Receiver<Sent>),
}

/// A record whose result was sent and is not acknowledged yet. It holds its share of the budget until then.
struct Sent {
    origin: Origin,
    kind: Kind,
    fetched: Instant,
    span: RecordSpan,
    _permit: Permit,
    /// As it was fetched, in case the result is refused.
    record: Arc<Record>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Enriched,
    Tombstone,
    DeadLetter(Stage),
}

impl Sent {
    fn new<T>(envelope: Envelope<T>, kind: Kind) -> (Self, T) {
        let Envelope { origin, record, body, fetched, span, permit } = envelope;
        (Self { origin, kind, fetched, span, _permit: permit, record: Arc::new(record) }, body)
    }

    /// What is too large once enriched may still fit as it was.
    fn may_be_redirected(&self, error: &KafkaError) -> bool {
        let too_large = [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::InvalidMessageSize];
        self.kind == Kind::Enriched && error.rdkafka_error_code().is_some_and(|code| too_large.contains(&code))
    }
}

struct Acknowledge(Arc<Shared>);

impl ClientContext for Acknowledge {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(RDKafkaErrorCode::Fatal) = error.rdkafka_error_code() {
            self.0.stop.fail(anyhow::anyhow!("the producer can't go on: {reason}"));
        } else {
            tracing::warn!("producer: {reason}");
        }
    }
}

impl ProducerContext for Acknowledge {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        match result {
            Ok(_) => self.0.acknowledged(&sent),
            Err((error, _)) => self.0.refused(*sent, error),
        }
    }
}

impl Shared {
    fn acknowledged(&self, sent: &Sent) {
        let metrics = &self.metrics;
        let count: &Count = match sent.kind {
            Kind::Enriched => &metrics.enriched,
            Kind::Tombstone => &metrics.tombstones,
            Kind::DeadLetter(stage) => metrics.dead_letters_of(stage),
        };
        count.add(1);
        metrics.acknowledged(sent.fetched);
        self.ledger.acknowledge(&sent.origin);
    }

    /// Too large: a dead letter. Given up by a stop: nothing to say. Else the worker stops, with the offset uncommitted:
    /// the record is read again by whoever comes next.
    fn refused(&self, sent: Sent, error: &KafkaError) {
        if sent.may_be_redirected(error) {
            drop(self.too_large.0.send(sent));
            return;
        }
        let given_up = [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight];
        if error.rdkafka_error_code().is_some_and(|code| given_up.contains(&code)) {
            return;
        }
        let Origin { topic, partition, offset, .. } = &sent.origin;
        let what = if matches!(sent.kind, Kind::DeadLetter(_)) { "dead letter" } else { "result" };
        let error = kafka::plain(error);
        self.stop.fail(anyhow::anyhow!("the {what} of {topic}/{partition}@{offset} can't be delivered: {error}"));
    }
}

impl KafkaSink {
    /// Connects the producer.
    ///
    /// # Errors
    /// When a property is unknown or has a wrong value.
    pub fn connect(config: &Config, ledger: Arc<Ledger>, metrics: Arc<Metrics>, stop: Arc<Stop>) -> Result<Self> {
        let shared = Arc::new(Shared { ledger, metrics, stop, too_large: crossbeam_channel::unbounded() });
        let producer =
            kafka::producer(config).create_with_context(Acknowledge(Arc::clone(&shared))).map_err(kafka::refused)?;
        let Config { output, .. } = config;
        let (output, dead_letters) = (output.topic.clone(), output.dead_letters.clone());
        Ok(Self { producer, shared, output, dead_letters })
    }

    fn send(&self, topic: &str, value: Option<&[u8]>, headers: Option<OwnedHeaders>, sent: Sent) -> Result<()> {
        let record = Arc::clone(&sent.record);
        let mut message = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Box::new(sent));
        message.key = record.key.as_deref();
        message.payload = value;
        message.timestamp = record.timestamp;
        message.headers = headers;
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                // The broker is slow: wait, and by that slow everything down that comes before.
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    if self.shared.stop.is_abandoned() {
                        bail!("the output broker took nothing more");
                    }
                    message = back;
                    thread::sleep(Duration::from_millis(5));
                }
                Err((error, back)) => {
                    self.shared.refused(*back.delivery_opaque, &error);
                    return Ok(());
                }
            }
        }
    }

    fn send_dead_letter(&self, sent: Sent, rejection: &Rejection) -> Result<()> {
        let record = Arc::clone(&sent.record);
        let headers = dead_letter::headers(record.headers.clone(), &sent.origin, rejection);
        self.send(&self.dead_letters, record.value.as_deref(), Some(headers), sent)
    }
}

impl Sink for KafkaSink {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        if !self.shared.ledger.send(outcome.origin()) {
            // The partition has gone to another worker, which does this record again.
            return Ok(());
        }
        match outcome {
            Outcome::Enriched(envelope) => {
                let (sent, value) = Sent::new(envelope, Kind::Enriched);
                let headers = sent.span.propagate(sent.record.headers.clone());
                self.send(&self.output, Some(&value), headers, sent)
            }
            Outcome::Tombstone(envelope) => {
                let (sent, ()) = Sent::new(envelope, Kind::Tombstone);
                let headers = sent.span.propagate(sent.record.headers.clone());
                self.send(&self.output, None, headers, sent)
            }
            Outcome::DeadLetter(mut envelope) => {
                envelope.span.reject(&envelope.body);
                let kind = Kind::DeadLetter(envelope.body.stage);
                let (sent, rejection) = Sent::new(envelope, kind);
                self.send_dead_letter(sent, &rejection)
            }
        }
    }

    fn tick(&mut self) -> Result<()> {
        for mut sent in self.shared.too_large.1.try_iter() {
            let message = format!("the enriched record is larger than topic {} accepts", self.output);
            let rejection = Rejection { stage: Stage::Sink, class: "RecordTooLarge", message };
            sent.kind = Kind::DeadLetter(Stage::Sink);
            sent.span.reject(&rejection);
            self.send_dead_letter(sent, &rejection)?;
        }
        Ok(())
    }
}
