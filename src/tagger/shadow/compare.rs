//! How the tags of two models differ.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::record::tag::{Class, Entity, Label, Tag};

/// So many kinds of flips are told apart for a tag; the others are counted as one.
const FLIPS: usize = 200;
const OTHER_FLIPS: &str = "others";

/// From which label or entity type to which; `None` is no label, or no entity.
pub(super) type Flip = (Option<Arc<str>>, Option<Arc<str>>);

/// How two tags differ.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Whether they say the same, scores aside; of numbers that can't be said.
    pub agreed: Option<bool>,
    /// What became of what.
    pub flips: Vec<Flip>,
    /// How much higher the shadow's scores are, where it says the same.
    pub shifts: Vec<f32>,
    /// Who has found the entities, by type.
    entities: Vec<(Arc<str>, By)>,
}

/// Who has found an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Both,
    Primary,
    Shadow,
}

impl Difference {
    pub(super) fn of(primary: &Tag, shadow: &Tag) -> Self {
        match (primary, shadow) {
            (Tag::Class(one), Tag::Class(other)) => Self::of_classes(one, other),
            (Tag::Number(one), Tag::Number(other)) => Self { shifts: vec![other.value - one.value], ..Self::default() },
            (Tag::Labels(one), Tag::Labels(other)) => Self::of_labels(one, other),
            (Tag::Entities(one), Tag::Entities(other)) => Self::of_entities(one, other),
            _ => Self { agreed: Some(false), ..Self::default() },
        }
    }

    fn of_classes(primary: &Class, shadow: &Class) -> Self {
        let agreed = primary.label == shadow.label;
        let flips = if agreed { vec![] } else { vec![(primary.label.clone(), shadow.label.clone())] };
        // The best labels that null stands for may be two.
        let shifts = if agreed && primary.label.is_some() { vec![shadow.score - primary.score] } else { vec![] };
        Self { agreed: Some(agreed), flips, shifts, entities: vec![] }
    }

    fn of_labels(primary: &[Label], shadow: &[Label]) -> Self {
        let mut this = Self::default();
        for one in primary {
            match shadow.iter().find(|other| other.label == one.label) {
                Some(other) => this.shifts.push(other.score - one.score),
                None => this.flips.push((Some(Arc::clone(&one.label)), None)),
            }
        }
        let new = shadow.iter().filter(|other| primary.iter().all(|one| one.label != other.label));
        this.flips.extend(new.map(|other| (None, Some(Arc::clone(&other.label)))));
        Self { agreed: Some(this.flips.is_empty()), ..this }
    }

    fn of_entities(primary: &[Entity], shadow: &[Entity]) -> Self {
        let mut this = Self::default();
        let by_span = |entities: &'_ [Entity]| -> HashMap<(u32, u32), usize> {
            entities.iter().enumerate().map(|(place, entity)| ((entity.start, entity.end), place)).collect()
        };
        let (ours, its) = (by_span(primary), by_span(shadow));
        for one in primary {
            let other = its.get(&(one.start, one.end)).map(|&place| &shadow[place]);
            let kind = Arc::clone(&one.kind);
            match other {
                Some(other) if other.kind == kind => {
                    this.shifts.push(other.score - one.score);
                    this.entities.push((kind, By::Both));
                }
                _ => {
                    this.flips.push((Some(Arc::clone(&kind)), other.map(|other| Arc::clone(&other.kind))));
                    this.entities.push((kind, By::Primary));
                }
            }
        }
        for other in shadow {
            let one = ours.get(&(other.start, other.end)).map(|&place| &primary[place]);
            if one.is_none() {
                this.flips.push((None, Some(Arc::clone(&other.kind))));
            }
            if one.is_none_or(|one| one.kind != other.kind) {
                this.entities.push((Arc::clone(&other.kind), By::Shadow));
            }
        }
        Self { agreed: Some(this.flips.is_empty()), ..this }
    }
}

