//! What is written of a record, against what a case says of it: keys, partitions, headers, the document, and texts that are to
//! be nowhere.

use serde_json::Value;

use super::line::End;
use crate::config::cases::Expect;
use crate::kafka::sink::parcel::Message;
use crate::record::headers;

/// Adds what is not as it was to be; of several topics, one will do.
pub(super) fn faults(expect: &Expect, end: &End, nested: &End, faults: &mut Vec<String>) {
    let messages = &end.messages;
    let mut check = |what: &str, expected: Option<&str>, found: Vec<Option<String>>| {
        // What is to be missing must be so everywhere.
        let is_so = match expected {
            Some(_) => found.iter().any(|found| found.as_deref() == expected),
            None => !found.is_empty() && found.iter().all(Option::is_none),
        };
        if !is_so {
            let found: Vec<_> = found.into_iter().map(|one| one.unwrap_or_else(|| "none".into())).collect();
            let found = if found.is_empty() { "nothing is written".into() } else { found.join(", ") };
            faults.push(differ(what, expected.unwrap_or("none"), &found));
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(key) = &expect.key {
        check("key", key.0.as_deref(), messages.iter().map(|message| message.key.as_deref().map(text)).collect());
    }
    if let Some(partition) = expect.partition {
        let found = messages.iter().map(|message| message.partition.map(|number| number.to_string()));
        check("partition", Some(&partition.to_string()), found.collect());
    }
    for (name, expected) in &expect.headers {
        let found = messages.iter().map(|message| headers::last(&message.headers, name).map(text));
        check(&format!("headers.{name}"), expected.as_deref(), found.collect());
    }
    let documents: Vec<_> = nested.messages.iter().map(|message| document(message, nested)).collect();
    for (pointer, expected) in &expect.document {
        let found = documents.iter().map(|document| match document.pointer(pointer) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        });
        check(&format!("document.{pointer}"), expected.as_deref(), found.collect());
    }
    for text in expect.without.iter().filter(|text| messages.iter().any(|message| says(message, text))) {
        faults.push(differ("without", "nowhere", text));
    }
}

/// What was to be, and below it what is.
pub(super) fn differ(what: &str, expected: &str, found: &str) -> String {
    format!("{what}\n  - {expected}\n  + {found}")
}

/// The document that a message has; a dead letter is one itself.
fn document(message: &Message, end: &End) -> Value {
    let mut value: Value = serde_json::from_slice(message.value.as_deref().unwrap_or_default()).unwrap_or_default();
    if end.rejection.is_some() { value } else { value["document"].take() }
}

/// Whether a text stands in any part of it, also behind JSON's escapes.
fn says(message: &Message, text: &str) -> bool {
    let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
    let value = message.value.as_deref().unwrap_or_default();
    let plain = serde_json::from_slice::<Value>(value).map(|value| value.to_string()).unwrap_or_default();
    let quoted = Value::from(text).to_string();
    has(value)
        || plain.contains(&quoted[1..quoted.len() - 1])
        || has(message.key.as_deref().unwrap_or_default())
        || headers::iter(&message.headers).any(|(_, value)| has(value.unwrap_or_default()))
}
