//! What is known of a document before its strings are looked at: what the taggers have found in its texts, and the names that
//! are masked wherever they come again.

use std::collections::HashMap;
use std::sync::Arc;

use daachorse::DoubleArrayAhoCorasick;

use super::Redactor;
use super::json::{Part, Walk, decoded, is_number};
use super::plain::Plain;
use super::rules::Finds;
use super::spans::{Span, union};
use super::words::{is_apart, whole};
use crate::record::answer::Secret;
use crate::record::text::Text;

/// What is shorter is not looked for in other places: it would be found by chance.
const SHORTEST_NAME: usize = 2;
const SHORTEST_FIELD: usize = 4;

/// What is known of a document. By default, nothing: no tagger has read it.
#[derive(Default)]
pub(super) struct Known {
    /// What is masked in each text that a tagger has read.
    read: HashMap<String, Vec<Span>>,
    names: Vec<Name>,
    /// Finds them, by their places in the list.
    finder: Option<DoubleArrayAhoCorasick<u32>>,
}

#[derive(Debug)]
struct Name {
    /// As it is searched.
    plain: String,
    /// Whether it is one word that has capitals: its letters may also be another word (Will, May).
    is_one_word: bool,
    rule: usize,
    kind: Arc<str>,
}

impl Known {
    /// What is known of a document of these texts, in which the taggers have found secrets.
    pub fn of(redactor: &Redactor, texts: &[Option<Text>], secrets: &[Secret], json: &str) -> Self {
        let mut known = Self::default();
        for (number, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            let spans = redactor.found(secrets.iter().filter(|secret| secret.text == number), text.as_str());
            for part in text.parts() {
                let value = &text.as_str()[part.range.clone()];
                let within = spans.iter().filter_map(|span| {
                    let start = span.range.start.max(part.range.start);
                    let end = span.range.end.min(part.range.end);
                    let range = start.checked_sub(part.range.start)?..end.checked_sub(part.range.start)?;
                    (range.start < range.end).then(|| Span { range: whole(value, range), ..span.clone() })
                });
                let within = union(within.collect());
                for span in &within {
                    let written = &value[span.range.clone()];
                    known.names.extend(Name::found(written, span));
                    // In another place it may stand as it is read.
                    if let Ok(clean) = redactor.cleaner.clean(written.into())
                        && clean.text() != written
                    {
                        known.names.extend(Name::found(clean.text(), span));
                    }
                }
                known.read.entry(value.to_owned()).or_default().extend(within);
            }
        }
        known.add_whole(redactor, json);
        known.ready()
    }

    /// What is known of a document that no tagger has read.
    pub fn unread(redactor: &Redactor, json: &str) -> Self {
        let mut known = Self::default();
        known.add_whole(redactor, json);
        known.ready()
    }

    fn ready(mut self) -> Self {
        self.names.sort_by(|one, other| (&one.plain, one.rule).cmp(&(&other.plain, other.rule)));
        self.names.dedup_by(|other, one| {
            let is_same = one.plain == other.plain;
            one.is_one_word &= other.is_one_word || !is_same;
            is_same
        });
        self.finder = DoubleArrayAhoCorasick::new(self.names.iter().map(|name| &name.plain)).ok();
        self
    }

    /// What is masked whole is masked in other fields as well: what stands in fields that are, and texts that no tagger has read.
    fn add_whole(&mut self, redactor: &Redactor, json: &str) {
        if !redactor.rules.iter().any(|rule| matches!(rule.finds, Finds::Fields(_) | Finds::Entities { .. })) {
            return;
        }
        let mut walk = Walk::new(json, "");
        while let Some((_, part)) = walk.next() {
            let (Part::Text(raw) | Part::Word(raw)) = part else { continue };
            // `true` and `null` are no texts that anyone else could have written.
            if matches!(part, Part::Word(_)) && !is_number(raw) {
                continue;
            }
            let span = |rule| Span { range: 0..0, rule, kind: "REDACTED".into() };
            if let Some(rule) = redactor.whole(walk.path()) {
                self.names.extend(Name::of(&decoded(raw), &span(rule), SHORTEST_FIELD));
            } else if let Part::Text(raw) = part {
                let text = decoded(raw);
                // All of it may be one name.
                let rule = redactor.unread(&text, walk.path(), self);
                self.names.extend(rule.and_then(|rule| Name::found(&text, &span(rule))));
            }
        }
    }

    /// Whether a tagger has read this very string.
    pub fn has_read(&self, text: &str) -> bool {
        self.read.contains_key(text)
    }

    /// What the taggers have found in it.
    pub fn read(&self, text: &str) -> &[Span] {
        self.read.get(text).map_or(&[], Vec::as_slice)
    }

    /// Adds what was found elsewhere and comes again here.
    pub fn again(&self, text: &str, plain: &Plain, spans: &mut Vec<Span>) {
        self.add(text, plain, spans, |_| true);
    }

    /// The same, but for plain words, which the names of fields are, too.
    pub fn again_but_words(&self, text: &str, plain: &Plain, spans: &mut Vec<Span>) {
        self.add(text, plain, spans, |name| !name.plain.chars().all(char::is_alphabetic));
    }

    fn add(&self, text: &str, plain: &Plain, spans: &mut Vec<Span>, is_wanted: fn(&Name) -> bool) {
        let plain = plain.flowing();
        for found in self.finder.iter().flat_map(|finder| finder.find_overlapping_iter(&plain.text)) {
            let name = &self.names[found.value() as usize];
            let (place, written) = (found.start()..found.end(), plain.written(found.start()..found.end()));
            // In small letters, a name of one word may be another word.
            let is_other = || name.is_one_word && !text[written.clone()].contains(char::is_uppercase);
            if is_wanted(name) && is_apart(&plain.text, &place) && !is_other() {
                spans.push(Span { range: whole(text, written), rule: name.rule, kind: Arc::clone(&name.kind) });
            }
        }
    }
}

impl Name {
    /// One that a tagger has found.
    fn found(text: &str, span: &Span) -> Option<Self> {
        let name = Self::of(text, span, SHORTEST_NAME)?;
        let is_one_word = name.plain.chars().all(char::is_alphabetic) && text.contains(char::is_uppercase);
        Some(Self { is_one_word, ..name })
    }

    fn of(text: &str, span: &Span, shortest: usize) -> Option<Self> {
        let plain = Plain::of(text.trim()).flowing().text.clone();
        let is_name = plain.chars().count() >= shortest && plain.contains(char::is_alphanumeric);
        is_name.then(|| Self { plain, is_one_word: false, rule: span.rule, kind: Arc::clone(&span.kind) })
    }
}

impl Redactor {
    /// The spans of what the taggers have found that a rule is for.
    fn found<'a>(&self, secrets: impl Iterator<Item = &'a Secret>, text: &str) -> Vec<Span> {
        let secrets: Vec<_> = secrets.collect();
        if secrets.is_empty() {
            return Vec::new();
        }
        let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
        let byte = |code_point: u32| bytes.get(code_point as usize).copied().unwrap_or(text.len());
        let rule = |secret: &Secret| {
            self.rules.iter().position(|rule| match &rule.finds {
                Finds::Entities { types, min_score } => {
                    types.iter().any(|kind| **kind == *secret.kind)
                        && min_score.map_or(secret.is_tagged, |least| secret.score >= least)
                }
                _ => false,
            })
        };
        let span = |secret: &Secret| {
            let range = byte(secret.start)..byte(secret.end);
            Some(Span { range, rule: rule(secret)?, kind: Arc::clone(&secret.kind) })
        };
        secrets.into_iter().filter_map(span).collect()
    }
}
