//! Masks what becomes of a record: a tagged document, or a dead letter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use encoding_rs::UTF_8;
use rdkafka::message::OwnedHeaders;
use serde_json::value::RawValue;

use super::Redactor;
use super::json::{Part, Walk, decoded};
use super::known::Known;
use super::rules::{Finds, Rule, covers};
use super::spans::Moved;
use crate::codec::event::read::{self, Data};
use crate::codec::ruler::Ruler;
use crate::config::Format;
use crate::config::mark::without_mark;
use crate::config::redact::Where;
use crate::record::answer::{Answer, Given};
use crate::record::document::Document;
use crate::record::envelope::{Envelope, Record};
use crate::record::rejection::Rejection;
use crate::record::tag::{Entity, Tag};
use crate::record::text::Text;

impl Redactor {
    /// Masks a tagged document and what is said of it: id, value, texts, the entities with their places in the masked texts, and
    /// what the record has beside its value. The record as it came is given, too, where dead letters are not to be masked.
    #[must_use]
    pub fn tagged(
        &self,
        envelope: Envelope<Document>,
        answer: &Answer,
    ) -> (Envelope<Document>, Answer, Option<Box<Record>>) {
        let Envelope { origin, record: came, body: document, fetched, span, permit } = envelope;
        let as_it_came = || std::str::from_utf8(without_mark(came.value.as_deref()?)).ok();
        let json = document.json.as_deref().map(RawValue::get).or_else(as_it_came).unwrap_or_default();
        let known = Known::of(self, &document.texts, &answer.secrets, json);
        let texts: Vec<_> =
            document.texts.iter().map(|text| text.as_ref().map(|text| self.read(text, &known))).collect();
        let tags = answer.tags.iter().map(|given| Given { tag: self.moved(given, &texts), ..given.clone() });
        let answer = Answer { tags: tags.collect(), secrets: Vec::new(), ..answer.clone() };
        // What was JSON still is. If it were not, nothing would be written of it.
        let masked = RawValue::from_string(self.json(json, "", &known)).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let value = match self.format {
            // In a dead letter, what had a schema is JSON: masked, it may not fit that any more.
            Format::Json | Format::JsonSchema | Format::Avro | Format::Protobuf => masked.get().as_bytes().to_vec(),
            Format::Text => self.value(masked.get()),
            Format::CloudEvents => {
                let value = came.value.as_deref().unwrap_or_default();
                self.event(came.headers.as_ref(), value, masked.get(), &known).unwrap_or_default()
            }
        };
        let id = RawValue::from_string(self.json(document.id.get(), &self.id, &known));
        let texts = texts.into_iter().zip(document.texts).map(|(masked, was)| match (masked?.0, was) {
            (masked, Some(was)) if self.keeps_offsets => Some(masked.placed_as(was)),
            (masked, _) => Some(masked),
        });
        let record = self.record(&came, Some(value), &known);
        let document = Document {
            id: id.unwrap_or_else(|_| RawValue::NULL.to_owned()),
            texts: texts.collect(),
            json: document.json.and(Some(masked)),
            target: document.target,
        };
        let came = (!self.dead_letters).then(|| Box::new(came));
        (Envelope { origin, record, body: document, fetched, span, permit }, answer, came)
    }

    /// The value of which a document was made that is a text.
    fn value(&self, json: &str) -> Vec<u8> {
        let document: BTreeMap<&str, String> = serde_json::from_str(json).unwrap_or_default();
        let text = document.get("text").map(String::as_str).unwrap_or_default();
        self.charset.encoding().encode(text).0.into_owned()
    }

    /// Masks a dead letter, if it is to be masked. What can't be is left out, and the reason says so.
    #[must_use]
    pub fn dead_letter(&self, mut letter: Envelope<Rejection>) -> Envelope<Rejection> {
        if !self.dead_letters {
            return letter;
        }
        let Record { value, headers, .. } = &letter.record;
        let masked = value.as_deref().map(|value| self.letter(headers.as_ref(), value));
        letter.record = match masked {
            None => self.record(&letter.record, None, &Known::default()),
            Some(Ok((masked, known))) => self.record(&letter.record, Some(masked), &known),
            Some(Err(why)) => {
                let (Rejection { message, .. }, bytes) = (&letter.body, value.as_ref().map_or(0, Vec::len));
                letter.body.message = format!("{message}; the record's {bytes} bytes are left out, since {why}");
                self.without_value(&letter.record)
            }
        };
        letter
    }

    /// Masks what a tombstone has.
    #[must_use]
    pub fn tombstone<T>(&self, mut tombstone: Envelope<T>) -> Envelope<T> {
        tombstone.record = self.record(&tombstone.record, None, &Known::default());
        tombstone
    }

