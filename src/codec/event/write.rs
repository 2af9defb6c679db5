//! From an enriched record to an event.

use std::borrow::Cow;

use jiff::Timestamp;
use rdkafka::message::OwnedHeaders;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CONTENT_TYPE, DATA_CONTENT_TYPE, PREFIX, names};
use crate::config::{Config, ContentMode, OutputFormat};
use crate::record::document::Document;
use crate::record::enriched::{Enriched, TagHeaders};
use crate::record::envelope::Envelope;
use crate::record::headers;

/// What the data of an event are.
const JSON: &str = "application/json";

/// Makes events of enriched records.
#[derive(Clone, Debug)]
pub struct Events {
    source: String,
    kind: String,
    mode: ContentMode,
}

impl Events {
    /// As the configuration says; `None`: records are to be none.
    pub fn new(config: &Config) -> Option<Self> {
        let settings = &config.output.cloudevents;
        let made = || Self { source: config.event_source(), kind: settings.kind.clone(), mode: settings.content_mode };
        (config.output.format == OutputFormat::CloudEvents).then(made)
    }

    /// An event of what is written of a document, which is JSON.
    pub fn make(&self, value: Vec<u8>, envelope: &Envelope<Document>) -> Enriched {
        let attributes = self.attributes(envelope);
        let mut headers = none_of(envelope.record.headers.as_ref());
        let set = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        match self.mode {
            ContentMode::Structured => {
                headers.push(set(CONTENT_TYPE, "application/cloudevents+json; charset=UTF-8"));
                let value = [&written(&attributes), &b",\"data\":"[..], &value, b"}"].concat();
                Enriched { value, headers: TagHeaders(headers) }
            }
            ContentMode::Binary => {
                headers.extend(attributes.iter().map(|(name, value)| match *name {
                    DATA_CONTENT_TYPE => set(CONTENT_TYPE, value),
                    name => set(&format!("{PREFIX}{name}"), value),
                }));
                Enriched { value, headers: TagHeaders(headers) }
            }
        }
    }

    fn attributes<'a>(&'a self, envelope: &'a Envelope<Document>) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut attributes: Vec<(_, Cow<str>)> = vec![
            ("specversion", "1.0".into()),
            ("id", envelope.origin.record_id().into()),
            ("source", self.source.as_str().into()),
            ("type", self.kind.as_str().into()),
            ("time", Timestamp::now().to_string().into()),
            (DATA_CONTENT_TYPE, JSON.into()),
        ];
        attributes.extend(subject(&envelope.body.id).map(|subject| ("subject", subject)));
        let Trace { traceparent, tracestate } = trace(envelope);
        attributes.extend(traceparent.map(|parent| ("traceparent", parent)));
        attributes.extend(tracestate.map(|state| ("tracestate", state)));
        attributes
    }
}

/// The headers that would say of an enriched record that it is the event that came.
pub fn none_of(headers: Option<&OwnedHeaders>) -> Vec<(String, Option<String>)> {
    names(headers).map(|name| (name, None)).collect()
}

/// The beginning of an object: all but its data.
fn written(attributes: &[(&str, Cow<str>)]) -> Vec<u8> {
    let members = attributes.iter().map(|(name, value)| format!("\"{name}\":{}", serde_json::Value::from(&**value)));
    format!("{{{}", members.collect::<Vec<_>>().join(",")).into_bytes()
}

/// What an event is about: the document's id, if that is a text or a number.
fn subject(id: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str(id.get()).ok()? {
        serde_json::Value::String(text) => Some(text.into()).filter(|text: &Cow<str>| !text.is_empty()),
        serde_json::Value::Number(_) => Some(id.get().into()),
        _ => None,
    }
}

/// W3C Trace Context, as the extension for distributed tracing has it.
#[derive(Default, Deserialize)]
struct Trace<'a> {
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tracestate: Option<Cow<'a, str>>,
}

