//! What is tagged.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::text::Text;

/// What is to be tagged, as the record's value has it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The value at `input.id`, as it was written; null where there is none.
    pub id: Box<RawValue>,
    /// Each of the texts that taggers read: the values at its pointers, joined. `None` where all are missing or
    /// empty; one at least is there.
    pub texts: Vec<Option<Text>>,
    /// The document as JSON, where the record's value is something else.
    pub json: Option<Box<RawValue>>,
    /// What its enriched record is written by, if that has a schema.
    pub target: Option<Target>,
}

/// What an enriched record with a schema is written by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The number of its schema.
    pub schema: u32,
    /// What the document is within.
    pub original: Original,
}

/// What a document is within its enriched record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    /// JSON.
    Json,
    /// The datum of Avro that the record has behind its header.
    Datum,
    /// The message of Protobuf that the record has from this byte on.
    Message {
        /// The name of its type.
        kind: Arc<str>,
        /// Where it begins.
        at: usize,
    },
}

impl Document {
    /// One without an id, for what comes from no record.
    #[must_use]
    pub fn unnamed(texts: Vec<Option<Text>>) -> Self {
        Self { id: RawValue::NULL.to_owned(), texts, json: None, target: None }
    }

    /// Bytes of what was made for it beside the texts' own.
    #[must_use]
    pub fn size(&self) -> usize {
        let texts = self.texts.iter().flatten().map(Text::size);
        texts.sum::<usize>() + self.json.as_ref().map_or(0, |json| json.get().len())
    }
}
