//! Sees to it that each outcome is safe with the brokers before its offset is committed.
//!
//! What was handed over waits in one queue, in order, until it is safe: acknowledged by the broker under at-least-once,
//! committed by a transaction under exactly-once (G-1, G-8). So whatever fails can be sent again from there, in order,
//! and nothing has to be fetched or tagged again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rdkafka::error::RDKafkaErrorCode;

use super::brokers::Brokers;
use super::flood::Flood;
use super::pace::Pace;
use super::parcel::{Kind, Parcel, is_echo};
use super::transaction::{self, Transactions, Trouble};
use crate::config::{Config, Delivery, Policy, Retries};
use crate::kafka::ledger::Ledger;
use crate::kafka::tally::Tally;
use crate::pipeline::sink::Sink;
use crate::record::envelope::Origin;
use crate::record::outcome::{Outcome, Passed, Routed};
use crate::record::partition::TopicPartition;
use crate::record::rejection::Rejection;
use crate::record::stop::Stop;
use crate::telemetry::metrics::Metrics;

/// A transaction for offsets alone (those behind markers and aborted records) is made only after so long a rest.
const REST: Duration = Duration::from_secs(1);

/// Delivers what it is handed. It decides; the brokers are asked by `B`.
pub(super) struct Deliveries<B: Brokers> {
    brokers: B,
    /// Under exactly-once.
    transactions: Option<Transactions>,
    /// What was handed over and is not safe yet, in order.
    pending: VecDeque<Parcel>,
    /// So many of them, from the front, were sent.
    sent: usize,
    /// When a transaction was committed last, or tried.
    last_commit: Instant,
    pace: Pace,
    retries: Retries,
    policy: Policy,
    flood: Flood,
    ledger: Arc<Ledger>,
    books: Books,
    stop: Arc<Stop>,
}

/// Where it is counted what is safe.
pub(super) struct Books {
    pub metrics: Arc<Metrics>,
    /// Where a manifest is asked for.
    pub tally: Option<Arc<Tally>>,
}

impl<B: Brokers> Deliveries<B> {
    pub fn new(config: &Config, brokers: B, ledger: Arc<Ledger>, books: Books, stop: Arc<Stop>) -> Self {
        let transactions = (config.delivery == Delivery::ExactlyOnce)
            .then(|| Transactions::new(config.transaction.clone(), Arc::clone(&stop)));
        Self {
            brokers,
            transactions,
            pending: VecDeque::new(),
            sent: 0,
            last_commit: Instant::now(),
            pace: Pace::new(config.retries.clone()),
            retries: config.retries.clone(),
            policy: config.dead_letters.policy,
            flood: Flood::new(config.dead_letters.clone()),
            ledger,
            books,
            stop,
        }
    }

    /// Looks at what came of what was sent, and sends more.
    fn advance(&mut self) -> Result<()> {
        if self.stop.is_abandoned() || self.pace.waits(Instant::now()) {
            return Ok(());
        }
        self.conclude().and_then(|()| self.send_more()).or_else(|trouble| self.recover(trouble))
    }

    /// Lets go of what is safe.
    fn conclude(&mut self) -> Result<(), Trouble> {
        if let Some(why) = self.brokers.broken() {
            return Err(Trouble::Broken(why.to_owned()));
        }
        let Some(transactions) = &mut self.transactions else { return self.collect_acknowledged() };
        if self.brokers.has_failed() {
            let why = "a message was refused".to_owned();
            transactions.abort(&mut self.brokers, why.clone())?;
            return Err(Trouble::Aborted(why));
        }
        let hurry = self.sent >= self.pace.limit() || self.ledger.is_awaited();
        let due = self.sent > 0 && (hurry || transactions.is_due(self.sent, Instant::now()));
        // Nothing is under way: all that there is to commit is what was passed over.
        let rests = || self.pending.is_empty() && self.last_commit.elapsed() >= REST;
        if due || rests() && !self.ledger.to_commit().is_empty() {
            self.last_commit = Instant::now();
            self.commit_transaction()?;
        }
        Ok(())
    }

    /// Commits what was sent, if anything was, and the offsets.
    fn commit_transaction(&mut self) -> Result<(), Trouble> {
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        let sent: Vec<_> = self.pending.iter().take(self.sent).collect();
        let mut flood = self.flood.clone();
        sent.iter().try_for_each(|parcel| flood.saw(parcel))?;
        let Some(committed) = transactions.commit(&mut self.brokers, &sent, &self.ledger)? else { return Ok(()) };
        self.flood = flood;
        self.ledger.settle(sent.iter().map(|parcel| &parcel.origin));
        self.ledger.committed(&committed.moved);
        self.books.metrics.transactions.add(1);
        self.pending.drain(..self.sent).for_each(|parcel| self.books.safe(&parcel));
        self.sent = 0;
        self.pace.went_well();
        if committed.stray { Err(Trouble::Stray) } else { Ok(()) }
    }

