//! What is written of a tagged document.

use rdkafka::message::{Header, OwnedHeaders};

use super::headers;

/// What a tagged document becomes on the output topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enriched {
    /// The value of the record.
    pub value: Vec<u8>,
    /// Headers by name, in the place of those that the record had; `None`: it has none of that name.
    pub headers: Vec<(String, Option<String>)>,
}

impl Enriched {
    /// A value, with the headers as they were.
    #[must_use]
    pub fn of(value: Vec<u8>) -> Self {
        Self { value, headers: Vec::new() }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let header = |(name, value): &(String, Option<String>)| name.len() + value.as_ref().map_or(0, String::len);
        self.value.len() + self.headers.iter().map(header).sum::<usize>()
    }

    /// The record's own headers with these in their place.
    #[must_use]
    pub fn head(&self, own: Option<OwnedHeaders>) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return own;
        }
        let is_ours = |name: &[u8]| self.headers.iter().any(|(ours, _)| ours.as_bytes() == name);
        let rest = headers::without(own.unwrap_or_default(), is_ours);
        let given = self.headers.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
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
        let made = Enriched { value: Vec::new(), headers }.head(Some(own)).unwrap();
        let all: Vec<_> = headers::iter(&made).collect();
        assert_eq!(all, [(&b"mine"[..], Some(&b"1"[..])), (b"tagbert.spam", Some(b"spam"))]);
    }
}
