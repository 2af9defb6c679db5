//! From a record to the event in its JSON form, which is the same however it came.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use rdkafka::message::OwnedHeaders;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{CONTENT_TYPE, DATA_CONTENT_TYPE, PREFIX, attribute, is_content_type};
use crate::config::mark::without_mark;
use crate::record::headers;
use crate::record::rejection::{Rejection, Stage};

/// The version that is read. (1.0.1 and 1.0.2 of the specification say `1.0`, too.)
const VERSION: &str = "1.0";

/// What every event has.
const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

/// What media types of events begin with.
const EVENTS: &str = "application/cloudevents";

/// How a record is an event.
enum Mode {
    Structured { is_said: bool },
    Binary(BTreeMap<String, String>),
}

/// What an event is about.
pub enum Data<'a> {
    /// JSON, as it was written.
    Json(&'a str),
    /// Text, and what it is encoded in.
    Text(Cow<'a, str>, &'static Encoding),
    /// Anything else.
    Bytes,
}

/// The event in its JSON form: the value itself, but where it is binary, or its data are in Base64 and can be read.
///
/// # Errors
/// When the record is no event.
pub fn json<'a>(headers: Option<&OwnedHeaders>, value: &'a [u8]) -> Result<Cow<'a, str>, Rejection> {
    match mode(headers)? {
        Mode::Structured { is_said } => structured(without_mark(value), is_said),
        Mode::Binary(attributes) => binary(attributes, value).map(Cow::Owned),
    }
}

/// The data of a record that is a binary event; `None`: the value is the event.
///
/// # Errors
/// As for [`json`].
pub fn value_is_data<'a>(headers: Option<&OwnedHeaders>, value: &'a [u8]) -> Result<Option<Data<'a>>, Rejection> {
    match mode(headers)? {
        Mode::Structured { .. } => Ok(None),
        Mode::Binary(attributes) => data(attributes.get(DATA_CONTENT_TYPE).map(String::as_str), value).map(Some),
    }
}

fn mode(all: Option<&OwnedHeaders>) -> Result<Mode, Rejection> {
    let (mut attributes, mut content_type) = (BTreeMap::new(), None);
    for (name, value) in all.into_iter().flat_map(headers::iter) {
        let Some(attribute) = attribute(name).or_else(|| is_content_type(name).then(|| CONTENT_TYPE.into())) else {
            continue;
        };
        // One without a value is not set.
        let Some(value) = value else { continue };
        let value = std::str::from_utf8(value).map_err(|_| {
            let name = String::from_utf8_lossy(name);
            reject("NotUtf8", format!("the value of header `{name}` is not UTF-8, as attributes of events are"))
        })?;
        if is_content_type(name) {
            content_type = Some(value);
        } else if !["data", "data_base64"].contains(&&*attribute) {
            attributes.insert(attribute, value.to_owned());
        }
    }
    let kind = content_type.map(essence).unwrap_or_default();
    if let Some(format) = kind.strip_prefix(EVENTS) {
        return match format {
            "+json" => Ok(Mode::Structured { is_said: true }),
            _ if format.starts_with("-batch") => {
                let why = "the record is a batch of events, which the binding for Kafka does not have: one record is one event";
                Err(reject("CloudEventBatch", why.into()))
            }
            _ => {
                let why = "the record is an event in another format than JSON: \
                           let it be written as `application/cloudevents+json`, or binary";
                Err(reject("CloudEventFormat", why.into()))
            }
        };
    }
    if attributes.is_empty() {
        // As events are in files, and of clients that write no headers.
        return Ok(Mode::Structured { is_said: false });
    }
    if let Some(content_type) = content_type {
        attributes.insert(DATA_CONTENT_TYPE.into(), content_type.to_owned());
    }
    Ok(Mode::Binary(attributes))
}

/// What is looked at of a structured event.
#[derive(Deserialize)]
struct Structured<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    datacontenttype: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<&'a RawValue>,
}

fn structured(value: &[u8], is_said: bool) -> Result<Cow<'_, str>, Rejection> {
    let json = std::str::from_utf8(value)
        .map_err(|error| reject("NotUtf8", format!("the event's JSON is not UTF-8: {error}")))?;
    let none = || {
        let why = format!(
            "the record is no CloudEvent: it has neither the header `{CONTENT_TYPE}: {EVENTS}+json` nor headers such as \
             `{PREFIX}id`, and its value is no event in JSON"
        );
        reject("NotACloudEvent", why)
    };
    let event: Structured = match serde_json::from_str(json) {
        Ok(event) => event,
        Err(_) if !is_said => return Err(none()),
        Err(error) if error.is_data() => {
            return Err(invalid("it is not a JSON object in which each attribute stands once"));
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return Err(reject("NotJson", format!("the event is not JSON: an error at line {line} column {column}")));
        }
    };
    if !is_said && event.specversion.is_none() {
        return Err(none());
    }
    let required = [event.id, event.source, event.specversion, event.kind];
    for (name, value) in REQUIRED.into_iter().zip(required) {
        check(
            name,
            value.map(text).transpose().map_err(|()| invalid(&format!("its `{name}` is not a string")))?.as_deref(),
        )?;
    }
    let Some(base64) = event.data_base64 else { return Ok(Cow::Borrowed(json)) };
    if event.data.is_some() {
        return Err(invalid("it has `data` and `data_base64`, of which it may have one"));
    }
    let bytes = text(base64).ok().and_then(|base64| BASE64_STANDARD.decode(&*base64).ok());
    let bytes = bytes.ok_or_else(|| invalid("its `data_base64` is not Base64"))?;
    let content_type = event.datacontenttype.and_then(|raw| text(raw).ok());
    let Some(data) = raw(data(content_type.as_deref(), &bytes)?)? else { return Ok(Cow::Borrowed(json)) };
    let mut members: BTreeMap<Cow<str>, Box<RawValue>> = serde_json::from_str(json).map_err(|_| none())?;
    members.remove("data_base64");
    members.insert("data".into(), data);
    written(&members).map(Cow::Owned)
}

