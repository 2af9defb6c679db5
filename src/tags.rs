//! What the model says of a document: one tag for each of its heads.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Head, HeadKind};
use crate::spans;
use crate::tokenize::Encoded;

/// The best label of a head that classifies whole documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// The label.
    pub label: Arc<str>,
    /// Its probability (softmax), 0 to 1.
    pub score: f32,
}

/// A name found in the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entity {
    /// The type, such as PER, ORG, LOC or MISC.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Exactly the slice of the tagged text from `start` to `end`.
    pub text: String,
    /// First Unicode code point of the span in the tagged text.
    pub start: u32,
    /// One past its last code point.
    pub end: u32,
    /// Mean probability of its words' labels, 0 to 1.
    pub score: f32,
}

/// What one head says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tag {
    /// Of the document as a whole.
    Label(Label),
    /// Of the names in it.
    Entities(Vec<Entity>),
}

impl Tag {
    /// Reads the logits that a head gave for a document.
    #[must_use]
    pub fn read(head: &Head, text: &str, encoded: &Encoded, logits: &[f32]) -> Self {
        match head.kind {
            HeadKind::TextClassification => {
                let (best, score) = softmax(logits);
                Self::Label(Label { label: Arc::clone(&head.labels[best]), score })
            }
            HeadKind::TokenClassification => Self::Entities(spans::decode(text, &encoded.places, logits, &head.labels)),
        }
    }
}

/// The index of the largest logit, and its probability.
#[must_use]
pub fn softmax(logits: &[f32]) -> (usize, f32) {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    let sum: f32 = logits.iter().map(|logit| (logit - logits[best]).exp()).sum();
    (best, 1.0 / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_gives_the_best_and_its_probability() {
        let (best, score) = softmax(&[1.0, 3.0, 2.0]);
        assert_eq!(best, 1);
        assert!((score - 0.665_241).abs() < 1e-6);
        assert_eq!(softmax(&[1000.0, -1000.0]), (0, 1.0), "large logits do not overflow");
    }
}
