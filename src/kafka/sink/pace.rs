//! How fast a sink may go: all at once as long as all is well, less and less to find what the broker refuses, and not at
//! all for a while when it can't take anything.

use std::time::{Duration, Instant};

use crate::config::Retries;

/// The pace. The clock is an argument, so that it can be tested without one.
#[derive(Debug)]
pub(super) struct Pace {
    retries: Retries,
    limit: usize,
    failures: u32,
    until: Option<Instant>,
}

impl Pace {
    pub fn new(retries: Retries) -> Self {
        Self { retries, limit: usize::MAX, failures: 0, until: None }
    }

    /// Whether a wait is not over yet.
    pub fn waits(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// How many may be under way before what came of them is known.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// All that was under way is safe.
    pub fn went_well(&mut self) {
        self.failures = 0;
        self.limit = self.limit.saturating_mul(2);
    }

    /// So many were refused, as some brokers refuse all of a batch for one: the half of them is tried next.
    pub fn narrow(&mut self, refused: usize) {
        self.limit = (refused / 2).max(1);
    }

    /// Only so many are tried next, and after a wait, which is given, with the number of the attempt that failed. Fewer than
    /// before: perhaps they were too many for the time that they have.
    pub fn back_off(&mut self, next: usize, now: Instant) -> (Duration, u32) {
        self.failures += 1;
        self.limit = next.max(1);
        let wait = self.retries.wait_before(self.failures);
        self.until = Some(now + wait);
        (wait, self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_success_ends_them() {
        let retries = Retries { max: 5, backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1) };
        let mut pace = Pace::new(retries);
        let now = Instant::now();
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let (wait, _) = pace.back_off(7, now);
            let expected = Duration::from_millis(expected);
            assert!(wait >= expected / 2 && wait <= expected * 3 / 2, "{wait:?} for {expected:?}");
            assert!(pace.waits(now) && !pace.waits(now + wait));
        }
        assert_eq!(pace.limit(), 7);
        pace.went_well();
        assert_eq!(pace.back_off(1, now).1, 1);
    }

    #[test]
    fn refusals_narrow_down_to_one_and_success_widens_again() {
        let mut pace = Pace::new(Retries::default());
        pace.narrow(9);
        assert_eq!(pace.limit(), 4);
        pace.narrow(1);
        assert_eq!(pace.limit(), 1);
        for _ in 0..64 {
            pace.went_well();
        }
        assert_eq!(pace.limit(), usize::MAX);
    }
}
