//! The texts of a document, put together of its fields.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pointers::{Found, Pointers};
use super::reject;
use crate::codec::clean::Cleaner;
use crate::config::template::{self, Piece};
use crate::record::rejection::Rejection;
use crate::record::text::Text;

/// A text: what comes of each entry of `input.text`, joined by newlines.
#[derive(Clone, Debug)]
pub(super) struct Source(Vec<Vec<Part>>);

#[derive(Clone, Debug)]
enum Part {
    Field { place: usize, pointer: Arc<str> },
    Between(String),
}

/// What became of a text.
pub(super) enum Made {
    Text(Text),
    Empty,
    Missing,
}

impl Source {
    /// What the entries name; their pointers are added to all.
    pub fn new(entries: &[String], pointers: &mut Pointers) -> Self {
        let mut part = |piece| match piece {
            Piece::Field(pointer) => Part::Field { place: pointers.add(&pointer), pointer: pointer.into() },
            Piece::Between(between) => Part::Between(between),
        };
        let mut entry = |entry: &String| {
            let pieces = template::pieces(entry);
            let pieces = pieces.unwrap_or_else(|why| unreachable!("a configuration is checked as it is read: {why}"));
            pieces.into_iter().map(&mut part).collect()
        };
        Self(entries.iter().map(&mut entry).collect())
    }

    /// The pointers that it has.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().filter_map(|part| match part {
            Part::Field { pointer, .. } => Some(&**pointer),
            Part::Between(_) => None,
        })
    }

    /// The text of what was found. An entry of which all is missing or empty is left out, with what stands between.
    ///
    /// # Errors
    /// When there is something else than text.
    pub fn make(&self, found: &[Vec<Found>], cleaner: &Cleaner) -> Result<Made, Rejection> {
        let (mut text, mut is_missing, mut is_blank) = (Text::default(), true, true);
        for entry in &self.0 {
            let mut made = Text::default();
            let mut is_empty = true;
            for part in entry {
                let (found, pointer) = match part {
                    Part::Between(between) => {
                        made.push_between(between);
                        continue;
                    }
                    Part::Field { place, pointer } => (&found[*place], pointer),
                };
                is_missing &= found.is_empty();
                let mut is_first = true;
                for Value { field, text: value } in values(found, pointer)? {
                    if value.is_empty() {
                        continue;
                    }
                    let clean = cleaner.clean(value)?;
                    if clean.text().is_empty() {
                        continue;
                    }
                    if !std::mem::take(&mut is_first) {
                        made.push_between("\n");
                    }
                    is_blank &= clean.text().trim().is_empty();
                    is_empty = false;
                    clean.add_to(&mut made, field);
                }
            }
            if is_empty {
                continue;
            }
            if !text.as_str().is_empty() {
                text.push_between("\n");
            }
            text.append(made);
        }
        Ok(match (is_missing, is_blank) {
            (true, _) => Made::Missing,
            (_, true) => Made::Empty,
            _ => Made::Text(text),
        })
    }
}

/// The text of a field.
struct Value<'a> {
    field: Arc<str>,
    text: Cow<'a, str>,
}

/// A string that is copied only where it has escapes.
#[derive(Deserialize)]
struct Plain<'a>(#[serde(borrow)] Cow<'a, str>);

/// The strings that stand at a pointer; of an array, its elements'. Null is none.
fn values<'a>(found: &[Found<'a>], pointer: &Arc<str>) -> Result<Vec<Value<'a>>, Rejection> {
    let mut values = Vec::new();
    for found in found {
        let field = || if found.elements.is_empty() { Arc::clone(pointer) } else { found.field(pointer).into() };
        if !found.value.get().starts_with('[') {
            values.extend(value(found.value, field())?);
            continue;
        }
        let elements: Vec<&RawValue> = serde_json::from_str(found.value.get())
            .map_err(|_| reject("TextNotAString", format!("the array at `{pointer}` is nested too deeply")))?;
        let field = field();
        for (number, element) in elements.into_iter().enumerate() {
            if element.get().starts_with('{') {
                let why = format!("the array at `{pointer}` has objects: name their field, as in `{pointer}/*/text`");
                return Err(reject("TextNotAString", why));
            }
            values.extend(value(element, format!("{field}/{number}").into())?);
        }
    }
    Ok(values)
}

fn value(raw: &RawValue, field: Arc<str>) -> Result<Option<Value<'_>>, Rejection> {
    match serde_json::from_str::<Option<Plain>>(raw.get()) {
        Ok(text) => Ok(text.map(|Plain(text)| Value { field, text })),
        Err(_) if raw.get().starts_with('"') => {
            Err(reject("NotJson", format!("the string at `{field}` has an escape that is no character")))
        }
        Err(_) => Err(reject("TextNotAString", format!("the value at `{field}` is not a string"))),
    }
}
