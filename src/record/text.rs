//! A text to tag, and which part of it comes from which field of the document.

use std::ops::Range;
use std::sync::Arc;

/// A text, joined of the fields that have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    joined: String,
    parts: Vec<Part>,
    was: Option<Box<Self>>,
    /// What it was made of, where it was cleaned.
    uncleaned: Option<Box<Uncleaned>>,
}

/// A text as it stands in the document, and where there each code point of the cleaned one comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncleaned {
    text: Text,
    /// Code points of `text`.
    length: u32,
    places: Vec<Range<u32>>,
}

/// What a field has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// JSON pointer to the field.
    pub field: Arc<str>,
    /// Where its value stands in the joined text, in bytes.
    pub range: Range<usize>,
    /// Whether the text was made of the field's value, and stands nowhere in it.
    pub is_made: bool,
}

impl Text {
    /// Adds the whole value of a field.
    pub fn push(&mut self, field: Arc<str>, value: &str) {
        if let Some(uncleaned) = &mut self.uncleaned {
            uncleaned.keep(value);
            uncleaned.text.add(Arc::clone(&field), value);
        }
        self.add(field, value);
    }

    /// Adds the value of a field, cleaned, with the code points of the value that each of its own comes from.
    pub fn push_cleaned(&mut self, field: Arc<str>, value: &str, cleaned: &str, places: &[Range<u32>]) {
        let uncleaned = self.uncleaned();
        let start = uncleaned.length;
        uncleaned.places.extend(places.iter().map(|place| place.start + start..place.end + start));
        uncleaned.length += value.chars().count() as u32;
        uncleaned.text.add(Arc::clone(&field), value);
        self.add(field, cleaned);
    }

    /// The text of the field that was added last stands nowhere in its value.
    pub fn mark_made(&mut self) {
        let uncleaned = self.uncleaned.as_deref_mut().and_then(|uncleaned| uncleaned.text.parts.last_mut());
        self.parts.last_mut().into_iter().chain(uncleaned).for_each(|part| part.is_made = true);
    }

    /// The text as it stands in the document, if it was cleaned, and the code points there of those here.
    #[must_use]
    pub fn restored(&self) -> Option<(&Self, &[Range<u32>])> {
        self.uncleaned.as_deref().map(|Uncleaned { text, places, .. }| (text, places.as_slice()))
    }

    /// From now on, what it is made of is kept.
    fn uncleaned(&mut self) -> &mut Uncleaned {
        self.uncleaned.get_or_insert_with(|| {
            let mut begun = Uncleaned::default();
            begun.keep(&self.joined);
            begun.text = Self { joined: self.joined.clone(), parts: self.parts.clone(), ..Self::default() };
            Box::new(begun)
        })
    }

    fn add(&mut self, field: Arc<str>, value: &str) {
        let start = self.joined.len();
        self.joined.push_str(value);
        self.parts.push(Part { field, range: start..self.joined.len(), is_made: false });
    }

    /// Adds what stands between fields.
    pub fn push_between(&mut self, between: &str) {
        if let Some(uncleaned) = &mut self.uncleaned {
            uncleaned.keep(between);
            uncleaned.text.push_between(between);
        }
        self.joined.push_str(between);
    }

    /// Adds another text.
    pub fn append(&mut self, mut other: Self) {
        if self.uncleaned.is_some() || other.uncleaned.is_some() {
            let Uncleaned { text, length, places } = std::mem::take(other.uncleaned());
            let uncleaned = self.uncleaned();
            let start = uncleaned.length;
            uncleaned.places.extend(places.into_iter().map(|place| place.start + start..place.end + start));
            uncleaned.length += length;
            uncleaned.text.append(text);
        }
        let start = self.joined.len();
        self.joined.push_str(&other.joined);
        let moved = |part: Part| Part { range: part.range.start + start..part.range.end + start, ..part };
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

    /// Bytes of what is kept beside the text itself.
    #[must_use]
    pub fn size(&self) -> usize {
        // A field's name may be its own, beside the two counts of its pointer.
        let part = |part: &Part| size_of::<Part>() + part.field.len() + 2 * size_of::<usize>();
        let uncleaned = |Uncleaned { text, places, .. }: &Uncleaned| {
            text.joined.len() + text.size() + size_of_val(places.as_slice())
        };
        self.parts.iter().map(part).sum::<usize>() + self.uncleaned.as_deref().map_or(0, uncleaned)
    }

    /// The part that has the whole of these bytes.
    #[must_use]
    pub fn part_of(&self, range: &Range<usize>) -> Option<&Part> {
        let behind = self.parts.partition_point(|part| part.range.start <= range.start);
        let part = &self.parts[behind.checked_sub(1)?];
        (range.end <= part.range.end).then_some(part)
    }
}

impl Uncleaned {
    /// What is added next stays as it is.
    fn keep(&mut self, same: &str) {
        let start = self.length;
        self.length += same.chars().count() as u32;
        self.places.extend((start..self.length).map(|place| place..place + 1));
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

    #[test]
    fn a_cleaned_text_knows_what_it_was_made_of() {
        let places = |ranges: &[(u32, u32)]| ranges.iter().map(|(start, end)| *start..*end).collect::<Vec<_>>();
        let mut text = Text::default();
        text.push("/a".into(), "é");
        text.push_between("\n");
        let mut other = Text::default();
        other.push_cleaned("/b".into(), "A\u{200b}&amp;\u{200b}", "A&", &places(&[(0, 1), (2, 7)]));
        other.push_between("-");
        text.append(other);
        text.push("/c".into(), "x");
        let mut last = Text::default();
        last.push("/d".into(), "y");
        text.append(last);
        let (original, from) = text.restored().unwrap();
        assert_eq!((text.as_str(), original.as_str()), ("é\nA&-xy", "é\nA\u{200b}&amp;\u{200b}-xy"));
        assert_eq!(from, places(&[(0, 1), (1, 2), (2, 3), (4, 9), (10, 11), (11, 12), (12, 13)]));
        let fields = |text: &Text| {
            text.parts().iter().map(|part| (part.field.to_string(), part.range.clone())).collect::<Vec<_>>()
        };
        assert_eq!(fields(original)[1], ("/b".into(), 3..15));
        assert_eq!(fields(original).len(), fields(&text).len());
        assert_eq!(original.restored(), None);
    }
}
