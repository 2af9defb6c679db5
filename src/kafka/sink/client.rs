//! The brokers as they are: a producer of librdkafka, and the consumer for the sake of its group.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use super::brokers::{Answer, Brokers};
use super::parcel::Parcel;
use super::producer::Producer;
use crate::config::{Config, Delivery, Output};
use crate::kafka::clients;
use crate::kafka::ledger::Watermark;
use crate::kafka::source::assignment::{self, Assignment};
use crate::kafka::source::watchdog::Pulse;
use crate::record::partition::TopicPartition;
use crate::record::stop::Stop;

/// How long one request may take before it is asked whether the worker has been stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the brokers may take, at the start, to make this worker the only producer of its transactional id.
const INIT: Duration = Duration::from_mins(1);

/// How long an open transaction is tried to be aborted when the worker leaves; the brokers do it themselves later.
const FAREWELL: Duration = Duration::from_secs(2);

/// A producer, and the consumer in whose name it commits.
pub(super) struct Client {
    config: ClientConfig,
    output: Output,
    producer: Producer,
    consumer: Arc<BaseConsumer<Assignment>>,
    is_transactional: bool,
    /// Requests that were lost before the transaction was begun.
    losses: u64,
    stop: Arc<Stop>,
    /// Of the calls that the client library is known to hang in.
    pulse: Pulse,
}

impl Client {
    /// Connects the producer.
    ///
    /// # Errors
    /// When a property is unknown or has a wrong value, or the brokers refuse transactions.
    pub fn connect(
        config: &Config,
        consumer: Arc<BaseConsumer<Assignment>>,
        stop: Arc<Stop>,
        pulse: Pulse,
    ) -> Result<Self> {
        let (client, output) = (clients::producer(config), config.output.clone());
        let is_transactional = config.delivery == Delivery::ExactlyOnce;
        let producer = Producer::new(&client, &output, is_transactional)?;
        let this = Self { config: client, output, producer, consumer, is_transactional, losses: 0, stop, pulse };
        this.init(Some(INIT))?;
        Ok(this)
    }

    /// Makes the producer the only one of its transactional id: an earlier one's open transaction is aborted, and one
    /// that is being committed is waited for.
    fn init(&self, patience: Option<Duration>) -> Result<()> {
        if !self.is_transactional {
            return Ok(());
        }
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            let error = match self.pulse.call(|| self.producer.inner.init_transactions(PATIENCE)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let in_time = deadline.is_none_or(|deadline| Instant::now() < deadline);
            if !is_retriable(&error) || !in_time || self.stop.is_abandoned() {
                return Err(anyhow!("{}", clients::plain(&error))).context("no transactions can be made");
            }
            tracing::warn!("no transactions can be made yet, asking again: {}", clients::plain(&error));
        }
    }

    /// What a call comes to that works towards a commit: it may have come too late for that.
    fn answer_or_abort(&self, result: KafkaResult<()>) -> Answer {
        match result {
            Err(error) if is_hanging(&error) => self.answer(Err(error)),
            Err(error) if needs_abort(&error) || self.producer.has_failed() && !is_fatal(&error) => {
                Answer::MustAbort(clients::plain(&error))
            }
            result => self.answer(result),
        }
    }

    /// What a call comes to.
    fn answer(&self, result: KafkaResult<()>) -> Answer {
        let Err(error) = result else { return Answer::Done };
        if is_hanging(&error) {
            return Answer::Over("a call of the client library does not return".into());
        }
        let why = clients::plain(&error);
        if !is_retriable(&error) {
            return Answer::Over(why);
        }
        tracing::warn!("transaction: {why}; asking again");
        if !self.stop.is_abandoned() {
            thread::sleep(Duration::from_millis(100));
        }
        Answer::NotYet(why)
    }
}

impl Brokers for Client {
    type Member = Arc<ConsumerGroupMetadata>;

    fn send(&mut self, parcel: &mut Parcel) {
        self.producer.send(parcel, &self.stop);
    }

    fn destination(&self, parcel: &Parcel) -> String {
        parcel.destination(&self.output.dead_letters)
    }

    fn has_failed(&self) -> bool {
        self.producer.has_failed()
    }

    fn forget_failures(&mut self) {
        self.producer.forget_failures();
    }

    fn broken(&self) -> Option<&str> {
        self.producer.broken()
    }

    fn renew(&mut self) -> Result<()> {
        // Only when it is there the old one goes.
        self.producer = Producer::new(&self.config, &self.output, self.is_transactional)?;
        self.pulse.recover(|| self.init(None))
    }

    fn member(&self) -> Option<Self::Member> {
        let metadata = self.pulse.call(|| self.consumer.group_metadata());
        metadata.filter(|_| !self.consumer.assignment_lost()).map(Arc::new)
    }

    fn begin(&mut self) -> Answer {
        // One that is heard of later counts for this one, which does no harm.
        self.losses = self.producer.losses_heard();
        self.answer(self.pulse.call(|| self.producer.inner.begin_transaction()))
    }

    /// On a thread of its own, which is left behind if it hangs: librdkafka 2.12 never returns when the connection to the
    /// group's coordinator ends at the wrong moment (`rd_kafka_txn_handle_TxnOffsetCommit` forgets its caller on
    /// `_OUTDATED`). Its producer, which is left with it, is then replaced.
    fn add_offsets(&mut self, offsets: &[Watermark], member: &Self::Member) -> Answer {
        fail::fail_point!("transaction-before-offsets", |_| std::process::abort());
        let (offsets, member) = (assignment::list(offsets), Arc::clone(member));
        let inner = Arc::clone(&self.producer.inner);
        let result = self.pulse.call(|| {
            let (tell, told) = crossbeam_channel::bounded(1);
            thread::spawn(move || {
                let _ = tell.send(inner.send_offsets_to_transaction(&offsets, &member, PATIENCE));
            });
            let deadline = Instant::now() + 3 * PATIENCE;
            loop {
                match told.recv_timeout(Duration::from_millis(100)) {
                    Ok(result) => return result,
                    Err(_) if Instant::now() < deadline && !self.stop.is_abandoned() => {}
                    Err(_) => return Err(KafkaError::Canceled),
                }
            }
        });
        self.answer_or_abort(result)
    }

    fn commit(&mut self) -> Answer {
        fail::fail_point!("transaction-before-commit", |_| std::process::abort());
        let result = self.pulse.call(|| self.producer.inner.commit_transaction(PATIENCE));
        let answer = self.answer_or_abort(result);
        fail::fail_point!("transaction-after-commit", matches!(answer, Answer::Done), |_| std::process::abort());
        answer
    }

    fn abort(&mut self) -> Answer {
        self.answer(self.pulse.call(|| self.producer.inner.abort_transaction(PATIENCE)))
    }

    fn lost_a_request(&mut self) -> bool {
        fail::fail_point!("keep-the-producer", |_| false);
        // What can't be heard may have been lost.
        self.producer.losses().is_none_or(|losses| losses > self.losses)
    }

    fn leave(&mut self) {
        if let Err(error) = self.producer.inner.abort_transaction(FAREWELL) {
            tracing::warn!("the open transaction was not aborted, the brokers will do it: {}", clients::plain(&error));
        }
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, i64>> {
        let answer = self.pulse.recover(|| clients::committed(&self.consumer, partitions, PATIENCE));
        let known = |(key, offset): (_, KafkaResult<Option<_>>)| Some(offset.transpose()?.map(|offset| (key, offset)));
        let known: KafkaResult<_> = answer.and_then(|answer| answer.into_iter().filter_map(known).collect());
        known.map_err(|error| anyhow!(clients::plain(&error)))
    }
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
