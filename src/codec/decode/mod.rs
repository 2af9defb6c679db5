//! From bytes to a document: the id and the text to tag, found by JSON pointers.

mod foreign;
mod pointers;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::pointers::{NotFound, Pointers};
use crate::config::Config;
use crate::config::mark::without_mark;
use crate::record::document::Document;
use crate::record::envelope::Record;
use crate::record::rejection::{Rejection, Stage};

/// What a record holds.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// A document.
    Document(Document),
    /// A null value: on a compacted topic, the key is deleted.
    Tombstone,
}

/// Where documents have their id and their texts, and how large they may be.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Which of the pointers is the id's.
    id: usize,
    /// Which are those of each text, and how they are written.
    texts: Vec<Vec<(usize, String)>>,
    pointers: Pointers,
    limit: usize,
}

impl Decoder {
    /// A decoder for the documents that the configuration describes.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let limit = config.limits.document.as_u64() as usize;
        let mut pointers = Pointers::default();
        let mut add = |pointer: String| (pointers.add(&pointer), pointer);
        let texts = config.texts().into_iter().map(|text| text.into_iter().map(&mut add).collect()).collect();
        let (id, _) = add(config.input.id.clone());
        Self { id, texts, pointers, limit }
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// With the class of what is wrong; the message never holds any of the document's text (G-28).
    pub fn decode(&self, record: &Record) -> Result<Decoded, Rejection> {
        if let Some(name) = record.headers.as_ref().and_then(crate::record::headers::first_name_not_utf8) {
            let name = String::from_utf8_lossy(&name[..name.len().min(64)]);
            return Err(reject("InvalidHeaderName", format!("the name of header {name:?} is not UTF-8")));
        }
        let Some(bytes) = &record.value else { return Ok(Decoded::Tombstone) };
        if bytes.len() > self.limit {
            let (size, limit) = (bytes.len(), self.limit);
            return Err(reject("DocumentTooLarge", format!("{size} bytes are over limits.document, {limit} bytes")));
        }
        let bytes = without_mark(bytes);
        if let Some((class, what)) = foreign::format(bytes) {
            return Err(reject(class, format!("the value is not plain JSON: {what}")));
        }
        let value = std::str::from_utf8(bytes)
            .map_err(|error| reject("NotUtf8", format!("the value is not UTF-8: {error}")))?;
        let found = self.pointers.find(value).map_err(|error| match error {
            NotFound::NotJson(error) => reject("NotJson", format!("the value is not JSON: {}", without_text(&error))),
            NotFound::NotAnObject => reject("NotAnObject", foreign::instead_of_an_object(value)),
        })?;
        let texts = self.texts(&found)?;
        let id = found[self.id].unwrap_or(RawValue::NULL).to_owned();
        Ok(Decoded::Document(Document { id, texts }))
    }

    fn texts(&self, values: &[Option<&RawValue>]) -> Result<Vec<Option<String>>, Rejection> {
        let found: Vec<Text> = self.texts.iter().map(|pointers| text(values, pointers)).collect::<Result<_, _>>()?;
        if !found.iter().any(|text| matches!(text, Text::Some(_))) {
            let named: Vec<_> = self.texts.iter().flatten().map(|(_, pointer)| pointer.as_str()).collect();
            let named = named.join("`, `");
            return Err(if found.iter().all(|text| matches!(text, Text::Missing)) {
                reject("TextMissing", format!("there is no value at `{named}`"))
            } else {
                reject("TextEmpty", format!("the text at `{named}` is empty"))
            });
        }
        let some = |text| if let Text::Some(text) = text { Some(text) } else { None };
        Ok(found.into_iter().map(some).collect())
    }
}

/// What stands at some pointers.
enum Text {
    Some(String),
    Empty,
    Missing,
}

/// A string that is copied only where it has escapes.
#[derive(Deserialize)]
struct Piece<'a>(#[serde(borrow)] Cow<'a, str>);

fn text(values: &[Option<&RawValue>], pointers: &[(usize, String)]) -> Result<Text, Rejection> {
    let mut texts = Vec::with_capacity(pointers.len());
    let mut found = false;
    for (place, pointer) in pointers {
        let Some(raw) = values[*place] else { continue };
        found = true;
        match serde_json::from_str::<Option<Piece>>(raw.get()) {
            Ok(text) => texts.extend(text.map(|Piece(text)| text).filter(|text| !text.is_empty())),
            Err(_) if raw.get().starts_with('"') => {
                let why = format!("the string at `{pointer}` has an escape that is no character");
                return Err(reject("NotJson", why));
            }
            Err(_) => return Err(reject("TextNotAString", format!("the value at `{pointer}` is not a string"))),
        }
    }
    Ok(match found {
        false => Text::Missing,
        true if texts.iter().all(|text| text.trim().is_empty()) => Text::Empty,
        true => Text::Some(if texts.len() == 1 { texts.remove(0).into_owned() } else { texts.join("\n") }),
    })
}

