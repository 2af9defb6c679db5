//! What is sent for a record, and what the broker said of it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;

use crate::codec::dead_letter;
use crate::config::{Config, Policy};
use crate::record::budget::Permit;
use crate::record::destination::{Destination, Key};
use crate::record::envelope::{Envelope, Origin, Record};
use crate::record::headers;
use crate::record::outcome::{Outcome, Passed, Routed};
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
    /// Of the latest attempt, one for each message.
    pub receipts: Vec<Receipt>,
    record: Record,
    timestamp: Option<i64>,
    span: RecordSpan,
    _permit: Permit,
}

#[derive(Debug)]
pub(super) enum Kind {
    Enriched(Routed),
    Tombstone(Passed),
    DeadLetter(Rejection),
    /// A dead letter without the record's key, value and headers, since with them it was refused as well.
    BareDeadLetter(Rejection),
    /// Nothing is sent, since it could not be tagged.
    Skipped(Rejection),
    /// Nothing is sent, as a route says.
    Filtered,
}

/// What would be sent for a record, for who tries a configuration.
pub(crate) struct Message {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: OwnedHeaders,
    /// `None` leaves it to the key.
    pub partition: Option<i32>,
}

/// What would be sent for an outcome; nothing for one that is skipped or filtered.
///
/// # Errors
/// With the reason, when the policy is to stop.
pub(crate) fn messages(outcome: Outcome, config: &Config) -> Result<Vec<Message>, Rejection> {
    let parcel = Parcel::of(outcome, config.dead_letters.policy)?;
    let message = |Contents { to, key, value, headers, .. }: Contents<'_>| {
        let (topic, partition) = match to {
            To::Topic(destination) => (destination.topic.to_string(), destination.partition),
            To::DeadLetters => (config.output.dead_letters.clone(), None),
        };
        let [key, value] = [key, value].map(|bytes| bytes.map(ToOwned::to_owned));
        Message { topic, key, value, headers, partition }
    };
    Ok(parcel.contents().into_iter().map(message).collect())
}

/// Which topic a message is for.
#[derive(Clone, Copy)]
pub(super) enum To<'a> {
    Topic(&'a Destination),
    DeadLetters,
}

