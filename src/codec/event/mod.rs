//! `CloudEvents` 1.0 by their binding for Kafka: structured, where the value is the event in JSON, or binary, where attributes are
//! headers and the value is the data.

pub mod read;
pub mod write;

use rdkafka::message::OwnedHeaders;

use crate::record::headers;

/// What the names of headers begin with that are attributes.
const PREFIX: &str = "ce_";

/// The header that says what the value is.
const CONTENT_TYPE: &str = "content-type";

/// The attribute that the header says.
const DATA_CONTENT_TYPE: &str = "datacontenttype";

/// The attribute that a header is. The binding writes small letters; some clients change them.
fn attribute(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let prefix = name.get(..PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then(|| name[PREFIX.len()..].to_ascii_lowercase())
}

fn is_content_type(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
}

/// The names of headers that say what event a record is.
fn names(headers: Option<&OwnedHeaders>) -> impl Iterator<Item = String> {
    let names = headers.into_iter().flat_map(headers::iter).map(|(name, _)| name);
    let ours = names.filter(|name| is_content_type(name) || attribute(name).is_some());
    ours.map(|name| String::from_utf8_lossy(name).into_owned())
}