    /// A value that no tagger has read, masked, and what is known of it.
    fn letter(&self, headers: Option<&OwnedHeaders>, value: &[u8]) -> Result<(Vec<u8>, Known), &'static str> {
        if self.format == Format::CloudEvents {
            let event = read::json(headers, value).map_err(|_| "what is no event can't be redacted")?;
            let known = self.known(&event)?;
            let masked = self.event(headers, value, &self.json(&event, "", &known), &known)?;
            return Ok((masked, known));
        }
        if self.format == Format::Text {
            let encoding = self.charset.encoding();
            let text = encoding.decode_without_bom_handling_and_without_replacement(value);
            let text = text.ok_or("what is no text can't be redacted")?;
            let known = Known::unread(self, &serde_json::json!({ "text": text }).to_string());
            let spans = self.spans(&text, "/text", &known);
            return Ok((encoding.encode(&self.masked(&text, &spans)).0.into_owned(), known));
        }
        if self.format.has_schema() {
            return Err("what has a schema can't be redacted in its own format");
        }
        let text = std::str::from_utf8(without_mark(value)).map_err(|_| "what is not UTF-8 can't be redacted")?;
        let is_everywhere = |rule: &Rule| {
            matches!(rule.finds, Finds::Patterns(_, Where::Everywhere) | Finds::Words(_, Where::Everywhere))
        };
        let needs_fields = !self.rules.iter().all(is_everywhere);
        if serde_json::from_str::<&RawValue>(text).is_ok() {
            // A list of documents, or one that was made JSON twice, has its fields elsewhere.
            if needs_fields && !text.trim_start().starts_with('{') {
                return Err("what is no object can't be redacted field by field");
            }
            let known = self.known(text)?;
            return Ok((self.json(text, "", &known).into_bytes(), known));
        }
        // Without fields there are no texts that a tagger reads, and an escape may hide anything.
        if text.contains('\\') || needs_fields {
            return Err("what is not JSON can't be redacted field by field");
        }
        Ok((self.masked(text, &self.spans(text, "", &Known::default())).into_bytes(), Known::default()))
    }

    /// What is known of a document that no tagger has read, if its texts are where they should be: a name may stand anywhere
    /// in what has them elsewhere.
    fn known(&self, json: &str) -> Result<Known, &'static str> {
        if self.of_names().is_some() && !self.has_texts_only(json) {
            return Err("what has its texts elsewhere can't be redacted field by field");
        }
        Ok(Known::unread(self, json))
    }

    /// Whether a text stands where taggers read, and no object within one: its names of fields would stay.
    fn has_texts_only(&self, json: &str) -> bool {
        let (mut walk, mut any) = (Walk::new(json, ""), false);
        while let Some((_, part)) = walk.next() {
            let path = walk.path();
            match part {
                Part::Text(raw) => any |= self.unread(&decoded(raw), path, &Known::default()).is_some(),
                Part::Name(_) => {
                    let depth = |pointer: &str| pointer.matches('/').count();
                    let mut over = self.texts.iter().filter(|field| covers(field, path)).peekable();
                    if over.peek().is_some() && !over.any(|field| depth(field) == depth(path)) {
                        return false;
                    }
                }
                Part::Word(_) | Part::Begin => {}
            }
        }
        any
    }

    /// The value of an event, of which this is the masked JSON form.
    fn event(
        &self,
        headers: Option<&OwnedHeaders>,
        value: &[u8],
        masked: &str,
        known: &Known,
    ) -> Result<Vec<u8>, &'static str> {
        Ok(match read::value_is_data(headers, value) {
            Ok(None) => masked.as_bytes().to_vec(),
            Ok(Some(Data::Json(json))) => self.json(json, "/data", known).into_bytes(),
            Ok(Some(Data::Text(text, encoding))) if encoding == UTF_8 => {
                self.masked(&text, &self.spans(&text, "/data", known)).into_bytes()
            }
            _ => return Err("an event's data that are neither JSON nor text in UTF-8 can't be redacted"),
        })
    }

    /// A text with all of its parts masked, and how its code points have moved.
    fn read(&self, text: &Text, known: &Known) -> (Text, Moved) {
        let (mut masked, mut moved, mut at) = (Text::default(), Moved::default(), 0);
        let whole = text.as_str();
        let mut counted = (0, 0u32);
        let mut code_point = |byte: usize| {
            counted.1 += whole[counted.0..byte].chars().count() as u32;
            counted.0 = byte;
            counted.1
        };
        for part in text.parts() {
            masked.push_between(&whole[at..part.range.start]);
            let value = &whole[part.range.clone()];
            let spans = self.spans(value, &part.field, known);
            for span in &spans {
                let Range { start, end } = &span.range;
                let was = code_point(part.range.start + start)..code_point(part.range.start + end);
                moved.note(was, self.instead(value, span).chars().count() as u32);
            }
            masked.push(part.field.clone(), &self.masked(value, &spans));
            at = part.range.end;
        }
        masked.push_between(&whole[at..]);
        (masked, moved)
    }

    /// A tag of the masked texts.
    fn moved(&self, given: &Given, texts: &[Option<(Text, Moved)>]) -> Tag {
        match (&given.tag, texts.get(given.text)) {
            (Tag::Entities(entities), Some(Some((text, moved)))) => {
                Tag::Entities(self.again(entities, text.as_str(), moved))
            }
            (Tag::Entities(_), _) => Tag::Entities(Vec::new()),
            (other, _) => other.clone(),
        }
    }

    /// Entities with what stands there now. Of a name that is masked, an entity has all that stands in its place.
    fn again(&self, entities: &[Entity], text: &str, moved: &Moved) -> Vec<Entity> {
        if entities.is_empty() {
            return Vec::new();
        }
        let ruler = Ruler::new(text);
        let entity = |entity: &Entity| {
            let was = entity.start..entity.end;
            let is = moved.span(was.clone());
            let (kind, text) = (Arc::clone(&entity.kind), ruler.slice(text, &is).into());
            let Range { start, end } = if self.keeps_offsets { was } else { is };
            Entity { kind, text, start, end, score: entity.score }
        };
        entities.iter().map(entity).collect()
    }
}