    /// At-least-once: what the broker has acknowledged leaves from the front. After a failure all that was sent is waited
    /// for first.
    fn collect_acknowledged(&mut self) -> Result<(), Trouble> {
        let before = self.sent;
        while self.sent > 0 && self.pending[0].answer() == Some(Ok(())) {
            self.let_go(0)?;
            self.sent -= 1;
        }
        if self.sent == 0 {
            if before > 0 {
                self.pace.went_well();
            }
        } else if self.brokers.has_failed()
            && self.pending.iter().take(self.sent).all(|parcel| parcel.answer().is_some())
        {
            return Err(Trouble::Aborted("a message was not acknowledged".into()));
        }
        Ok(())
    }

    /// At-least-once: a parcel is safe, and its offset may be committed; unless it makes a flood.
    fn let_go(&mut self, index: usize) -> Result<(), Trouble> {
        self.flood.saw(&self.pending[index])?;
        if let Some(parcel) = self.pending.remove(index) {
            self.ledger.acknowledge(&parcel.origin);
            self.books.safe(&parcel);
        }
        Ok(())
    }

    fn send_more(&mut self) -> Result<(), Trouble> {
        while self.sent < self.pace.limit() && !self.brokers.has_failed() {
            let Some(parcel) = self.pending.get_mut(self.sent) else { break };
            if parcel.origin.lease.is_gone() {
                self.pending.remove(self.sent);
                continue;
            }
            if let Some(transactions) = &mut self.transactions {
                transactions.enter(&mut self.brokers, parcel)?;
            }
            self.brokers.send(parcel);
            self.sent += 1;
            let full = |transactions: &Transactions| transactions.is_due(self.sent, Instant::now());
            if self.transactions.as_ref().is_some_and(full) {
                break;
            }
        }
        Ok(())
    }

    /// What was sent and is not safe will be sent again, if that makes sense: changed, alone, or later (G-17).
    fn recover(&mut self, trouble: Trouble) -> Result<()> {
        if self.stop.is_abandoned() {
            return Ok(());
        }
        let sent = mem::take(&mut self.sent);
        let why = match trouble {
            Trouble::Flood(why) => bail!(why),
            Trouble::Stray => {
                tracing::info!("a request may have been lost on the way to the brokers: a new producer goes on");
                return self.renew(sent);
            }
            Trouble::Aborted(why) => why,
            // The brokers may have closed a transaction that was open for too long, or a static member's successor is
            // there: which of them it is, the group tells (it ends the consumer of a member that was replaced, and takes
            // no offsets of it).
            Trouble::Broken(why) => {
                let (wait, _) = self.pace.back_off(sent / 2, Instant::now());
                self.books.metrics.retries.add(1);
                tracing::warn!("the producer can't go on, and is replaced in {} ms: {why}", wait.as_millis());
                self.rest(wait);
                return self.renew(sent);
            }
        };
        self.books.metrics.retries.add(1);
        self.brokers.forget_failures();
        let mut failed = sent;
        if self.transactions.is_none() {
            for index in (0..sent).rev() {
                if self.pending[index].answer() == Some(Ok(())) {
                    if let Err(flood) = self.let_go(index) {
                        return self.recover(flood);
                    }
                    failed -= 1;
                }
            }
        }
        let answers = self.pending.iter().take(failed).map(Parcel::answer).enumerate();
        let codes = answers.filter_map(|(index, answer)| Some((index, answer?.err()?)));
        let codes: Vec<_> = codes.filter(|(_, code)| !is_echo(*code)).collect();
        let is_refused = |&&(index, code): &&(usize, _)| self.pending[index].is_refused(code);
        let refused: Vec<_> = codes.iter().filter(is_refused).copied().collect();
        match *refused {
            [(culprit, code)] => return self.change(culprit, code),
            [] => {}
            _ => {
                self.pace.narrow(refused.len());
                return Ok(());
            }
        }
        let why = codes.first().map_or(why, |(_, code)| code.to_string());
        let (wait, attempt) = self.pace.back_off(failed / 2, Instant::now());
        if let Some(&(index, code)) = codes.iter().find(|(_, code)| is_rejection(*code, attempt > self.retries.max)) {
            let parcel = &self.pending[index];
            let (Origin { topic, partition, offset, .. }, to) = (&parcel.origin, self.brokers.destination(parcel));
            bail!("what came of {topic}/{partition}@{offset} can't be delivered to `{to}`: {code}");
        }
        tracing::warn!("delivery: {why}; trying again in {} ms (attempt {attempt} failed)", wait.as_millis());
        Ok(())
    }

    /// The broker refuses one record for what it is.
    fn change(&mut self, culprit: usize, code: RDKafkaErrorCode) -> Result<()> {
        let parcel = &mut self.pending[culprit];
        parcel.instead(code, self.policy).map_err(|rejection| stopped(&parcel.origin, &rejection))
    }

