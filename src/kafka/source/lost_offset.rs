//! A partition without an offset to begin at, where `auto.offset.reset: error` forbids to choose one.

use std::time::Duration;

use anyhow::{Error, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use crate::kafka::clients;
use crate::record::partition::TopicPartition;

/// How long it is asked what there is: only the words depend on it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What to do about it.
const REMEDY: &str =
    "set the group's offset (kafka-consumer-groups.sh --reset-offsets), or `auto.offset.reset: earliest` or `latest`";

/// The error, after a look at what the group has committed and what the log has.
pub fn explain<C: ConsumerContext>(consumer: &BaseConsumer<C>, partition: &TopicPartition) -> Error {
    let committed =
        clients::committed(consumer, [partition], TIMEOUT).ok().and_then(|mut answer| answer.pop()?.1.ok()?);
    let range = consumer.fetch_watermarks(&partition.0, partition.1, TIMEOUT).ok();
    error(partition, committed, range)
}

/// The error, in words.
pub fn error((topic, partition): &TopicPartition, committed: Option<i64>, range: Option<(i64, i64)>) -> Error {
    let what = match committed {
        None => "the group has committed no offset".into(),
        Some(offset) => format!("the committed offset {offset} is not in the log"),
    };
    let range = range.map_or(String::new(), |(low, high)| format!(", which has {low} to {high}"));
    let range = if committed.is_none() { String::new() } else { range };
    anyhow!("{topic}/{partition}: {what}{range}, and `auto.offset.reset: error` says to stop then: {REMEDY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_partition_which_offset_and_what_the_log_has() {
        let partition = ("documents".into(), 3);
        let said = error(&partition, Some(50), Some((0, 30))).to_string();
        assert!(
            said.starts_with("documents/3: the committed offset 50 is not in the log, which has 0 to 30, and"),
            "{said}"
        );
        let said = error(&partition, None, Some((0, 30))).to_string();
        assert!(said.starts_with("documents/3: the group has committed no offset, and `auto.offset.reset"), "{said}");
    }
}
