//! Notices what has stopped moving: a partition that has records and is not fetched, a record that is not finished
//! (G-50).
//!
//! The client library is known to leave a partition alone now and then after a rebalance, without a word. A stalled
//! partition is fetched anew; if that does not help, the worker stops with the reason, since a new one may do better.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::statistics::Statistics;

use crate::record::partition::TopicPartition;

/// A partition that has records and moves no further for so long is fetched anew.
const FETCH: Duration = Duration::from_secs(10);

/// So often, one after the other.
const RESTARTS: u32 = 6;

/// In flight for so long without anything finished, nor anything that waits for the brokers: the model hangs.
const WORK: Duration = Duration::from_mins(10);

/// A call of the client library that was to return within seconds and has not for so long never will.
const CALL: Duration = Duration::from_mins(1);

/// Knows of a call that is going on, so that another thread can tell if it hangs.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// When the call was made.
    call: Arc<Mutex<Option<Instant>>>,
    recovering: Arc<AtomicBool>,
}

impl Pulse {
    /// Makes the call.
    pub fn call<T>(&self, call: impl FnOnce() -> T) -> T {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let result = call();
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    /// Waits for brokers that are away, as long as that takes.
    pub fn recover<T>(&self, recover: impl FnOnce() -> T) -> T {
        self.recovering.store(true, Ordering::Release);
        let result = recover();
        self.recovering.store(false, Ordering::Release);
        result
    }

    /// Whether brokers are waited for: what is in flight can't be finished meanwhile.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.recovering.load(Ordering::Acquire)
    }

    /// Whether a call hangs.
    ///
    /// # Errors
    /// If it does.
    pub fn look(&self, now: Instant) -> Result<(), String> {
        let since = *self.call.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = since.is_some_and(|since| now.saturating_duration_since(since) >= CALL);
        if hangs {
            Err("a call of the client library for a transaction has not returned for a minute".into())
        } else {
            Ok(())
        }
    }
}

/// What the client library says of fetching a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetching {
    next: i64,
    /// Nothing can be expected now: all was fetched, or waits to be taken, or the broker is away.
    excused: bool,
    /// Where it is at its end, if it is and all before that was taken.
    end: Option<i64>,
}

impl Fetching {
    /// Where the partition is at its end, if it is and all before that was taken.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.end
    }

    #[cfg(test)]
    pub(super) fn at(end: Option<i64>) -> Self {
        Self { next: end.unwrap_or(0), excused: true, end }
    }
}

/// How fetching stands, by partition.
#[must_use]
pub fn fetching(statistics: &Statistics) -> HashMap<TopicPartition, Fetching> {
    let up: Vec<i32> =
        statistics.brokers.values().filter(|broker| broker.state == "UP").map(|broker| broker.nodeid).collect();
    let all = statistics.topics.values().flat_map(|topic| topic.partitions.values().map(move |it| (topic, it)));
    let wanted = all.filter(|(_, partition)| partition.desired);
    wanted
        .map(|(topic, partition)| {
            // The end that a `read_committed` reader sees, once it is known.
            let has_more = partition.ls_offset < 0 || partition.next_offset < partition.ls_offset;
            // What nobody has taken yet is no fault of the fetching.
            let waits = partition.fetchq_cnt > 0 || partition.fetch_state == "active" && !has_more;
            let excused = waits || !up.contains(&partition.leader);
            let key = (topic.topic.as_str().into(), partition.partition);
            let next = partition.next_offset;
            let ended = partition.fetch_state == "active" && partition.fetchq_cnt == 0 && next == partition.eof_offset;
            (key, Fetching { next, excused, end: (ended && next >= 0).then_some(next) })
        })
        .collect()
}

/// The watchdog. The clock is an argument, so that it can be tested without one.
#[derive(Debug, Default)]
pub struct Watchdog {
    partitions: HashMap<TopicPartition, Seen>,
    work: Option<(u64, Instant)>,
}

#[derive(Debug)]
struct Seen {
    next: i64,
    since: Instant,
    restarts: u32,
}

