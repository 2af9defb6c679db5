//! What the taggers say of a document: a tag each, read from the logits of a head.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::scores::{argmax, sigmoid, softmax};
use super::spans;
use crate::config::{Aggregation, Scores, TaggerSettings, WindowScores};
use crate::model::files::manifest::{Head, Task};
use crate::model::tokenize::Encoded;
use crate::record::answer::Secret;
use crate::record::tag::{Class, Entity, Label, Number, Tag, TagKind};

/// How a head's logits become a tag.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The tag's name.
    pub name: Arc<str>,
    /// The labels or entity types to keep; `None` keeps all.
    labels: Option<Vec<Arc<str>>>,
    /// Least scores, by label or entity type.
    thresholds: BTreeMap<Arc<str>, f32>,
    aggregation: Aggregation,
    window_scores: WindowScores,
    scores: Scores,
    /// The types of names that are to be masked, and from which scores on; none: those that are tagged.
    masked: Vec<(Arc<str>, Option<f32>)>,
}

/// From here on a label counts that may stand beside others, unless it has its own threshold.
const LIKELY: f32 = 0.5;

impl Reading {
    /// How the tagger reads a head of its model, under this name.
    ///
    /// # Errors
    /// When the tagger names labels that the head has not.
    pub fn new(name: Arc<str>, head: &Head, settings: &TaggerSettings) -> Result<Self> {
        let known = head.names();
        let find = |label: &String| named(&known, label);
        let labels = match &settings.labels {
            None => None,
            Some(_) if head.task == Task::Regression => {
                bail!("head `{}` gives a number, so it has no labels to keep", head.name)
            }
            Some(labels) => {
                if let Some(label) = labels.iter().find(|label| find(label).is_none()) {
                    bail!("`{label}` is none of the labels of head `{}`: {}", head.name, list(&known));
                }
                Some(labels.iter().filter_map(find).collect())
            }
        };
        let mut thresholds = head.thresholds.clone();
        thresholds.extend(settings.thresholds.iter().filter_map(|(label, score)| Some((find(label)?, *score))));
        let TaggerSettings { aggregation, window_scores, scores, .. } = *settings;
        Ok(Self { name, labels, thresholds, aggregation, window_scores, scores, masked: Vec::new() })
    }

    /// Reads the logits that the head gave for a document: of a text head `[windows, labels]`, of a token head
    /// `[tokens, labels]`.
    #[must_use]
    pub fn read(&self, head: &Head, text: &str, encoded: &Encoded, logits: &[f32]) -> Tag {
        match head.task {
            Task::SingleLabel => Tag::Class(self.class(head, &self.scores(head, logits))),
            Task::MultiLabel => Tag::Labels(self.several(head, &self.scores(head, logits))),
            Task::Regression => Tag::Number(Number { value: self.scores(head, logits)[0] }),
            Task::Tokens(_) => {
                let mut entities = spans::decode(text, &encoded.places, logits, head, self.aggregation);
                entities.retain(|entity| {
                    let kind = self.type_of(head, entity);
                    kind.is_some_and(|kind| self.keeps(kind) && entity.score >= self.threshold(kind).unwrap_or(0.0))
                });
                Tag::Entities(entities)
            }
        }
    }

    /// What it can say of a head of its model.
    #[must_use]
    pub fn kind(&self, head: &Head) -> TagKind {
        let kept = |labels: Vec<&Arc<str>>| labels.into_iter().filter(|label| self.keeps(label)).cloned().collect();
        match &head.task {
            Task::SingleLabel => TagKind::Class(kept(head.names())),
            Task::MultiLabel => TagKind::Labels(kept(head.names())),
            Task::Regression => TagKind::Number,
            Task::Tokens(_) if self.aggregation == Aggregation::None => {
                let is_kept = |label: &&Arc<str>| head.entity_type(label).is_some_and(|kind| self.keeps(kind));
                TagKind::Entities(head.labels.iter().filter(is_kept).cloned().collect())
            }
            Task::Tokens(_) => TagKind::Entities(kept(head.names())),
        }
    }

