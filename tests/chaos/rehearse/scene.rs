//! What came of an act.

use std::time::Duration;

use super::Act;
use super::meter::Sample;
use crate::arena::Outcome;
use crate::options::Delivery;

/// What came of an act.
pub struct Scene {
    /// Its name.
    pub name: &'static str,
    /// What happened, for the table.
    pub what: &'static str,
    /// What was promised.
    pub delivery: Delivery,
    /// So much lag is none.
    pub none: i64,
    /// Lag, results and pods over time.
    pub samples: Vec<Sample>,
    /// What happened, and when.
    pub events: Vec<(Duration, String)>,
    /// What was lost, duplicated, and so on.
    pub outcome: Outcome,
    /// From the start of each pod to its first record.
    pub first_records: Vec<Duration>,
    /// What is worth telling.
    pub notes: Vec<String>,
    /// What was not as it should be.
    pub failed: Vec<String>,
    /// Whether it could be played here.
    pub played: bool,
}

/// What an act says of the promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// All was as it should be.
    Kept,
    /// Something was not.
    Broken,
    /// Nothing: it could not be played here.
    NotPlayed,
}

impl Scene {
    /// Of an act.
    #[expect(clippy::too_many_arguments, reason = "each is a column, or behind one")]
    pub fn new(
        act: &Act,
        delivery: Delivery,
        none: i64,
        samples: Vec<Sample>,
        events: Vec<(Duration, String)>,
        outcome: Outcome,
        first_records: Vec<Duration>,
        notes: Vec<String>,
        failed: Vec<String>,
        played: bool,
    ) -> Self {
        let Act { name, what, .. } = *act;
        Self { name, what, delivery, none, samples, events, outcome, first_records, notes, failed, played }
    }

    /// What it says of the promises.
    pub fn verdict(&self) -> Verdict {
        let Outcome { account, exits, stalled } = &self.outcome;
        let good = account.keeps(self.delivery) && exits.is_empty() && stalled.is_empty() && self.failed.is_empty();
        match (good, self.played) {
            (false, _) => Verdict::Broken,
            (true, true) => Verdict::Kept,
            (true, false) => Verdict::NotPlayed,
        }
    }

    /// The most lag that there was.
    pub fn most_lag(&self) -> i64 {
        self.samples.iter().map(|sample| sample.lag).max().unwrap_or_default()
    }

    /// How long it took from the first event until the lag was none, and stayed so.
    pub fn drained(&self) -> Option<Duration> {
        let (first, _) = self.events.first()?;
        let last = self.samples.iter().rposition(|sample| sample.at > *first && sample.lag > self.none);
        let Some(last) = last else { return Some(Duration::ZERO) };
        self.samples.get(last + 1).map(|after| after.at.saturating_sub(*first))
    }

    /// The longest time, from the first event on, in which there was lag and no reader saw a new result.
    pub fn silence(&self) -> Duration {
        let first = self.events.first().map_or(Duration::ZERO, |(at, _)| *at);
        let (mut longest, mut since) = (Duration::ZERO, None::<Sample>);
        for sample in self.samples.iter().filter(|sample| sample.at >= first) {
            match since {
                Some(before) if before.visible == sample.visible && sample.lag > 0 => {
                    longest = longest.max(sample.at.saturating_sub(before.at));
                }
                _ => since = Some(*sample),
            }
        }
        longest
    }
}
