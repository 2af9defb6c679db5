//! Bytes in flight: one budget from fetch to acknowledgement, so that memory is flat whatever the lag (G-6, G-39).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a record costs beside its bytes: its headers' names, its coordinates, the envelope itself.
const OVERHEAD: usize = 4096;

/// The budget of bytes in flight.
///
/// It never blocks and never refuses: the source looks at it and takes nothing while it is spent, so that it can go on
/// polling and stay a member of its consumer group.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Takes the share of a record of `bytes`, which are held twice (as fetched, and as text) on the way.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Permit {
        let bytes = 2 * bytes + OVERHEAD;
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Permit { used: Arc::clone(&self.used), bytes }
    }

    /// Bytes in flight now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// True when nothing more should be fetched.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used() >= self.limit
    }
}

/// A record's share of the budget; dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Permit {
    /// Takes more: what a record costs is fully known only when it is tokenized.
    pub fn grow(&mut self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_record_gives_its_share_back() {
        let budget = Budget::new(3 * OVERHEAD);
        let mut permits: Vec<_> = (0..3).map(|_| budget.take(100)).collect();
        permits[0].grow(1000);
        assert!(budget.is_spent());
        drop(permits);
        assert_eq!(budget.used(), 0);
        assert!(!budget.is_spent());
    }
}