    /// The labels that it gives: of a token head entity types, or without aggregation the tokens' own.
    #[must_use]
    pub fn labels_of<'a>(&self, head: &'a Head) -> Vec<&'a Arc<str>> {
        if !head.is_by_token() || self.aggregation != Aggregation::None {
            return head.names();
        }
        head.labels.iter().filter(|label| head.entity_type(label).is_some()).collect()
    }

    /// From now on, names of these types are to be masked, from these scores on.
    pub fn mask<'a>(&mut self, head: &Head, types: impl Iterator<Item = (&'a str, Option<f32>)>) {
        if head.is_by_token() {
            let known = head.names();
            self.masked = types.filter_map(|(kind, score)| Some((named(&known, kind)?, score))).collect();
        }
    }

    /// The types of names that it masks.
    pub fn masked(&self) -> impl Iterator<Item = &Arc<str>> {
        self.masked.iter().map(|(kind, _)| kind)
    }

    /// The names that are to be masked in the text of this number, also those that are not tagged.
    #[must_use]
    pub fn secrets(&self, head: &Head, number: usize, text: &str, encoded: &Encoded, logits: &[f32]) -> Vec<Secret> {
        if self.masked.is_empty() {
            return Vec::new();
        }
        let secret = |Entity { start, end, score, .. }: &Entity, kind: Arc<str>, is_tagged| Secret {
            text: number,
            kind,
            start: *start,
            end: *end,
            score: *score,
            is_tagged,
        };
        let tagged = spans::decode(text, &encoded.places, logits, head, self.aggregation);
        let mut secrets: Vec<_> = tagged
            .iter()
            .filter_map(|entity| {
                let kind = self.type_of(head, entity)?;
                // Also of a type that is none of the `labels` to keep: what is not shown may still be masked.
                let is_tagged = entity.score >= self.threshold(kind).unwrap_or(0.0);
                self.masked().any(|masked| masked == kind).then(|| secret(entity, Arc::clone(kind), is_tagged))
            })
            .collect();
        let least = |kind: &str| {
            let asked = self.masked.iter().filter(|(masked, _)| **masked == *kind).filter_map(|(_, score)| *score);
            asked.reduce(f32::min)
        };
        if self.masked.iter().any(|(_, score)| score.is_some()) {
            let likely = spans::likely(text, &encoded.places, logits, head, least);
            secrets.extend(likely.iter().map(|entity| secret(entity, Arc::clone(&entity.kind), false)));
        }
        secrets
    }

    /// The type of an entity, which without aggregation is called as its token's label is.
    fn type_of<'a>(&self, head: &'a Head, entity: &'a Entity) -> Option<&'a Arc<str>> {
        let is_label = self.aggregation == Aggregation::None;
        if is_label { head.entity_type(&entity.kind) } else { Some(&entity.kind) }
    }

    fn keeps(&self, label: &Arc<str>) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.contains(label))
    }

    fn threshold(&self, label: &Arc<str>) -> Option<f32> {
        self.thresholds.get(label).copied()
    }

    /// The document's score for each label, of all windows together.
    fn scores(&self, head: &Head, logits: &[f32]) -> Vec<f32> {
        let windows = logits.chunks_exact(head.labels.len().max(1));
        let mut scores = windows.map(|window| match head.task {
            Task::MultiLabel => window.iter().map(|logit| sigmoid(logit / head.temperature)).collect(),
            Task::Regression => window.to_vec(),
            Task::SingleLabel | Task::Tokens(_) => softmax(window, head.temperature),
        });
        let Some(first) = scores.next() else { return vec![0.0; head.labels.len()] };
        let by_label = |with: fn(f32, f32) -> f32| {
            move |sum: Vec<f32>, next: Vec<f32>| sum.iter().zip(next).map(|(a, b)| with(*a, b)).collect::<Vec<_>>()
        };
        let divided = |scores: Vec<f32>, by: f32| scores.into_iter().map(|score| score / by).collect();
        match self.window_scores {
            WindowScores::First => first,
            WindowScores::Mean => {
                let count = (logits.len() / head.labels.len()) as f32;
                divided(scores.fold(first, by_label(|a, b| a + b)), count)
            }
            WindowScores::Max => {
                let highest = scores.fold(first, by_label(f32::max));
                let sum = if head.task == Task::SingleLabel { highest.iter().sum() } else { 1.0 };
                divided(highest, sum)
            }
        }
    }

    fn class(&self, head: &Head, scores: &[f32]) -> Class {
        let (best, score) = argmax(scores);
        let label = &head.labels[best];
        let sure = score >= self.threshold(label).unwrap_or(0.0) && self.keeps(label);
        Class { label: sure.then(|| Arc::clone(label)), score, scores: self.highest(head, scores) }
    }

    /// The labels to keep with the highest scores, as many as are wanted.
    fn highest(&self, head: &Head, scores: &[f32]) -> Vec<Label> {
        let most = self.scores.most().unwrap_or(scores.len());
        if most == 0 {
            return Vec::new();
        }
        let mut all = ranked(head.labels.iter().zip(scores).filter(|(label, _)| self.keeps(label)));
        all.truncate(most);
        all
    }

    fn several(&self, head: &Head, scores: &[f32]) -> Vec<Label> {
        let labels = head.labels.iter().zip(scores);
        ranked(labels.filter(|(label, score)| self.keeps(label) && **score >= self.threshold(label).unwrap_or(LIKELY)))
    }
}

