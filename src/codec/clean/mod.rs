//! Texts as people see them, before they are tagged (`input.clean`), and the way back: what is said of a cleaned text is said of
//! the one that stands in the document.

mod html;
mod mail;
mod restore;
mod traced;
mod unicode;

use std::borrow::Cow;
use std::sync::Arc;

use self::traced::Traced;
use crate::config::Clean;
use crate::record::rejection::Rejection;
use crate::record::text::Text;

pub use self::restore::restore;

/// Cleans texts, one step after the other.
#[derive(Clone, Debug)]
pub(super) struct Cleaner(Vec<Clean>);

impl Cleaner {
    pub fn new(steps: &[Clean]) -> Self {
        Self(steps.to_vec())
    }

    /// The text of a field, clean.
    ///
    /// # Errors
    /// When it is to be a mail, and is none.
    pub fn clean<'a>(&self, value: Cow<'a, str>) -> Result<Cleaned<'a>, Rejection> {
        let mut cleaned = Cleaned { base: value, is_made: false, traced: None };
        for step in &self.0 {
            let next = match step {
                Clean::Unicode => unicode::clean(cleaned.text()),
                Clean::Html => html::clean(cleaned.text()),
                Clean::Mail => {
                    // It is the first.
                    let text = mail::read(&cleaned.base)?;
                    cleaned = Cleaned { base: Cow::Owned(text), is_made: true, traced: None };
                    continue;
                }
            };
            cleaned.traced = match (next, cleaned.traced) {
                (Some(next), Some(earlier)) => Some(next.of(&earlier)),
                (next, earlier) => next.or(earlier),
            };
        }
        Ok(cleaned)
    }
}

/// A clean text.
#[derive(Debug)]
pub(super) struct Cleaned<'a> {
    /// What places are in.
    base: Cow<'a, str>,
    /// Whether that is made of the field's value, and stands nowhere in it.
    is_made: bool,
    /// What was made of that; nothing, if it was clean.
    traced: Option<Traced>,
}

impl Cleaned<'_> {
    /// The text that is tagged.
    pub fn text(&self) -> &str {
        self.traced.as_ref().map_or(&*self.base, |traced| &traced.text)
    }

    /// Adds it to a text, as that of a field.
    pub fn add_to(&self, text: &mut Text, field: Arc<str>) {
        match &self.traced {
            Some(Traced { text: seen, places }) => text.push_cleaned(field, &self.base, seen, places),
            None => text.push(field, &self.base),
        }
        if self.is_made {
            text.mark_made();
        }
    }
}
