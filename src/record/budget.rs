//! Bytes in flight: one budget from fetch to acknowledgement, so that memory is flat whatever the lag (G-6, G-39).

use std::sync::Arc;

use super::sync::atomic::{AtomicUsize, Ordering};

/// What a record costs beside its bytes: its headers' names, its coordinates, the envelope itself.
const OVERHEAD: usize = 4096;

/// A record is held twice on the way, as fetched and as text.
const TWICE: usize = 2;

/// Bytes of tokens and logits for each byte of text, until a document tells: as many as models need that tag tokens.
const FIRST_GUESS: usize = 64;

/// The budget of bytes in flight.
///
/// It never blocks and never refuses: the source looks at it and takes nothing while it is spent, so that it can go on
/// polling and stay a member of its consumer group.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
    limit: u64,
}

#[derive(Debug)]
struct Shared {
    used: AtomicUsize,
    /// What the taggers make of a byte of text, at most, in bytes.
    per_byte: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { shared: Arc::new(Shared { used: AtomicUsize::new(0), per_byte: AtomicUsize::new(FIRST_GUESS) }), limit }
    }

    /// Takes the share of a record of `bytes`: with all that will be made of it, of which nothing is there yet.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Permit {
        let held = (TWICE + self.shared.per_byte.load(Ordering::Relaxed)) * bytes + OVERHEAD;
        self.shared.used.fetch_add(held, Ordering::AcqRel);
        Permit { shared: Arc::clone(&self.shared), record: bytes, held }
    }

    /// Bytes in flight now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Acquire)
    }

    /// True when nothing more should be fetched.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used() as u64 >= self.limit
    }
}

/// A record's share of the budget; dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    record: usize,
    held: usize,
}

impl Permit {
    /// Says what the taggers make of a byte of text, at most: later records take as much.
    pub fn expect(&self, per_byte: usize) {
        self.shared.per_byte.store(per_byte, Ordering::Relaxed);
    }

    /// What has been made of the record has so many bytes: it holds those, instead of what was expected.
    pub fn settle(&mut self, made: usize) {
        let held = TWICE * self.record + OVERHEAD + made;
        self.shared.used.fetch_add(held, Ordering::AcqRel);
        self.shared.used.fetch_sub(std::mem::replace(&mut self.held, held), Ordering::AcqRel);
    }

    /// Takes more: what a result needs is known when it is there.
    pub fn grow(&mut self, bytes: usize) {
        self.shared.used.fetch_add(bytes, Ordering::AcqRel);
        self.held += bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.used.fetch_sub(self.held, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_record_gives_its_share_back() {
        let budget = Budget::new(3 * OVERHEAD as u64);
        budget.take(0).expect(0);
        let mut permits: Vec<_> = (0..3).map(|_| budget.take(100)).collect();
        permits[0].grow(1000);
        assert!(budget.is_spent());
        drop(permits);
        assert_eq!(budget.used(), 0);
        assert!(!budget.is_spent());
    }

    #[test]
    fn what_a_record_will_need_is_taken_before_it_is_made() {
        let budget = Budget::new(1 << 20);
        budget.take(0).expect(52);
        let mut permits = Vec::new();
        while !budget.is_spent() {
            permits.push(budget.take(10_000));
        }
        assert_eq!(permits.len(), 2, "544 kB each");
        permits[0].settle(30_000);
        assert!(!budget.is_spent(), "it needed less");
        for permit in &mut permits {
            permit.settle(10_000 * 52);
        }
        assert_eq!(budget.used(), 2 * (54 * 10_000 + OVERHEAD), "never more than was taken");
        drop(permits);
        assert_eq!(budget.used(), 0);
    }
}