/// A label's name, in a flip.
pub(super) fn name(label: Option<&Arc<str>>) -> &str {
    label.map_or("null", |label| label)
}

/// All differences so far, by the tag's name.
#[derive(Debug, Default)]
pub(super) struct Comparison(BTreeMap<Arc<str>, OfTag>);

#[derive(Debug, Default)]
struct OfTag {
    compared: u64,
    /// Of those, which can agree.
    comparable: u64,
    agreed: u64,
    flips: BTreeMap<String, u64>,
    shifts: u64,
    shift: f64,
    absolute_shift: f64,
    entities: BTreeMap<Arc<str>, Found>,
}

/// Entities that were found.
#[derive(Clone, Debug, Default, Serialize)]
struct Found {
    both: u64,
    primary_only: u64,
    shadow_only: u64,
}

impl Comparison {
    pub(super) fn add(&mut self, name: &Arc<str>, difference: &Difference) {
        let tag = self.0.entry(Arc::clone(name)).or_default();
        tag.compared += 1;
        tag.comparable += u64::from(difference.agreed.is_some());
        tag.agreed += u64::from(difference.agreed == Some(true));
        for (from, to) in &difference.flips {
            let mut flip = format!("{}→{}", self::name(from.as_ref()), self::name(to.as_ref()));
            if tag.flips.len() >= FLIPS && !tag.flips.contains_key(&flip) {
                flip = OTHER_FLIPS.into();
            }
            *tag.flips.entry(flip).or_default() += 1;
        }
        for &shift in &difference.shifts {
            tag.shifts += 1;
            tag.shift += f64::from(shift);
            tag.absolute_shift += f64::from(shift.abs());
        }
        for (kind, by) in &difference.entities {
            let found = tag.entities.entry(Arc::clone(kind)).or_default();
            *match by {
                By::Both => &mut found.both,
                By::Primary => &mut found.primary_only,
                By::Shadow => &mut found.shadow_only,
            } += 1;
        }
    }

    pub(super) fn shown(&self) -> Shown {
        Shown(self.0.iter().map(|(name, tag)| (Arc::clone(name), tag.shown())).collect())
    }
}

impl OfTag {
    fn shown(&self) -> ShownTag {
        let share = |part: f64, of: u64| (of > 0).then(|| part / of as f64);
        let sum = |of: fn(&Found) -> u64| self.entities.values().map(of).sum::<u64>();
        let found = 2 * sum(|found| found.both) + sum(|found| found.primary_only) + sum(|found| found.shadow_only);
        ShownTag {
            compared: self.compared,
            agreement: share(self.agreed as f64, self.comparable),
            flips: self.flips.clone(),
            score_shift: ScoreShift {
                mean: share(self.shift, self.shifts),
                mean_absolute: share(self.absolute_shift, self.shifts),
            },
            entity_f1: share(2.0 * sum(|found| found.both) as f64, found),
            entities: self.entities.clone(),
        }
    }
}

/// The comparison, as `GET /shadow` has it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Shown(BTreeMap<Arc<str>, ShownTag>);

#[derive(Debug, Serialize)]
struct ShownTag {
    compared: u64,
    /// The share of tags that say the same, scores aside; null for numbers.
    agreement: Option<f64>,
    flips: BTreeMap<String, u64>,
    score_shift: ScoreShift,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_f1: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    entities: BTreeMap<Arc<str>, Found>,
}

/// Null as long as there was nothing to compare.
#[derive(Debug, Serialize)]
struct ScoreShift {
    mean: Option<f64>,
    mean_absolute: Option<f64>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::tag::Number;

    fn class(label: Option<&str>, score: f32) -> Tag {
        Tag::Class(Class { label: label.map(Arc::from), score, scores: vec![] })
    }

    fn entity(kind: &str, start: u32, score: f32) -> Entity {
        Entity { kind: kind.into(), text: "xx".into(), start, end: start + 2, score }
    }

