//! Where a record came from, and whether that assignment of its partition still holds.

use std::sync::Arc;

use super::sync::atomic::{AtomicU8, Ordering};

/// Where a record came from, and where it stands in its partition.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The input topic (for `tagbert tag`: the file's name).
    pub topic: Arc<str>,
    /// The partition of that topic.
    pub partition: i32,
    /// The record's offset in the partition.
    pub offset: i64,
    /// Which assignment of the partition to this worker fetched it; a later one makes it stale (G-37).
    pub epoch: u64,
    /// Its place within that assignment: 0, 1, 2 … without the gaps that offsets have (G-35).
    pub seq: u64,
    /// Whether that assignment still holds.
    pub lease: Lease,
}

impl Origin {
    /// A place in what is not Kafka, which is one partition that nobody takes away.
    #[must_use]
    pub fn elsewhere(topic: Arc<str>, offset: i64, seq: u64) -> Self {
        Self { topic, partition: 0, offset, epoch: 0, seq, lease: Lease::default() }
    }

    /// What tells it from all other records: see [`RECORD_ID`](super::headers::RECORD_ID).
    #[must_use]
    pub fn record_id(&self) -> String {
        let Self { topic, partition, offset, .. } = self;
        format!("{topic}-{partition}-{offset}")
    }
}

/// An assignment of a partition, as seen by its records. It is held, then ending, then gone (G-36).
#[derive(Clone, Debug, Default)]
pub struct Lease(Arc<AtomicU8>);

impl Lease {
    const ENDING: u8 = 1;
    const GONE: u8 = 2;

    /// The group wants the partition back: what is finished may still be delivered, and nothing more.
    pub fn end(&self) {
        self.0.fetch_max(Self::ENDING, Ordering::AcqRel);
    }

    /// Another worker has the partition: nothing of it may be delivered or committed any more.
    pub fn lose(&self) {
        self.0.fetch_max(Self::GONE, Ordering::AcqRel);
    }

    /// True once it is ending or gone: work on its records is in vain.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) >= Self::ENDING
    }

    /// True once it is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.load(Ordering::Acquire) >= Self::GONE
    }
}
