//! Writes outcomes to the output topics, and tells the ledger what the broker acknowledged.

use std::cell::OnceCell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, OwnedHeaders};
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
    /// For what was refused: it makes batches of one. Seldom needed, so made when it is.
    loner: OnceCell<ThreadedProducer<Acknowledge>>,
    config: ClientConfig,
    shared: Arc<Shared>,
    output: String,
    dead_letters: String,
}

/// What the sink and the producer's own thread share.
struct Shared {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    stop: Arc<Stop>,
    /// What the broker refused, to be sent again, alone.
    again: (crossbeam_channel::Sender<Sent>, crossbeam_channel::Receiver<Sent>),
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
    timestamp: Option<i64>,
    /// The value that the broker refused, while it is tried again.
    value: Option<Vec<u8>>,
    /// Sent in a batch of its own, so that a refusal is meant for it and for no neighbour.
    alone: bool,
}

enum Kind {
    Enriched,
    Tombstone,
    DeadLetter(Rejection),
    /// A dead letter without the record's key, value and headers, since with them it was refused as well.
    BareDeadLetter(Rejection),
}

impl Sent {
    fn new<T>(envelope: Envelope<T>, kind: impl FnOnce(&T) -> Kind) -> (Self, T) {
        let Envelope { origin, record, body, fetched, span, permit } = envelope;
        let kind = kind(&body);
        let timestamp = record.timestamp;
        let record = Arc::new(record);
        (Self { origin, kind, fetched, span, _permit: permit, record, timestamp, value: None, alone: false }, body)
    }

    /// What to send instead, after the broker refused this one, alone, for what it is: it would do so again and again.
    fn instead(&mut self, error: RDKafkaErrorCode) -> Option<Kind> {
        let class = if is_size(error) { "RecordTooLarge" } else { "RecordRefused" };
        let timestamp = if error == RDKafkaErrorCode::InvalidTimestamp { self.timestamp.take() } else { None };
        match std::mem::replace(&mut self.kind, Kind::Tombstone) {
            Kind::Enriched | Kind::Tombstone => {
                let message = format!("the output topic refused the result: {error}");
                let rejection = Rejection { stage: Stage::Sink, class, message };
                self.span.reject(&rejection);
                Some(Kind::DeadLetter(rejection))
            }
            // Without its timestamp it may pass.
            letter @ Kind::DeadLetter(_) if timestamp.is_some() => Some(letter),
            Kind::DeadLetter(rejection) => {
                let bytes = self.record.size();
                let message = format!(
                    "{}; the record's own {bytes} bytes are left out, since the dead-letter topic refused them: {error}",
                    rejection.message
                );
                self.timestamp = None;
                Some(Kind::BareDeadLetter(Rejection { message, ..rejection }))
            }
            Kind::BareDeadLetter(_) => None,
        }
    }
}

/// Whether the broker refuses the record for what it is, or for what another record of its batch is.
fn is_refusal(error: RDKafkaErrorCode) -> bool {
    let others =
        [RDKafkaErrorCode::InvalidRecord, RDKafkaErrorCode::InvalidTimestamp, RDKafkaErrorCode::InvalidDifferentRecord];
    is_size(error) || others.contains(&error)
}

fn is_size(error: RDKafkaErrorCode) -> bool {
    matches!(error, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
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
            Err((error, message)) => self.0.refused(*sent, error, message.payload()),
        }
    }
}

impl Shared {
    fn acknowledged(&self, sent: &Sent) {
        let metrics = &self.metrics;
        let count: &Count = match &sent.kind {
            Kind::Enriched => &metrics.enriched,
            Kind::Tombstone => &metrics.tombstones,
            Kind::DeadLetter(rejection) | Kind::BareDeadLetter(rejection) => metrics.dead_letters_of(rejection.stage),
        };
        count.add(1);
        metrics.acknowledged(sent.fetched);
        self.ledger.acknowledge(&sent.origin);
    }

