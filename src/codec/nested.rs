//! The enriched record: what the output topic gets for each document (G-21).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::tags::WrittenTag;
use crate::record::answer::Identity;

/// The value of a record on the output topic (`output.shape: nested`).
#[derive(Serialize, JsonSchema)]
#[schemars(title = "Enriched record")]
pub struct EnrichedRecord<'a> {
    /// The document's id, as it was; null where it has none.
    #[schemars(with = "Value")]
    pub(super) id: &'a RawValue,
    /// The tags, by the name of the tagger, or of the head where a tagger has several. A document without the text that a
    /// tagger reads has no tag of it.
    pub(super) tags: Tags<'a>,
    /// The original document, byte for byte but for a byte order mark (`output.document: keep`). What was no JSON object is
    /// one here: of a text (`input.format: text`) the field `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    pub(super) document: Option<&'a RawValue>,
    /// The texts that were made of mails (`input.clean: mail`), in which entities stand; only with `output.document: keep`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) texts: Vec<&'a str>,
    /// The record that the document came in.
    pub(super) source: Source<'a>,
    /// The model that tagged it; of several, the first.
    pub(super) model: &'a Identity,
    /// All models that tagged it, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) models: Option<&'a [Identity]>,
    /// How many tokens of its text were tagged, special ones included; of several models, the most.
    pub(super) tokens: usize,
    /// True when a text was longer than the model takes, and only its beginning was tagged (`long_documents: truncate`).
    pub(super) truncated: bool,
    /// When it was tagged (RFC 3339, UTC).
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(super) tagged_at: Timestamp,
}

impl EnrichedRecord<'_> {
    /// The document's id, where it has to be a text: what is none is so as JSON has it.
    pub(super) fn id_as_text(&self) -> Option<String> {
        match serde_json::from_str(self.id.get()) {
            Ok(Value::Null) => None,
            Ok(Value::String(id)) => Some(id),
            _ => Some(self.id.get().to_owned()),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Source<'a> {
    /// The input topic.
    pub(super) topic: &'a str,
    /// Its partition.
    pub(super) partition: i32,
    /// The offset in the partition.
    pub(super) offset: i64,
    /// The record's timestamp, milliseconds since 1970.
    pub(super) timestamp: Option<i64>,
}

/// The tags, as a map in the order of the configuration.
#[derive(JsonSchema)]
#[schemars(inline)]
pub(super) struct Tags<'a>(
    #[schemars(with = "std::collections::BTreeMap<String, WrittenTag<'a>>")] pub(super) &'a [Named<'a>],
);

/// A tag with its name.
pub(super) type Named<'a> = (&'a str, WrittenTag<'a>);

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, tag)| (name, tag)))
    }
}

/// What it is in JSON, which has about so many bytes.
pub(super) fn bytes(value: &impl Serialize, about: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(about);
    serde_json::to_writer(&mut bytes, value)
        .unwrap_or_else(|_| unreachable!("the keys are strings, and memory takes all bytes"));
    bytes
}