/// The highest score first.
fn ranked<'a>(scored: impl Iterator<Item = (&'a Arc<str>, &'a f32)>) -> Vec<Label> {
    let mut ranked: Vec<_> = scored.map(|(label, &score)| Label { label: Arc::clone(label), score }).collect();
    ranked.sort_by(|one, other| other.score.total_cmp(&one.score));
    ranked
}

/// The one of this name, if it is known.
fn named(known: &[&Arc<str>], name: &str) -> Option<Arc<str>> {
    known.iter().find(|known| ****known == *name).copied().cloned()
}

fn list(names: &[&Arc<str>]) -> String {
    names.iter().map(|name| &***name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Model;

    fn head(task: Task, labels: &[&str]) -> Head {
        let labels = labels.iter().map(|&label| label.into()).collect();
        Head { name: "head".into(), output: None, labels, task, temperature: 1.0, thresholds: BTreeMap::new() }
    }

    fn reading(head: &Head, change: impl FnOnce(&mut TaggerSettings)) -> Reading {
        let mut settings = Model::default().tagger(&[]);
        change(&mut settings);
        Reading::new("tag".into(), head, &settings).unwrap()
    }

    fn class(label: Option<&str>, score: f32) -> Tag {
        Tag::Class(Class { label: label.map(Arc::from), score, scores: vec![] })
    }

    fn read(reading: &Reading, head: &Head, logits: &[f32]) -> Tag {
        let rounded = |score: f32| (score * 1e4).round() / 1e4;
        match reading.read(head, "", &Encoded::default(), logits) {
            Tag::Class(Class { label, score, scores }) => Tag::Class(Class { label, score: rounded(score), scores }),
            other => other,
        }
    }

    #[test]
    fn softmax_does_not_overflow_and_temperature_softens_it() {
        assert_eq!(softmax(&[1000.0, -1000.0], 1.0), [1.0, 0.0]);
        assert!((softmax(&[1.0, 3.0, 2.0], 1.0)[1] - 0.665_241).abs() < 1e-6);
        assert!((softmax(&[2.0, 6.0, 4.0], 2.0)[1] - 0.665_241).abs() < 1e-6);
    }

    #[test]
    fn a_class_below_its_threshold_is_null_and_keeps_its_score() {
        let head = head(Task::SingleLabel, &["ham", "spam"]);
        let strict = reading(&head, |settings| settings.thresholds = BTreeMap::from([("spam".into(), 0.9)]));
        assert_eq!(read(&strict, &head, &[0.0, 1.0]), class(None, 0.7311));
        assert_eq!(read(&strict, &head, &[0.0, 5.0]), class(Some("spam"), 0.9933));
        assert_eq!(read(&strict, &head, &[1.0, 0.0]), class(Some("ham"), 0.7311));
    }

    #[test]
    fn the_configurations_threshold_beats_the_models() {
        let mut head = head(Task::SingleLabel, &["ham", "spam"]);
        head.thresholds.insert("spam".into(), 0.9);
        let lax = reading(&head, |settings| settings.thresholds = BTreeMap::from([("spam".into(), 0.6)]));
        assert_eq!(read(&reading(&head, |_| ()), &head, &[0.0, 1.0]), class(None, 0.7311));
        assert_eq!(read(&lax, &head, &[0.0, 1.0]), class(Some("spam"), 0.7311));
    }

    #[test]
    fn a_label_that_is_not_kept_is_null_and_an_unknown_one_is_refused() {
        let head = head(Task::SingleLabel, &["ham", "spam"]);
        let spam_alone = reading(&head, |settings| settings.labels = Some(vec!["spam".into()]));
        assert_eq!(read(&spam_alone, &head, &[1.0, 0.0]), class(None, 0.7311));
        let mut settings = Model::default().tagger(&[]);
        settings.labels = Some(vec!["eggs".into()]);
        let error = Reading::new("tag".into(), &head, &settings).unwrap_err();
        assert_eq!(error.to_string(), "`eggs` is none of the labels of head `head`: ham, spam");
    }

    #[test]
    fn as_many_scores_are_given_as_are_wanted_the_highest_first() {
        let head = head(Task::SingleLabel, &["a", "b", "c"]);
        let scores = |scores: Scores, labels: Option<Vec<String>>| {
            let reading = reading(&head, |settings| (settings.scores, settings.labels) = (scores, labels));
            let Tag::Class(class) = read(&reading, &head, &[1.0, 3.0, 2.0]) else { panic!() };
            class.scores.iter().map(|one| (one.label.to_string(), (one.score * 1e3).round())).collect::<Vec<_>>()
        };
        let of =
            |all: &[(&str, f32)]| all.iter().map(|(label, score)| ((*label).to_owned(), *score)).collect::<Vec<_>>();
        assert_eq!(scores(Scores::Best, None), of(&[]));
        assert_eq!(scores(Scores::All, None), of(&[("b", 665.0), ("c", 245.0), ("a", 90.0)]));
        let two = Scores::Top(2.try_into().unwrap());
        assert_eq!(scores(two, None), of(&[("b", 665.0), ("c", 245.0)]));
        assert_eq!(scores(two, Some(vec!["a".into(), "c".into()])), of(&[("c", 245.0), ("a", 90.0)]));
    }

    #[test]
    fn several_labels_come_the_surest_first() {
        let head = head(Task::MultiLabel, &["a", "b", "c"]);
        let tag = read(&reading(&head, |_| ()), &head, &[1.0, -1.0, 3.0]);
        let Tag::Labels(labels) = tag else { panic!("{tag:?}") };
        assert!(labels.iter().map(|label| &*label.label).eq(["c", "a"]));
        assert!((labels[1].score - 0.731_059).abs() < 1e-6);
    }

    #[test]
    fn windows_make_one_score() {
        let head = head(Task::SingleLabel, &["ham", "spam"]);
        // Spam with .2, .5 and .9.
        let windows = [0.8f32, 0.2, 0.5, 0.5, 0.1, 0.9].map(f32::ln);
        let with = |scores| read(&reading(&head, |settings| settings.window_scores = scores), &head, &windows);
        assert_eq!(with(WindowScores::Mean), class(Some("spam"), 0.5333));
        assert_eq!(with(WindowScores::First), class(Some("ham"), 0.8));
        assert_eq!(with(WindowScores::Max), class(Some("spam"), 0.5294));
    }

    #[test]
    fn a_regression_is_its_logit() {
        let head = head(Task::Regression, &["stars"]);
        assert_eq!(read(&reading(&head, |_| ()), &head, &[3.5]), Tag::Number(Number { value: 3.5 }));
    }
}
