//! The one type that flows: an [`Envelope`] holds a record, what is known of it so far, and its share of memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use rdkafka::message::OwnedHeaders;

use super::budget::Permit;
use super::headers;
use super::trace::RecordSpan;

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
    /// What tells it from all other records: see [`headers::RECORD_ID`].
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

/// A Kafka record as it was fetched. Nothing in it is changed on the way (G-20, G-21).
#[derive(Debug)]
pub struct Record {
    /// The key, if any.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in the client's own form: it alone keeps names that are not UTF-8.
    pub headers: Option<OwnedHeaders>,
    /// Milliseconds since 1970, if the record has a timestamp.
    pub timestamp: Option<i64>,
}

impl Record {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn size(&self) -> usize {
        let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().flat_map(headers::iter);
        let headers = headers.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        bytes(&self.key) + bytes(&self.value) + headers.sum::<usize>()
    }
}

/// A record on its way through the worker, with what the stages have made of it so far.
///
/// `T` grows from stage to stage: `()` as fetched, then `Document`, `Work` (its tokens, then its logits), and at last the
/// bytes of the enriched record. A stage sees what the stages before it made, and nothing else.
#[derive(Debug)]
pub struct Envelope<T> {
    /// Where it came from.
    pub origin: Origin,
    /// What was fetched.
    pub record: Record,
    /// What was made of it.
    pub body: T,
    /// When it was fetched.
    pub fetched: Instant,
    /// Its trace, if traces are on.
    pub span: RecordSpan,
    /// Its share of the memory budget, given back when the envelope is dropped (G-39).
    pub permit: Permit,
}

impl<T> Envelope<T> {
    /// The same record with a new body made from the old one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Envelope<U> {
        let Self { origin, record, body, fetched, span, permit } = self;
        Envelope { origin, record, body: make(body), fetched, span, permit }
    }
}

impl<T, E> Envelope<Result<T, E>> {
    /// The same record with what was made of it, or with what went wrong.
    ///
    /// # Errors
    /// When the body is one.
    #[expect(clippy::result_large_err, reason = "either way it is the record that goes on")]
    pub fn transpose(self) -> Result<Envelope<T>, Envelope<E>> {
        let Self { origin, record, body, fetched, span, permit } = self;
        match body {
            Ok(body) => Ok(Envelope { origin, record, body, fetched, span, permit }),
            Err(body) => Err(Envelope { origin, record, body, fetched, span, permit }),
        }
    }
}