    fn shown(pairs: &[(Tag, Tag)]) -> Value {
        let mut all = Comparison::default();
        for (primary, shadow) in pairs {
            all.add(&"tag".into(), &Difference::of(primary, shadow));
        }
        serde_json::to_value(all.shown()).unwrap()["tag"].clone()
    }

    #[test]
    fn classes_agree_or_flip_and_shift_only_where_they_agree() {
        let shown = shown(&[
            (class(Some("ham"), 0.5), class(Some("ham"), 0.75)),
            (class(Some("ham"), 0.75), class(Some("ham"), 0.5)),
            (class(Some("ham"), 0.5), class(Some("spam"), 0.9)),
            (class(None, 0.1), class(Some("spam"), 0.9)),
            (class(None, 0.1), class(None, 0.9)),
        ]);
        assert_eq!(shown["agreement"], 0.6);
        assert_eq!(shown["flips"], json!({ "ham→spam": 1, "null→spam": 1 }));
        assert_eq!(shown["score_shift"], json!({ "mean": 0.0, "mean_absolute": 0.25 }));
        assert!(shown.get("entities").is_none());
    }

    #[test]
    fn labels_appear_and_vanish() {
        let labels = |labels: &[(&str, f32)]| {
            Tag::Labels(labels.iter().map(|&(label, score)| Label { label: label.into(), score }).collect())
        };
        let shown = shown(&[
            (labels(&[("a", 0.5), ("b", 0.5)]), labels(&[("c", 0.5), ("a", 1.0)])),
            (labels(&[("a", 0.5), ("b", 0.5)]), labels(&[("b", 0.5), ("a", 0.5)])),
        ]);
        assert_eq!(shown["agreement"], 0.5);
        assert_eq!(shown["flips"], json!({ "b→null": 1, "null→c": 1 }));
    }

    #[test]
    fn entities_match_by_span_and_type() {
        let primary = Tag::Entities(vec![entity("PER", 0, 0.5), entity("LOC", 10, 0.5), entity("ORG", 20, 0.5)]);
        let shadow = Tag::Entities(vec![entity("PER", 0, 1.0), entity("ORG", 10, 0.5), entity("LOC", 30, 0.5)]);
        let shown = shown(&[(primary.clone(), primary.clone()), (primary, shadow)]);
        assert_eq!(shown["agreement"], 0.5);
        assert_eq!(shown["flips"], json!({ "LOC→ORG": 1, "ORG→null": 1, "null→LOC": 1 }));
        assert_eq!(shown["entities"]["LOC"], json!({ "both": 1, "primary_only": 1, "shadow_only": 1 }));
        assert_eq!(shown["entities"]["ORG"], json!({ "both": 1, "primary_only": 1, "shadow_only": 1 }));
        assert_eq!(shown["entities"]["PER"], json!({ "both": 2, "primary_only": 0, "shadow_only": 0 }));
        assert_eq!(shown["entity_f1"], 8.0 / 12.0);
        assert_eq!(shown["score_shift"]["mean"], 0.125);
    }

    #[test]
    fn numbers_only_differ() {
        let number = |value| Tag::Number(Number { value });
        let shown = shown(&[(number(1.0), number(3.0)), (number(1.0), number(0.0))]);
        assert_eq!(shown["agreement"], Value::Null);
        assert_eq!(shown["score_shift"], json!({ "mean": 0.5, "mean_absolute": 1.5 }));
    }

    #[test]
    fn flips_without_end_take_no_memory_without_end() {
        let many: Vec<_> = (0..1000).map(|n| (class(Some(&n.to_string()), 0.5), class(Some("other"), 0.5))).collect();
        let shown = shown(&many);
        assert_eq!(shown["flips"].as_object().unwrap().len(), FLIPS + 1);
        assert_eq!(shown["flips"][OTHER_FLIPS], 1000 - FLIPS);
    }
}
