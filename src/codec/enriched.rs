//! The enriched record: what the output topic gets for each document (G-21).

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::KeepDocument;
use crate::config::mark::without_mark;
use crate::record::answer::{Answer, Identity};
use crate::record::document::Document;
use crate::record::envelope::Envelope;
use crate::record::tag::Tag;

/// The value of a record on the output topic.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "Enriched record")]
pub struct EnrichedRecord<'a> {
    /// The document's id, as it was; null where it has none.
    #[schemars(with = "Value")]
    id: &'a RawValue,
    /// The tags, by the name of the tagger, or of the head where a tagger has several. A document without the text that a
    /// tagger reads has no tag of it.
    tags: Tags<'a>,
    /// The original document, byte for byte but for a byte order mark (`output.document: keep`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    document: Option<&'a RawValue>,
    /// The record that the document came in.
    source: Source<'a>,
    /// The model that tagged it; of several, the first.
    model: &'a Identity,
    /// All models that tagged it, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<&'a [Identity]>,
    /// How many tokens of its text were tagged, special ones included; of several models, the most.
    tokens: usize,
    /// True when a text was longer than the model takes, and only its beginning was tagged (`long_documents: truncate`).
    truncated: bool,
    /// When it was tagged (RFC 3339, UTC).
    #[schemars(with = "String", extend("format" = "date-time"))]
    tagged_at: Timestamp,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Source<'a> {
    /// The input topic.
    topic: &'a str,
    /// Its partition.
    partition: i32,
    /// The offset in the partition.
    offset: i64,
    /// The record's timestamp, milliseconds since 1970.
    timestamp: Option<i64>,
}

/// The tags, as a map in the order of the model's heads.
#[derive(JsonSchema)]
#[schemars(inline)]
struct Tags<'a>(#[schemars(with = "std::collections::BTreeMap<String, Tag>")] &'a [(Arc<str>, Tag)]);

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, tag)| (name, tag)))
    }
}

/// Makes enriched records of what the models gave.
#[derive(Clone, Copy, Debug)]
pub struct Assembler {
    document: KeepDocument,
}

impl Assembler {
    /// An assembler of records with or without the original document.
    #[must_use]
    pub fn new(document: KeepDocument) -> Self {
        Self { document }
    }

    /// Turns a document and what the taggers say of it into the bytes of the enriched record.
    #[must_use]
    pub fn assemble(&self, envelope: &Envelope<Document>, answer: &Answer) -> Vec<u8> {
        let Answer { tags, models, tokens, truncated, .. } = answer;
        let original = match self.document {
            KeepDocument::Keep => envelope.record.value.as_deref(),
            KeepDocument::Drop => None,
        };
        let record = EnrichedRecord {
            id: &envelope.body.id,
            tags: Tags(tags),
            document: original.and_then(|bytes| serde_json::from_slice(without_mark(bytes)).ok()),
            source: Source {
                topic: &envelope.origin.topic,
                partition: envelope.origin.partition,
                offset: envelope.origin.offset,
                timestamp: envelope.record.timestamp,
            },
            model: &models[0],
            models: (models.len() > 1).then_some(models),
            tokens: *tokens,
            truncated: *truncated,
            tagged_at: Timestamp::now(),
        };
        let mut bytes = Vec::with_capacity(original.map_or(0, <[u8]>::len) + 512);
        serde_json::to_writer(&mut bytes, &record)
            .unwrap_or_else(|_| unreachable!("the keys are strings, and memory takes all bytes"));
        bytes
    }
}
