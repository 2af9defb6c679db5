//! Masks names, and whatever else a configuration says (`redact`), in all that is written of a document.
//!
//! Each string of it is looked at by itself: what the taggers have found in a text, what has a form, what is on a list, and
//! whatever was found in another place and comes again (`known`). The union of all that is masked (`spans`), and what is
//! left stays as it was written.

mod apply;
mod json;
mod known;
mod mask;
mod patterns;
mod plain;
mod record;
mod rules;
mod spans;
mod words;

use anyhow::Result;

use self::json::{Part, Walk, characters, decoded, encoded, is_number};
use self::known::Known;
use self::mask::mask;
use self::plain::Plain;
use self::rules::{Finds, Rule, covers};
use self::spans::{Span, union};
use crate::codec::clean::Cleaner;
use crate::config::redact::Key;
use crate::config::{Charset, Config, Format, Input, RecordKey, Spans};

/// Masks what a configuration says.
#[derive(Clone, Debug)]
pub struct Redactor {
    rules: Vec<Rule>,
    /// Where documents have their id.
    id: String,
    /// The fields that taggers read.
    texts: Vec<String>,
    /// Whether dead letters are masked, too.
    dead_letters: bool,
    /// What keys of records are hashed with, if they are.
    key: Option<Key>,
    /// Whether offsets stay those of the texts as they came.
    keeps_offsets: bool,
    format: Format,
    charset: Charset,
    cleaner: Cleaner,
}

impl Redactor {
    /// One for the configuration's rules; none if there are none.
    ///
    /// # Errors
    /// When a list of words can't be used.
    pub fn new(config: &Config) -> Result<Option<Self>> {
        let rules = config.redact.iter().map(Rule::new).collect::<Result<Vec<_>>>()?;
        let Input { ref id, format, charset, .. } = config.input;
        let (id, texts, dead_letters) = (id.clone(), config.text_fields(), config.dead_letters.redact);
        let key = config.key_of_hashes().filter(|_| config.output.key == Some(RecordKey::Hash));
        let keeps_offsets = config.output.spans == Spans::Original;
        let cleaner = Cleaner::new(&config.input.clean);
        let made = Self { rules, id, texts, dead_letters, key, keeps_offsets, format, charset, cleaner };
        Ok((!made.rules.is_empty()).then_some(made))
    }

    /// What is masked in a string, in the order of the text.
    fn spans(&self, text: &str, path: &str, known: &Known) -> Vec<Span> {
        let whole = |rule, kind: &str| vec![Span { range: 0..text.len(), rule, kind: kind.into() }];
        if let Some(rule) = self.whole(path) {
            return whole(rule, "REDACTED");
        }
        if let Some(rule) = self.unread(text, path, known) {
            return whole(rule, "REDACTED");
        }
        let mut spans = known.read(text).to_vec();
        let plain = Plain::of(text);
        for (rule, Rule { finds, .. }) in self.rules.iter().enumerate() {
            let found = finds.find(text, &plain, path).into_iter();
            spans.extend(found.map(|(range, kind)| Span { range, rule, kind }));
        }
        known.again(text, &plain, &mut spans);
        union(spans)
    }

    /// The rule that masks all that stands at this place.
    fn whole(&self, path: &str) -> Option<usize> {
        self.rules.iter().position(
            |rule| matches!(&rule.finds, Finds::Fields(fields) if fields.iter().any(|field| covers(field, path))),
        )
    }

    /// The first rule for names, where a tagger should have read this string, and has not: of two fields of one name, only the
    /// last is read, and a document that could not be tagged has not been read at all.
    fn unread(&self, text: &str, path: &str, known: &Known) -> Option<usize> {
        let is_text = self.texts.iter().any(|field| covers(field, path));
        if !is_text || known.has_read(text) || text.trim().is_empty() {
            return None;
        }
        self.of_names()
    }

    /// The first rule for names.
    fn of_names(&self) -> Option<usize> {
        self.rules.iter().position(|rule| matches!(rule.finds, Finds::Entities { .. }))
    }

