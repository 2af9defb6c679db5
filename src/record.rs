//! The enriched record: what the output topic gets for each document.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::KeepDocument;
use crate::decode::Document;
use crate::envelope::Envelope;
use crate::model::{Identity, Logits, Model};
use crate::tags::Tag;
use crate::tokenize::Encoded;

/// A document that went through the model.
#[derive(Debug)]
pub struct Tagged {
    /// The document.
    pub document: Document,
    /// Its tokens.
    pub encoded: Encoded,
    /// The logits of each head.
    pub logits: Vec<Logits>,
}

/// The value of a record on the output topic.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "Enriched record")]
pub struct EnrichedRecord<'a> {
    /// The document's id, as it was; null where it has none.
    #[schemars(with = "Value")]
    id: &'a RawValue,
    /// One tag for each head of the model, by the head's name.
    tags: Tags<'a>,
    /// The original document, byte for byte (`output.document: keep`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    document: Option<&'a RawValue>,
    /// The record that the document came in.
    source: Source<'a>,
    /// The model that tagged it.
    model: &'a Identity,
    /// How many tokens the model saw, special ones included.
    tokens: usize,
    /// True when the text was longer than `model.max_tokens`, and only its beginning was tagged.
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
struct Tags<'a>(#[schemars(with = "std::collections::BTreeMap<String, Tag>")] Vec<(&'a Arc<str>, Tag)>);

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, tag)| (name, tag)))
    }
}

/// Makes enriched records of what the model gave.
#[derive(Clone, Debug)]
pub struct Assembler {
    model: Arc<Model>,
    document: KeepDocument,
}

impl Assembler {
    /// An assembler for what `model` gives.
    #[must_use]
    pub fn new(model: Arc<Model>, document: KeepDocument) -> Self {
        Self { model, document }
    }

    /// Turns logits into tags, and the whole into the bytes of the enriched record.
    #[must_use]
    pub fn assemble(&self, envelope: Envelope<Tagged>) -> Envelope<Vec<u8>> {
        let Tagged { document, encoded, logits } = &envelope.body;
        let heads = self.model.heads.iter().zip(logits);
        let tags = heads.map(|(head, logits)| (&head.name, Tag::read(head, &document.text, encoded, logits)));
        let original = match self.document {
            KeepDocument::Keep => envelope.record.value.as_deref(),
            KeepDocument::Drop => None,
        };
        let record = EnrichedRecord {
            id: &document.id,
            tags: Tags(tags.collect()),
            document: original.and_then(|bytes| serde_json::from_slice(bytes).ok()),
            source: Source {
                topic: &envelope.origin.topic,
                partition: envelope.origin.partition,
                offset: envelope.origin.offset,
                timestamp: envelope.record.timestamp,
            },
            model: &self.model.identity,
            tokens: encoded.ids.len(),
            truncated: encoded.truncated,
            tagged_at: Timestamp::now(),
        };
        let mut bytes = Vec::with_capacity(original.map_or(0, <[u8]>::len) + 512);
        serde_json::to_writer(&mut bytes, &record)
            .unwrap_or_else(|_| unreachable!("the keys are strings, and memory takes all bytes"));
        envelope.map(|_| bytes)
    }
}