/// What `serde_json` says, but for the parts of the document that some of its messages quote.
fn without_text(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "syntax error",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

fn reject(class: &'static str, message: String) -> Rejection {
    Rejection::new(Stage::Decode, class, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config;

    fn decoder(limit: u64) -> Decoder {
        let limits = config::Limits { document: bytesize::ByteSize(limit), ..config::Limits::default() };
        Decoder::new(&Config { limits, ..Config::default() })
    }

    fn decode(value: impl Into<Vec<u8>>) -> Result<Decoded, Rejection> {
        let record = Record { key: None, value: Some(value.into()), headers: None, timestamp: None };
        decoder(1000).decode(&record)
    }

    fn class(value: impl Into<Vec<u8>>) -> &'static str {
        decode(value).expect_err("is rejected").class
    }

    /// The id, as it is written, and the text.
    fn parts(value: &str) -> (String, String) {
        match decode(value) {
            Ok(Decoded::Document(document)) => {
                (document.id.get().to_owned(), document.texts.into_iter().flatten().collect())
            }
            other => panic!("{value}: {other:?}"),
        }
    }

    fn both(id: &str, text: &str) -> (String, String) {
        (id.into(), text.into())
    }

    #[test]
    fn texts_are_joined_by_a_newline() {
        assert_eq!(parts(r#"{"id":"7","subject":"Hi","body":"there"}"#), both("\"7\"", "Hi\nthere"));
        assert_eq!(parts(r#"{"id":7,"body":"there","subject":null}"#), both("7", "there"));
        assert_eq!(parts(r#" {"subject":"","body":"there"}"#), both("null", "there"));
    }

    #[test]
    fn a_byte_order_mark_before_a_document_is_passed_over() {
        assert_eq!(parts("\u{feff}{\"id\":7,\"body\":\"x\"}"), both("7", "x"));
        assert_eq!(parts("\u{feff} {\"body\":\"\u{feff}x\"}"), both("null", "\u{feff}x"));
        assert_eq!(class("\u{feff}\u{feff}{\"body\":\"x\"}"), "NotJson", "one is a mark, two are not");
        assert_eq!(class("\u{feff}"), "NotJson");
    }

    #[test]
    fn an_id_stays_as_it_was_and_nothing_else_matters() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let value = format!(r#"{{"id":123456789012345678901234567890.10,"n":1e400,"deep":{deep},"body":"x"}}"#);
        assert_eq!(parts(&value), both("123456789012345678901234567890.10", "x"));
    }

    #[test]
    fn each_kind_of_bad_input_has_its_class() {
        assert_eq!(class("{"), "NotJson");
        assert_eq!(class(r#"{"body":"\ud800"}"#), "NotJson", "a lone surrogate is no text");
        assert_eq!(class(*b"{\"body\":\"\xff\"}"), "NotUtf8");
        assert_eq!(class(r#"["body"]"#), "NotAnObject");
        assert_eq!(class(*b"\0\0\0\0\x2a{\"body\":\"x\"}"), "SchemaRegistry");
        assert_eq!(class(r#"{"id":1}"#), "TextMissing");
        assert_eq!(class(r#"{"body":5}"#), "TextNotAString");
        assert_eq!(class(r#"{"body":" \n"}"#), "TextEmpty");
        assert_eq!(class(r#"{"body":null}"#), "TextEmpty");
        assert_eq!(class(format!(r#"{{"body":"{}"}}"#, "x".repeat(1000))), "DocumentTooLarge");
    }

    #[test]
    fn a_null_value_is_a_tombstone() {
        let record = Record { key: Some(vec![1]), value: None, headers: None, timestamp: None };
        assert!(matches!(decoder(10).decode(&record), Ok(Decoded::Tombstone)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(bytes));
        }

        #[test]
        fn no_text_is_quoted_in_the_message(secret in "[a-z]{12}", tail in ".{0,20}") {
            if let Err(rejection) = decode(format!(r#"{{"body": {secret}, {tail}"#)) {
                prop_assert!(!rejection.message.contains(&secret));
            }
        }
    }
}