/// A message that is sent for a parcel.
pub(super) struct Contents<'a> {
    pub to: To<'a>,
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
            Outcome::Tombstone(envelope) => Ok(Self::with(envelope, Kind::Tombstone)),
            Outcome::Filtered(envelope) => Ok(Self::with(envelope, |()| Kind::Filtered)),
            Outcome::DeadLetter(mut envelope) => {
                envelope.span.reject(&envelope.body);
                let kind = rejected(envelope.body.clone(), policy)?;
                Ok(Self::with(envelope, |_| kind))
            }
        }
    }

    fn with<T>(envelope: Envelope<T>, kind: impl FnOnce(T) -> Kind) -> Self {
        let Envelope { origin, record, body, fetched, span, permit } = envelope;
        // Until it is sent, there is one that nobody will set.
        let (timestamp, receipts) = (record.timestamp, vec![Receipt::default()]);
        Self { origin, kind: kind(body), fetched, receipts, record, timestamp, span, _permit: permit }
    }

    /// Why it could not be tagged or delivered.
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.kind {
            Kind::DeadLetter(rejection) | Kind::BareDeadLetter(rejection) | Kind::Skipped(rejection) => Some(rejection),
            Kind::Enriched(_) | Kind::Tombstone(_) | Kind::Filtered => None,
        }
    }

    /// About the size of its messages, in bytes.
    pub fn size(&self) -> usize {
        match &self.kind {
            Kind::Enriched(Routed { enriched, to, .. }) => to.count() * (enriched.size() + self.record.size()),
            Kind::Tombstone(Passed { headers, to }) => to.count() * (headers.size() + self.record.size()),
            _ => self.record.size(),
        }
    }

    /// What came of its latest messages, once that is known of all of them: their first failure, if one has failed.
    pub fn answer(&self) -> Option<Result<(), RDKafkaErrorCode>> {
        let mut answer = Ok(());
        for receipt in &self.receipts {
            match (receipt.get()?, answer) {
                (Err(code), Ok(())) => answer = Err(*code),
                // The echo of a failure says less than that one.
                (Err(code), Err(known)) if is_echo(known) => answer = Err(*code),
                _ => {}
            }
        }
        Some(answer)
    }

    /// The topics that it goes to.
    pub fn destination(&self, dead_letters: &str) -> String {
        let name = |to: To<'_>| match to {
            To::Topic(destination) => destination.topic.to_string(),
            To::DeadLetters => dead_letters.to_owned(),
        };
        self.contents().into_iter().map(|message| name(message.to)).collect::<Vec<_>>().join("`, `")
    }

    /// Whether what came of it is a refusal of what it is. A partition that a route chose may not be there.
    pub fn is_refused(&self, error: RDKafkaErrorCode) -> bool {
        let chosen =
            || matches!(&self.kind, Kind::Enriched(Routed { to, .. }) if to.all().any(|one| one.partition.is_some()));
        is_refusal(error) || error == RDKafkaErrorCode::UnknownPartition && chosen()
    }

    /// The messages; none for what is skipped or filtered.
    pub fn contents(&self) -> Vec<Contents<'_>> {
        let Record { key, value, headers: own, .. } = &self.record;
        let (key, value) = (key.as_deref(), value.as_deref());
        match &self.kind {
            Kind::Enriched(Routed { enriched, to, .. }) => {
                let headers = self.span.propagate(enriched.headers.head(own.clone()));
                to.all().map(|to| self.message(to, Some(enriched.value.as_slice()), headers.clone())).collect()
            }
            Kind::Tombstone(Passed { headers, to }) => {
                let headers = self.span.propagate(headers.head(own.clone()));
                to.all().map(|to| self.message(to, None, headers.clone())).collect()
            }
            Kind::DeadLetter(rejection) => vec![self.letter(key, value, self.explain(own.clone(), rejection))],
            Kind::BareDeadLetter(rejection) => vec![self.letter(None, None, self.explain(None, rejection))],
            Kind::Skipped(_) | Kind::Filtered => Vec::new(),
        }
    }

    fn message<'a>(
        &'a self,
        to: &'a Destination,
        value: Option<&'a [u8]>,
        mut headers: Option<OwnedHeaders>,
    ) -> Contents<'a> {
        let key = match &to.key {
            Key::Kept => self.record.key.as_deref(),
            Key::Own(key) => key.as_deref(),
        };
        for (name, value) in &to.headers {
            headers = match value {
                Some(value) => Some(headers::replace(headers, name, value)),
                None => headers.map(|headers| headers::without(headers, |other| other == name.as_bytes())),
            };
        }
        self.content(To::Topic(to), key, value, headers)
    }

    fn letter<'a>(&'a self, key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: OwnedHeaders) -> Contents<'a> {
        self.content(To::DeadLetters, key, value, Some(headers))
    }

    fn content<'a>(
        &'a self,
        to: To<'a>,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Contents<'a> {
        let headers = headers::with_record_id(headers, &self.origin.record_id());
        Contents { to, key, value, headers, timestamp: self.timestamp }
    }

    /// The headers of a dead letter. The record's timestamp is one of them, if it can't be the dead letter's.
    fn explain(&self, own: Option<OwnedHeaders>, rejection: &Rejection) -> OwnedHeaders {
        let refused = self.record.timestamp.filter(|_| self.timestamp.is_none());
        dead_letter::headers(own, &self.origin, rejection, refused)
    }

    /// Of several topics, the one that has refused its message.
    fn refused_by(&self) -> Option<Arc<str>> {
        let to = match &self.kind {
            Kind::Enriched(Routed { to, .. }) | Kind::Tombstone(Passed { to, .. }) if to.count() > 1 => to,
            _ => return None,
        };
        let refused = |receipt: &Receipt| receipt.get().is_some_and(|it| it.is_err_and(|code| !is_echo(code)));
        let (refused, _) = to.all().zip(&self.receipts).find(|(_, receipt)| refused(receipt))?;
        Some(Arc::clone(&refused.topic))
    }

    /// Makes something else of it, after the broker refused it for what it is: it would do so again and again (G-17).
    ///
    /// # Errors
    /// With the reason, when nothing is left to try, or the policy is to stop.
    pub fn instead(&mut self, error: RDKafkaErrorCode, policy: Policy) -> Result<(), Rejection> {
        let class = if is_size(error) { "RecordTooLarge" } else { "RecordRefused" };
        let timestamp = if error == RDKafkaErrorCode::InvalidTimestamp { self.timestamp.take() } else { None };
        if let Kind::Enriched(Routed { came, .. }) = &mut self.kind
            && let Some(came) = came.take()
        {
            self.record = *came;
        }
        self.kind = match &self.kind {
            Kind::Enriched(_) | Kind::Tombstone(_) => {
                let topic = self.refused_by().map(|topic| format!(" `{topic}`")).unwrap_or_default();
                let message = format!("the output topic{topic} refused the result: {error}");
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
            Kind::Filtered => Kind::Filtered,
        };
        Ok(())
    }
}

/// Errors that messages share because another message, or the transaction, has failed.
pub(super) fn is_echo(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight | RDKafkaErrorCode::State)
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