impl Watchdog {
    /// Looks at the partitions; gives those to be fetched anew.
    ///
    /// # Errors
    /// With the partition for which that was done often enough.
    pub fn look(
        &mut self,
        fetching: HashMap<TopicPartition, Fetching>,
        now: Instant,
    ) -> Result<Vec<TopicPartition>, String> {
        self.partitions.retain(|key, _| fetching.contains_key(key));
        let mut stalled = Vec::new();
        for (key, Fetching { next, excused, .. }) in fetching {
            let seen = self.partitions.entry(key.clone()).or_insert(Seen { next, since: now, restarts: 0 });
            if excused || next > seen.next {
                *seen = Seen { next, since: now, restarts: 0 };
            } else if now.duration_since(seen.since) >= FETCH {
                if seen.restarts == RESTARTS {
                    let (topic, partition) = key;
                    return Err(format!(
                        "{topic}/{partition} has records behind offset {next}, and fetching them anew {RESTARTS} times did not help"
                    ));
                }
                *seen = Seen { next, since: now, restarts: seen.restarts + 1 };
                stalled.push(key);
            }
        }
        Ok(stalled)
    }

    /// Nothing can be said for now: the group rebalances.
    pub fn excuse_all(&mut self) {
        self.partitions.clear();
    }

    /// Looks at the work: how many records were ever finished, and whether any is in flight that waits for the model.
    ///
    /// # Errors
    /// When nothing has been finished for too long.
    pub fn look_at_work(&mut self, finished: u64, waits: bool, now: Instant) -> Result<(), String> {
        match self.work.filter(|&(before, _)| waits && before == finished) {
            None => self.work = Some((finished, now)),
            Some((_, since)) if now.duration_since(since) < WORK => {}
            Some(_) => {
                return Err(format!(
                    "records are in flight, and none was finished for {} minutes",
                    WORK.as_secs() / 60
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(next: i64, excused: bool) -> HashMap<TopicPartition, Fetching> {
        HashMap::from([(("documents".into(), 3), Fetching { next, excused, end: None })])
    }

    #[test]
    fn a_partition_that_stands_still_is_fetched_anew_and_in_the_end_given_up() {
        let mut watchdog = Watchdog::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watchdog.look(one(7, false), at(0)), Ok(vec![]));
        assert_eq!(watchdog.look(one(7, false), at(9)), Ok(vec![]));
        for restart in 1..=u64::from(RESTARTS) {
            assert_eq!(watchdog.look(one(7, false), at(10 * restart)), Ok(vec![("documents".into(), 3)]));
        }
        let why = watchdog.look(one(7, false), at(10 * u64::from(RESTARTS) + 10)).unwrap_err();
        assert!(why.contains("documents/3 has records behind offset 7"), "{why}");
    }

    #[test]
    fn one_that_moves_or_is_excused_is_left_alone() {
        let mut watchdog = Watchdog::default();
        let start = Instant::now();
        for second in 0..100 {
            let (next, excused) = if second < 50 { (second, false) } else { (50, true) };
            let now = start + Duration::from_secs(second.try_into().unwrap());
            assert_eq!(watchdog.look(one(next, excused), now), Ok(vec![]));
        }
    }

    #[test]
    fn a_call_that_does_not_return_is_noticed() {
        let pulse = Pulse::default();
        pulse.look(Instant::now() + 2 * CALL).unwrap();
        pulse.call(|| {
            pulse.look(Instant::now()).unwrap();
            assert!(pulse.look(Instant::now() + CALL).is_err());
        });
        pulse.look(Instant::now() + 2 * CALL).unwrap();
    }

    #[test]
    fn work_that_stands_still_is_noticed_and_waiting_for_the_brokers_is_not() {
        let start = Instant::now();
        let mut watchdog = Watchdog::default();
        watchdog.look_at_work(5, true, start).unwrap();
        watchdog.look_at_work(5, true, start + WORK / 2).unwrap();
        watchdog.look_at_work(6, true, start + WORK).unwrap();
        watchdog.look_at_work(6, false, start + 3 * WORK).unwrap();
        watchdog.look_at_work(6, true, start + 3 * WORK + WORK / 2).unwrap();
        assert!(watchdog.look_at_work(6, true, start + 4 * WORK).is_err());
    }
}
