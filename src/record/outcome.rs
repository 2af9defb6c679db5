//! How a record's journey ends.

use super::enriched::Enriched;
use super::envelope::{Envelope, Origin};
use super::rejection::Rejection;

/// How a record's journey ends: there is no fourth way (G-34).
#[derive(Debug)]
pub enum Outcome {
    /// Tagged; the body is what is written of it.
    Enriched(Envelope<Enriched>),
    /// A null value, passed on as such.
    Tombstone(Envelope<()>),
    /// Refused, with the reason.
    DeadLetter(Envelope<Rejection>),
}

impl Outcome {
    /// Where the record came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Enriched(envelope) => &envelope.origin,
            Self::Tombstone(envelope) => &envelope.origin,
            Self::DeadLetter(envelope) => &envelope.origin,
        }
    }
}