    /// Refused for what it is: tried alone, and then something else instead. (Brokers refuse whole batches.) Given up by a
    /// stop: nothing to say. Else the worker stops, with the offset uncommitted: the record is read again by whoever
    /// comes next.
    fn refused(&self, mut sent: Sent, error: &KafkaError, value: Option<&[u8]>) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if is_refusal(code) {
            if !sent.alone {
                sent.alone = true;
                sent.value = value.map(<[u8]>::to_vec);
                return drop(self.again.0.send(sent));
            }
            if let Some(kind) = sent.instead(code) {
                sent.kind = kind;
                return drop(self.again.0.send(sent));
            }
        }
        if matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
            return;
        }
        let Origin { topic, partition, offset, .. } = &sent.origin;
        let error = kafka::plain(error);
        self.stop.fail(anyhow::anyhow!("what came of {topic}/{partition}@{offset} can't be delivered: {error}"));
    }
}

impl KafkaSink {
    /// Connects the producer.
    ///
    /// # Errors
    /// When a property is unknown or has a wrong value.
    pub fn connect(config: &Config, ledger: Arc<Ledger>, metrics: Arc<Metrics>, stop: Arc<Stop>) -> Result<Self> {
        let shared = Arc::new(Shared { ledger, metrics, stop, again: crossbeam_channel::unbounded() });
        let mut client = kafka::producer(config);
        let producer = client.create_with_context(Acknowledge(Arc::clone(&shared))).map_err(kafka::refused)?;
        client.set("batch.num.messages", "1").set("linger.ms", "0");
        let Config { output, .. } = config;
        let (output, dead_letters) = (output.topic.clone(), output.dead_letters.clone());
        Ok(Self { producer, loner: OnceCell::new(), config: client, shared, output, dead_letters })
    }

    fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
        sent: Sent,
    ) -> Result<()> {
        let timestamp = sent.timestamp;
        let producer = if sent.alone { self.loner()? } else { &self.producer };
        let mut message = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Box::new(sent));
        message.key = key;
        message.payload = value;
        message.timestamp = timestamp;
        message.headers = headers;
        loop {
            match producer.send(message) {
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
                    self.shared.refused(*back.delivery_opaque, &error, value);
                    return Ok(());
                }
            }
        }
    }

    fn loner(&self) -> Result<&ThreadedProducer<Acknowledge>> {
        if self.loner.get().is_none() {
            let loner = self.config.create_with_context(Acknowledge(Arc::clone(&self.shared)))?;
            let _ = self.loner.set(loner);
        }
        self.loner.get().context("a second producer can't be made")
    }

    /// Sends what its kind says; `value` is that of an enriched record.
    fn send_kind(&self, sent: Sent, value: Option<&[u8]>) -> Result<()> {
        let record = Arc::clone(&sent.record);
        let own = record.headers.clone();
        match &sent.kind {
            Kind::Enriched | Kind::Tombstone => {
                let headers = sent.span.propagate(own);
                self.send(&self.output, record.key.as_deref(), value, headers, sent)
            }
            Kind::DeadLetter(rejection) => {
                let headers = dead_letter::headers(own, &sent.origin, rejection);
                self.send(&self.dead_letters, record.key.as_deref(), record.value.as_deref(), Some(headers), sent)
            }
            Kind::BareDeadLetter(rejection) => {
                let headers = dead_letter::headers(None, &sent.origin, rejection);
                self.send(&self.dead_letters, None, None, Some(headers), sent)
            }
        }
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
                let (sent, value) = Sent::new(envelope, |_| Kind::Enriched);
                self.send_kind(sent, Some(&value))
            }
            Outcome::Tombstone(envelope) => {
                let (sent, ()) = Sent::new(envelope, |()| Kind::Tombstone);
                self.send_kind(sent, None)
            }
            Outcome::DeadLetter(mut envelope) => {
                envelope.span.reject(&envelope.body);
                let (sent, _) = Sent::new(envelope, |rejection| Kind::DeadLetter(rejection.clone()));
                self.send_kind(sent, None)
            }
        }
    }

    fn tick(&mut self) -> Result<()> {
        self.shared.again.1.try_iter().try_for_each(|mut sent| {
            let value = sent.value.take();
            self.send_kind(sent, value.as_deref())
        })
    }
}
