//! An enriched record in Avro, by the schema `schemas/enriched.avsc`. An original in Avro stands within as the bytes that it is.

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
    /// A datum of the type that the schema of the enriched record has for it.
    Datum(&'a [u8]),
}

/// The record behind the number of its schema.
pub(in crate::codec) fn record(schema: u32, record: &EnrichedRecord, original: Original) -> Vec<u8> {
    let EnrichedRecord { id: _, tags, document: _, texts: _, source, model, models, tokens, truncated, tagged_at } =
        record;
    let mut out = Writer(Vec::with_capacity(512));
    out.0.extend(header(schema));
    out.option(record.id_as_text(), |out, id| out.text(&id));
    out.list(tags.0, |out, (name, tag)| {
        out.text(name);
        out.tag(tag);
    });
    match original {
        Original::None => out.long(0),
        Original::Json(json) => out.option(Some(json), |out, json| out.text(json.get())),
        Original::Datum(datum) => out.option(Some(datum), |out, datum| out.0.extend(datum)),
    }
    out.text(source.topic);
    out.long(source.partition.into());
    out.long(source.offset);
    out.option(source.timestamp, Writer::long);
    out.model(model);
    out.list(models.unwrap_or_default(), Writer::model);
    out.long(*tokens as i64);
    out.0.push(u8::from(*truncated));
    out.long(tagged_at.as_microsecond());
    out.0
}

struct Writer(Vec<u8>);

impl Writer {
    /// The sign in the lowest bit, seven bits in a byte, the lowest first.
    fn long(&mut self, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest > 0x7f {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    fn text(&mut self, text: &str) {
        self.long(text.len() as i64);
        self.0.extend(text.as_bytes());
    }

    fn float(&mut self, number: f32) {
        self.0.extend(number.to_le_bytes());
    }

    /// A union with null first.
    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.long(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// An array or a map, in one block.
    fn list<'t, T>(&mut self, all: &'t [T], mut write: impl FnMut(&mut Self, &'t T)) {
        if !all.is_empty() {
            self.long(all.len() as i64);
            for one in all {
                write(self, one);
            }
        }
        self.long(0);
    }

    fn model(&mut self, Identity { name, version }: &Identity) {
        self.text(name);
        self.text(version);
    }

    fn tag(&mut self, tag: &WrittenTag) {
        let (label, score, value, labels, entities) = match tag {
            WrittenTag::Class(class) => (class.label, Some(class.score), None, class.scores.as_slice(), &[][..]),
            WrittenTag::Number(number) => (None, None, Some(number.value), &[][..], &[][..]),
            WrittenTag::Labels(labels) => (None, None, None, labels.as_slice(), &[][..]),
            WrittenTag::Entities(entities) => (None, None, None, &[][..], entities.as_slice()),
        };
        self.option(label, Self::text);
        self.option(score, Self::float);
        self.option(value, Self::float);
        self.list(labels, |out, WrittenLabel { label, score }| {
            out.text(label);
            out.float(*score);
        });
        self.list(entities, Self::entity);
    }

    fn entity(&mut self, entity: &WrittenEntity) {
        let WrittenEntity { kind, text, start, end, score, field, field_start, field_end } = entity;
        self.text(kind);
        self.text(text);
        self.long((*start).into());
        self.long((*end).into());
        self.float(*score);
        self.option(*field, Self::text);
        for place in [field_start, field_end] {
            self.option(*place, |out, place| out.long(place.into()));
        }
    }
}
