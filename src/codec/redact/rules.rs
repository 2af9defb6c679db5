//! What each rule finds in a string by itself.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use daachorse::DoubleArrayAhoCorasick;

use super::patterns;
use super::plain::Plain;
use super::words::{is_apart, whole};
use crate::config::redact::{Pattern, Redact, What, Where, With};

/// What is masked, and with what.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub finds: Finds,
    pub with: With,
}

#[derive(Clone)]
pub(super) enum Finds {
    /// Names that the taggers have found.
    Entities {
        types: Vec<String>,
        min_score: Option<f32>,
    },
    Patterns(Vec<Pattern>, Where),
    Words(Arc<DoubleArrayAhoCorasick<u32>>, Where),
    Fields(Vec<String>),
}

/// The words of a list are not for logs.
impl std::fmt::Debug for Finds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Entities { .. } => "Entities",
            Self::Patterns(..) => "Patterns",
            Self::Words(..) => "Words",
            Self::Fields(_) => "Fields",
        })
    }
}

impl Rule {
    pub fn new(rule: &Redact) -> Result<Self> {
        let finds = match rule.what() {
            What::Entities(types, min_score) => Finds::Entities { types, min_score },
            What::Patterns(patterns, place) => Finds::Patterns(patterns, place),
            What::Words(words, place) => Finds::Words(Arc::new(automaton(&words)?), place),
            What::Fields(fields) => Finds::Fields(fields),
        };
        Ok(Self { finds, with: rule.with() })
    }
}

fn automaton(words: &[String]) -> Result<DoubleArrayAhoCorasick<u32>> {
    let mut words: Vec<String> = words.iter().map(|word| Plain::of(word.trim()).flowing().text.clone()).collect();
    words.sort_unstable();
    words.dedup();
    DoubleArrayAhoCorasick::new(words).map_err(|error| anyhow!("the words to redact can't be searched for: {error}"))
}

impl Finds {
    /// What it finds in a string that stands at `path`, and what that is.
    pub fn find(&self, text: &str, plain: &Plain, path: &str) -> Vec<(Range<usize>, Arc<str>)> {
        match self {
            Self::Patterns(patterns, place) if place.has(path) => {
                let of = |pattern: &Pattern| {
                    let kind: Arc<str> = pattern.name().into();
                    let spans = patterns::find(*pattern, &plain.text).into_iter();
                    spans.map(move |span| (plain.written(span), Arc::clone(&kind))).collect::<Vec<_>>()
                };
                patterns.iter().flat_map(of).collect()
            }
            Self::Words(words, place) if place.has(path) => {
                let plain = plain.flowing();
                let found = words.find_overlapping_iter(&plain.text).map(|found| found.start()..found.end());
                let apart = found.filter(|span| plain.text.is_char_boundary(span.start) && is_apart(&plain.text, span));
                apart.map(|span| (whole(text, plain.written(span)), "REDACTED".into())).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Where {
    fn has(&self, path: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Fields(fields) => fields.iter().any(|field| covers(field, path)),
        }
    }
}

/// Whether a pointer leads to this place, or to what it is within. `*` is any element of an array.
pub(super) fn covers(pointer: &str, path: &str) -> bool {
    let mut steps = path.split('/');
    pointer.split('/').all(|wanted| match steps.next() {
        None => false,
        Some(step) => step == wanted || wanted == "*" && step.bytes().all(|digit| digit.is_ascii_digit()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_covers_what_is_below_it() {
        for (pointer, path, expected) in [
            ("/a", "/a", true),
            ("/a", "/a/b/0", true),
            ("/a", "/ab", false),
            ("/a/b", "/a", false),
            ("/a/*/b", "/a/12/b", true),
            ("/a/*/b", "/a/x/b", false),
            ("/a/*/b", "/a/*/b", true),
        ] {
            assert_eq!(covers(pointer, path), expected, "{pointer} {path}");
        }
    }
}
