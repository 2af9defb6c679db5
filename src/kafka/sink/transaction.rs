//! Transactions (KIP-98): what is sent, and the offsets it came from, become visible together or not at all (G-8).
//!
//! The offsets go with the metadata of the consumer's group (KIP-447): a worker that was thrown out of its group, and
//! does not know it yet, is refused by the group's coordinator (G-38). So one producer serves all partitions.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use super::parcel::Parcel;
use super::producer::Producer;
use crate::config::Transaction;
use crate::kafka::clients;
use crate::kafka::ledger::{Ledger, Watermark};
use crate::kafka::source::assignment::{self, Assignment};
use crate::kafka::source::watchdog::Pulse;
use crate::record::partition::TopicPartition;
use crate::record::stop::Stop;

/// How long one request may take before it is asked whether the worker has been stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an open transaction is tried to be aborted when the worker leaves; the brokers do it themselves later.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It was aborted: what was in it has to be sent again.
    Aborted(String),
    /// The producer can't go on, and whether the transaction was committed is not known.
    Broken {
        /// The reason.
        why: String,
        /// Another producer of the same transactional id has taken over, or the brokers have closed the transaction.
        fenced: bool,
    },
    /// It was not tried: there are too many dead letters.
    Flood(String),
}

impl Trouble {
    fn broken(error: &KafkaError) -> Self {
        if is_hanging(error) {
            return Self::Broken { why: "a call of the client library does not return".into(), fenced: false };
        }
        Self::Broken { why: clients::plain(error), fenced: error.rdkafka_error_code().is_some_and(clients::is_fenced) }
    }
}

/// The transactions of a producer, one after the other.
pub(super) struct Transactions {
    consumer: Arc<BaseConsumer<Assignment>>,
    settings: Transaction,
    stop: Arc<Stop>,
    /// Of the calls that the client library is known to hang in.
    pulse: Pulse,
    open: Option<Open>,
}

struct Open {
    due: Instant,
    bytes: u64,
}

impl Transactions {
    pub fn new(consumer: Arc<BaseConsumer<Assignment>>, settings: Transaction, stop: Arc<Stop>, pulse: Pulse) -> Self {
        Self { consumer, settings, stop, pulse, open: None }
    }

    /// Makes the producer the only one of its transactional id: an earlier one's open transaction is aborted, and one
    /// that is being committed is waited for.
    ///
    /// # Errors
    /// When the brokers refuse that, or do not answer in time.
    pub fn init(&mut self, producer: &Producer, patience: Duration) -> Result<()> {
        self.open = None;
        let deadline = Instant::now() + patience;
        loop {
            match self.pulse.call(|| producer.inner.init_transactions(PATIENCE.min(patience))) {
                Ok(()) => return Ok(()),
                Err(error) if is_retriable(&error) && Instant::now() < deadline && !self.stop.is_abandoned() => {}
                Err(error) => return Err(anyhow!("{}", clients::plain(&error))).context("no transactions can be made"),
            }
        }
    }

    /// Takes a parcel that is about to be sent into the open transaction, or into a new one.
    pub fn enter(&mut self, producer: &Producer, parcel: &Parcel) -> Result<(), Trouble> {
        self.open(producer)?.bytes += parcel.size() as u64;
        Ok(())
    }

    fn open(&mut self, producer: &Producer) -> Result<&mut Open, Trouble> {
        if self.open.is_none() {
            self.pulse.call(|| producer.inner.begin_transaction()).map_err(|error| Trouble::broken(&error))?;
        }
        Ok(self.open.get_or_insert_with(|| Open { due: Instant::now() + self.settings.interval, bytes: 0 }))
    }

    /// Whether the open transaction with so many parcels should be committed now.
    pub fn is_due(&self, parcels: usize, now: Instant) -> bool {
        let full = |open: &Open| parcels >= self.settings.records || open.bytes >= self.settings.bytes.as_u64();
        self.open.as_ref().is_some_and(|open| now >= open.due || full(open))
    }

    /// Commits what was sent, and the offsets behind it; with them those of partitions that have moved without a record
    /// (past markers and what was aborted), which are returned. In vain if a partition was lost meanwhile.
    pub fn commit(
        &mut self,
        producer: &Producer,
        sent: &[&Parcel],
        ledger: &Ledger,
    ) -> Result<Vec<Watermark>, Trouble> {
        // The metadata first (G-38): if the group moves on after the look at the leases, the coordinator refuses it as
        // outdated.
        let metadata = self.pulse.call(|| self.consumer.group_metadata());
        let behind = offsets_behind(sent);
        let is_sent = |(topic, partition, _): &Watermark| {
            behind.iter().any(|(one, number, _)| (one, number) == (topic, partition))
        };
        let moved: Vec<_> = ledger.to_commit().into_iter().filter(|moved| !is_sent(moved)).collect();
        if behind.is_empty() && moved.is_empty() {
            return Ok(moved);
        }
        let lost = self.consumer.assignment_lost() || sent.iter().any(|parcel| parcel.origin.lease.is_gone());
        let Some(metadata) = metadata.filter(|_| !lost) else {
            self.abort(producer)?;
            return Err(Trouble::Aborted("partitions were lost meanwhile".into()));
        };
        self.open(producer)?;
        fail::fail_point!("transaction-before-offsets", |_| std::process::abort());
        let offsets: Vec<_> = behind.into_iter().chain(moved.iter().cloned()).collect();
        self.send_offsets(producer, assignment::list(&offsets), metadata)?;
        fail::fail_point!("transaction-before-commit", |_| std::process::abort());
        self.insist(producer, || producer.inner.commit_transaction(PATIENCE))?;
        fail::fail_point!("transaction-after-commit", |_| std::process::abort());
        self.open = None;
        Ok(moved)
    }

