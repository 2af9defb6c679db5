//! Offsets in a text, from the code points that taggers count to what readers count.

use std::ops::Range;

use crate::config::Offsets;

/// Where each code point of a text begins, in bytes and in units of UTF-16; in ASCII, its number says so.
#[derive(Debug)]
pub(super) struct Ruler {
    places: Vec<[u32; 2]>,
}

impl Ruler {
    /// One along this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self { places: Vec::new() };
        }
        let mut places = Vec::with_capacity(text.len() + 1);
        let mut units = 0;
        for (byte, character) in text.char_indices() {
            places.push([byte as u32, units]);
            units += character.len_utf16() as u32;
        }
        places.push([text.len() as u32, units]);
        Self { places }
    }

    /// The byte at which a code point begins.
    #[must_use]
    pub fn byte(&self, code_point: u32) -> usize {
        self.at(code_point)[0] as usize
    }

    /// What some code points of the text are.
    #[must_use]
    pub fn slice<'t>(&self, text: &'t str, span: &Range<u32>) -> &'t str {
        text.get(self.byte(span.start)..self.byte(span.end)).unwrap_or_default()
    }

    /// The number of the code point that begins at a byte.
    #[must_use]
    pub fn code_point(&self, byte: usize) -> u32 {
        if self.places.is_empty() {
            return byte as u32;
        }
        self.places.partition_point(|[begin, _]| (*begin as usize) < byte) as u32
    }

    /// A code point's offset, as readers count.
    #[must_use]
    pub fn offset(&self, code_point: u32, offsets: Offsets) -> u32 {
        match offsets {
            Offsets::CodePoints => code_point,
            Offsets::Utf8 => self.at(code_point)[0],
            Offsets::Utf16 => self.at(code_point)[1],
        }
    }

    fn at(&self, code_point: u32) -> [u32; 2] {
        let last = self.places.last().copied();
        self.places.get(code_point as usize).copied().or(last).unwrap_or([code_point; 2])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slice_is_the_same_however_it_is_counted(text in "[ -~é東🎉]{0,30}", one in 0usize..31, other in 0usize..31) {
            let characters: Vec<char> = text.chars().collect();
            let (one, other) = (one.min(characters.len()), other.min(characters.len()));
            let (start, end) = (one.min(other), one.max(other));
            let expected: String = characters[start..end].iter().collect();
            let ruler = Ruler::new(&text);
            let counted = |offsets| {
                [start, end].map(|code_point| ruler.offset(code_point as u32, offsets) as usize)
            };
            let [from, to] = counted(Offsets::Utf8);
            prop_assert_eq!(&text[from..to], &expected);
            let units: Vec<u16> = text.encode_utf16().collect();
            let [from, to] = counted(Offsets::Utf16);
            prop_assert_eq!(String::from_utf16(&units[from..to]).unwrap(), expected);
            prop_assert_eq!(counted(Offsets::CodePoints), [start, end]);
            prop_assert_eq!(ruler.code_point(ruler.byte(start as u32)) as usize, start);
        }
    }
}
