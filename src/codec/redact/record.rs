//! Masks what a record has beside its value: headers, and the key by which others find it.

use rdkafka::message::OwnedHeaders;
use serde_json::value::RawValue;

use super::Redactor;
use super::known::Known;
use super::mask::{keyed, mask};
use super::rules::Finds;
use crate::record::envelope::Record;
use crate::record::headers;

/// Bytes of a key's hash: so many that no two keys have the same, which on a compacted topic would replace each other.
const SHOWN: usize = 16;

/// What tells a trace is no text, and is of no use with a part of it masked.
const OF_TRACES: [&[u8]; 2] = [b"traceparent", b"tracestate"];

/// What stays in headers of a record that nobody could read, since it says how to read and replay it.
const NEEDED: [&str; 4] = ["content-type", "ce_specversion", headers::RECORD_ID, headers::REPLAY_ATTEMPT];

impl Redactor {
    /// The record as others may see it, with this value.
    pub(super) fn record(&self, came: &Record, value: Option<Vec<u8>>, known: &Known) -> Record {
        self.with(came, value, |name, value| self.header(name, value, known))
    }

    /// The record without its value, which can't be masked. What its headers say, nobody has read either.
    pub(super) fn without_value(&self, came: &Record) -> Record {
        let rule = self.rules.iter().find(|rule| matches!(rule.finds, Finds::Entities { .. } | Finds::Fields(_)));
        // Not null: replayed, that would delete what has the key.
        self.with(came, Some(Vec::new()), |name, value| {
            let is_needed =
                || OF_TRACES.contains(&name) || NEEDED.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()));
            match rule {
                Some(rule) if !value.is_empty() && !is_needed() => {
                    Some(mask(&rule.with, "REDACTED", &String::from_utf8_lossy(value)))
                }
                _ => self.header(name, value, &Known::default()),
            }
        })
    }

    fn with(&self, came: &Record, value: Option<Vec<u8>>, masked: impl Fn(&[u8], &[u8]) -> Option<String>) -> Record {
        let hash = |key: &Vec<u8>| match &self.key {
            Some(secret) => keyed(secret, key, SHOWN).into_bytes(),
            None => key.clone(),
        };
        let headers = came.headers.as_ref().map(|own| changed(own, masked));
        Record { key: came.key.as_ref().map(hash), value, headers, timestamp: came.timestamp }
    }

    /// A header's value, if something in it is masked.
    fn header(&self, name: &[u8], value: &[u8], known: &Known) -> Option<String> {
        let value = std::str::from_utf8(value).ok().filter(|_| !OF_TRACES.contains(&name))?;
        // In JSON, an escape may hide a name.
        if value.trim_start().starts_with(['{', '[', '"']) && serde_json::from_str::<&RawValue>(value).is_ok() {
            return Some(self.json(value, "", known)).filter(|masked| masked != value);
        }
        let spans = self.spans(value, "", known);
        (!spans.is_empty()).then(|| self.masked(value, &spans))
    }
}

/// The headers with what is masked of their values, and all else as it was.
fn changed(own: &OwnedHeaders, masked: impl Fn(&[u8], &[u8]) -> Option<String>) -> OwnedHeaders {
    let masked: Vec<Option<String>> = headers::iter(own).map(|(name, value)| masked(name, value?)).collect();
    if masked.iter().all(Option::is_none) {
        return own.clone();
    }
    let all = headers::iter(own).zip(&masked);
    all.fold(OwnedHeaders::new_with_capacity(masked.len()), |made, ((name, value), masked)| {
        let value = masked.as_ref().map(String::as_bytes).or(value);
        headers::add(made, name, value)
    })
}
