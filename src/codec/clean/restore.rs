//! What was said of cleaned texts, said of those that stand in the document.

use std::ops::Range;

use crate::codec::ruler::Ruler;
use crate::record::answer::{Answer, Given, Secret};
use crate::record::document::Document;
use crate::record::envelope::Envelope;
use crate::record::tag::{Entity, Tag};
use crate::record::text::Text;

/// The document with its own texts in the place of the cleaned ones, and the answer with its places there, if there is
/// another one. Whoever comes next sees nothing that does not stand in the document.
#[must_use]
pub fn restore(mut document: Envelope<Document>, answer: &Answer) -> (Envelope<Document>, Option<Answer>) {
    let texts = &document.body.texts;
    let restored = |number: usize| texts.get(number)?.as_ref()?.restored();
    if (0..texts.len()).all(|number| restored(number).is_none()) {
        return (document, None);
    }
    let tag = |given: &Given| match (&given.tag, restored(given.text)) {
        (Tag::Entities(found), Some((text, places))) => Tag::Entities(moved(found, text, places)),
        (other, _) => other.clone(),
    };
    let secret = |secret: &Secret| {
        let place = restored(secret.text).map(|(_, places)| from(secret.start..secret.end, places));
        let Range { start, end } = place.unwrap_or(secret.start..secret.end);
        Secret { start, end, ..secret.clone() }
    };
    let tags = answer.tags.iter().map(|given| Given { tag: tag(given), ..given.clone() }).collect();
    let secrets = answer.secrets.iter().map(secret).collect();
    let answer = Answer { tags, secrets, ..answer.clone() };
    let own = |text: &Text| text.restored().map_or_else(|| text.clone(), |(text, _)| text.clone());
    document.body.texts = document.body.texts.iter().map(|text| text.as_ref().map(own)).collect();
    (document, Some(answer))
}

/// Entities where they stand in the document, with the text that stands there.
fn moved(found: &[Entity], text: &Text, places: &[Range<u32>]) -> Vec<Entity> {
    if found.is_empty() {
        return Vec::new();
    }
    let ruler = Ruler::new(text.as_str());
    let entity = |entity: &Entity| {
        let span = from(entity.start..entity.end, places);
        let text = ruler.slice(text.as_str(), &span).into();
        Entity { kind: entity.kind.clone(), text, start: span.start, end: span.end, score: entity.score }
    };
    found.iter().map(entity).collect()
}

