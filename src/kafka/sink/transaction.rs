//! Transactions (KIP-98): what is sent, and the offsets it came from, become visible together or not at all (G-8).
//!
//! The offsets go with the metadata of the consumer's group (KIP-447): a worker that was thrown out of its group, and
//! does not know it yet, is refused by the group's coordinator (G-38). So one producer serves all partitions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::brokers::{Answer, Brokers};
use super::ending::{Next, Step};
use super::parcel::Parcel;
use crate::config::Transaction;
use crate::kafka::ledger::{Ledger, Watermark};
use crate::record::stop::Stop;

/// Why it does not go on as usual after a transaction.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It was aborted: what was in it has to be sent again.
    Aborted(String),
    /// The producer can't go on, and whether the transaction was committed is not known.
    Broken(String),
    /// It was committed, but a request of the producer may still arrive (KIP-890): there must be no other.
    Stray,
    /// It was not tried: there are too many dead letters.
    Flood(String),
}

/// A transaction that was committed.
#[derive(Debug)]
pub(super) struct Committed {
    /// Offsets that it took along of partitions which have moved without a record (past markers and what was aborted).
    pub moved: Vec<Watermark>,
    /// One of its requests may still arrive: the producer must not be used again.
    pub stray: bool,
}

/// The transactions of a producer, one after the other.
pub(super) struct Transactions {
    settings: Transaction,
    stop: Arc<Stop>,
    open: Option<Open>,
}

struct Open {
    due: Instant,
    bytes: u64,
}

impl Transactions {
    pub fn new(settings: Transaction, stop: Arc<Stop>) -> Self {
        Self { settings, stop, open: None }
    }

    /// Takes a parcel that is about to be sent into the open transaction, or into a new one.
    pub fn enter(&mut self, brokers: &mut impl Brokers, parcel: &Parcel) -> Result<(), Trouble> {
        self.open(brokers)?.bytes += parcel.size() as u64;
        Ok(())
    }

    fn open(&mut self, brokers: &mut impl Brokers) -> Result<&mut Open, Trouble> {
        if self.open.is_none() {
            match brokers.begin() {
                Answer::Done => {}
                Answer::NotYet(why) | Answer::MustAbort(why) | Answer::Over(why) => return Err(Trouble::Broken(why)),
            }
        }
        Ok(self.open.get_or_insert_with(|| Open { due: Instant::now() + self.settings.interval, bytes: 0 }))
    }

    /// Whether the open transaction with so many parcels should be committed now.
    pub fn is_due(&self, parcels: usize, now: Instant) -> bool {
        let full = |open: &Open| parcels >= self.settings.records || open.bytes >= self.settings.bytes.as_u64();
        self.open.as_ref().is_some_and(|open| now >= open.due || full(open))
    }

    /// Commits what was sent, and the offsets behind it. In vain if a partition was lost meanwhile. None if there is
    /// nothing to commit.
    pub fn commit<B: Brokers>(
        &mut self,
        brokers: &mut B,
        sent: &[&Parcel],
        ledger: &Ledger,
    ) -> Result<Option<Committed>, Trouble> {
        // The place in the group first (G-38): if the group moves on after the look at the leases, the coordinator refuses
        // it as outdated.
        let member = brokers.member();
        let behind = offsets_behind(sent);
        let is_sent = |(topic, partition, _): &Watermark| {
            behind.iter().any(|(one, number, _)| (one, number) == (topic, partition))
        };
        let moved: Vec<_> = ledger.to_commit().into_iter().filter(|moved| !is_sent(moved)).collect();
        if behind.is_empty() && moved.is_empty() {
            return Ok(None);
        }
        let lost = sent.iter().any(|parcel| parcel.origin.lease.is_gone());
        let Some(member) = member.filter(|_| !lost) else {
            let why = "partitions were lost meanwhile".to_owned();
            self.abort(brokers, why.clone())?;
            return Err(Trouble::Aborted(why));
        };
        self.open(brokers)?;
        let offsets: Vec<_> = behind.into_iter().chain(moved.iter().cloned()).collect();
        let stray = self.end(brokers, Step::AddOffsets((&offsets, &member)))?;
        Ok(Some(Committed { moved, stray }))
    }

    /// Aborts the open transaction, if there is one.
    pub fn abort<B: Brokers>(&mut self, brokers: &mut B, why: String) -> Result<(), Trouble> {
        if self.open.is_none() {
            return Ok(());
        }
        match self.end(brokers, Step::Abort(why)) {
            Ok(_) | Err(Trouble::Aborted(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Ends the open transaction: says whether a stray request is left of it.
    fn end<B: Brokers>(
        &mut self,
        brokers: &mut B,
        mut step: Step<(&[Watermark], &B::Member)>,
    ) -> Result<bool, Trouble> {
        loop {
            let answer = match step {
                Step::AddOffsets((offsets, member)) => brokers.add_offsets(offsets, member),
                Step::Commit { .. } => brokers.commit(),
                Step::Abort(_) => brokers.abort(),
            };
            let next = step.next(answer, || brokers.lost_a_request(), self.stop.is_abandoned());
            if !matches!(next, Next::Ask(_)) {
                self.open = None;
            }
            match next {
                Next::Ask(next) => step = next,
                Next::Committed { stray } => return Ok(stray),
                Next::Aborted(why) => return Err(Trouble::Aborted(why)),
                Next::Unknown(why) => return Err(Trouble::Broken(why)),
            }
        }
    }

    /// Forgets the open transaction: its producer is no more.
    pub fn forget(&mut self) {
        self.open = None;
    }

    /// Aborts the open transaction, so that readers need not wait for the brokers to do it; with little patience.
    pub fn leave(&mut self, brokers: &mut impl Brokers) {
        if self.open.take().is_some() {
            brokers.leave();
        }
    }
}

/// The offset behind the last record of each partition.
pub(super) fn offsets_behind(sent: &[&Parcel]) -> Vec<Watermark> {
    // In order within a partition: the last one counts.
    let behind = sent.iter().map(|parcel| &parcel.origin);
    let behind: HashMap<_, _> = behind.map(|origin| ((&origin.topic, origin.partition), origin.offset + 1)).collect();
    behind.into_iter().map(|((topic, partition), offset)| (Arc::clone(topic), partition, offset)).collect()
}
