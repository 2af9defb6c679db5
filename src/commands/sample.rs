//! Documents to measure with: of a file, or the last ones of a topic.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::message::Message as _;

use super::cli::SampleArgs;
use crate::config::mark::without_mark;
use crate::config::{Config, ConfigError, Inputs};
use crate::kafka::scan::Topics;

/// Documents as they came, and where from.
#[derive(Debug)]
pub struct Sample {
    /// Their bytes.
    pub values: Vec<Vec<u8>>,
    /// The file or the topic.
    pub source: String,
    /// How many partitions the topic has; `None` for a file.
    pub partitions: Option<usize>,
}

impl Sample {
    /// Reads the sample that was asked for.
    ///
    /// # Errors
    /// When there is neither such a file nor such a topic, it can't be read, or it is empty.
    pub fn read(config: &Config, args: &SampleArgs) -> Result<Self> {
        let limit = args.limit as usize;
        let sample = match &args.documents {
            Some(name) if Path::new(name).exists() => {
                ensure_has_lines(config)?;
                Self::of_file(name, limit)?
            }
            // No topic has such a name.
            Some(name) if name.contains('/') => bail!("--documents: there is no file {name}"),
            Some(name) => Self::of_topic(config, name, limit)
                .with_context(|| format!("--documents: there is no file {name}, so it is taken for a topic"))?,
            None => {
                let named = Inputs::of(config);
                let Some(topic) = named.names().first() else {
                    bail!("input.topics has patterns only: --documents names a topic or a file to measure with")
                };
                Self::of_topic(config, topic, limit)?
            }
        };
        ensure!(!sample.values.is_empty(), "{} has no documents to measure with", sample.source);
        Ok(sample)
    }

    fn of_file(name: &str, limit: usize) -> Result<Self> {
        let file = File::open(name).with_context(|| name.to_owned())?;
        let mut values = Vec::new();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.with_context(|| name.to_owned())?;
            let line = without_mark(&line).trim_ascii();
            if !line.is_empty() {
                values.push(line.to_vec());
            }
            if values.len() == limit {
                break;
            }
        }
        Ok(Self { values, source: name.to_owned(), partitions: None })
    }

    /// The last records of all partitions. No group is joined and nothing is committed: the group's name is only that of
    /// the configuration, which the user may be the only one to be allowed.
    fn of_topic(config: &Config, topic: &str, limit: usize) -> Result<Self> {
        if config.kafka.brokers == "embedded" {
            let why = "is `embedded`, so there is no topic to read: name a file by --documents".into();
            return Err(ConfigError::Value { key: "kafka.brokers".into(), why }.into());
        }
        let scan = Topics::of(config)?.scan(topic)?;
        let mut bounds: Vec<_> =
            scan.bounds().iter().map(|(&partition, &(first, end))| (partition, first, end)).collect();
        let mut values = Vec::new();
        for (partition, from) in last(&mut bounds, limit) {
            scan.each(partition, from, |record, _| {
                // A tombstone has nothing to tag.
                values.extend(record.payload().map(<[u8]>::to_vec));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(Self { values, source: format!("topic {topic}"), partitions: Some(bounds.len()) })
    }
}

/// Lines are told apart byte by byte, which UTF-16 is not.
///
/// # Errors
/// When documents are UTF-16.
pub(super) fn ensure_has_lines(config: &Config) -> Result<(), ConfigError> {
    if !config.input.charset.is_utf_16() {
        return Ok(());
    }
    let why =
        "is UTF-16, of which files have no lines here: `iconv -f UTF-16 -t UTF-8`, and `input.charset: utf-8`".into();
    Err(ConfigError::Value { key: "input.charset".into(), why })
}

/// Where to begin in each partition, given its first offset and its end, so that the last `limit` records are read: as many
/// of each, as far as they have them. Empty ones are left out.
fn last(bounds: &mut [(i32, i64, i64)], limit: usize) -> Vec<(i32, i64)> {
    bounds.sort_by_key(|(_, first, end)| end - first);
    let (mut left, mut starts) = (limit as i64, Vec::new());
    for (number, &(partition, first, end)) in bounds.iter().enumerate() {
        let share = left.cast_unsigned().div_ceil((bounds.len() - number) as u64).cast_signed();
        let taken = share.min(end - first);
        left -= taken;
        if taken > 0 {
            starts.push((partition, end - taken));
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_partitions_leave_their_share_to_large_ones() {
        let mut bounds = [(0, 0, 100), (1, 5, 10), (2, 7, 7), (3, 0, 1000)];
        assert_eq!(last(&mut bounds, 45), [(1, 5), (0, 80), (3, 980)]);
        assert_eq!(last(&mut bounds, 1), [(1, 9)]);
        assert_eq!(last(&mut bounds, 5000), [(1, 5), (0, 0), (3, 0)]);
        assert_eq!(last(&mut [], 10), []);
    }
}
