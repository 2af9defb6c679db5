//! Brokers that answer as a script says: each byte decides what goes wrong next. At its end, nothing does any more.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Result as Answered, bail};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::brokers::{Answer, Brokers};
use super::super::parcel::{Parcel, Receipt};
use crate::config::Delivery;
use crate::kafka::ledger::Watermark;
use crate::record::partition::TopicPartition;

pub const TOPIC: &str = "in";
pub const PARTITIONS: i32 = 2;
/// Records in each partition.
pub const RECORDS: i64 = 8;

/// Which faults there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    All,
    /// All, and it is not told when a request is lost.
    Unnoticed,
}

/// A result: partition and offset of its record. Those of the second topic are numbered on.
type Written = (i32, i64);

/// Whether a record's result goes to a second topic, too.
pub fn has_copy(offset: i64) -> bool {
    offset % 2 == 1
}

#[derive(Clone, Debug)]
enum Request {
    Offsets(Vec<Watermark>),
    Commit,
    Abort,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Default)]
struct State {
    script: Vec<u8>,
    at: usize,
    /// Of the group.
    generation: u32,
    /// Written in the open transaction, and the offsets that it takes along.
    open: Vec<Written>,
    offsets: Vec<Watermark>,
    /// On the output topic for good, in order.
    visible: Vec<Written>,
    committed: HashMap<i32, i64>,
    /// First copies of the producer's requests that are still on their way.
    late: Vec<Request>,
    /// A transaction was begun, as far as the producer knows.
    begun: bool,
    lost: bool,
    failed: bool,
    broken: bool,
    /// A record was refused for what it is.
    refused: bool,
    /// Records that became dead letters, of which there is one.
    dead: HashSet<Written>,
    /// At-least-once: sent, and not acknowledged yet.
    waiting: Vec<(Receipt, Written)>,
    violation: Option<String>,
    /// A commit of more than so many results is not done in time.
    most: Option<usize>,
}

/// The brokers, as a producer of theirs sees them.
#[derive(Clone, Debug)]
pub struct World {
    shared: Arc<Mutex<State>>,
    delivery: Delivery,
    harm: Harm,
}

pub fn key(partition: i32) -> TopicPartition {
    (TOPIC.into(), partition)
}

impl State {
    /// Whether a record's results are there, on all topics that they are for.
    fn has_all(&self, is_there: impl Fn(&Written) -> bool, partition: i32, offset: i64) -> bool {
        let copies = has_copy(offset) && !self.dead.contains(&(partition, offset));
        is_there(&(partition, offset)) && (!copies || is_there(&(partition + PARTITIONS, offset)))
    }

    /// What goes wrong, of so many things; 0 is nothing.
    fn fault(&mut self, of: u8) -> u8 {
        self.at += 1;
        self.script.get(self.at - 1).map_or(0, |byte| byte % of)
    }

    fn apply(&mut self, request: Request) {
        match request {
            Request::Offsets(offsets) => self.offsets = offsets,
            Request::Commit => {
                self.visible.append(&mut self.open);
                for (_, partition, offset) in std::mem::take(&mut self.offsets) {
                    self.committed.insert(partition, offset);
                }
            }
            Request::Abort => {
                self.open.clear();
                self.offsets.clear();
            }
        }
    }

    /// A request whose first copy is held up somewhere.
    fn hold_up(&mut self, request: &Request) {
        self.late.push(request.clone());
        self.lost = true;
    }

    /// The latest moment for one that was held up.
    fn arrive(&mut self) {
        if !self.late.is_empty() && (self.at >= self.script.len() || self.fault(3) == 1) {
            let request = self.late.remove(0);
            self.apply(request);
        }
    }

    /// At-least-once: the broker acknowledges in order, or gives up one and all behind it.
    fn acknowledge(&mut self) {
        while !self.waiting.is_empty() {
            match self.fault(4) {
                0 => {
                    let (receipt, written) = self.waiting.remove(0);
                    self.visible.push(written);
                    receipt.set(Ok(())).unwrap();
                }
                1 => self.give_up(Code::MessageTimedOut),
                _ => break,
            }
        }
    }

