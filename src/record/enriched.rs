//! What is written of a tagged document.

use rdkafka::message::{Header, OwnedHeaders};

use super::headers;

/// What a tagged document becomes on the output topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enriched {
    /// The value of the record.
    pub value: Vec<u8>,
    /// Its tags, where they are headers.
    pub headers: TagHeaders,
}

impl Enriched {
    /// A value, with the headers as they were.
    #[must_use]
    pub fn of(value: Vec<u8>) -> Self {
        Self { value, headers: TagHeaders::default() }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.value.len() + self.headers.size()
    }
}

/// Tags by the names of their headers, in the place of those that the record had; `None`: it has none of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagHeaders(pub Vec<(String, Option<String>)>);

impl TagHeaders {
    /// Bytes that they take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum()
    }

    /// The record's own headers with these in their place.
    #[must_use]
    pub fn head(&self, own: Option<OwnedHeaders>) -> Option<OwnedHeaders> {
        if self.0.is_empty() {
            return own;
        }
        let is_ours = |name: &[u8]| self.0.iter().any(|(ours, _)| ours.as_bytes() == name);
        let rest = headers::without(own.unwrap_or_default(), is_ours);
        let given = self.0.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        Some(given.fold(rest, |all, (name, value)| all.insert(Header { key: name, value: Some(value) })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_the_record_brings_is_never_taken_for_a_tag() {
        let own = OwnedHeaders::new()
            .insert(Header { key: "tagbert.spam", value: Some("ham") })
            .insert(Header { key: "mine", value: Some("1") })
            .insert(Header { key: "tagbert.topic", value: Some("sport") });
        let headers = vec![("tagbert.spam".into(), Some("spam".into())), ("tagbert.topic".into(), None)];
        let made = TagHeaders(headers).head(Some(own)).unwrap();
        let all: Vec<_> = headers::iter(&made).collect();
        assert_eq!(all, [(&b"mine"[..], Some(&b"1"[..])), (b"tagbert.spam", Some(b"spam"))]);
    }
}
