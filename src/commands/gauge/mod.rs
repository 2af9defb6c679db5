//! What the taggers do on this machine with these documents, measured without Kafka (G-32). `tagbert bench` and
//! `tagbert plan` are made of it.

pub mod alone;
pub mod fit;
pub mod gemm;
pub mod host;
pub mod limit;
pub mod line;
mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::codec::decode::{Decoded, Decoder};
use crate::config::Config;
use crate::record::budget::Budget;
use crate::record::envelope::{Envelope, Origin, Record};
use crate::record::rejection::{Rejection, Stage};
use crate::tagger::taggers::{Lane, Taggers, Work};

/// Documents that can be tagged, as they came and as tokens.
#[derive(Debug)]
pub struct Documents {
    /// As they came.
    pub values: Vec<Vec<u8>>,
    /// As tokens, in the same order.
    pub works: Vec<Work>,
    /// How many others there were, by the class of what is wrong with them.
    pub refused: BTreeMap<&'static str, usize>,
}

impl Documents {
    /// Decodes and tokenizes them; those that can't be are counted and left out.
    ///
    /// # Errors
    /// When none is left.
    pub fn prepare(config: &Config, taggers: &Arc<Taggers>, values: Vec<Vec<u8>>) -> Result<Self> {
        let (decoder, total) = (Decoder::new(config)?, values.len());
        let mut documents = Self { values: Vec::with_capacity(total), works: Vec::new(), refused: BTreeMap::new() };
        let mut first = None;
        for value in values {
            let record = Record::of(value);
            match encode(&decoder, taggers, &record) {
                Ok(work) => {
                    documents.works.push(work);
                    documents.values.extend(record.value);
                }
                Err(rejection) => {
                    *documents.refused.entry(rejection.class).or_default() += 1;
                    first.get_or_insert(rejection);
                }
            }
        }
        match first {
            Some(first) if documents.works.is_empty() => {
                bail!("none of the {total} documents can be tagged; of the first: {first} ({})", first.class)
            }
            _ => Ok(documents),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.works.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    /// The rows of a lane: its windows of all documents, in their order.
    pub fn rows<'a>(&'a self, lane: &Lane) -> impl Iterator<Item = &'a [u32]> {
        let ids = self.works.iter().filter_map(|work| Some(&lane.tokens(work)?.ids));
        ids.flat_map(|ids| lane.windows.of(ids.len()).map(|window| &ids[window.tokens]))
    }

    /// Tokens that the models are fed of all documents, special ones and what windows share included.
    #[must_use]
    pub fn tokens(&self, taggers: &Taggers) -> usize {
        let of = |lane: &Lane| self.rows(lane).map(|ids| ids.len() + lane.model.frame.len()).sum::<usize>();
        taggers.lanes.iter().map(of).sum()
    }

    /// Tokens of a document at a quantile, 0 to 1.
    #[must_use]
    pub fn length(&self, quantile: f64) -> usize {
        let mut lengths: Vec<usize> = self.works.iter().map(Work::seen).collect();
        lengths.sort_unstable();
        #[expect(clippy::cast_sign_loss, reason = "neither factor is negative")]
        let rank = (quantile * lengths.len() as f64).ceil() as usize;
        lengths.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

fn encode(decoder: &Decoder, taggers: &Arc<Taggers>, record: &Record) -> Result<Work, Rejection> {
    match decoder.decode(record)? {
        Decoded::Document(document) => taggers.encode(document),
        Decoded::Tombstone => unreachable!("a sample has values alone"),
        Decoded::Unreadable(error) => Err(Rejection::new(Stage::Decode, "Unreadable", format!("{error:#}"))),
    }
}

/// A document as if it had been fetched.
fn envelope(value: &[u8], number: usize, budget: &Budget) -> Envelope<()> {
    let origin = Origin::elsewhere("sample".into(), number as i64, number as u64);
    Envelope::begin(origin, Record::of(value.to_vec()), budget)
}

/// Places of `count` things among `length`, evenly spread, and moved on by `shift` (0 to 1) of the space between two. More
/// than there are: all of them, as often as that goes.
pub fn spread(length: usize, count: usize, shift: f64) -> impl Iterator<Item = usize> {
    let count = if count < length { count } else { count / length.max(1) * length };
    #[expect(clippy::cast_sign_loss, reason = "nothing here is negative")]
    let place = move |number: usize| ((number as f64 + shift) * length as f64 / count as f64) as usize;
    (0..count).map(move |number| if count < length { place(number).min(length - 1) } else { number % length })
}

/// How many a second.
#[must_use]
pub fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// The middle one of some figures; 0 of none.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// Processor time of this thread, in seconds.
fn thread_time() -> f64 {
    processor_time(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of all threads of this process, in seconds.
fn process_time() -> f64 {
    processor_time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

#[expect(unsafe_code, reason = "std knows no processor time")]
fn processor_time(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes one timespec, which is there.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_reaches_from_end_to_end() {
        assert_eq!(spread(10, 5, 0.5).collect::<Vec<_>>(), [1, 3, 5, 7, 9]);
        assert_eq!(spread(10, 1, 0.5).collect::<Vec<_>>(), [5]);
        assert_eq!(spread(3, 3, 0.5).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(2, 5, 0.5).collect::<Vec<_>>(), [0, 1, 0, 1]);
        assert_eq!(spread(7, 6, 0.999).max(), Some(6));
        assert_eq!(spread(0, 5, 0.5).count(), 0);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
        assert!(median(&[]).abs() < 1e-12);
    }
}
