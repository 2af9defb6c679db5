//! Which dead letters were replayed: notes on the dead-letter topic itself say so.
//!
//! A note is a record without key and value. Its header `tagbert.replayed` names offsets of the partition that it is in.
//! It is written in the transaction that replays them (G-23).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rdkafka::message::{Header, OwnedHeaders};

use crate::codec::dead_letter;
use crate::record::headers;

const HEADER: &str = "tagbert.replayed";

/// Offsets of a partition, as ranges: first → last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<i64, i64>);

impl Offsets {
    /// Takes one more.
    pub fn insert(&mut self, offset: i64) {
        match self.0.range_mut(..=offset).next_back() {
            Some((_, last)) if *last >= offset => {}
            Some((_, last)) if last.checked_add(1) == Some(offset) => *last = offset,
            _ => drop(self.0.insert(offset, offset)),
        }
    }

    /// Whether it is one of them.
    pub fn contains(&self, offset: i64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, &last)| last >= offset)
    }

    /// Takes what a record notes, if it is a note. No record of users can pose as one: a dead letter has headers that
    /// explain it, and a note has none.
    pub fn read_note(&mut self, headers: Option<&OwnedHeaders>) -> bool {
        let Some(headers) = headers.filter(|headers| dead_letter::explanation(headers).is_none()) else { return false };
        let text = headers::last(headers, HEADER).and_then(|value| std::str::from_utf8(value).ok());
        let Some(noted) = text.and_then(|text| text.parse::<Self>().ok()) else { return false };
        for (first, last) in noted.0 {
            let known = self.0.entry(first).or_insert(last);
            *known = last.max(*known);
        }
        true
    }

    /// The headers of a note of these.
    pub fn note(&self) -> OwnedHeaders {
        OwnedHeaders::new().insert(Header { key: HEADER, value: Some(&self.to_string()) })
    }
}

impl FromIterator<i64> for Offsets {
    fn from_iter<T: IntoIterator<Item = i64>>(offsets: T) -> Self {
        let mut all = Self::default();
        offsets.into_iter().for_each(|offset| all.insert(offset));
        all
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (first, last)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Offsets {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Ok((first.parse()?, last.parse()?))
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn notes_tell_exactly_what_was_noted(times in prop::collection::vec(prop::collection::btree_set(0..60_i64, 1..20), 1..5)) {
            let mut read = Offsets::default();
            let mut sent = BTreeSet::new();
            for offsets in times {
                // Nothing is replayed twice, so no two notes name the same offset.
                let fresh: Vec<_> = offsets.difference(&sent).copied().collect();
                let noted = fresh.iter().copied().collect::<Offsets>();
                prop_assert!(fresh.is_empty() || read.read_note(Some(&noted.note())));
                sent.extend(fresh);
            }
            for offset in -1..62 {
                prop_assert_eq!(read.contains(offset), sent.contains(&offset));
            }
        }

        #[test]
        fn no_text_makes_reading_a_note_panic(text in "[0-9,-]{0,40}|.{0,40}") {
            let headers = OwnedHeaders::new().insert(Header { key: HEADER, value: Some(&text) });
            let mut offsets = Offsets::default();
            offsets.read_note(Some(&headers));
            offsets.insert(i64::MAX);
            offsets.contains(i64::MAX);
        }
    }

    #[test]
    fn a_note_is_short() {
        assert_eq!([0, 1, 2, 5, 7, 8].into_iter().collect::<Offsets>().to_string(), "0-2,5,7-8");
    }

    #[test]
    fn a_dead_letter_can_not_pose_as_a_note() {
        let headers = ["topic", "partition", "offset"].into_iter().fold(OwnedHeaders::new(), |headers, name| {
            headers.insert(Header { key: &format!("__connect.errors.{name}"), value: Some("1") })
        });
        let posing = headers.insert(Header { key: HEADER, value: Some("0-1000") });
        assert!(!Offsets::default().read_note(Some(&posing)));
        assert!(!Offsets::default().read_note(None));
    }
}
