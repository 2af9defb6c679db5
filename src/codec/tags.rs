//! Tags as they are written: labels by the names that readers know, entities with their places in the document.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::ruler::Ruler;
use crate::config::Offsets;
use crate::record::answer::Given;
use crate::record::document::Document;
use crate::record::tag::{Class, Entity, Label, Number, Tag};
use crate::record::text::{Part, Text};

/// How tags are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Style {
    pub offsets: Offsets,
    /// Other names for labels, by tag.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
}

/// What one head says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Tag")]
pub(super) enum WrittenTag<'a> {
    /// Which one of its labels the document has.
    Class(WrittenClass<'a>),
    /// Which number it has.
    Number(WrittenNumber),
    /// Which of its labels the document has, the surest first.
    Labels(Vec<WrittenLabel<'a>>),
    /// Which names are in it, in the order of the text.
    Entities(Vec<WrittenEntity<'a>>),
}

/// The best label of a head whose labels exclude each other.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Class")]
pub(super) struct WrittenClass<'a> {
    /// The label; null when its score is below its threshold, or it is none of those to keep.
    pub label: Option<&'a str>,
    /// The probability of the best label (softmax), 0 to 1, even if that is null.
    pub score: f32,
    /// The labels to keep with their probabilities, the highest first (`output.scores: all`, or `{top: N}`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<WrittenLabel<'a>>,
}

/// A label with its score.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Label")]
pub(super) struct WrittenLabel<'a> {
    /// The label.
    pub label: &'a str,
    /// Its probability, 0 to 1: of a head that may give several, by sigmoid.
    pub score: f32,
}

/// The number that a regression gives.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Number")]
pub(super) struct WrittenNumber {
    /// The number, as the model gave it.
    pub value: f32,
}

/// A name found in the text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Entity")]
pub(super) struct WrittenEntity<'a> {
    /// The type, such as PER, ORG, LOC or MISC. (With `aggregation: none` the token's label, such as B-PER.)
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Exactly the slice of the tagged text from `start` to `end`.
    pub text: &'a str,
    /// Where it begins in the tagged text, in code points unless `output.offsets` says otherwise.
    pub start: u32,
    /// Behind its end.
    pub end: u32,
    /// Mean probability of its words' (or tokens') labels, 0 to 1.
    pub score: f32,
    /// JSON pointer to the field of the document that has it; null when it reaches from one field into another.
    pub field: Option<&'a str>,
    /// Where it begins in that field's value, counted like `start`; null where it is in a text that was made of the value
    /// (`input.clean: mail`).
    pub field_start: Option<u32>,
    /// Behind its end there.
    pub field_end: Option<u32>,
}

impl Style {
    /// A tag as it is written.
    pub fn write<'a>(&'a self, given: &'a Given, document: &'a Document) -> WrittenTag<'a> {
        let renamed = self.labels.get(&*given.name);
        let named = |label: &'a str| renamed.and_then(|renamed| renamed.get(label)).map_or(label, String::as_str);
        let label = |Label { label, score }: &'a Label| WrittenLabel { label: named(label), score: *score };
        match &given.tag {
            Tag::Class(Class { label: best, score, scores }) => WrittenTag::Class(WrittenClass {
                label: best.as_deref().map(named),
                score: *score,
                scores: scores.iter().map(label).collect(),
            }),
            Tag::Number(Number { value }) => WrittenTag::Number(WrittenNumber { value: *value }),
            Tag::Labels(labels) => WrittenTag::Labels(labels.iter().map(label).collect()),
            Tag::Entities(found) => {
                let text = document.texts[given.text].as_ref().map(Text::placed).filter(|_| !found.is_empty());
                let placed = text.map(|text| self.place(text, found));
                let entity = |(entity, place): (&'a Entity, Place<'a>)| WrittenEntity {
                    kind: named(&entity.kind),
                    text: &entity.text,
                    start: place.start,
                    end: place.end,
                    score: entity.score,
                    field: place.field.map(|(field, _)| field),
                    field_start: place.field.and_then(|(_, from)| Some(place.start - from?)),
                    field_end: place.field.and_then(|(_, from)| Some(place.end - from?)),
                };
                WrittenTag::Entities(found.iter().zip(placed.into_iter().flatten()).map(entity).collect())
            }
        }
    }

    fn place<'a>(&self, text: &'a Text, found: &[Entity]) -> Vec<Place<'a>> {
        let ruler = Ruler::new(text.as_str());
        let offset = |code_point| ruler.offset(code_point, self.offsets);
        let place = |entity: &Entity| {
            let part = text.part_of(&(ruler.byte(entity.start)..ruler.byte(entity.end)));
            let from = |part: &Part| (!part.is_made).then(|| offset(ruler.code_point(part.range.start)));
            let field = part.map(|part| (&*part.field, from(part)));
            Place { start: offset(entity.start), end: offset(entity.end), field }
        };
        found.iter().map(place).collect()
    }
}

/// Where an entity stands, as readers count.
struct Place<'a> {
    start: u32,
    end: u32,
    /// Its field, and where that begins, if it stands in the field's value.
    field: Option<(&'a str, Option<u32>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(offsets: Offsets) -> Vec<serde_json::Value> {
        let mut text = Text::default();
        text.push("/subject".into(), "🎉 Zoë");
        text.push_between("\n");
        text.push("/body/1".into(), "Å met Zoë");
        let entity = |text: &str, start, end| Entity { kind: "PER".into(), text: text.into(), start, end, score: 0.5 };
        let found = vec![entity("Zoë", 2, 5), entity("Zoë\nÅ", 2, 7), entity("Zoë", 12, 15)];
        let given = Given { name: "names".into(), text: 0, tag: Tag::Entities(found) };
        let labels = BTreeMap::from([("names".into(), BTreeMap::from([("PER".into(), "person".into())]))]);
        let document = Document::unnamed(vec![Some(text)]);
        match serde_json::to_value(Style { offsets, labels }.write(&given, &document)).unwrap() {
            serde_json::Value::Array(entities) => entities,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_entity_says_where_it_stands_in_its_field_as_readers_count() {
        for (offsets, first, last) in [
            (Offsets::CodePoints, [2, 5, 2, 5], [12, 15, 6, 9]),
            (Offsets::Utf16, [3, 6, 3, 6], [13, 16, 6, 9]),
            (Offsets::Utf8, [5, 9, 5, 9], [17, 21, 7, 11]),
        ] {
            let written = written(offsets);
            let numbers = |entity: &serde_json::Value| {
                ["start", "end", "field_start", "field_end"].map(|name| entity[name].as_u64().unwrap())
            };
            assert_eq!((numbers(&written[0]), &written[0]["field"]), (first, &"/subject".into()));
            assert_eq!((numbers(&written[2]), &written[2]["field"]), (last, &"/body/1".into()));
            assert_eq!(written[2]["type"], "person");
        }
    }

    #[test]
    fn an_entity_that_reaches_into_another_field_has_no_field() {
        let entity = &written(Offsets::CodePoints)[1];
        assert!(entity["field"].is_null() && entity["field_start"].is_null() && entity["field_end"].is_null());
        assert_eq!((&entity["start"], &entity["end"]), (&2.into(), &7.into()));
    }
}