    /// Waits, but not when there is no time left.
    fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.stop.is_abandoned() {
            thread::sleep(time.min(Duration::from_millis(50)));
        }
    }

    /// Makes a new producer. Under exactly-once, whether the last transaction was committed is not known: the group's
    /// committed offsets tell.
    fn renew(&mut self, sent: usize) -> Result<()> {
        if let Err(error) = self.brokers.renew() {
            // What was asked in vain when there was no time left is no failure.
            return if self.stop.is_abandoned() { Ok(()) } else { Err(error) };
        }
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        transactions.forget();
        if sent == 0 {
            return Ok(());
        }
        let committed = loop {
            let held = self.pending.iter().filter(|parcel| !parcel.origin.lease.is_gone());
            let partitions: HashSet<TopicPartition> =
                held.map(|parcel| (Arc::clone(&parcel.origin.topic), parcel.origin.partition)).collect();
            match self.brokers.committed(&partitions.into_iter().collect::<Vec<_>>()) {
                Ok(committed) => break committed,
                Err(_) if self.stop.is_abandoned() => return Ok(()),
                Err(error) => tracing::warn!("the committed offsets are not known yet, asking again: {error:#}"),
            }
            self.rest(self.retries.backoff);
        };
        // Where that transaction would have ended: any other offset is not its, but may be of a log that is no more.
        let sent: Vec<_> = self.pending.iter().take(sent).collect();
        let ends = transaction::offsets_behind(&sent).into_iter().map(|(topic, number, end)| ((topic, number), end));
        let ends: HashMap<TopicPartition, i64> = ends.collect();
        let is_done = |origin: &Origin| {
            let key = (Arc::clone(&origin.topic), origin.partition);
            let behind = committed.get(&key).filter(|behind| ends.get(&key) == Some(*behind));
            !origin.lease.is_gone() && behind.is_some_and(|behind| origin.offset < *behind)
        };
        let (done, rest) = self.pending.drain(..).partition::<Vec<_>, _>(|parcel| is_done(&parcel.origin));
        self.ledger.settle(done.iter().map(|parcel| &parcel.origin));
        for parcel in &done {
            self.books.safe(parcel);
        }
        self.pending = rest.into();
        Ok(())
    }
}

impl Books {
    /// Counts a parcel that is safe.
    fn safe(&self, parcel: &Parcel) {
        match &parcel.kind {
            Kind::Enriched(_) => &self.metrics.enriched,
            Kind::Tombstone(_) => &self.metrics.tombstones,
            Kind::Filtered => &self.metrics.filtered,
            Kind::DeadLetter(rejection) | Kind::BareDeadLetter(rejection) => {
                self.metrics.dead_letters_of(rejection.stage)
            }
            Kind::Skipped(_) => &self.metrics.skipped,
        }
        .add(1);
        self.metrics.acknowledged(parcel.fetched);
        let Some(tally) = &self.tally else { return };
        tally.count(&parcel.origin, |account, id| match &parcel.kind {
            Kind::Enriched(Routed { enriched, to, .. }) => {
                account.enriched(id, &enriched.value);
                account.went(to.all().map(|to| &*to.topic));
            }
            Kind::Tombstone(Passed { to, .. }) => {
                account.tombstone(id);
                account.went(to.all().map(|to| &*to.topic));
            }
            Kind::Filtered => account.filtered(),
            Kind::DeadLetter(_) | Kind::BareDeadLetter(_) => account.dead_letter(id),
            Kind::Skipped(_) => account.skipped(),
        });
    }
}

/// Errors that stay, however often it is tried; some are believed only after a while, since topics and brokers come and
/// go (G-52).
fn is_rejection(code: RDKafkaErrorCode, after_a_while: bool) -> bool {
    use RDKafkaErrorCode as Code;
    match code {
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::PolicyViolation
        | Code::InvalidRequiredAcks
        | Code::UnsupportedForMessageFormat => true,
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::InvalidTopic => {
            after_a_while
        }
        _ => false,
    }
}

fn stopped(origin: &Origin, rejection: &Rejection) -> anyhow::Error {
    let Origin { topic, partition, offset, .. } = origin;
    let Rejection { stage, message, .. } = rejection;
    anyhow!("{topic}/{partition}@{offset}, {}: {message} (dead_letters.policy)", stage.name())
}

impl<B: Brokers> Sink for Deliveries<B> {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        if !self.ledger.send(outcome.origin()) {
            // The partition has gone to another worker, which does this record again.
            return Ok(());
        }
        let origin = outcome.origin().clone();
        let parcel = Parcel::of(outcome, self.policy).map_err(|rejection| stopped(&origin, &rejection))?;
        self.pending.push_back(parcel);
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        self.advance()
    }
}

impl<B: Brokers> Drop for Deliveries<B> {
    fn drop(&mut self) {
        if let Some(transactions) = &mut self.transactions {
            transactions.leave(&mut self.brokers);
        }
    }
}
