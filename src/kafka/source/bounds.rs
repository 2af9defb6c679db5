//! Where a bounded run begins and ends, as its user says it (`tagbert run --from … --to …`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use humantime_serde::re::humantime;
use jiff::{SignedDuration, Timestamp};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::clients;
use crate::record::partition::TopicPartition;

/// How often the first offsets are tried to be committed: another worker of the job may do so at the same time.
const TRIES: u32 = 20;

/// What a bounded run reads: all that the group has left, up to the end as it is now, unless something is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// From here on, if the group has committed no offset; from the beginning, if `to` alone is said.
    pub from: Option<Edge>,
    /// Up to here: the first that is left out.
    pub to: Option<Edge>,
}

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first record that there is.
    Earliest,
    /// Behind the last record that there is now.
    Latest,
    /// The record of this offset.
    Offset(i64),
    /// The first record of this time or later.
    Time(Timestamp),
    /// The first record that is at most so old now.
    Ago(SignedDuration),
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Offset(offset) => write!(f, "{offset}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Ago(ago) => write!(f, "{}s ago", ago.as_secs()),
        }
    }
}

impl FromStr for Edge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(offset) = text.parse::<u64>() {
            return i64::try_from(offset).map(Self::Offset).map_err(|_| "there are no offsets so large".into());
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        ago(text).map(Self::Ago).ok_or_else(|| {
            "an offset (42), `earliest`, `latest`, a time (2026-11-21T16:00:00Z), or so long ago (2h)".into()
        })
    }
}

fn ago(text: &str) -> Option<SignedDuration> {
    SignedDuration::try_from(humantime::parse_duration(text).ok()?).ok()
}

/// A point in time, or so long ago.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| Timestamp::now().checked_sub(ago(text)?).ok())
}

/// The first and the last offset of a log, plus one.
pub type Range = (i64, i64);

impl Edge {
    /// The point in time that it is, if it is one.
    #[must_use]
    pub fn time(self) -> Option<Timestamp> {
        match self {
            Self::Time(time) => Some(time),
            Self::Ago(ago) => Timestamp::now().checked_sub(ago).ok(),
            Self::Earliest | Self::Latest | Self::Offset(_) => None,
        }
    }

    /// Where it is in each of these partitions, for a consumer that is told of all records: of one that reads what is
    /// committed alone, brokers hide those behind an open transaction.
    ///
    /// # Errors
    /// When the brokers do not tell.
    pub fn resolve<C: ConsumerContext>(
        self,
        consumer: &BaseConsumer<C>,
        logs: &BTreeMap<TopicPartition, Range>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let everywhere =
            |place: fn(Range) -> i64| logs.iter().map(|(key, range)| (key.clone(), place(*range))).collect();
        let time = match self {
            Self::Earliest => return Ok(everywhere(|(low, _)| low)),
            Self::Latest => return Ok(everywhere(|(_, high)| high)),
            Self::Offset(offset) => {
                look_for(offset, logs)?;
                return Ok(logs.iter().map(|(key, (low, high))| (key.clone(), offset.clamp(*low, *high))).collect());
            }
            Self::Time(_) | Self::Ago(_) => self.time().unwrap_or(Timestamp::UNIX_EPOCH),
        };
        // To brokers, a time before 1970 is a code for something else.
        let time = time.as_millisecond().max(0);
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in logs.keys() {
            asked.add_partition_offset(topic, *partition, Offset::Offset(time))?;
        }
        let answer = consumer.offsets_for_times(asked, clients::REQUEST_TIMEOUT).context("offsets of a time")?;
        let mut places = BTreeMap::new();
        for one in answer.elements() {
            one.error().with_context(|| format!("{}/{}: the offset of a time", one.topic(), one.partition()))?;
            let key = (one.topic().into(), one.partition());
            let Some((low, high)) = logs.get(&key) else { continue };
            let offset = one.offset().to_raw().filter(|offset| *offset >= 0);
            // The client library may leave the question where the answer should be (librdkafka#1190).
            if time > 0 && offset == Some(time) {
                bail!(
                    "{}/{}: the brokers did not tell the offset of {time} ms; try again",
                    one.topic(),
                    one.partition()
                );
            }
            // None is so late.
            let offset = offset.unwrap_or(*high);
            places.insert(key, offset.clamp(*low, *high));
        }
        Ok(places)
    }
}

/// Says in which of these partitions there is no such offset.
///
/// # Errors
/// When it is in none.
fn look_for(offset: i64, logs: &BTreeMap<TopicPartition, Range>) -> Result<()> {
    let outside = logs.iter().filter(|(_, (low, high))| !(*low..=*high).contains(&offset));
    let named = |((topic, partition), (low, high)): (&TopicPartition, &Range)| {
        format!("{topic}/{partition} has {low} to {high}")
    };
    let outside: Vec<_> = outside.map(named).collect();
    if outside.is_empty() {
        return Ok(());
    }
    if outside.len() == logs.len() {
        bail!("the offset {offset} is in no partition: {}", outside.join(", "));
    }
    tracing::warn!("the offset {offset} is not in each partition, and the nearest one counts: {}", outside.join(", "));
    Ok(())
}

/// Commits where the group begins in partitions in which it has committed nothing, or an offset that was `lost`: from then
/// on any worker of it knows, and one that comes later goes on where the others are. As `kafka-consumer-groups.sh
/// --reset-offsets` does, this takes a group without members.
///
/// # Errors
/// When the brokers refuse it.
pub fn begin<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    starts: &BTreeMap<TopicPartition, i64>,
    lost: &BTreeMap<TopicPartition, i64>,
) -> Result<()> {
    for tried in 1.. {
        let committed = clients::committed(consumer, starts.keys(), clients::REQUEST_TIMEOUT)?;
        let mut due = TopicPartitionList::new();
        for (key, offset) in committed {
            let offset = offset?;
            if let Some(start) = starts.get(&key)
                && (offset.is_none() || offset == lost.get(&key).copied())
            {
                due.add_partition_offset(&key.0, key.1, Offset::Offset(*start))?;
            }
        }
        if due.count() == 0 {
            return Ok(());
        }
        let Err(error) = consumer.commit(&due, CommitMode::Sync) else { return Ok(()) };
        if tried == TRIES {
            let error = clients::plain(&error);
            bail!(
                "where the job begins can't be committed for its group ({error}): does the group have other members?"
            );
        }
        // Another worker of the job has joined already: it has committed them, or is about to.
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_an_offset_a_time_or_so_long_ago() {
        assert_eq!("0".parse(), Ok(Edge::Offset(0)));
        assert_eq!("earliest".parse(), Ok(Edge::Earliest));
        let time = "2026-11-21T16:00:00Z";
        assert_eq!(time.parse(), Ok(Edge::Time(time.parse().unwrap())));
        assert_eq!("2h".parse(), Ok(Edge::Ago(SignedDuration::from_hours(2))));
        for bad in ["-1", "", "yesterday", "9223372036854775808", "1.5", "2026-11-21"] {
            assert!(bad.parse::<Edge>().is_err(), "{bad}");
        }
    }
}
