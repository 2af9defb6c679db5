//! Notices a flood of dead letters: something is wrong upstream, or with the configuration, rather than with a record
//! (G-10).

use std::collections::VecDeque;

use super::parcel::Parcel;
use super::transaction::Trouble;
use crate::config::DeadLetters;
use crate::record::envelope::Origin;

/// So many of the latest records make the ratio.
const LATEST: usize = 1000;

/// It says nothing about fewer.
const ENOUGH: usize = 100;

/// The latest records: which could not be tagged.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    settings: DeadLetters,
    in_a_row: u32,
    latest: VecDeque<bool>,
    rejected: usize,
}

impl Flood {
    pub fn new(settings: DeadLetters) -> Self {
        Self { settings, in_a_row: 0, latest: VecDeque::with_capacity(LATEST), rejected: 0 }
    }

    /// Takes note of what is about to be safe.
    ///
    /// # Errors
    /// When it makes the flood.
    pub fn saw(&mut self, parcel: &Parcel) -> Result<(), Trouble> {
        self.count(parcel.is_rejected()).map_err(|why| {
            let Origin { topic, partition, offset, .. } = &parcel.origin;
            Trouble::Flood(format!("{why}; the latest is {topic}/{partition}@{offset}"))
        })
    }

    fn count(&mut self, rejected: bool) -> Result<(), String> {
        self.in_a_row = if rejected { self.in_a_row + 1 } else { 0 };
        if self.latest.len() == LATEST {
            self.rejected -= usize::from(self.latest.pop_front() == Some(true));
        }
        self.latest.push_back(rejected);
        self.rejected += usize::from(rejected);

        if let Some(most) = self.settings.max_consecutive.filter(|&most| rejected && self.in_a_row >= most) {
            return Err(format!("{most} records in a row could not be tagged (dead_letters.max_consecutive)"));
        }
        let (rejected, of) = (self.rejected, self.latest.len());
        let ratio = rejected as f64 / of as f64;
        if let Some(most) = self.settings.max_ratio.filter(|&most| of >= ENOUGH && ratio > most) {
            return Err(format!(
                "{rejected} of the latest {of} records could not be tagged, more than {most} of them (dead_letters.max_ratio)"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

    fn flood(max_consecutive: Option<u32>, max_ratio: Option<f64>) -> Flood {
        Flood::new(DeadLetters { policy: Policy::DeadLetter, max_consecutive, max_ratio })
    }

    #[test]
    fn so_many_in_a_row_are_a_flood_and_a_good_one_between_is_a_bank() {
        let mut flood = flood(Some(3), None);
        let saw: Vec<_> = [true, true, false, true, true, true].map(|bad| flood.count(bad).is_ok()).into();
        assert_eq!(saw, [true, true, true, true, true, false]);
    }

    #[test]
    fn a_share_of_the_latest_is_a_flood_once_there_are_enough() {
        let mut flood = flood(None, Some(0.5));
        assert!((0..99).all(|n| flood.count(n % 3 != 0).is_ok()), "too few to tell");
        assert!(flood.count(true).is_err());
        let mut flood = self::flood(None, Some(0.5));
        assert!((0..5000).all(|n| flood.count(n % 2 == 1).is_ok()), "exactly half is not more than half");
        assert!((0..2000).any(|_| flood.count(true).is_err()));
    }
}
