//! What a head says of a document.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The best label of a head whose labels exclude each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// The label; null when its score is below its threshold, or it is none of those to keep.
    pub label: Option<Arc<str>>,
    /// The probability of the best label (softmax), 0 to 1, even if that is null.
    pub score: f32,
    /// The scores of the labels to keep, the highest first, as many as are wanted (`output.scores`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Label>,
}

/// One of the labels of a head that may give several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The label.
    pub label: Arc<str>,
    /// Its probability (sigmoid), 0 to 1.
    pub score: f32,
}

/// The number that a regression gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// The number, as the model gave it.
    pub value: f32,
}

/// A name found in the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// The type, such as PER, ORG, LOC or MISC. (With `aggregation: none` the token's label, such as B-PER.)
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Exactly the slice of the tagged text from `start` to `end`.
    pub text: String,
    /// First Unicode code point of the span in the tagged text.
    pub start: u32,
    /// One past its last code point.
    pub end: u32,
    /// Mean probability of its words' (or tokens') labels, 0 to 1.
    pub score: f32,
}

/// What one head says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tag {
    /// Which one of its labels the document has.
    Class(Class),
    /// Which number it has.
    Number(Number),
    /// Which of its labels the document has, the surest first.
    Labels(Vec<Label>),
    /// Which names are in it, in the order of the text.
    Entities(Vec<Entity>),
}

/// What a tag can say, whatever the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// One of these labels, or none.
    Class(Vec<Arc<str>>),
    /// Any number of these labels.
    Labels(Vec<Arc<str>>),
    /// A number.
    Number,
    /// Entities of these types.
    Entities(Vec<Arc<str>>),
}

/// The number that the enriched record has: as a `f32`, 0.9 is less than 0.9.
#[must_use]
pub fn as_written(score: f32) -> f64 {
    score.to_string().parse().unwrap_or_else(|_| f64::from(score))
}
