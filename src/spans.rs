//! From token logits to entities with exact spans.
//!
//! A word has the label of its first token, as `transformers`' `aggregation_strategy="first"`: so no entity ends within
//! a word. Labels are in BIO form (Ramshaw & Marcus 1995): `B-X` begins an entity, `I-X` continues one of the same type
//! and else begins one, `O` is outside.

use std::sync::Arc;

use crate::tags::{Entity, softmax};
use crate::tokenize::Place;

/// Decodes the logits (shape `[tokens, labels]`, row by row) of a document.
#[must_use]
pub fn decode(text: &str, places: &[Option<Place>], logits: &[f32], labels: &[Arc<str>]) -> Vec<Entity> {
    let mut entities: Vec<Open> = Vec::new();
    let mut word = None;
    let mut open = false;
    for (place, row) in places.iter().zip(logits.chunks_exact(labels.len().max(1))) {
        let Some(place) = place else { continue };
        if word == Some(place.word) {
            if open && let Some(entity) = entities.last_mut() {
                entity.end = entity.end.max(place.end);
            }
            continue;
        }
        word = Some(place.word);
        let (best, score) = softmax(row);
        let Some((prefix, kind)) = labels[best].split_once('-') else {
            open = false;
            continue;
        };
        match entities.last_mut() {
            Some(entity) if open && prefix != "B" && entity.kind == kind => {
                entity.end = place.end;
                entity.scores += score;
                entity.words += 1.0;
            }
            _ => entities.push(Open { kind, start: place.start, end: place.end, scores: score, words: 1.0 }),
        }
        open = true;
    }
    let slices = slices(text, &entities);
    let named = entities.iter().zip(slices).map(|(entity, text)| Entity {
        kind: entity.kind.into(),
        text: text.into(),
        start: entity.start,
        end: entity.end,
        score: entity.scores / entity.words,
    });
    named.collect()
}

struct Open<'a> {
    kind: &'a str,
    start: u32,
    end: u32,
    scores: f32,
    words: f32,
}

/// The text of each entity; they come in order, so one walk along the text finds them all.
fn slices<'a>(text: &'a str, entities: &[Open]) -> Vec<&'a str> {
    let (mut code_point, mut byte) = (0, 0);
    let mut find = |target: u32| {
        let ahead = text[byte..].chars().take(target.saturating_sub(code_point) as usize);
        byte += ahead.inspect(|_| code_point += 1).map(char::len_utf8).sum::<usize>();
        byte
    };
    let spans = entities.iter().map(|entity| find(entity.start)..find(entity.end));
    spans.map(|span| &text[span]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<Arc<str>> {
        ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"].map(Arc::from).into()
    }

    /// One token for each `(word, start, end, label)`.
    fn decode_words(text: &str, tokens: &[(u32, u32, u32, usize)]) -> Vec<(String, String, u32, u32)> {
        let mut places = vec![None];
        let mut logits = vec![9.0, 0.0, 0.0, 0.0, 0.0];
        for &(word, start, end, label) in tokens {
            places.push(Some(Place { word, start, end }));
            logits.extend((0..5).map(|n| if n == label { 9.0 } else { 0.0 }));
        }
        let found = decode(text, &places, &logits, &labels());
        found.into_iter().map(|e| (e.kind.to_string(), e.text, e.start, e.end)).collect()
    }

    fn entity(kind: &str, text: &str, start: u32, end: u32) -> (String, String, u32, u32) {
        (kind.into(), text.into(), start, end)
    }

    #[test]
    fn spans_are_code_points_of_the_original_text() {
        let text = "🎉 Zoë Ångström in 東京!";
        let tokens = [
            (0, 0, 1, 0),
            (1, 2, 4, 1),
            (1, 4, 5, 0),
            (2, 6, 14, 2),
            (3, 15, 17, 0),
            (4, 18, 19, 3),
            (5, 19, 20, 4),
            (6, 20, 21, 0),
        ];
        assert_eq!(decode_words(text, &tokens), [entity("PER", "Zoë Ångström", 2, 14), entity("LOC", "東京", 18, 20)]);
    }

    #[test]
    fn a_word_is_never_halved() {
        let tokens = [(0, 0, 2, 1), (0, 2, 4, 0), (0, 4, 6, 3)];
        assert_eq!(decode_words("Berlin", &tokens), [entity("PER", "Berlin", 0, 6)]);
    }

    #[test]
    fn inside_after_another_type_begins_an_entity() {
        let tokens = [(0, 0, 1, 1), (1, 2, 3, 4), (2, 4, 5, 4), (3, 6, 7, 3)];
        let expected = [entity("PER", "a", 0, 1), entity("LOC", "b c", 2, 5), entity("LOC", "d", 6, 7)];
        assert_eq!(decode_words("a b c d", &tokens), expected);
    }

    #[test]
    fn outside_ends_an_entity() {
        let tokens = [(0, 0, 1, 2), (1, 2, 3, 0), (2, 4, 5, 2)];
        assert_eq!(decode_words("a b c", &tokens), [entity("PER", "a", 0, 1), entity("PER", "c", 4, 5)]);
    }
}
