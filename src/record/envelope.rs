//! The one type that flows: an [`Envelope`] holds a record, what is known of it so far, and its share of memory.

use std::time::Instant;

use rdkafka::message::OwnedHeaders;

use super::budget::{Budget, Permit};
use super::headers;
pub use super::origin::{Lease, Origin};
use super::trace::RecordSpan;

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
    /// A value with nothing beside it: what comes from elsewhere than Kafka has no more.
    #[must_use]
    pub fn of(value: Vec<u8>) -> Self {
        Self { key: None, value: Some(value), headers: None, timestamp: None }
    }

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
/// `T` grows from stage to stage: `()` as fetched, then `Document`, `Work` (its tokens, then its logits), and at last what
/// is written of it. A stage sees what the stages before it made, and nothing else.
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

impl Envelope<()> {
    /// A record that comes from elsewhere than Kafka, fetched now. It takes its share of the budget, however much is left.
    #[must_use]
    pub fn begin(origin: Origin, record: Record, budget: &Budget) -> Self {
        let permit = budget.take(record.size());
        Self { origin, record, body: (), fetched: Instant::now(), span: RecordSpan::default(), permit }
    }
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