    /// A text with its spans masked.
    fn masked(&self, text: &str, spans: &[Span]) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for span in spans {
            masked.push_str(&text[at..span.range.start]);
            masked.push_str(&self.instead(text, span));
            at = span.range.end;
        }
        masked.push_str(&text[at..]);
        masked
    }

    /// What stands in the place of a span.
    fn instead(&self, text: &str, span: &Span) -> String {
        mask(&self.rules[span.rule].with, &span.kind, &text[span.range.clone()])
    }

    /// A JSON value that stands at `path`, masked. What is not masked stays byte for byte.
    fn json(&self, json: &str, path: &str, known: &Known) -> String {
        let (mut masked, mut copied) = (String::with_capacity(json.len()), 0);
        let mut walk = Walk::new(json, path);
        while let Some((start, part)) = walk.next() {
            let (end, instead) = match part {
                Part::Name(raw) => (start + raw.len(), self.name(raw, walk.path(), known)),
                Part::Text(raw) => (start + raw.len(), self.text(raw, walk.path(), known)),
                Part::Word(raw) => (start + raw.len(), self.word(raw, walk.path(), known)),
                Part::Begin => match self.whole(walk.path()) {
                    None => continue,
                    Some(rule) => {
                        let end = walk.skip();
                        let instead = mask(&self.rules[rule].with, "REDACTED", &json[start..end]);
                        (end, Some(format!("\"{}\"", encoded(&instead))))
                    }
                },
            };
            if let Some(instead) = instead {
                masked.push_str(&json[copied..start]);
                masked.push_str(&instead);
                copied = end;
            }
        }
        masked.push_str(&json[copied..]);
        masked
    }

    /// The inside of a string, if something in it is masked.
    fn text(&self, raw: &str, path: &str, known: &Known) -> Option<String> {
        let text = decoded(raw);
        let spans = self.spans(&text, path, known);
        (!spans.is_empty()).then(|| self.within(raw, &text, &spans))
    }

    /// The name of a field, if something in it is masked.
    fn name(&self, raw: &str, path: &str, known: &Known) -> Option<String> {
        let text = decoded(raw);
        let plain = Plain::of(&text);
        let mut spans = Vec::new();
        for (rule, Rule { finds, .. }) in self.rules.iter().enumerate() {
            let found = finds.find(&text, &plain, path).into_iter();
            spans.extend(found.map(|(range, kind)| Span { range, rule, kind }));
        }
        // Names of fields are the schema's, which must not change for a word that reads the same.
        known.again_but_words(&text, &plain, &mut spans);
        let spans = union(spans);
        (!spans.is_empty()).then(|| self.within(raw, &text, &spans))
    }

    /// A number that is masked becomes a string; so does what stands at a field that is masked. Null hides nothing.
    fn word(&self, raw: &str, path: &str, known: &Known) -> Option<String> {
        if raw == "null" || !is_number(raw) && self.whole(path).is_none() {
            return None;
        }
        let spans = self.spans(raw, path, known);
        (!spans.is_empty()).then(|| format!("\"{}\"", encoded(&self.masked(raw, &spans))))
    }

    /// The inside of a string with the spans of its text masked, and all else as it was written.
    fn within(&self, raw: &str, text: &str, spans: &[Span]) -> String {
        let mut masked = String::with_capacity(raw.len());
        let mut spans = spans.iter().peekable();
        let (mut in_raw, mut in_text) = (0, 0);
        for (letter, length) in characters(raw) {
            if let Some(span) = spans.next_if(|span| span.range.end <= in_text) {
                debug_assert!(span.range.end == in_text);
            }
            match spans.peek() {
                Some(span) if span.range.start == in_text => masked.push_str(&encoded(&self.instead(text, span))),
                Some(span) if span.range.contains(&in_text) => {}
                _ => masked.push_str(&raw[in_raw..in_raw + length]),
            }
            in_raw += length;
            in_text += letter.len_utf8();
        }
        masked
    }
}

#[cfg(test)]
mod tests;
