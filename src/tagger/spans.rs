//! From token logits to entities with exact spans, as `transformers`' `TokenClassificationPipeline` does it (G-7,
//! G-22).

use std::sync::Arc;

use super::scores::{argmax, softmax};
use crate::config::Aggregation;
use crate::model::files::manifest::{Head, Task};
use crate::model::files::token_label::TokenLabel;
use crate::model::tokenize::Place;
use crate::record::tag::Entity;

/// A token or a word, with its label.
#[derive(Clone, Copy)]
struct Labelled {
    label: usize,
    score: f32,
    start: u32,
    end: u32,
}

/// Decodes the logits of a token head (shape `[tokens, labels]`, row by row). The entities come in the order of the text.
#[must_use]
pub fn decode(text: &str, places: &[Place], logits: &[f32], head: &Head, aggregation: Aggregation) -> Vec<Entity> {
    let Task::Tokens(labels) = &head.task else { return Vec::new() };
    let scores = |row: &[f32]| softmax(row, head.temperature);
    let rows: Vec<_> = places.iter().zip(logits.chunks_exact(labels.len().max(1))).collect();
    // Nobody asks for the score of a token that is part of no entity, and nearly all are: so only the others' is computed.
    let best = |row: &[f32]| {
        let (label, _) = argmax(row);
        (label, if labels[label].entity_type.is_some() { scores(row)[label] } else { 0.0 })
    };
    let one = |&(place, row): &(&Place, &[f32])| {
        let (label, score) = best(row);
        Labelled { label, score, start: place.start, end: place.end }
    };
    let labelled: Vec<Labelled> = match aggregation {
        Aggregation::None | Aggregation::Simple => rows.iter().map(one).collect(),
        Aggregation::First | Aggregation::Average | Aggregation::Max => {
            let words = rows.chunk_by(|_, (next, _)| next.continues);
            let word = |tokens: &[(&Place, &[f32])]| {
                let best = match aggregation {
                    Aggregation::Average => average(tokens.iter().map(|(_, row)| scores(row))),
                    Aggregation::Max => surest(tokens.iter().map(|(_, row)| argmax(&scores(row)))),
                    _ => best(tokens[0].1),
                };
                let (start, end) = (tokens[0].0.start, tokens[tokens.len() - 1].0.end);
                Labelled { label: best.0, score: best.1, start, end }
            };
            words.map(word).collect()
        }
    };
    let spans = if aggregation == Aggregation::None {
        let kept = labelled.iter().filter(|token| labels[token.label].entity_type.is_some());
        kept.map(|token| Span { kind: Arc::clone(&head.labels[token.label]), ..Span::of(token, labels) }).collect()
    } else {
        group(&labelled, labels)
    };
    cut(text, spans)
}

/// Words that may be of a type with the least score that is asked for, though another label, or none, is likelier. What is to be
/// masked is better found once too often: so a word counts by its likeliest token.
#[must_use]
pub fn likely(
    text: &str,
    places: &[Place],
    logits: &[f32],
    head: &Head,
    least: impl Fn(&str) -> Option<f32>,
) -> Vec<Entity> {
    let Task::Tokens(labels) = &head.task else { return Vec::new() };
    let rows: Vec<_> = places.iter().zip(logits.chunks_exact(labels.len().max(1))).collect();
    let types: Vec<_> = head.names().into_iter().filter_map(|kind| Some((kind, least(kind)?))).collect();
    let mut spans: Vec<Span> = Vec::new();
    let mut goes_on = None;
    for word in rows.chunk_by(|_, (next, _)| next.continues) {
        let tokens: Vec<_> = word.iter().map(|(_, row)| softmax(row, head.temperature)).collect();
        let of = |kind: &Arc<str>, scores: &[f32]| {
            let own = labels.iter().zip(scores).filter(|(label, _)| label.entity_type.as_ref() == Some(kind));
            own.map(|(_, score)| score).sum::<f32>()
        };
        let scored = types
            .iter()
            .map(|&(kind, least)| (kind, least, tokens.iter().map(|row| of(kind, row)).fold(0.0, f32::max)));
        let found =
            scored.filter(|(_, least, score)| score >= least).max_by(|(.., one), (.., other)| one.total_cmp(other));
        let Some((kind, _, score)) = found else {
            goes_on = None;
            continue;
        };
        let own = labels.iter().zip(&tokens[0]).filter(|(label, _)| label.entity_type.as_ref() == Some(kind));
        let begins = own.max_by(|(_, one), (_, other)| one.total_cmp(other)).is_some_and(|(label, _)| label.begins);
        let end = word[word.len() - 1].0.end;
        match spans.last_mut() {
            Some(span) if goes_on == Some(kind) && !begins => {
                (span.end, span.scores, span.count) = (end, span.scores + score, span.count + 1.0);
            }
            _ => spans.push(Span { kind: Arc::clone(kind), start: word[0].0.start, end, scores: score, count: 1.0 }),
        }
        goes_on = Some(kind);
    }
    cut(text, spans)
}