fn binary(attributes: BTreeMap<String, String>, value: &[u8]) -> Result<String, Rejection> {
    for name in REQUIRED {
        check(name, attributes.get(name).map(String::as_str))?;
    }
    let data = data(attributes.get(DATA_CONTENT_TYPE).map(String::as_str), value)?;
    let data = match raw(data)? {
        _ if value.is_empty() => None,
        Some(data) => Some(("data".to_owned(), data)),
        None => Some(("data_base64".to_owned(), made(&BASE64_STANDARD.encode(value))?)),
    };
    let attributes = attributes.into_iter().map(|(name, value)| Ok((name, made(&value)?)));
    let mut members = attributes.collect::<Result<BTreeMap<String, Box<RawValue>>, Rejection>>()?;
    members.extend(data);
    written(&members)
}

/// What these bytes are, by their media type. Without one, JSON if they are that, else text.
fn data<'a>(content_type: Option<&str>, bytes: &'a [u8]) -> Result<Data<'a>, Rejection> {
    let kind = content_type.map(essence);
    let json = || {
        let json = std::str::from_utf8(without_mark(bytes)).ok()?;
        serde_json::from_str::<&RawValue>(json).ok().map(|_| Data::Json(json))
    };
    match kind.as_deref() {
        Some(kind) if kind.ends_with("/json") || kind.ends_with("+json") => {
            let why = || reject("NotJson", "the event's data are not JSON, as their content type says".into());
            if bytes.is_empty() { Ok(Data::Bytes) } else { json().ok_or_else(why) }
        }
        Some(kind) if kind.starts_with("text/") || kind.ends_with("/xml") || kind.ends_with("+xml") => {
            let (encoding, bytes) = marked(charset(content_type.unwrap_or_default())?, bytes);
            let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
            let why = || {
                reject("NotText", format!("the event's data are not {}, as their content type says", encoding.name()))
            };
            text.map(|text| Data::Text(text, encoding)).ok_or_else(why)
        }
        None => Ok(json().unwrap_or_else(|| match std::str::from_utf8(bytes) {
            Ok(text) => Data::Text(text.into(), UTF_8),
            Err(_) => Data::Bytes,
        })),
        Some(_) => Ok(Data::Bytes),
    }
}

/// The encoding, and what comes after a byte order mark, which alone says of UTF-16 which of the two it is.
fn marked<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (&'static Encoding, &'a [u8]) {
    match Encoding::for_bom(bytes).filter(|_| [UTF_16LE, UTF_16BE].contains(&encoding)) {
        Some((marked, length)) => (marked, bytes.get(length..).unwrap_or_default()),
        None => (encoding, without_mark(bytes)),
    }
}

/// The encoding that a media type names; UTF-8 if it names none.
fn charset(content_type: &str) -> Result<&'static Encoding, Rejection> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let named = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let Some((_, label)) = named else { return Ok(UTF_8) };
    Encoding::for_label(label.trim().trim_matches('"').as_bytes())
        .ok_or_else(|| reject("NotText", "the event's data are in an encoding that is not known".into()))
}

/// A media type without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn raw(data: Data) -> Result<Option<Box<RawValue>>, Rejection> {
    match data {
        Data::Json(json) => RawValue::from_string(json.to_owned()).map(Some).map_err(|_| unwritten()),
        Data::Text(text, _) => made(&text).map(Some),
        Data::Bytes => Ok(None),
    }
}

fn text(raw: &RawValue) -> Result<Cow<'_, str>, ()> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str(raw.get()).map(|Text(text)| text).map_err(drop)
}

fn made(text: &str) -> Result<Box<RawValue>, Rejection> {
    to_raw_value(text).map_err(|_| unwritten())
}

fn written<K: Ord + serde::Serialize>(members: &BTreeMap<K, Box<RawValue>>) -> Result<String, Rejection> {
    serde_json::to_string(members).map_err(|_| unwritten())
}

fn unwritten() -> Rejection {
    invalid("it can't be written in JSON")
}

fn check(name: &str, value: Option<&str>) -> Result<(), Rejection> {
    match value {
        None => Err(invalid(&format!("its attribute `{name}` is missing"))),
        Some("") => Err(invalid(&format!("its attribute `{name}` is empty"))),
        Some(version) if name == "specversion" && version != VERSION => {
            Err(invalid(&format!("its `specversion` is another than `{VERSION}`, which is read")))
        }
        Some(_) => Ok(()),
    }
}

fn invalid(why: &str) -> Rejection {
    reject("CloudEventInvalid", format!("the record is no valid CloudEvent: {why}"))
}

fn reject(class: &'static str, message: String) -> Rejection {
    Rejection::new(Stage::Decode, class, message)
}

#[cfg(test)]
mod tests;
