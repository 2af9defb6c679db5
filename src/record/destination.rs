//! Where a result goes, and as what.

use std::sync::Arc;

/// A topic that a result goes to, and what its record there has of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The topic.
    pub topic: Arc<str>,
    /// Its key.
    pub key: Key,
    /// Its partition; `None` leaves that to the key.
    pub partition: Option<i32>,
    /// Headers that it has besides those of the input record, each in place of one of that name; `None`: it has none of that
    /// name, whatever the record brings.
    pub headers: Vec<(Arc<str>, Option<Vec<u8>>)>,
}

/// The key of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// That of the input record.
    Kept,
    /// Another one, or none.
    Own(Option<Vec<u8>>),
}

/// The topics that a result goes to, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destinations {
    first: Destination,
    copies: Vec<Destination>,
}

impl Destination {
    /// The topic, with the record's own key, and nothing else.
    #[must_use]
    pub fn of(topic: Arc<str>) -> Self {
        Self { topic, key: Key::Kept, partition: None, headers: Vec::new() }
    }
}

impl From<Destination> for Destinations {
    fn from(first: Destination) -> Self {
        Self { first, copies: Vec::new() }
    }
}

impl Destinations {
    /// All of them; of several of one topic, the first: readers take a second record with the same id for the first again
    /// (G-9). `None` if there are none.
    #[must_use]
    pub fn of(all: impl IntoIterator<Item = Destination>) -> Option<Self> {
        let mut all = all.into_iter();
        let mut these = Self::from(all.next()?);
        for next in all {
            if these.all().all(|known| known.topic != next.topic) {
                these.copies.push(next);
            }
        }
        Some(these)
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Destination> {
        std::iter::once(&self.first).chain(&self.copies)
    }

    /// How many there are; one at least.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.copies.len()
    }
}
