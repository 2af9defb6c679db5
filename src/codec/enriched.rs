//! Enriched records of documents and what the taggers say of them.

use std::sync::Arc;

use jiff::Timestamp;

use super::event::write::{Events, none_of};
pub use super::nested::EnrichedRecord;
use super::nested::{Source, Tags, bytes};
use super::registry::{header, unframed};
use super::shape;
use super::tags::{Style, WrittenTag};
use super::{avro, protobuf};
use crate::config::mark::without_mark;
use crate::config::{Config, Format, KeepDocument, Output, OutputFormat, Shape};
use crate::record::answer::Answer;
use crate::record::document::{Document, Original, Target};
use crate::record::enriched::{Enriched, TagHeaders};
use crate::record::envelope::Envelope;
use crate::record::text::Text;

/// Makes enriched records of what the models gave.
#[derive(Clone, Debug)]
pub struct Assembler {
    document: KeepDocument,
    shape: Shape,
    format: OutputFormat,
    style: Style,
    /// Whether records are events as they come.
    of_events: bool,
    /// Makes them events.
    events: Option<Events>,
}

impl Assembler {
    /// An assembler of the records that the configuration describes.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let Output { document, shape, format, offsets, ref labels, .. } = config.output;
        let (of_events, events) = (config.input.format == Format::CloudEvents, Events::new(config));
        Self { document, shape, format, style: Style { offsets, labels: labels.clone() }, of_events, events }
    }

    /// Turns a document and what the taggers say of it into what is written.
    #[must_use]
    pub fn assemble(&self, envelope: &Envelope<Document>, answer: &Answer) -> Enriched {
        let mut made = self.shaped(envelope, answer);
        if let Some(events) = &self.events {
            return events.make(made.value, envelope);
        }
        // The value is no longer that of the event that came, so nothing may say that it is.
        if self.of_events && self.shape != Shape::Headers {
            made.headers.0.extend(none_of(envelope.record.headers.as_ref()));
        }
        made
    }

    fn shaped(&self, envelope: &Envelope<Document>, answer: &Answer) -> Enriched {
        let document = &envelope.body;
        let tags = answer.tags.iter().map(|given| (&*given.name, self.style.write(given, document)));
        let tags: Vec<_> = tags.collect();
        let about = envelope.record.value.as_ref().map_or(0, Vec::len) + 512;
        match self.shape {
            Shape::Nested => Enriched::of(match &document.target {
                Some(target) => self.by_schema(target, envelope, answer, &tags),
                None => bytes(&self.record(envelope, answer, &tags), about),
            }),
            Shape::Flat => Enriched::of(bytes(&shape::Flat(&self.record(envelope, answer, &tags)), about)),
            Shape::TagsOnly => Enriched::of(bytes(&Tags(&tags), 512)),
            Shape::Headers => Enriched {
                value: envelope.record.value.clone().unwrap_or_default(),
                headers: shape::headers(&tags, &answer.absent),
            },
        }
    }

    fn by_schema(
        &self,
        target: &Target,
        envelope: &Envelope<Document>,
        answer: &Answer,
        tags: &[(&str, WrittenTag)],
    ) -> Vec<u8> {
        let record = self.record(envelope, answer, tags);
        let value = envelope.record.value.as_deref().unwrap_or_default();
        let schema = target.schema;
        match self.format {
            OutputFormat::Avro => {
                let datum = unframed(value).filter(|_| target.original == Original::Datum);
                let original = match (record.document, datum) {
                    (None, _) => avro::write::Original::None,
                    (Some(_), Some((_, datum))) => avro::write::Original::Datum(datum),
                    (Some(json), None) => avro::write::Original::Json(json),
                };
                avro::write::record(schema, &record, original)
            }
            OutputFormat::Protobuf => {
                let original = match (record.document, &target.original) {
                    (None, _) => protobuf::write::Original::None,
                    (Some(_), Original::Message { kind, at }) => {
                        protobuf::write::Original::Message(kind, value.get(*at..).unwrap_or_default())
                    }
                    (Some(json), _) => protobuf::write::Original::Json(json),
                };
                protobuf::write::record(schema, &record, original)
            }
            OutputFormat::Json | OutputFormat::CloudEvents | OutputFormat::JsonSchema => {
                [&header(schema)[..], &bytes(&record, value.len() + 512)].concat()
            }
        }
    }

    /// What a record without a value becomes: it has none of these tags, whatever headers it brings along.
    #[must_use]
    pub fn tombstone(&self, tags: &[&Arc<str>]) -> TagHeaders {
        match self.shape {
            Shape::Headers => shape::headers(&[], tags.iter().copied()),
            Shape::Nested | Shape::Flat | Shape::TagsOnly => TagHeaders::default(),
        }
    }

    fn record<'a>(
        &self,
        envelope: &'a Envelope<Document>,
        answer: &'a Answer,
        tags: &'a [(&'a str, WrittenTag<'a>)],
    ) -> EnrichedRecord<'a> {
        let Envelope { origin, record, body: document, .. } = envelope;
        let Answer { models, tokens, truncated, .. } = answer;
        let as_it_came = || serde_json::from_slice(without_mark(record.value.as_deref()?)).ok();
        let original = match self.document {
            KeepDocument::Keep => document.json.as_deref().or_else(as_it_came),
            KeepDocument::Drop => None,
        };
        let is_made = |text: &&Text| text.parts().iter().any(|part| part.is_made);
        let made = document.texts.iter().flatten().filter(is_made).map(Text::as_str);
        let texts = if self.document == KeepDocument::Keep { made.collect() } else { Vec::new() };
        EnrichedRecord {
            id: &document.id,
            tags: Tags(tags),
            document: original,
            texts,
            source: Source {
                topic: &origin.topic,
                partition: origin.partition,
                offset: origin.offset,
                timestamp: record.timestamp,
            },
            model: &models[0],
            models: (models.len() > 1).then_some(models),
            tokens: *tokens,
            truncated: *truncated,
            tagged_at: Timestamp::now(),
        }
    }
}
