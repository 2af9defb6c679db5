//! A text of which each code point knows where it comes from.

use std::ops::Range;

/// A text made of another, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    pub text: String,
    /// For each of its code points, those of the other one.
    pub places: Vec<Range<u32>>,
}

impl Traced {
    /// Adds a code point, and those that it stands for.
    pub fn push(&mut self, letter: char, place: Range<u32>) {
        self.text.push(letter);
        self.places.push(place);
    }

    /// The same, of what the other text was made of.
    pub fn of(mut self, earlier: &Self) -> Self {
        for place in &mut self.places {
            let (first, last) = (place.start as usize, (place.end as usize).saturating_sub(1));
            *place = earlier.places[first].start..earlier.places[last].end;
        }
        self
    }
}
