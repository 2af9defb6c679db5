//! How a record's journey ends.

use super::destination::Destinations;
use super::enriched::{Enriched, TagHeaders};
use super::envelope::{Envelope, Origin, Record};
use super::rejection::Rejection;

/// How a record's journey ends: there is no fifth way (G-34).
#[derive(Debug)]
pub enum Outcome {
    /// Tagged; the body is what is written of it, and where to.
    Enriched(Envelope<Routed>),
    /// A null value, passed on as such.
    Tombstone(Envelope<Passed>),
    /// Nothing is written of it, because a route says so.
    Filtered(Envelope<()>),
    /// Refused, with the reason.
    DeadLetter(Envelope<Rejection>),
}

/// What is written of a tagged document, and where to.
#[derive(Debug)]
pub struct Routed {
    /// What is written.
    pub enriched: Enriched,
    /// Where to.
    pub to: Destinations,
    /// The record as it came, where what is written is masked, and a dead letter of it would not be.
    pub came: Option<Box<Record>>,
}

/// What is written of a tombstone beside its key, and where to.
#[derive(Debug)]
pub struct Passed {
    /// Where tags are headers: that it has none.
    pub headers: TagHeaders,
    /// Where to.
    pub to: Destinations,
}

impl Outcome {
    /// Where the record came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Enriched(envelope) => &envelope.origin,
            Self::Tombstone(envelope) => &envelope.origin,
            Self::Filtered(envelope) => &envelope.origin,
            Self::DeadLetter(envelope) => &envelope.origin,
        }
    }
}
