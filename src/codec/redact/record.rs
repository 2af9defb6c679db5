//! Masks what a record has beside its value: headers, and the key by which others find it.

use rdkafka::message::{Header, OwnedHeaders};
use serde_json::value::RawValue;

use super::Redactor;
use super::known::Known;
use super::mask::keyed;
use crate::record::envelope::Record;
use crate::record::headers;

/// Bytes of a key's hash: so many that no two keys have the same, which on a compacted topic would replace each other.
const SHOWN: usize = 16;

/// What tells a trace is no text, and is of no use with a part of it masked.
const OF_TRACES: [&[u8]; 2] = [b"traceparent", b"tracestate"];

impl Redactor {
    /// The record as others may see it, with this value.
    pub(super) fn record(&self, came: &Record, value: Option<Vec<u8>>, known: &Known) -> Record {
        let hash = |key: &Vec<u8>| match &self.key {
            Some(secret) => keyed(secret, key, SHOWN).into_bytes(),
            None => key.clone(),
        };
        let headers = came.headers.as_ref().map(|own| self.headers(own, known));
        Record { key: came.key.as_ref().map(hash), value, headers, timestamp: came.timestamp }
    }

    fn headers(&self, own: &OwnedHeaders, known: &Known) -> OwnedHeaders {
        let masked = |(name, value): (&[u8], Option<&[u8]>)| {
            let value = std::str::from_utf8(value?).ok().filter(|_| !OF_TRACES.contains(&name))?;
            self.header(value, known)
        };
        let masked: Vec<Option<String>> = headers::iter(own).map(masked).collect();
        if masked.iter().all(Option::is_none) {
            return own.clone();
        }
        let all = headers::iter(own).zip(&masked);
        all.fold(OwnedHeaders::new_with_capacity(masked.len()), |made, ((name, value), masked)| {
            let value = masked.as_ref().map(String::as_bytes).or(value);
            made.insert(Header { key: &String::from_utf8_lossy(name), value })
        })
    }

    /// A header's value, if something in it is masked.
    fn header(&self, value: &str, known: &Known) -> Option<String> {
        if value.starts_with(['{', '[', '"']) && serde_json::from_str::<&RawValue>(value).is_ok() {
            return Some(self.json(value, "", known)).filter(|masked| masked != value);
        }
        let spans = self.spans(value, "", known);
        (!spans.is_empty()).then(|| self.masked(value, &spans))
    }
}