    /// What waits is given up; the beginning of it may have been written.
    fn give_up(&mut self, code: Code) {
        let arrived = usize::from(self.fault(4)).min(self.waiting.len());
        for (n, (receipt, written)) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if n < arrived {
                self.visible.push(written);
            }
            receipt.set(Err(code)).unwrap();
            self.failed = true;
        }
    }

    /// The client library refuses what belongs to a transaction when none was begun.
    fn needs_a_transaction(&mut self, delivery: Delivery) {
        if delivery == Delivery::ExactlyOnce && !self.begun {
            self.violation = Some("no transaction was begun".into());
        }
    }

    fn ask(&mut self, request: &Request, may_be_late: bool) -> Answer {
        self.needs_a_transaction(Delivery::ExactlyOnce);
        let answer = self.answer(request, may_be_late);
        if !matches!(request, Request::Offsets(_)) && matches!(answer, Answer::Done) {
            self.begun = false;
        }
        // Meanwhile, the group moves on, or a message is given up.
        match self.fault(24) {
            1 => self.generation += 1,
            2 if matches!(request, Request::Offsets(_)) => self.failed = true,
            _ => {}
        }
        answer
    }

    fn answer(&mut self, request: &Request, may_be_late: bool) -> Answer {
        let (why, over) = ("as the script says", || Answer::Over("over".into()));
        match self.fault(16) {
            1 if may_be_late => {
                self.hold_up(request);
                self.apply(request.clone());
                Answer::Done
            }
            2 => Answer::NotYet(why.into()),
            3 => {
                self.apply(request.clone());
                Answer::NotYet(why.into())
            }
            4 => {
                self.hold_up(request);
                Answer::NotYet(why.into())
            }
            5 => {
                self.lost = true;
                self.apply(request.clone());
                Answer::NotYet(why.into())
            }
            6 if !matches!(request, Request::Abort) => Answer::MustAbort(why.into()),
            7 => {
                self.hold_up(request);
                over()
            }
            8 => {
                self.apply(request.clone());
                over()
            }
            9 => {
                // The transaction was open for too long.
                self.apply(Request::Abort);
                over()
            }
            _ => {
                self.apply(request.clone());
                Answer::Done
            }
        }
    }
}

impl World {
    pub fn new(script: &[u8], delivery: Delivery, harm: Harm) -> Self {
        let state = State { script: script.to_vec(), ..State::default() };
        Self { shared: Arc::new(Mutex::new(state)), delivery, harm }
    }

    /// A line that takes no more than so many results in the time that a commit has.
    pub fn slow(self, most: usize) -> Self {
        self.state().most = Some(most);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }

    /// Any of so many; the last one once the script is over.
    pub fn choose(&self, of: u8) -> u8 {
        let mut state = self.state();
        if state.at < state.script.len() { state.fault(of) } else { of - 1 }
    }

    /// Nothing goes wrong from here on.
    pub fn is_calm(&self) -> bool {
        let state = self.state();
        state.at >= state.script.len() && state.late.is_empty()
    }

    /// A worker has come; of one before it, nothing is left but what is on its way to the topic.
    pub fn joined(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.give_up(Code::PurgeInflight);
        fence(&mut state);
    }

    /// The group has shared out its partitions anew.
    pub fn rebalanced(&self) {
        self.state().generation += 1;
    }

    pub fn committed_in(&self, partition: i32) -> i64 {
        self.state().committed.get(&partition).copied().unwrap_or(0)
    }

    /// At-least-once: the source's own commit.
    pub fn commit_offsets(&self, due: &[Watermark]) {
        let mut state = self.state();
        for (_, partition, offset) in due {
            let safe: HashSet<_> = state.visible.iter().collect();
            let is_lost = |offset: &i64| !state.has_all(|one| safe.contains(one), *partition, *offset);
            if let Some(lost) = (0..*offset).find(is_lost) {
                state.violation = Some(format!("{offset} of {partition} is committed, and {lost} is not there"));
            }
            state.committed.insert(*partition, *offset);
        }
    }

    pub fn check(&self) -> Result<(), String> {
        self.state().violation.clone().map_or(Ok(()), Err)
    }

    /// All is there, and committed.
    pub fn is_complete(&self) -> Result<(), String> {
        let state = self.state();
        for partition in 0..PARTITIONS {
            let committed = state.committed.get(&partition);
            if committed != Some(&RECORDS) {
                return Err(format!("committed in {partition}: {committed:?} of {RECORDS}"));
            }
            let is_lost = |offset: &i64| !state.has_all(|one| state.visible.contains(one), partition, *offset);
            if let Some(lost) = (0..RECORDS).find(is_lost) {
                return Err(format!("{lost} of {partition} is lost"));
            }
        }
        Ok(())
    }

    pub fn each_once_in_order(&self) -> Result<(), String> {
        let state = self.state();
        for partition in 0..PARTITIONS {
            let seen: Vec<_> = state.visible.iter().filter(|(of, _)| *of == partition).map(|(_, at)| *at).collect();
            if seen != (0..RECORDS).collect::<Vec<_>>() {
                return Err(format!("partition {partition}: {seen:?}"));
            }
            let copies = state.visible.iter().filter(|(of, _)| *of == partition + PARTITIONS).map(|(_, at)| *at);
            let has_copy = |offset: &i64| has_copy(*offset) && !state.dead.contains(&(partition, *offset));
            let (seen, due): (Vec<_>, Vec<_>) = (copies.collect(), (0..RECORDS).filter(has_copy).collect());
            if seen != due {
                return Err(format!("copies of partition {partition}: {seen:?}, and {due:?} are due"));
            }
        }
        Ok(())
    }

