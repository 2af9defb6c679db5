//! The producer, and what it reports.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::parcel::{Contents, Parcel, Receipt, To};
use crate::config::Output;
use crate::kafka::clients;
use crate::record::stop::Stop;

/// How long its thread listens at a time. It is waited for at the end of each transaction.
const TURN: Duration = Duration::from_millis(5);

/// Without transactions, it is waited for only at the very end.
const LONG_TURN: Duration = Duration::from_millis(100);

/// How long it is waited for that it has been heard.
const HEARING: Duration = Duration::from_secs(1);

/// A producer.
///
/// Its thread does what `rdkafka`'s `ThreadedProducer` does; but of this one it can be known that it has passed on all
/// that has happened.
pub(super) struct Producer {
    pub inner: Arc<BaseProducer<Reports>>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
    dead_letters: String,
}

/// What the producer's own thread has reported.
#[derive(Default)]
struct State {
    failed: AtomicBool,
    broken: OnceLock<String>,
    /// Requests, of all kinds, of which it may not be known whether they arrived: connections that ended, and requests
    /// that timed out.
    losses: AtomicU64,
    /// How often the thread has listened.
    turns: AtomicU64,
    done: AtomicBool,
}

pub(super) struct Reports(Arc<State>);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if is_loss(facility, message) {
            self.0.losses.fetch_add(1, Ordering::AcqRel);
        }
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(RDKafkaErrorCode::Fatal) = error.rdkafka_error_code() {
            let _ = self.0.broken.set(reason.to_owned());
        } else {
            tracing::warn!("producer: {reason}");
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Receipt;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Receipt) {
        self.0.report(&receipt, result.as_ref().map(|_| ()).map_err(|(error, _)| error));
    }
}

impl State {
    fn report(&self, receipt: &Receipt, result: Result<(), &KafkaError>) {
        let result = result.map_err(|error| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown));
        let failed = result.is_err();
        // Whoever sees the flag must find the reason.
        let _ = receipt.set(result);
        self.failed.fetch_or(failed, Ordering::AcqRel);
    }
}

impl Producer {
    /// Makes a producer; it connects by itself.
    ///
    /// # Errors
    /// When a property is unknown or has a wrong value.
    pub fn new(client: &ClientConfig, output: &Output, is_transactional: bool) -> Result<Self> {
        let state = Arc::<State>::default();
        let inner: BaseProducer<_> =
            client.create_with_context(Reports(Arc::clone(&state))).map_err(clients::refused)?;
        let inner = Arc::new(inner);
        let (listener, shared) = (Arc::clone(&inner), Arc::clone(&state));
        let turn = if is_transactional { TURN } else { LONG_TURN };
        let listen = move || {
            while !shared.done.load(Ordering::Acquire) {
                listener.poll(turn);
                shared.turns.fetch_add(1, Ordering::AcqRel);
            }
        };
        let thread = thread::Builder::new().name("producer".into()).spawn(listen);
        Ok(Self {
            inner,
            state,
            thread: Some(thread.context("a thread can't be started")?),
            dead_letters: output.dead_letters.clone(),
        })
    }

    /// Sends a parcel; its receipts will tell what came of it. While the producer's queue is full, it waits, and by that
    /// slows down all that comes before.
    pub fn send(&self, parcel: &mut Parcel, stop: &Stop) {
        let messages = parcel.contents();
        let receipts: Vec<_> = messages.iter().map(|_| Receipt::default()).collect();
        messages.into_iter().zip(&receipts).for_each(|(message, receipt)| self.send_one(message, receipt, stop));
        parcel.receipts = receipts;
    }

    fn send_one(&self, contents: Contents<'_>, receipt: &Receipt, stop: &Stop) {
        let (topic, partition) = match contents.to {
            To::Topic(destination) => (&*destination.topic, destination.partition),
            To::DeadLetters => (self.dead_letters.as_str(), None),
        };
        let mut message = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Arc::clone(receipt));
        message.partition = partition;
        message.key = contents.key;
        message.payload = contents.value;
        message.timestamp = contents.timestamp;
        message.headers = Some(contents.headers);
        while let Err((error, back)) = self.inner.send(message) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || stop.is_abandoned() || self.broken().is_some() {
                return self.state.report(receipt, Err(&error));
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// True once a message was refused or given up.
    pub fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Acquire)
    }

    /// The failures have been dealt with.
    pub fn forget_failures(&self) {
        self.state.failed.store(false, Ordering::Release);
    }

    /// Why this producer is of no use any more, if it isn't.
    pub fn broken(&self) -> Option<&str> {
        self.state.broken.get().map(String::as_str)
    }

    /// How many requests may have been lost, among those that are answered or given up by now; none if the thread is not
    /// heard.
    pub fn losses(&self) -> Option<u64> {
        // What the library has to say waits in a queue (with what is not sent yet); what was taken from it last has been
        // heard when the turn is over.
        let deadline = Instant::now() + HEARING;
        let turns = || self.state.turns.load(Ordering::Acquire);
        let mut turn = None;
        while Instant::now() < deadline {
            // In this order: what is in the queue when it is looked at is heard in the turn that it is then, or before.
            if self.inner.in_flight_count() == 0 && turns() != *turn.get_or_insert_with(turns) {
                return Some(self.losses_heard());
            }
            thread::sleep(TURN / 10);
        }
        None
    }

    /// How many were heard of.
    pub fn losses_heard(&self) -> u64 {
        self.state.losses.load(Ordering::Acquire)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.state.done.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether librdkafka says that a connection, or a request in flight, came to an end without an answer. A connection that
/// has been up may also be down from where it authenticates anew (KIP-368).
fn is_loss(facility: &str, message: &str) -> bool {
    const NEVER_UP: [&str; 5] = ["INIT", "TRY_CONNECT", "CONNECT", "SSL_HANDSHAKE", "APIVERSION_QUERY"];
    let before = || message.strip_suffix(" -> DOWN")?.rsplit(' ').next();
    facility == "REQTMOUT" || facility == "STATE" && before().is_some_and(|before| !NEVER_UP.contains(&before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_up_takes_requests_with_it() {
        let state = |from, to| format!("[thrd:a:9092/1]: a:9092/1: Broker changed state {from} -> {to}");
        for lost in ["UP", "REAUTH", "AUTH_HANDSHAKE", "AUTH_REQ", "AUTH_LEGACY"] {
            assert!(is_loss("STATE", &state(lost, "DOWN")), "{lost}");
            assert!(!is_loss("STATE", &state(lost, "UP")), "{lost}");
        }
        for never_up in ["INIT", "TRY_CONNECT", "CONNECT", "SSL_HANDSHAKE", "APIVERSION_QUERY"] {
            assert!(!is_loss("STATE", &state(never_up, "DOWN")), "{never_up}");
        }
        assert!(is_loss("REQTMOUT", "Timed out 1 in-flight, 0 retry-queued, 0 out-queue, 0 partially-sent requests"));
        assert!(!is_loss("CONNECT", "a:9092/1: UP -> DOWN"));
    }
}
