//! Notices a flood of dead letters: something is wrong upstream, or with the configuration, rather than with a record
//! (G-10).

use std::collections::VecDeque;

use super::parcel::Parcel;
use super::transaction::Trouble;
use crate::config::DeadLetters;
use crate::record::envelope::Origin;
use crate::record::rejection::Rejection;

/// So many of the latest records make the ratio.
const LATEST: usize = 1000;

/// It says nothing about fewer.
const ENOUGH: usize = 100;

/// The latest records: which could not be tagged, and why.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    settings: DeadLetters,
    in_a_row: u32,
    /// The class of each that could not.
    latest: VecDeque<Option<&'static str>>,
    rejected: usize,
    /// The latest of them.
    last: Option<Rejection>,
}

impl Flood {
    pub fn new(settings: DeadLetters) -> Self {
        Self { settings, in_a_row: 0, latest: VecDeque::with_capacity(LATEST), rejected: 0, last: None }
    }

    /// Takes note of what is about to be safe.
    ///
    /// # Errors
    /// When it makes the flood.
    pub fn saw(&mut self, parcel: &Parcel) -> Result<(), Trouble> {
        self.count(parcel.rejection()).map_err(|why| {
            let Origin { topic, partition, offset, .. } = &parcel.origin;
            Trouble::Flood(format!("{why}; the latest is {topic}/{partition}@{offset}"))
        })
    }

    fn count(&mut self, rejection: Option<&Rejection>) -> Result<(), String> {
        self.in_a_row = if rejection.is_some() { self.in_a_row + 1 } else { 0 };
        if self.latest.len() == LATEST {
            self.rejected -= usize::from(self.latest.pop_front().flatten().is_some());
        }
        self.latest.push_back(rejection.map(|rejection| rejection.class));
        self.rejected += usize::from(rejection.is_some());
        self.last = rejection.cloned().or(self.last.take());

        if let Some(most) = self.settings.max_consecutive.filter(|&most| rejection.is_some() && self.in_a_row >= most) {
            let reason = self.reason(most as usize);
            return Err(format!("{most} records in a row could not be tagged (dead_letters.max_consecutive){reason}"));
        }
        let (rejected, of) = (self.rejected, self.latest.len());
        let ratio = rejected as f64 / of as f64;
        if let Some(most) = self.settings.max_ratio.filter(|&most| of >= ENOUGH && ratio > most) {
            let reason = self.reason(of);
            return Err(format!(
                "{rejected} of the latest {of} records could not be tagged, more than {most} of them \
                 (dead_letters.max_ratio){reason}"
            ));
        }
        Ok(())
    }

    /// Why the last was refused, and how many of so many latest records were for the like.
    fn reason(&self, of: usize) -> String {
        let Some(last) = &self.last else { return String::new() };
        let of = of.min(self.latest.len());
        let same = self.latest.iter().rev().take(of).filter(|class| **class == Some(last.class)).count();
        format!(": {same} of {of} are {} ({}: {})", last.class, last.stage.name(), last.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::rejection::Stage;

    fn refused(class: &'static str) -> Rejection {
        Rejection::new(Stage::Decode, class, format!("it is {class}"))
    }

    fn count(flood: &mut Flood, bad: bool) -> Result<(), String> {
        flood.count(bad.then(|| refused("NotJson")).as_ref())
    }

    fn flood(max_consecutive: Option<u32>, max_ratio: Option<f64>) -> Flood {
        Flood::new(DeadLetters { max_consecutive, max_ratio, ..DeadLetters::default() })
    }

    #[test]
    fn so_many_in_a_row_are_a_flood_and_a_good_one_between_is_a_bank() {
        let mut flood = flood(Some(3), None);
        let saw: Vec<_> = [true, true, false, true, true, true].map(|bad| count(&mut flood, bad).is_ok()).into();
        assert_eq!(saw, [true, true, true, true, true, false]);
    }

    #[test]
    fn a_share_of_the_latest_is_a_flood_once_there_are_enough() {
        let mut flood = flood(None, Some(0.5));
        assert!((0..99).all(|n| count(&mut flood, n % 3 != 0).is_ok()), "too few to tell");
        assert!(count(&mut flood, true).is_err());
        let mut flood = self::flood(None, Some(0.5));
        assert!((0..5000).all(|n| count(&mut flood, n % 2 == 1).is_ok()), "exactly half is not more than half");
        assert!((0..2000).any(|_| count(&mut flood, true).is_err()));
    }

    #[test]
    fn a_flood_says_of_what_kind_it_is_and_how_much_of_it() {
        let mut flood = flood(Some(4), None);
        for class in ["SchemaRegistry", "NotJson", "SchemaRegistry"] {
            flood.count(Some(&refused(class))).unwrap();
        }
        let why = flood.count(Some(&refused("SchemaRegistry"))).unwrap_err();
        assert!(why.ends_with(": 3 of 4 are SchemaRegistry (decode: it is SchemaRegistry)"), "{why}");
    }
}