/// The best label by the mean of the tokens' scores.
fn average(tokens: impl ExactSizeIterator<Item = Vec<f32>>) -> (usize, f32) {
    let count = tokens.len() as f32;
    let sum = tokens.reduce(|sum, scores| sum.iter().zip(&scores).map(|(a, b)| a + b).collect()).unwrap_or_default();
    let (label, sum) = argmax(&sum);
    (label, sum / count)
}

/// The best label of the token that is surest of its own; of equals, the first.
fn surest(tokens: impl Iterator<Item = (usize, f32)>) -> (usize, f32) {
    tokens.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap_or_default()
}

struct Span {
    kind: Arc<str>,
    start: u32,
    end: u32,
    scores: f32,
    count: f32,
}

impl Span {
    fn of(labelled: &Labelled, labels: &[TokenLabel]) -> Self {
        let kind = labels[labelled.label].entity_type.clone().unwrap_or_default();
        Self { kind, start: labelled.start, end: labelled.end, scores: labelled.score, count: 1.0 }
    }
}

/// Neighbours of one type are an entity, unless the first ends one or the second begins one.
fn group(labelled: &[Labelled], labels: &[TokenLabel]) -> Vec<Span> {
    let same = |one: &Labelled, next: &Labelled| {
        let (one, next) = (&labels[one.label], &labels[next.label]);
        one.entity_type == next.entity_type && !next.begins && !one.ends
    };
    let groups = labelled.chunk_by(same).filter(|group| labels[group[0].label].entity_type.is_some());
    let span = |group: &[Labelled]| Span {
        end: group[group.len() - 1].end,
        scores: group.iter().map(|one| one.score).sum(),
        count: group.len() as f32,
        ..Span::of(&group[0], labels)
    };
    groups.map(span).collect()
}

