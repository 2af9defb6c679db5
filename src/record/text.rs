//! A text to tag, and which part of it comes from which field of the document.

use std::ops::Range;
use std::sync::Arc;

/// A text, joined of the fields that have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    joined: String,
    parts: Vec<Part>,
    was: Option<Box<Self>>,
}

/// What a field has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// JSON pointer to the field.
    pub field: Arc<str>,
    /// Where its value stands in the joined text, in bytes.
    pub range: Range<usize>,
}

impl Text {
    /// Adds the whole value of a field.
    pub fn push(&mut self, field: Arc<str>, value: &str) {
        let start = self.joined.len();
        self.joined.push_str(value);
        self.parts.push(Part { field, range: start..self.joined.len() });
    }

    /// Adds what stands between fields.
    pub fn push_between(&mut self, between: &str) {
        self.joined.push_str(between);
    }

    /// Adds another text.
    pub fn append(&mut self, other: Self) {
        let start = self.joined.len();
        self.joined.push_str(&other.joined);
        let moved = |Part { field, range }| Part { field, range: range.start + start..range.end + start };
        self.parts.extend(other.parts.into_iter().map(moved));
    }

    /// The same, whose offsets are those of another text: what this one was before names in it were masked.
    #[must_use]
    pub fn placed_as(self, was: Self) -> Self {
        Self { was: Some(Box::new(was)), ..self }
    }

    /// The text that offsets are of.
    #[must_use]
    pub fn placed(&self) -> &Self {
        self.was.as_deref().unwrap_or(self)
    }

    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.joined
    }

    /// The parts, in the order of the text. They never overlap; between them is what no field has.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part that has the whole of these bytes.
    #[must_use]
    pub fn part_of(&self, range: &Range<usize>) -> Option<&Part> {
        let behind = self.parts.partition_point(|part| part.range.start <= range.start);
        let part = &self.parts[behind.checked_sub(1)?];
        (range.end <= part.range.end).then_some(part)
    }
}

/// A text that comes from no field.
impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { joined: text.into(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_knows_its_field_and_what_is_between_fields_is_of_none() {
        let mut text = Text::default();
        text.push("/a".into(), "Ann");
        text.push_between("\n");
        let mut other = Text::default();
        other.push("/b".into(), "");
        other.push("/c".into(), "Bob");
        text.append(other);
        let field = |range| text.part_of(&range).map(|part| &*part.field);
        assert_eq!(text.as_str(), "Ann\nBob");
        assert_eq!((field(0..3), field(4..7), field(5..6)), (Some("/a"), Some("/c"), Some("/c")));
        assert_eq!((field(2..4), field(3..4), field(2..5)), (None, None, None), "over a join, or on it");
    }
}
