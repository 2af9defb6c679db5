//! Commits under at-least-once, and at the end. Each is made on a thread of its own, which waits for the answer: the client
//! library does not tell rdkafka what came of one that is not waited for.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::POLL;
use super::assignment::{Assignment, list};
use super::end::End;
use crate::kafka::clients;
use crate::kafka::ledger::Ledger;

/// How long the last commit, and then leaving the group, may take each.
const FINISH_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the last commit is tried again: a group that rebalances takes none until all its members are there.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Commits what is due, if anything is.
pub fn commit(consumer: &Arc<BaseConsumer<Assignment>>, ledger: &Arc<Ledger>) -> Option<JoinHandle<()>> {
    let due = ledger.to_commit();
    fail::fail_point!("before-commit", !due.is_empty(), |_| std::process::abort());
    if due.is_empty() {
        return None;
    }
    let (consumer, ledger) = (Arc::clone(consumer), Arc::clone(ledger));
    Some(thread::spawn(move || match consumer.commit(&list(&due), CommitMode::Sync) {
        Ok(()) => ledger.committed(&due),
        Err(error) if is_of_rebalance(&error) => tracing::debug!("offsets wait for the group: {error}"),
        Err(error) => tracing::warn!("offsets were not committed, trying again: {}", clients::plain(&error)),
    }))
}

/// A group that rebalances takes no offsets for a while; those of lost partitions it never takes.
fn is_of_rebalance(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{IllegalGeneration, RebalanceInProgress, StaleMemberEpoch, UnknownMemberId};
    let codes = [IllegalGeneration, RebalanceInProgress, StaleMemberEpoch, UnknownMemberId];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

/// Commits the `rest`, and leaves the group. Brokers that are gone must not hold it up: so it is done on the side, and
/// waited for with patience. Polling goes on meanwhile: a rebalance that can't end would refuse the commit for ever.
///
/// # Errors
/// When what was done can't be committed, or a bounded run is not complete.
pub fn finish(
    consumer: Arc<BaseConsumer<Assignment>>,
    ledger: Arc<Ledger>,
    end: Option<End>,
    earlier: [Option<JoinHandle<()>>; 3],
    rest: bool,
) -> Result<()> {
    consumer.context().prefetched().end();
    let (tell, told) = crossbeam_channel::unbounded();
    let committing = {
        let consumer = Arc::clone(&consumer);
        thread::spawn(move || {
            earlier.into_iter().flatten().for_each(|earlier| drop(earlier.join()));
            drop(tell.send(if rest { commit_the_rest(&consumer, &ledger) } else { Ok(()) }));
            drop(tell.send(end.map_or(Ok(()), |end| end.check_committed(&consumer))));
        })
    };
    let deadline = Instant::now() + FINISH_TIMEOUT;
    while !committing.is_finished() && Instant::now() < deadline {
        // What comes is not entered into the ledger, so it is not committed either.
        drop(consumer.poll(POLL));
    }
    let mut results = Ok(());
    for _ in 0..2 {
        let answer = told.try_recv().unwrap_or_else(|_| Err(anyhow!("no answer from the brokers to the last commit")));
        results = results.and(answer);
    }
    let leaving = thread::spawn(move || drop(consumer));
    let deadline = Instant::now() + FINISH_TIMEOUT;
    while !leaving.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    results
}

/// The last commit, again and again while the group rebalances: what is revoked meanwhile is committed there.
fn commit_the_rest(consumer: &BaseConsumer<Assignment>, ledger: &Ledger) -> Result<()> {
    let deadline = Instant::now() + COMMIT_TIMEOUT;
    loop {
        let due = ledger.to_commit();
        let Err(error) = (if due.is_empty() { Ok(()) } else { consumer.commit(&list(&due), CommitMode::Sync) }) else {
            ledger.committed(&due);
            return Ok(());
        };
        if Instant::now() > deadline {
            let error = clients::plain(&error);
            bail!("the last offsets were not committed, their records will be read again: {error}");
        }
        thread::sleep(POLL);
    }
}