    /// Adds the offsets, on a thread of its own, which is left behind if it hangs: librdkafka 2.12 never returns when the
    /// connection to the group's coordinator ends at the wrong moment (`rd_kafka_txn_handle_TxnOffsetCommit` forgets its
    /// caller on `_OUTDATED`). Its producer, which is left with it, is then replaced.
    fn send_offsets(
        &mut self,
        producer: &Producer,
        offsets: TopicPartitionList,
        metadata: ConsumerGroupMetadata,
    ) -> Result<(), Trouble> {
        let (offsets, metadata, stop) = (Arc::new(offsets), Arc::new(metadata), Arc::clone(&self.stop));
        self.insist(producer, || {
            let (inner, offsets, metadata) = (Arc::clone(&producer.inner), Arc::clone(&offsets), Arc::clone(&metadata));
            let (tell, told) = crossbeam_channel::bounded(1);
            thread::spawn(move || {
                let _ = tell.send(inner.send_offsets_to_transaction(&offsets, &metadata, PATIENCE));
            });
            let deadline = Instant::now() + 3 * PATIENCE;
            loop {
                match told.recv_timeout(Duration::from_millis(100)) {
                    Ok(result) => return result,
                    Err(_) if Instant::now() < deadline && !stop.is_abandoned() => {}
                    Err(_) => return Err(KafkaError::Canceled),
                }
            }
        })
    }

    /// Aborts the open transaction, if there is one.
    pub fn abort(&mut self, producer: &Producer) -> Result<(), Trouble> {
        if self.open.take().is_none() {
            return Ok(());
        }
        loop {
            match self.pulse.call(|| producer.inner.abort_transaction(PATIENCE)) {
                Ok(()) => return Ok(()),
                Err(error) if is_retriable(&error) && !is_hanging(&error) && !self.stop.is_abandoned() => {
                    self.wait_for(&error);
                }
                Err(error) => return Err(Trouble::broken(&error)),
            }
        }
    }

    /// Aborts the open transaction, so that readers need not wait for the brokers to do it; with little patience.
    pub fn leave(&mut self, producer: &Producer) {
        if self.open.take().is_some()
            && let Err(error) = producer.inner.abort_transaction(FAREWELL)
        {
            tracing::warn!("the open transaction was not aborted, the brokers will do it: {}", clients::plain(&error));
        }
    }

    /// Asks again as long as the answer is to try again.
    fn insist(&mut self, producer: &Producer, ask: impl Fn() -> KafkaResult<()>) -> Result<(), Trouble> {
        loop {
            let error = match self.pulse.call(&ask) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if is_hanging(&error) {
                return Err(Trouble::broken(&error));
            }
            if needs_abort(&error) || producer.has_failed() && !is_fatal(&error) {
                self.abort(producer)?;
                return Err(Trouble::Aborted(clients::plain(&error)));
            }
            if !is_retriable(&error) || self.stop.is_abandoned() {
                return Err(Trouble::broken(&error));
            }
            self.wait_for(&error);
        }
    }

    fn wait_for(&self, error: &KafkaError) {
        tracing::warn!("transaction: {}; asking again", clients::plain(error));
        if !self.stop.is_abandoned() {
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the group has committed in these partitions: the truth, after it is not known what became of a transaction.
    ///
    /// # Errors
    /// When the brokers do not say.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, i64>> {
        let answer = clients::committed(&self.consumer, partitions, PATIENCE);
        let known = |(key, offset): (_, KafkaResult<Option<_>>)| Some(offset.transpose()?.map(|offset| (key, offset)));
        let known: KafkaResult<_> = answer.and_then(|answer| answer.into_iter().filter_map(known).collect());
        known.map_err(|error| anyhow!(clients::plain(&error)))
    }
}

/// The offset behind the last record of each partition.
pub(super) fn offsets_behind(sent: &[&Parcel]) -> Vec<Watermark> {
    // In order within a partition: the last one counts.
    let behind = sent.iter().map(|parcel| &parcel.origin);
    let behind: HashMap<_, _> = behind.map(|origin| ((&origin.topic, origin.partition), origin.offset + 1)).collect();
    behind.into_iter().map(|((topic, partition), offset)| (Arc::clone(topic), partition, offset)).collect()
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        // A flush that was not done in time.
        KafkaError::Flush(_) => true,
        _ => false,
    }
}

/// A call has not returned: no other is taken meanwhile.
fn is_hanging(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Canceled) || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Conflict)
}

fn needs_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
}
