//! From bytes to a document: the id and the text to tag, found by JSON pointers.

use serde_json::Value;

use crate::config;
use crate::envelope::{Record, Rejection, Stage};

/// What is to be tagged, as the record's value has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The value at `input.id`; null where there is none.
    pub id: Value,
    /// The values at `input.text`, joined by newlines.
    pub text: String,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A document.
    Document(Document),
    /// A null value: on a compacted topic, the key is deleted.
    Tombstone,
}

/// Where documents have their id and their text, and how large they may be.
#[derive(Clone, Debug)]
pub struct Decoder {
    id: String,
    text: Vec<String>,
    limit: usize,
}

impl Decoder {
    /// A decoder for documents of this shape and at most `limit` bytes.
    #[must_use]
    pub fn new(input: &config::Input, limit: usize) -> Self {
        Self { id: input.id.clone(), text: input.text.clone(), limit }
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// With the class of what is wrong; the message never holds any of the document's text.
    pub fn decode(&self, record: &Record) -> Result<Decoded, Rejection> {
        if let Some(name) = record.headers.as_ref().and_then(crate::headers::first_name_not_utf8) {
            let name = String::from_utf8_lossy(name);
            return Err(reject("InvalidHeaderName", format!("the name of header {name:?} is not UTF-8")));
        }
        let Some(bytes) = &record.value else { return Ok(Decoded::Tombstone) };
        if bytes.len() > self.limit {
            let (size, limit) = (bytes.len(), self.limit);
            return Err(reject("DocumentTooLarge", format!("{size} bytes are over limits.document, {limit} bytes")));
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(reject("NotUtf8", format!("the value is not UTF-8: {error}")));
        }
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| reject("NotJson", format!("the value is not JSON: {}", without_text(&error))))?;
        let text = self.text(&value)?;
        let id = value.pointer(&self.id).cloned().unwrap_or_default();
        Ok(Decoded::Document(Document { id, text }))
    }

    fn text(&self, value: &Value) -> Result<String, Rejection> {
        if !value.is_object() {
            return Err(reject("NotAnObject", "the value is not a JSON object".into()));
        }
        let mut texts = Vec::with_capacity(self.text.len());
        for pointer in &self.text {
            match value.pointer(pointer) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if text.is_empty() => {}
                Some(Value::String(text)) => texts.push(text.as_str()),
                Some(_) => return Err(reject("TextNotAString", format!("the value at `{pointer}` is not a string"))),
            }
        }
        let named = || self.text.join("`, `");
        if texts.is_empty() && self.text.iter().all(|pointer| value.pointer(pointer).is_none()) {
            return Err(reject("TextMissing", format!("there is no value at `{}`", named())));
        }
        if texts.iter().all(|text| text.trim().is_empty()) {
            return Err(reject("TextEmpty", format!("the text at `{}` is empty", named())));
        }
        Ok(texts.join("\n"))
    }
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
    Rejection { stage: Stage::Decode, class, message }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decode(value: impl Into<Vec<u8>>) -> Result<Decoded, Rejection> {
        let record = Record { key: None, value: Some(value.into()), headers: None, timestamp: None };
        Decoder::new(&config::Input::default(), 1000).decode(&record)
    }

    fn class(value: impl Into<Vec<u8>>) -> &'static str {
        decode(value).expect_err("is rejected").class
    }

    #[test]
    fn texts_are_joined_by_a_newline() {
        let document = |id, text: &str| Ok(Decoded::Document(Document { id, text: text.into() }));
        assert_eq!(decode(r#"{"id":"7","subject":"Hi","body":"there"}"#), document(json!("7"), "Hi\nthere"));
        assert_eq!(decode(r#"{"id":7,"body":"there","subject":null}"#), document(json!(7), "there"));
        assert_eq!(decode(r#"{"subject":"","body":"there"}"#), document(Value::Null, "there"));
    }

    #[test]
    fn each_kind_of_bad_input_has_its_class() {
        assert_eq!(class("{"), "NotJson");
        assert_eq!(class(r#"{"body":"\ud800"}"#), "NotJson", "a lone surrogate is no text");
        assert_eq!(class(*b"{\"body\":\"\xff\"}"), "NotUtf8");
        assert_eq!(class(r#"["body"]"#), "NotAnObject");
        assert_eq!(class(r#"{"id":1}"#), "TextMissing");
        assert_eq!(class(r#"{"body":5}"#), "TextNotAString");
        assert_eq!(class(r#"{"body":" \n"}"#), "TextEmpty");
        assert_eq!(class(r#"{"body":null}"#), "TextEmpty");
        assert_eq!(class(format!(r#"{{"body":"{}"}}"#, "x".repeat(1000))), "DocumentTooLarge");
    }

    #[test]
    fn a_null_value_is_a_tombstone() {
        let record = Record { key: Some(vec![1]), value: None, headers: None, timestamp: None };
        assert_eq!(Decoder::new(&config::Input::default(), 10).decode(&record), Ok(Decoded::Tombstone));
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