/// The spans with their slices of the text.
fn cut(text: &str, spans: Vec<Span>) -> Vec<Entity> {
    // Where each code point begins; in ASCII, where its number says.
    let bytes: Vec<u32> = if text.is_ascii() || spans.is_empty() {
        Vec::new()
    } else {
        text.char_indices().map(|(byte, _)| byte as u32).collect()
    };
    let byte = |code_point: u32| match bytes.get(code_point as usize) {
        Some(byte) => *byte as usize,
        None if bytes.is_empty() => (code_point as usize).min(text.len()),
        None => text.len(),
    };
    let entity = |span: Span| Entity {
        text: text.get(byte(span.start)..byte(span.end)).unwrap_or_default().into(),
        kind: span.kind,
        start: span.start,
        end: span.end,
        score: span.scores / span.count,
    };
    spans.into_iter().map(entity).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn head(labels: &[&str]) -> Head {
        let labels: Vec<Arc<str>> = labels.iter().map(|&label| label.into()).collect();
        let task = Task::Tokens(TokenLabel::all(&labels));
        Head { name: "entities".into(), output: None, labels, task, temperature: 1.0, thresholds: BTreeMap::new() }
    }

    /// One token for each `(start, end, continues, label)`.
    fn decode_as(
        labels: &[&str],
        aggregation: Aggregation,
        text: &str,
        tokens: &[(u32, u32, bool, &str)],
    ) -> Vec<(String, String)> {
        let head = head(labels);
        let places: Vec<_> = tokens.iter().map(|&(start, end, continues, _)| Place { start, end, continues }).collect();
        let row =
            |label: &str| labels.iter().map(move |other| if *other == label { 9.0 } else { 0.0 }).collect::<Vec<f32>>();
        let logits: Vec<f32> = tokens.iter().flat_map(|&(.., label)| row(label)).collect();
        let found = decode(text, &places, &logits, &head, aggregation);
        found.into_iter().map(|entity| (entity.kind.to_string(), entity.text)).collect()
    }

    const BIO: [&str; 5] = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"];

    fn decode_words(text: &str, tokens: &[(u32, u32, bool, &str)]) -> Vec<(String, String)> {
        decode_as(&BIO, Aggregation::First, text, tokens)
    }

    fn entity(kind: &str, text: &str) -> (String, String) {
        (kind.into(), text.into())
    }

    #[test]
    fn spans_are_code_points_of_the_original_text() {
        let text = "🎉 Zoë Ångström in 東京!";
        let tokens = [
            (0, 1, false, "O"),
            (2, 4, false, "B-PER"),
            (4, 5, true, "O"),
            (6, 14, false, "I-PER"),
            (15, 17, false, "O"),
            (18, 19, false, "B-LOC"),
            (19, 20, false, "I-LOC"),
            (20, 21, false, "O"),
        ];
        assert_eq!(decode_words(text, &tokens), [entity("PER", "Zoë Ångström"), entity("LOC", "東京")]);
    }

    #[test]
    fn a_word_is_never_halved() {
        let tokens = [(0, 2, false, "B-PER"), (2, 4, true, "O"), (4, 6, true, "B-LOC")];
        for aggregation in [Aggregation::First, Aggregation::Average, Aggregation::Max] {
            for (_, text) in decode_as(&BIO, aggregation, "Berlin", &tokens) {
                assert_eq!(text, "Berlin", "{aggregation:?}");
            }
        }
        assert_eq!(decode_words("Berlin", &tokens), [entity("PER", "Berlin")]);
        let simple = decode_as(&BIO, Aggregation::Simple, "Berlin", &tokens);
        assert_eq!(simple, [entity("PER", "Be"), entity("LOC", "in")]);
        let none = decode_as(&BIO, Aggregation::None, "Berlin", &tokens);
        assert_eq!(none, [entity("B-PER", "Be"), entity("B-LOC", "in")]);
    }

    #[test]
    fn inside_after_another_type_begins_an_entity() {
        let tokens = [(0, 1, false, "B-PER"), (2, 3, false, "I-LOC"), (4, 5, false, "I-LOC"), (6, 7, false, "B-LOC")];
        assert_eq!(decode_words("a b c d", &tokens), [entity("PER", "a"), entity("LOC", "b c"), entity("LOC", "d")]);
    }

    #[test]
    fn outside_ends_an_entity() {
        let tokens = [(0, 1, false, "I-PER"), (2, 3, false, "O"), (4, 5, false, "I-PER")];
        assert_eq!(decode_words("a b c", &tokens), [entity("PER", "a"), entity("PER", "c")]);
    }

    #[test]
    fn ends_and_units_of_bilou_and_iobes_are_heeded() {
        for (last, unit) in [("L-X", "U-X"), ("E-X", "S-X")] {
            let labels = ["O", "B-X", "I-X", last, unit];
            let tokens = [
                (0, 1, false, "B-X"),
                (2, 3, false, last),
                (4, 5, false, "I-X"),
                (6, 7, false, unit),
                (8, 9, false, "I-X"),
            ];
            let found = decode_as(&labels, Aggregation::First, "a b c d e", &tokens);
            assert_eq!(found, ["a b", "c", "d", "e"].map(|text| entity("X", text)), "{unit}");
        }
    }

    #[test]
    fn plain_labels_are_types_as_they_are() {
        let labels = ["O", "E-MAIL", "DATE"];
        let tokens = [(0, 1, false, "E-MAIL"), (2, 3, false, "E-MAIL"), (4, 5, false, "DATE")];
        let found = decode_as(&labels, Aggregation::Simple, "a b c", &tokens);
        assert_eq!(found, [entity("E-MAIL", "a b"), entity("DATE", "c")]);
    }

    #[test]
    fn a_type_that_is_called_o_is_a_type() {
        let tokens = [(0, 1, false, "B-O"), (2, 3, false, "I-O"), (4, 5, false, "O"), (6, 7, false, "B-PER")];
        for aggregation in [Aggregation::Simple, Aggregation::First, Aggregation::Average, Aggregation::Max] {
            let found = decode_as(&["O", "B-O", "I-O", "B-PER"], aggregation, "a b c d", &tokens);
            assert_eq!(found, [entity("O", "a b"), entity("PER", "d")], "{aggregation:?}");
        }
        // Two labels that are mapped to O are both outside.
        let found =
            decode_as(&["O", "O", "B-PER"], Aggregation::First, "a b", &[(0, 1, false, "O"), (2, 3, false, "B-PER")]);
        assert_eq!(found, [entity("PER", "b")]);
    }

    #[test]
    fn a_word_that_may_be_a_name_is_found_below_what_is_likelier() {
        let head = head(&BIO);
        let places = [(0, 2, false), (2, 4, true), (5, 8, false), (9, 12, false), (13, 16, false)];
        let places = places.map(|(start, end, continues)| Place { start, end, continues });
        let row = |scores: [f32; 5]| scores.map(f32::ln);
        let logits: Vec<f32> = [
            row([0.9, 0.05, 0.02, 0.02, 0.01]),
            row([0.6, 0.2, 0.15, 0.03, 0.02]),
            row([0.6, 0.1, 0.25, 0.03, 0.02]),
            row([0.6, 0.25, 0.1, 0.03, 0.02]),
            row([0.8, 0.1, 0.05, 0.03, 0.02]),
        ]
        .concat();
        let found = |least: f32| {
            let of_type = |kind: &str| (kind == "PER").then_some(least);
            likely("Anna Eva Bob now", &places, &logits, &head, of_type)
                .into_iter()
                .map(|entity| (entity.text, (entity.score * 100.0).round()))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(0.3), [("Anna Eva".into(), 35.0), ("Bob".into(), 35.0)], "a word by its likeliest token");
        assert_eq!(found(0.5), []);
    }

    #[test]
    fn tokens_that_share_a_character_do_not_confuse_the_slices() {
        let tokens = [(0, 1, false, "B-PER"), (0, 1, true, "B-PER"), (1, 2, true, "B-LOC")];
        let found = decode_as(&BIO, Aggregation::None, "🎉é", &tokens);
        assert_eq!(found, [entity("B-PER", "🎉"), entity("B-PER", "🎉"), entity("B-LOC", "é")]);
    }
}
