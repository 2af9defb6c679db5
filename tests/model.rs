//! The models against their references, which `models/recipe/fixtures.py` computed with `transformers`.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tagbert::config;
use tagbert::model::{HeadKind, Infer, Model, Session};
use tagbert::tags::{Tag, softmax};

mod support;

fn load(path: &str) -> (Arc<Model>, Session) {
    let path = support::root().join(path);
    Model::load(&config::Model { path, device: config::Device::Cpu, max_tokens: 512 }).unwrap()
}

#[derive(Deserialize)]
struct TinyReference {
    text: String,
    input_ids: Vec<u32>,
    truncated: bool,
    topic: Vec<f32>,
    spam: Vec<f32>,
    /// The first rows, for long texts.
    entities: Vec<Vec<f32>>,
}

/// Alone and in one batch: padding must not change anything.
#[test]
fn an_fp32_graph_gives_pytorchs_logits_whatever_the_batch() {
    let (model, mut session) = load("tests/fixtures/tiny-distilbert");
    let json = fs::read_to_string(support::root().join("tests/fixtures/tiny-distilbert/reference.json")).unwrap();
    let references: Vec<TinyReference> = serde_json::from_str(&json).unwrap();
    assert!(references.len() >= 30);
    let encoded: Vec<_> = references.iter().map(|reference| model.tokenizer.encode(&reference.text).unwrap()).collect();
    for (reference, encoded) in references.iter().zip(&encoded) {
        assert_eq!(
            (&encoded.ids, encoded.truncated),
            (&reference.input_ids, reference.truncated),
            "{:?}",
            reference.text
        );
    }
    let ids: Vec<&[u32]> = encoded.iter().map(|encoded| encoded.ids.as_slice()).collect();
    let together = session.infer(&ids).unwrap();
    for ((reference, ids), together) in references.iter().zip(&ids).zip(&together) {
        let alone = &session.infer(&[ids]).unwrap()[0];
        for (head, (alone, together)) in model.heads.iter().zip(alone.iter().zip(together)) {
            let expected = match &*head.name {
                "topic" => reference.topic.clone(),
                "spam" => reference.spam.clone(),
                _ => reference.entities.concat(),
            };
            assert!(!expected.is_empty());
            for logits in [alone, together] {
                for (logit, expected) in logits.iter().zip(&expected) {
                    assert!(
                        (logit - expected).abs() < 1e-3,
                        "{}: {logit} is not {expected}: {:?}",
                        head.name,
                        reference.text
                    );
                }
            }
            let rows = if head.kind == HeadKind::TokenClassification { ids.len() } else { 1 };
            assert_eq!(alone.len(), rows * head.labels.len());
        }
    }
}

#[derive(Deserialize)]
struct Reference {
    id: String,
    sha256: String,
    tokens: usize,
    truncated: bool,
    topic: Label,
    spam: Label,
    token_labels: Vec<usize>,
    entities: Vec<Span>,
}

#[derive(Deserialize)]
struct Label {
    label: String,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Span {
    #[serde(rename = "type")]
    kind: String,
    start: u32,
    end: u32,
}

#[derive(Default)]
struct Agreement {
    same: usize,
    of: usize,
}

impl Agreement {
    fn note(&mut self, same: bool) {
        self.same += usize::from(same);
        self.of += 1;
    }

    fn share(&self) -> f64 {
        self.same as f64 / self.of as f64
    }
}

#[test]
fn the_int8_model_agrees_with_its_fp32_weights_in_99_of_100_labels() {
    let this = "the_int8_model_agrees_with_its_fp32_weights_in_99_of_100_labels";
    if !support::fetched(this, &support::root().join(".cache/corpus/documents.jsonl")) {
        return;
    }
    let (model, mut session) = load("models/tagbert-small");
    let jsonl = fs::read_to_string(support::root().join("tests/fixtures/tagbert-small/reference.jsonl")).unwrap();
    let references: Vec<Reference> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(references.len() >= 200);
    let texts: HashMap<String, String> =
        support::corpus().map(|document| (document.id.clone(), document.text())).collect();

    let (mut topic, mut spam, mut tokens, mut spans) = <(Agreement, Agreement, Agreement, Agreement)>::default();
    for reference in &references {
        let text = &texts[&reference.id];
        assert_eq!(hex::encode(Sha256::digest(text)), reference.sha256, "{}: another text", reference.id);
        let encoded = model.tokenizer.encode(text).unwrap();
        assert_eq!((encoded.ids.len(), encoded.truncated), (reference.tokens, reference.truncated), "{}", reference.id);
        let logits = session.infer(&[&encoded.ids]).unwrap().remove(0);
        for (head, logits) in model.heads.iter().zip(&logits) {
            match (&*head.name, Tag::read(head, text, &encoded, logits)) {
                // Of mails the topic head has seen no label; there its best two may be as good as equal.
                ("topic", Tag::Label(_)) if !reference.id.starts_with("bbc/") => {}
                ("topic", Tag::Label(label)) => topic.note(*label.label == *reference.topic.label),
                ("spam", Tag::Label(label)) => spam.note(*label.label == *reference.spam.label),
                ("entities", Tag::Entities(entities)) => {
                    let rows = logits.chunks_exact(head.labels.len()).zip(&encoded.places);
                    let labels = rows.filter(|(_, place)| place.is_some()).map(|(row, _)| softmax(row).0);
                    labels.zip(&reference.token_labels).for_each(|(label, expected)| tokens.note(label == *expected));
                    let found: Vec<_> = entities
                        .into_iter()
                        .map(|entity| Span { kind: entity.kind.to_string(), start: entity.start, end: entity.end })
                        .collect();
                    reference.entities.iter().for_each(|expected| spans.note(found.contains(expected)));
                }
                (name, tag) => panic!("no reference for {name}: {tag:?}"),
            }
        }
    }
    let shares = [&topic, &spam, &tokens, &spans].map(Agreement::share);
    println!("agreement: topic {}, spam {}, tokens {}, entities {}", shares[0], shares[1], shares[2], shares[3]);
    assert!(topic.of >= 200 && tokens.of > 10_000);
    assert!(shares[..3].iter().all(|share| *share >= 0.99), "{shares:?}");
    assert!(shares[3] >= 0.9, "an entity is right only if all of its tokens are: {shares:?}");
}