/// That of the record's journey; of an event whose record has none, its own.
fn trace(envelope: &Envelope<Document>) -> Trace<'_> {
    let header = |name: &str| {
        let all = envelope.record.headers.as_ref()?;
        let value = headers::last(all, name).or_else(|| headers::last(all, &format!("{PREFIX}{name}")))?;
        std::str::from_utf8(value).ok().map(Cow::Borrowed)
    };
    let own = || envelope.span.traceparent().map(Cow::Owned);
    if let Some(traceparent) = header("traceparent") {
        return Trace { traceparent: own().or(Some(traceparent)), tracestate: header("tracestate") };
    }
    let value = envelope.body.json.as_deref().map(|json| json.get().as_bytes()).or(envelope.record.value.as_deref());
    let event: Trace = value.and_then(|value| serde_json::from_slice(value).ok()).unwrap_or_default();
    Trace { traceparent: event.traceparent.or_else(own), ..event }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rdkafka::message::Header;

    use super::*;
    use crate::record::budget::Budget;
    use crate::record::envelope::{Origin, Record};

    fn envelope(id: &str, value: &str, headers: &[(&str, &str)]) -> Envelope<Document> {
        let insert = |all: OwnedHeaders, (key, value): &(&str, &str)| all.insert(Header { key, value: Some(*value) });
        let headers = Some(headers.iter().fold(OwnedHeaders::new(), insert));
        let record = Record { headers, ..Record::of(value.into()) };
        let document = Document { id: RawValue::from_string(id.into()).unwrap(), ..Document::unnamed(Vec::new()) };
        Envelope::begin(Origin::elsewhere("mails".into(), 42, 0), record, &Budget::new(1000)).map(|()| document)
    }

    fn events(mode: &str) -> Events {
        let yaml = format!("output: {{format: cloudevents, cloudevents: {{content_mode: {mode}}}}}");
        Events::new(&Config::parse(&yaml, HashMap::new(), &[]).unwrap()).unwrap()
    }

    #[test]
    fn an_event_has_the_records_id_and_none_of_the_attributes_of_the_one_that_came() {
        let headers = [("ce_id", "7"), ("Content-Type", "text/plain"), ("CE_tenant", "a"), ("mine", "1")];
        let envelope = envelope("\"d\\u00e9\"", "{}", &headers);
        let structured = events("structured").make(b"{\"a\":1.10}".to_vec(), &envelope);
        let text = String::from_utf8(structured.value).unwrap();
        assert!(text.ends_with(",\"data\":{\"a\":1.10}}"), "{text}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = [
            ("id", "mails-0-42"),
            ("source", "/tagbert/tagbert"),
            ("type", "tagbert.document.enriched"),
            ("subject", "dé"),
            ("specversion", "1.0"),
            ("datacontenttype", "application/json"),
        ];
        assert!(expected.iter().all(|(name, value)| event[name] == **value), "{event}");
        assert!(event.get("tenant").is_none());

        let binary = events("binary").make(b"{}".to_vec(), &envelope);
        let headers = binary.headers.head(envelope.record.headers.clone()).unwrap();
        let mut names: Vec<_> = headers::iter(&headers).map(|(name, _)| String::from_utf8_lossy(name)).collect();
        names.sort();
        let expected = "ce_id ce_source ce_specversion ce_subject ce_time ce_type content-type mine";
        assert_eq!(names.join(" "), expected);
        assert_eq!(headers::last(&headers, "content-type"), Some(JSON.as_bytes()));
        assert_eq!(headers::last(&headers, "ce_subject"), Some("dé".as_bytes()));
    }

    #[test]
    fn the_subject_is_an_id_that_is_a_text_or_a_number() {
        let of = |id: &str| subject(&RawValue::from_string(id.into()).unwrap()).map(Cow::into_owned);
        assert_eq!(
            (of("12345678901234567890.50"), of("\"a\"")),
            (Some("12345678901234567890.50".into()), Some("a".into()))
        );
        assert_eq!((of("null"), of("\"\""), of("{}")), (None, None, None));
    }

    #[test]
    fn the_context_of_a_trace_is_kept_however_it_came() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let event = format!(r#"{{"traceparent":"{parent}","tracestate":"a=1"}}"#);
        for (value, headers) in [
            (event.as_str(), &[][..]),
            ("{}", &[("traceparent", parent), ("tracestate", "a=1")]),
            ("{}", &[("ce_traceparent", parent), ("ce_tracestate", "a=1")]),
        ] {
            let envelope = envelope("1", value, headers);
            let Trace { traceparent, tracestate } = trace(&envelope);
            assert_eq!((traceparent.as_deref(), tracestate.as_deref()), (Some(parent), Some("a=1")));
        }
    }
}
