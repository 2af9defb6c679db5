//! Dead letters: the record as it was, with headers that say where it came from and why it is here (G-20, G-28).
//!
//! The headers have the names that Kafka Connect's dead-letter queue gives them (KIP-298), so that people's tools know
//! them.

use rdkafka::message::{Header, OwnedHeaders};
use schemars::JsonSchema;
use serde::Serialize;

use crate::record::envelope::Origin;
use crate::record::headers::{REPLAY_ATTEMPT, TIMESTAMP};
use crate::record::rejection::Rejection;

/// The headers that a dead letter has beside its own. Header values are text.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "Dead letter: its additional headers")]
pub struct DeadLetterHeaders {
    /// The input topic.
    #[serde(rename = "__connect.errors.topic")]
    topic: String,
    /// The partition of the input topic, in decimal.
    #[serde(rename = "__connect.errors.partition")]
    partition: String,
    /// The offset in the partition, in decimal.
    #[serde(rename = "__connect.errors.offset")]
    offset: String,
    /// Who refused it: `tagbert`.
    #[serde(rename = "__connect.errors.connector.name")]
    connector: String,
    /// The stage that refused it: decode, tokenize, infer, route or sink.
    #[serde(rename = "__connect.errors.stage")]
    stage: String,
    /// The class of the error, such as `NotJson` or `TextMissing`.
    #[serde(rename = "__connect.errors.exception.class.name")]
    class: String,
    /// What is wrong. It never holds any of the document's text.
    #[serde(rename = "__connect.errors.exception.message")]
    message: String,
    /// How often the stage tried, in decimal.
    #[serde(rename = "tagbert.attempts")]
    attempts: String,
    /// The record's timestamp (milliseconds since 1970, in decimal), if the dead-letter topic refused it, so that the
    /// dead letter has another one.
    #[serde(rename = "tagbert.timestamp", skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

/// The record's own headers, and after them those that explain; with the record's timestamp, if the dead letter can't have
/// it.
#[must_use]
pub fn headers(
    own: Option<OwnedHeaders>,
    origin: &Origin,
    rejection: &Rejection,
    timestamp: Option<i64>,
) -> OwnedHeaders {
    let explain = DeadLetterHeaders {
        topic: origin.topic.to_string(),
        partition: origin.partition.to_string(),
        offset: origin.offset.to_string(),
        connector: "tagbert".into(),
        stage: rejection.stage.name().into(),
        class: rejection.class.into(),
        message: rejection.message.clone(),
        attempts: rejection.attempts.to_string(),
        timestamp: timestamp.map(|timestamp| timestamp.to_string()),
    };
    // Through serde, so that the names stand in one place.
    let explain = serde_json::to_value(explain).unwrap_or_default();
    let named = explain.as_object().into_iter().flatten();
    // A record that brings such a header along must not be taken for one whose timestamp was refused.
    let own = crate::record::headers::without(own.unwrap_or_default(), |name| name == TIMESTAMP.as_bytes());
    named.fold(own, |headers, (name, value)| headers.insert(Header { key: name, value: value.as_str() }))
}

/// What a dead letter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The topic that it came from.
    pub topic: String,
    /// The partition of that topic.
    pub partition: i32,
    /// The offset in that partition.
    pub offset: i64,
    /// The stage that refused it.
    pub stage: String,
    /// The class of the error.
    pub class: String,
    /// What is wrong.
    pub message: String,
    /// How often it had been replayed before it was refused.
    pub attempt: u32,
    /// The record's timestamp, if the dead letter has another one.
    pub timestamp: Option<i64>,
}

/// Reads what [`headers`] wrote (or Kafka Connect). `None`: this is no dead letter.
#[must_use]
pub fn explanation(headers: &OwnedHeaders) -> Option<Explanation> {
    let text = |name: &str| {
        crate::record::headers::last(headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let explained = |name: &str| text(&format!("__connect.errors.{name}"));
    Some(Explanation {
        topic: explained("topic")?,
        partition: explained("partition")?.parse().ok()?,
        offset: explained("offset")?.parse().ok()?,
        stage: explained("stage").unwrap_or_default(),
        class: explained("exception.class.name").unwrap_or_default(),
        message: explained("exception.message").unwrap_or_default(),
        attempt: text(REPLAY_ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or(0),
        timestamp: text(TIMESTAMP)
            .and_then(|timestamp| timestamp.parse().ok())
            .filter(|&timestamp: &i64| timestamp >= 0),
    })
}

/// A dead letter's own headers, without those that explain.
#[must_use]
pub fn own(headers: OwnedHeaders) -> OwnedHeaders {
    crate::record::headers::without(headers, is_explaining)
}

/// Whether a dead letter has headers of its own.
#[must_use]
pub fn has_own(headers: &OwnedHeaders) -> bool {
    crate::record::headers::iter(headers).any(|(name, _)| !is_explaining(name))
}

/// Whether the worker or Kafka Connect has put it there.
fn is_explaining(name: &[u8]) -> bool {
    name.starts_with(b"__connect.errors.") || name.starts_with(b"tagbert.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::envelope::Lease;
    use crate::record::headers::ATTEMPTS;
    use crate::record::rejection::Stage;

    #[test]
    fn a_dead_letter_says_where_it_came_from_and_why_it_is_here() {
        let own = OwnedHeaders::new().insert(Header { key: "mine", value: Some("1") });
        let origin =
            Origin { topic: "documents".into(), partition: 3, offset: 42, epoch: 0, seq: 0, lease: Lease::default() };
        let rejection = Rejection::new(Stage::Decode, "NotJson", "syntax error".into());
        let headers = headers(Some(own), &origin, &rejection, Some(7));
        let value = |name: &str| crate::record::headers::last(&headers, name).map(String::from_utf8_lossy);
        assert_eq!(value("mine").as_deref(), Some("1"));
        assert_eq!(value("__connect.errors.topic").as_deref(), Some("documents"));
        assert_eq!(value("__connect.errors.partition").as_deref(), Some("3"));
        assert_eq!(value("__connect.errors.offset").as_deref(), Some("42"));
        assert_eq!(value("__connect.errors.stage").as_deref(), Some("decode"));
        assert_eq!(value("__connect.errors.exception.class.name").as_deref(), Some("NotJson"));
        assert_eq!(value("__connect.errors.exception.message").as_deref(), Some("syntax error"));
        assert_eq!((value(ATTEMPTS).as_deref(), value(TIMESTAMP).as_deref()), (Some("1"), Some("7")));
        let read = Explanation {
            topic: "documents".into(),
            partition: 3,
            offset: 42,
            stage: "decode".into(),
            class: "NotJson".into(),
            message: "syntax error".into(),
            attempt: 0,
            timestamp: Some(7),
        };
        assert_eq!(explanation(&headers), Some(read));
        let own = super::own(headers);
        assert_eq!(crate::record::headers::iter(&own).collect::<Vec<_>>(), [(&b"mine"[..], Some(&b"1"[..]))]);
        assert_eq!(explanation(&own), None);
    }
}
