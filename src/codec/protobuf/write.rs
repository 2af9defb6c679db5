//! An enriched record in Protobuf, by the schema `schemas/enriched.proto`. An original in Protobuf stands within as the bytes that
//! it is.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{Any, Timestamp};
use serde_json::value::RawValue;

use crate::codec::nested::EnrichedRecord;
use crate::codec::registry::header;
use crate::codec::tags::{WrittenEntity, WrittenLabel, WrittenTag};
use crate::record::answer::Identity;

/// The original document, within an enriched record.
#[derive(Clone, Copy)]
pub(in crate::codec) enum Original<'a> {
    /// It is left out.
    None,
    /// JSON.
    Json(&'a RawValue),
    /// A message of this type.
    Message(&'a str, &'a [u8]),
}

#[derive(Clone, PartialEq, Message)]
struct Enriched {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(btree_map = "string, message", tag = "2")]
    tags: BTreeMap<String, Tag>,
    #[prost(message, optional, tag = "3")]
    document: Option<Document>,
    #[prost(message, required, tag = "4")]
    source: Source,
    #[prost(message, required, tag = "5")]
    model: Model,
    #[prost(message, repeated, tag = "6")]
    models: Vec<Model>,
    #[prost(int64, tag = "7")]
    tokens: i64,
    #[prost(bool, tag = "8")]
    truncated: bool,
    #[prost(message, required, tag = "9")]
    tagged_at: Timestamp,
    #[prost(string, repeated, tag = "10")]
    texts: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    #[prost(string, optional, tag = "1")]
    label: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(float, optional, tag = "3")]
    value: Option<f32>,
    #[prost(message, repeated, tag = "4")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "5")]
    entities: Vec<Entity>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    label: String,
    #[prost(float, tag = "2")]
    score: f32,
}

#[derive(Clone, PartialEq, Message)]
struct Entity {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(uint32, tag = "3")]
    start: u32,
    #[prost(uint32, tag = "4")]
    end: u32,
    #[prost(float, tag = "5")]
    score: f32,
    #[prost(string, optional, tag = "6")]
    field: Option<String>,
    #[prost(uint32, optional, tag = "7")]
    field_start: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    field_end: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, optional, tag = "1")]
    json: Option<String>,
    #[prost(message, optional, tag = "2")]
    message: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Source {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(int32, tag = "2")]
    partition: i32,
    #[prost(int64, tag = "3")]
    offset: i64,
    #[prost(message, optional, tag = "4")]
    timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// The record behind the number of its schema, and the place of its type there.
pub(in crate::codec) fn record(schema: u32, record: &EnrichedRecord, original: Original) -> Vec<u8> {
    let EnrichedRecord { id: _, tags, document: _, texts, source, model, models, tokens, truncated, tagged_at } =
        record;
    let document = match original {
        Original::None => None,
        Original::Json(json) => Some(Document { json: Some(json.get().to_owned()), message: None }),
        Original::Message(kind, bytes) => {
            let any = Any { type_url: format!("type.googleapis.com/{kind}"), value: bytes.to_vec() };
            Some(Document { json: None, message: Some(any) })
        }
    };
    let enriched = Enriched {
        id: record.id_as_text(),
        tags: tags.0.iter().map(|(name, written)| ((*name).to_owned(), tag(written))).collect(),
        document,
        source: Source {
            topic: source.topic.to_owned(),
            partition: source.partition,
            offset: source.offset,
            timestamp: source.timestamp.map(|millis| Timestamp {
                seconds: millis.div_euclid(1000),
                nanos: millis.rem_euclid(1000) as i32 * 1_000_000,
            }),
        },
        model: identity(model),
        models: models.unwrap_or_default().iter().map(identity).collect(),
        tokens: *tokens as i64,
        truncated: *truncated,
        tagged_at: Timestamp { seconds: tagged_at.as_second(), nanos: tagged_at.subsec_nanosecond() },
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
    };
    let mut bytes = Vec::with_capacity(6 + enriched.encoded_len());
    bytes.extend(header(schema));
    // The first message of the schema.
    bytes.push(0);
    bytes.extend(enriched.encode_to_vec());
    bytes
}

fn identity(Identity { name, version }: &Identity) -> Model {
    Model { name: name.to_string(), version: version.to_string() }
}

fn tag(tag: &WrittenTag) -> Tag {
    match tag {
        WrittenTag::Class(class) => Tag {
            label: class.label.map(ToOwned::to_owned),
            score: Some(class.score),
            labels: class.scores.iter().map(label).collect(),
            ..Tag::default()
        },
        WrittenTag::Number(number) => Tag { value: Some(number.value), ..Tag::default() },
        WrittenTag::Labels(labels) => Tag { labels: labels.iter().map(label).collect(), ..Tag::default() },
        WrittenTag::Entities(entities) => Tag { entities: entities.iter().map(entity).collect(), ..Tag::default() },
    }
}

fn label(WrittenLabel { label, score }: &WrittenLabel) -> Label {
    Label { label: (*label).to_owned(), score: *score }
}

fn entity(entity: &WrittenEntity) -> Entity {
    let WrittenEntity { kind, text, start, end, score, field, field_start, field_end } = *entity;
    Entity {
        kind: kind.to_owned(),
        text: text.to_owned(),
        start,
        end,
        score,
        field: field.map(ToOwned::to_owned),
        field_start,
        field_end,
    }
}