/// The code points that some code points of a cleaned text come from.
fn from(span: Range<u32>, places: &[Range<u32>]) -> Range<u32> {
    let first = places.get(span.start as usize).or(places.last()).map_or(0, |place| place.start);
    let last = span.end.checked_sub(1).and_then(|last| places.get(last as usize)).map_or(first, |place| place.end);
    first..last.max(first)
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::codec::clean::Cleaner;
    use crate::codec::clean::traced::Traced;
    use crate::config::Clean;
    use crate::record::budget::Budget;
    use crate::record::envelope::{Origin, Record};

    fn answer(tags: Vec<Given>, secrets: Vec<Secret>) -> Answer {
        Answer { load: 0, tags, absent: Vec::new(), secrets, models: Vec::new(), tokens: 0, truncated: false }
    }

    fn entity(text: &str, start: u32, end: u32) -> Entity {
        Entity { kind: "PER".into(), text: text.into(), start, end, score: 0.5 }
    }

    fn restored(text: Text, found: Vec<Entity>) -> (Text, Vec<Entity>, Vec<Secret>) {
        let secret = |entity: &Entity| Secret {
            text: 0,
            kind: "PER".into(),
            start: entity.start,
            end: entity.end,
            score: 0.5,
            is_tagged: true,
        };
        let secrets = found.iter().map(secret).collect();
        let answer = answer(vec![Given { name: "names".into(), text: 0, tag: Tag::Entities(found) }], secrets);
        let document = Document { id: RawValue::NULL.to_owned(), ..Document::unnamed(vec![Some(text)]) };
        let origin = Origin::elsewhere("x".into(), 0, 0);
        let envelope = Envelope::begin(origin, Record::of(Vec::new()), &Budget::new(1000)).map(|()| document);
        let (mut document, answer) = restore(envelope, &answer);
        let answer = answer.unwrap();
        let Tag::Entities(found) = answer.tags[0].tag.clone() else { unreachable!() };
        (document.body.texts.remove(0).unwrap(), found, answer.secrets)
    }

    #[test]
    fn an_entity_has_the_text_that_stands_in_the_document() {
        let value = "met T\u{200b}\u{43e}ny Bl\u{2060}air";
        let clean = Cleaner::new(&[Clean::Unicode]).clean(value.into()).unwrap();
        assert_eq!(clean.text(), "met Tony Blair");
        let mut text = Text::default();
        text.push("/subject".into(), "🎉");
        text.push_between("\n");
        clean.add_to(&mut text, "/body".into());
        let (text, found, secrets) = restored(text, vec![entity("Tony Blair", 6, 16)]);
        assert_eq!(text.as_str(), format!("🎉\n{value}"));
        assert_eq!((found[0].text.as_str(), found[0].start, found[0].end), ("T\u{200b}\u{43e}ny Bl\u{2060}air", 6, 18));
        assert_eq!((secrets[0].start, secrets[0].end), (6, 18));
    }

    proptest! {
        #[test]
        fn each_span_stands_where_what_was_cleaned_stood(
            steps in prop::sample::select(vec![vec![Clean::Unicode], vec![Clean::Html], vec![Clean::Html, Clean::Unicode]]),
            // Of what cleaning takes out, changes and keeps.
            pieces in prop::collection::vec(
                prop_oneof![
                    any::<char>().prop_map(String::from), "[a-e ]", "[\u{430}-\u{440}]", "[\u{200b}-\u{200f}]", "[\u{1d400}-\u{1d420}]",
                    Just("\u{fe0f}".to_owned()), Just("👩".to_owned()), Just("<b>".to_owned()), Just("&eacute;".to_owned()),
                    Just("<!-- é -->".to_owned()), Just("<p>".to_owned()),
                ],
                0..40,
            ),
            (one, other) in (0u32..40, 0u32..40),
        ) {
            let value = pieces.concat();
            let letters: Vec<char> = value.chars().collect();
            let clean = Cleaner::new(&steps).clean(value.as_str().into()).unwrap();
            let Some(Traced { text: seen, places }) = &clean.traced else { return Ok(()) };
            let seen: Vec<char> = seen.chars().collect();
            prop_assert_eq!(seen.len(), places.len());
            let length = seen.len() as u32;
            let (start, end) = (one.min(other).min(length), one.max(other).min(length));
            prop_assume!(start < end);
            let mut text = Text::default();
            clean.add_to(&mut text, "/body".into());
            let (text, found, _) = restored(text, vec![entity("", start, end)]);
            prop_assert_eq!(text.as_str(), &value);
            let Entity { text, start: from, end: to, .. } = &found[0];
            let original: String = letters[*from as usize..*to as usize].iter().collect();
            prop_assert_eq!(text, &original);
            // What each letter of the span comes from is in it, in order, and is that letter, or is written otherwise.
            for (letter, place) in seen.iter().zip(places).take(end as usize).skip(start as usize) {
                prop_assert!(from <= &place.start && place.start < place.end && &place.end <= to);
                let was: String = letters[place.start as usize..place.end as usize].iter().collect();
                let is_same = was == letter.to_string() || letter.is_ascii_alphanumeric() || letter.is_whitespace();
                prop_assert!(is_same || was == "&eacute;" && *letter == 'é' || *letter == '\u{fffd}', "{was:?} became {letter:?}");
            }
            let is_in_order = places.windows(2).all(|two| two[0].start <= two[1].start && two[0].end <= two[1].end);
            prop_assert!(is_in_order);
        }
    }
}
