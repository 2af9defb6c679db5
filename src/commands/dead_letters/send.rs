//! Sends dead letters back, each with a note that it was, in one transaction.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::notes::Offsets;
use crate::config::Config;
use crate::kafka::clients;
use crate::kafka::sink::parcel::is_refusal;

/// How long the brokers may take to acknowledge a transaction's records, and then to commit it.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a transaction is tried.
const TRIES: u32 = 3;

/// A transactional producer. There is one for each dead-letter topic: a second one fences the first.
pub struct Sender {
    producer: BaseProducer<Deliveries>,
    dead_letters: String,
}

/// A record on its way back.
pub struct Outgoing {
    /// Partition and offset of the dead letter.
    pub from: (i32, i64),
    /// Where it goes.
    pub topic: String,
    /// The partition; `None`: its key decides.
    pub partition: Option<i32>,
    /// The record's own.
    pub key: Option<Vec<u8>>,
    /// The record's own.
    pub value: Option<Vec<u8>>,
    /// The record's own, and the attempt.
    pub headers: OwnedHeaders,
    /// The record's own.
    pub timestamp: Option<i64>,
}

impl Sender {
    /// Connects. What an earlier one has begun is aborted, and it can't go on.
    ///
    /// # Errors
    /// When a property is wrong, or the cluster can't be reached or refuses transactions.
    pub fn connect(config: &Config) -> Result<Self> {
        let dead_letters = config.output.dead_letters.clone();
        let id = format!("{dead_letters}.replay");
        let mut client = clients::producer(config);
        client.set("transactional.id", &id);
        let producer: BaseProducer<Deliveries> =
            client.create_with_context(Deliveries::default()).map_err(clients::refused)?;
        producer
            .init_transactions(clients::REQUEST_TIMEOUT)
            .map_err(|error| anyhow!("{}", clients::plain(&error)))
            .with_context(|| format!("no transactions on {} (transactional.id {id})", config.kafka.brokers))?;
        Ok(Self { producer, dead_letters })
    }

    /// Sends all of them, but for those that their topic refuses for what they are: these are given back, with the reason.
    ///
    /// # Errors
    /// When they can't be sent for any other reason. Those of a transaction were sent all, with their notes, or none.
    pub fn send<'a>(&self, letters: &'a [Outgoing]) -> Result<Vec<(&'a Outgoing, RDKafkaErrorCode)>> {
        match (self.transaction(letters)?, letters) {
            (None, _) => Ok(Vec::new()),
            (Some(refusal), [letter]) => Ok(vec![(letter, refusal)]),
            // A refusal may be of a whole batch: half by half it is found whom it is meant for.
            (Some(_), _) => {
                let (first, second) = letters.split_at(letters.len() / 2);
                let mut refused = self.send(first)?;
                refused.extend(self.send(second)?);
                Ok(refused)
            }
        }
    }

    /// Sends all of them in one transaction, or none: then it tells the refusal.
    fn transaction(&self, letters: &[Outgoing]) -> Result<Option<RDKafkaErrorCode>> {
        let mut tries = 1;
        loop {
            self.producer.begin_transaction().map_err(|error| self.explain(&error))?;
            let failed = match self.produce(letters) {
                Ok(None) => return self.commit().map(|()| None),
                Ok(refusal) => Ok(refusal),
                Err(error) => Err(error),
            };
            let aborted = self.producer.abort_transaction(PATIENCE).map_err(|error| self.explain(&error));
            match (failed, aborted) {
                (Ok(refusal), Ok(())) => return Ok(refusal),
                // After a refusal the client may have lost its count, and finds that out in the next transaction.
                (Err(_), Ok(())) if tries < TRIES => tries += 1,
                (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
            }
        }
    }

    /// Produces records and notes, and waits for the acknowledgements.
    fn produce(&self, letters: &[Outgoing]) -> Result<Option<RDKafkaErrorCode>> {
        self.producer.context().failure().take();
        let mut notes: BTreeMap<i32, Offsets> = BTreeMap::new();
        for letter in letters {
            let mut record = BaseRecord::to(&letter.topic).headers(letter.headers.clone());
            record.partition = letter.partition;
            record.key = letter.key.as_deref();
            record.payload = letter.value.as_deref();
            record.timestamp = letter.timestamp;
            self.enqueue(record);
            notes.entry(letter.from.0).or_default().insert(letter.from.1);
        }
        self.flush()?;
        if let Some((topic, code)) = self.producer.context().failure().take() {
            if is_refusal(code) {
                return Ok(Some(code));
            }
            return Err(self.explain(&KafkaError::MessageProduction(code)).context(format!("sending to {topic}")));
        }
        for (partition, offsets) in notes {
            self.enqueue(BaseRecord::to(&self.dead_letters).partition(partition).headers(offsets.note()));
        }
        self.flush()?;
        if let Some((topic, code)) = self.producer.context().failure().take() {
            let error = self.explain(&KafkaError::MessageProduction(code));
            return Err(
                error.context(format!("{topic} does not take the note of what was replayed (is it compacted?)"))
            );
        }
        Ok(None)
    }

    /// A failure is found in the deliveries, whether it comes now or later.
    fn enqueue(&self, mut record: BaseRecord<'_, [u8], [u8]>) {
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    self.producer.poll(Duration::from_millis(5));
                    record = back;
                }
                Err((error, back)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    self.producer.context().failure().get_or_insert((back.topic.to_owned(), code));
                    return;
                }
            }
        }
    }

    /// Waits for the acknowledgements, or for the first failure.
    fn flush(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.producer.in_flight_count() > 0 && self.producer.context().failure().is_none() {
            if Instant::now() > deadline {
                bail!("the brokers did not acknowledge the records in {} s", PATIENCE.as_secs());
            }
            // A flush that is not over yet fails with a timeout; failed deliveries are told apart from it.
            let _ = self.producer.flush(Duration::from_millis(100));
        }
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(error) = self.producer.commit_transaction(Duration::from_secs(10)) else { return Ok(()) };
            let KafkaError::Transaction(transaction) = &error else { return Err(self.explain(&error)) };
            if transaction.txn_requires_abort() {
                let _ = self.producer.abort_transaction(PATIENCE);
                return Err(self.explain(&error));
            }
            if !transaction.is_retriable() || Instant::now() > deadline {
                let unknown = "whether the last transaction went through is not known; the next replay will know";
                return Err(self.explain(&error).context(unknown));
            }
        }
    }

    fn explain(&self, error: &KafkaError) -> anyhow::Error {
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        if fatal.or(error.rdkafka_error_code()).is_some_and(is_fenced) {
            return anyhow!(
                "another replay of {} has begun, and goes on where this one stopped; nothing is sent twice",
                self.dead_letters
            );
        }
        anyhow!("{}; what is not sent yet is sent by the next replay", clients::plain(error))
    }
}

/// Whether another producer of the same transactional id has taken over.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch)
}

/// The first delivery that failed since it was last looked at: its topic, and why.
#[derive(Default)]
struct Deliveries(Mutex<Option<(String, RDKafkaErrorCode)>>);

impl Deliveries {
    fn failure(&self) -> std::sync::MutexGuard<'_, Option<(String, RDKafkaErrorCode)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What aborts a transaction comes back as an error, and a coordinator that is not ready is waited for.
        if !matches!(facility, "TXNERR" | "GETPID") {
            clients::log(level, facility, message);
        }
    }

    fn error(&self, _: KafkaError, reason: &str) {
        tracing::warn!("producer: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            let topic = rdkafka::Message::topic(message).to_owned();
            self.failure().get_or_insert((topic, code));
        }
    }
}