    /// Unless a record was refused, whose neighbours may change places (G-2).
    pub fn first_ones_in_order(&self) -> Result<(), String> {
        let state = self.state();
        for partition in 0..PARTITIONS {
            let mut seen = Vec::new();
            for (of, at) in &state.visible {
                if *of == partition && !seen.contains(at) {
                    seen.push(*at);
                }
            }
            if !state.refused && !seen.is_sorted() {
                return Err(format!("partition {partition}: {seen:?}"));
            }
        }
        Ok(())
    }

    fn send_one(&self, state: &mut State, written: Written, may_be_refused: bool) -> Receipt {
        let receipt = Receipt::default();
        let fault = state.fault(16);
        let failure = match fault {
            1 if may_be_refused => {
                state.refused = true;
                Some(Code::MessageSizeTooLarge)
            }
            2 => Some(Code::MessageTimedOut),
            3 => {
                state.broken = true;
                Some(Code::Fatal)
            }
            _ => None,
        };
        match (failure, self.delivery) {
            (Some(code), _) => {
                state.failed = true;
                receipt.set(Err(code)).unwrap();
                // It keeps the order: what is behind one that it gave up fails with it.
                if code != Code::MessageSizeTooLarge {
                    state.give_up(Code::PurgeQueue);
                }
            }
            (None, Delivery::ExactlyOnce) => {
                state.open.push(written);
                receipt.set(Ok(())).unwrap();
            }
            (None, Delivery::AtLeastOnce) => state.waiting.push((Arc::clone(&receipt), written)),
        }
        receipt
    }
}

/// A new producer: what its predecessor has open is aborted, and what comes late of it is refused.
fn fence(state: &mut State) {
    state.apply(Request::Abort);
    state.late.clear();
    (state.begun, state.lost, state.failed, state.broken) = (false, false, false, false);
}

impl Brokers for World {
    type Member = u32;

    fn send(&mut self, parcel: &mut Parcel) {
        let mut state = self.state();
        state.arrive();
        state.needs_a_transaction(self.delivery);
        let messages = parcel.contents().len() as i32;
        let (partition, offset) = (parcel.origin.partition, parcel.origin.offset);
        if parcel.rejection().is_some() {
            state.dead.insert((partition, offset));
        } else {
            // Another worker may have better luck with it.
            state.dead.remove(&(partition, offset));
        }
        let send = |n| self.send_one(&mut state, (partition + n * PARTITIONS, offset), parcel.rejection().is_none());
        parcel.receipts = (0..messages).map(send).collect();
    }

    fn destination(&self, _: &Parcel) -> String {
        "out".into()
    }

    fn has_failed(&self) -> bool {
        let mut state = self.state();
        if self.delivery == Delivery::AtLeastOnce {
            state.acknowledge();
        }
        state.failed
    }

    fn forget_failures(&mut self) {
        self.state().failed = false;
    }

    fn broken(&self) -> Option<&str> {
        self.state().broken.then_some("broken")
    }

    fn renew(&mut self) -> Answered<()> {
        let mut state = self.state();
        state.arrive();
        if state.fault(12) == 1 {
            bail!("no new producer");
        }
        state.give_up(Code::PurgeInflight);
        fence(&mut state);
        Ok(())
    }

    fn member(&self) -> Option<u32> {
        let mut state = self.state();
        (state.fault(12) != 1).then_some(state.generation)
    }

    fn begin(&mut self) -> Answer {
        let mut state = self.state();
        state.arrive();
        state.lost = false;
        if state.begun {
            state.violation = Some("a transaction is begun in another".into());
        }
        if state.fault(20) == 1 {
            return Answer::Over("no transaction".into());
        }
        state.begun = true;
        Answer::Done
    }

    fn add_offsets(&mut self, offsets: &[Watermark], member: &u32) -> Answer {
        let mut state = self.state();
        state.arrive();
        if *member != state.generation {
            return Answer::MustAbort("the group has moved on".into());
        }
        state.ask(&Request::Offsets(offsets.to_vec()), true)
    }

    fn commit(&mut self) -> Answer {
        let mut state = self.state();
        state.arrive();
        if state.failed {
            return Answer::MustAbort("a message has failed".into());
        }
        if state.most.is_some_and(|most| state.open.len() > most) {
            state.lost = true;
            return Answer::NotYet("not all of it was sent in time".into());
        }
        state.ask(&Request::Commit, true)
    }

    fn abort(&mut self) -> Answer {
        let mut state = self.state();
        state.arrive();
        state.ask(&Request::Abort, true)
    }

    fn lost_a_request(&mut self) -> bool {
        self.harm != Harm::Unnoticed && self.state().lost
    }

    fn leave(&mut self) {}

    fn committed(&mut self, partitions: &[TopicPartition]) -> Answered<HashMap<TopicPartition, i64>> {
        let mut state = self.state();
        if state.fault(6) == 1 {
            bail!("no answer");
        }
        let known = |partition: &TopicPartition| Some((partition.clone(), *state.committed.get(&partition.1)?));
        Ok(partitions.iter().filter_map(known).collect())
    }
}
