//! What is sent for a record, and what the broker said of it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;

use crate::codec::dead_letter;
use crate::config::Policy;
use crate::record::budget::Permit;
use crate::record::enriched::Enriched;
use crate::record::envelope::{Envelope, Origin, Record};
use crate::record::headers;
use crate::record::outcome::Outcome;
use crate::record::rejection::{Rejection, Stage};
use crate::record::trace::RecordSpan;

/// What the broker said of a message, once it has.
pub(super) type Receipt = Arc<OnceLock<Result<(), RDKafkaErrorCode>>>;

/// An outcome on its way to the broker. It holds its share of the budget until it is safe there.
#[derive(Debug)]
pub(super) struct Parcel {
    pub origin: Origin,
    pub kind: Kind,
    pub fetched: Instant,
    /// Of the latest attempt.
    pub receipt: Receipt,
    record: Record,
    timestamp: Option<i64>,
    span: RecordSpan,
    _permit: Permit,
}

#[derive(Debug)]
pub(super) enum Kind {
    Enriched(Enriched),
    Tombstone,
    DeadLetter(Rejection),
    /// A dead letter without the record's key, value and headers, since with them it was refused as well.
    BareDeadLetter(Rejection),
    /// Nothing is sent.
    Skipped(Rejection),
}

/// Which topic a message is for.
pub(super) enum To {
    Output,
    DeadLetters,
}

/// What is sent for a parcel.
pub(super) struct Contents<'a> {
    pub to: To,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: OwnedHeaders,
    pub timestamp: Option<i64>,
}

impl Parcel {
    /// What an outcome comes to, under a policy for those that can't be tagged.
    ///
    /// # Errors
    /// With the reason, when the policy is to stop.
    pub fn of(outcome: Outcome, policy: Policy) -> Result<Self, Rejection> {
        match outcome {
            Outcome::Enriched(envelope) => Ok(Self::with(envelope, Kind::Enriched)),
            Outcome::Tombstone(envelope) => Ok(Self::with(envelope, |()| Kind::Tombstone)),
            Outcome::DeadLetter(mut envelope) => {
                envelope.span.reject(&envelope.body);
                let kind = rejected(envelope.body.clone(), policy)?;
                Ok(Self::with(envelope, |_| kind))
            }
        }
    }

    fn with<T>(envelope: Envelope<T>, kind: impl FnOnce(T) -> Kind) -> Self {
        let Envelope { origin, record, body, fetched, span, permit } = envelope;
        let (timestamp, receipt) = (record.timestamp, Receipt::default());
        Self { origin, kind: kind(body), fetched, receipt, record, timestamp, span, _permit: permit }
    }

    /// Why it could not be tagged or delivered.
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.kind {
            Kind::DeadLetter(rejection) | Kind::BareDeadLetter(rejection) | Kind::Skipped(rejection) => Some(rejection),
            Kind::Enriched(_) | Kind::Tombstone => None,
        }
    }

    /// About the size of the message, in bytes.
    pub fn size(&self) -> usize {
        let own = if let Kind::Enriched(enriched) = &self.kind { enriched.size() } else { 0 };
        own + self.record.size()
    }

    /// The message; none for what is skipped.
    pub fn contents(&self) -> Option<Contents<'_>> {
        let Record { key, value, headers: own, .. } = &self.record;
        let (key, value) = (key.as_deref(), value.as_deref());
        let (to, key, value, headers) = match &self.kind {
            Kind::Enriched(enriched) => {
                let headers = self.span.propagate(enriched.head(own.clone()));
                (To::Output, key, Some(enriched.value.as_slice()), headers)
            }
            Kind::Tombstone => (To::Output, key, None, self.span.propagate(own.clone())),
            Kind::DeadLetter(rejection) => (To::DeadLetters, key, value, Some(self.explain(own.clone(), rejection))),
            Kind::BareDeadLetter(rejection) => (To::DeadLetters, None, None, Some(self.explain(None, rejection))),
            Kind::Skipped(_) => return None,
        };
        let headers = headers::with_record_id(headers, &self.origin.record_id());
        Some(Contents { to, key, value, headers, timestamp: self.timestamp })
    }

    /// The headers of a dead letter. The record's timestamp is one of them, if it can't be the dead letter's.
    fn explain(&self, own: Option<OwnedHeaders>, rejection: &Rejection) -> OwnedHeaders {
        let refused = self.record.timestamp.filter(|_| self.timestamp.is_none());
        dead_letter::headers(own, &self.origin, rejection, refused)
    }

    /// Makes something else of it, after the broker refused it for what it is: it would do so again and again (G-17).
    ///
    /// # Errors
    /// With the reason, when nothing is left to try, or the policy is to stop.
    pub fn instead(&mut self, error: RDKafkaErrorCode, policy: Policy) -> Result<(), Rejection> {
        let class = if is_size(error) { "RecordTooLarge" } else { "RecordRefused" };
        let timestamp = if error == RDKafkaErrorCode::InvalidTimestamp { self.timestamp.take() } else { None };
        self.kind = match &self.kind {
            Kind::Enriched(_) | Kind::Tombstone => {
                let message = format!("the output topic refused the result: {error}");
                let rejection = Rejection::new(Stage::Sink, class, message);
                self.span.reject(&rejection);
                // Its timestamp may be what the dead-letter topic accepts.
                self.timestamp = self.record.timestamp;
                rejected(rejection, policy)?
            }
            // Without its timestamp it may pass.
            Kind::DeadLetter(rejection) if timestamp.is_some() => Kind::DeadLetter(rejection.clone()),
            Kind::DeadLetter(rejection) => {
                let bytes = self.record.size();
                let message = format!(
                    "{}; the record's own {bytes} bytes are left out, since the dead-letter topic refused them: {error}",
                    rejection.message
                );
                self.timestamp = None;
                Kind::BareDeadLetter(Rejection { message, ..rejection.clone() })
            }
            Kind::BareDeadLetter(rejection) => {
                let message = format!("{}; the dead-letter topic refused even that: {error}", rejection.message);
                return Err(Rejection { message, ..rejection.clone() });
            }
            Kind::Skipped(rejection) => Kind::Skipped(rejection.clone()),
        };
        Ok(())
    }
}

fn rejected(rejection: Rejection, policy: Policy) -> Result<Kind, Rejection> {
    match policy {
        Policy::DeadLetter => Ok(Kind::DeadLetter(rejection)),
        Policy::Skip => Ok(Kind::Skipped(rejection)),
        Policy::Stop => Err(rejection),
    }
}

/// Whether the broker refuses the record for what it is, or for what another record of its batch is.
pub(crate) fn is_refusal(error: RDKafkaErrorCode) -> bool {
    let others =
        [RDKafkaErrorCode::InvalidRecord, RDKafkaErrorCode::InvalidTimestamp, RDKafkaErrorCode::InvalidDifferentRecord];
    is_size(error) || others.contains(&error)
}

fn is_size(error: RDKafkaErrorCode) -> bool {
    matches!(error, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
}
