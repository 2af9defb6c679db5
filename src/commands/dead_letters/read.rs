//! Reads the dead-letter topic, up to its end as it was at the start.

use std::collections::HashMap;
use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use rdkafka::message::{BorrowedMessage, Message, OwnedHeaders};

use super::notes::Offsets;
use crate::codec::dead_letter::{self, Explanation};
use crate::config::Config;
use crate::kafka::scan::{Scan, Topics};

/// The dead-letter topic.
pub struct Letters {
    scan: Scan,
    topic: String,
    /// How many partitions each topic of the cluster has.
    partitions: HashMap<String, i32>,
}

/// A record of the dead-letter topic that is a dead letter.
pub struct Letter<'a> {
    /// The record.
    pub record: &'a BorrowedMessage<'a>,
    /// Its headers.
    pub headers: &'a OwnedHeaders,
    /// What they say.
    pub explanation: Explanation,
}

impl Letter<'_> {
    /// Where it is in the dead-letter topic.
    pub fn id(&self) -> String {
        format!("{}/{}", self.record.partition(), self.record.offset())
    }

    /// The timestamp of the record that it was.
    pub fn timestamp(&self) -> Option<i64> {
        self.explanation.timestamp.or_else(|| self.record.timestamp().to_millis())
    }
}

impl Letters {
    /// Connects, and takes the end offsets.
    ///
    /// # Errors
    /// When the cluster can't be reached, or the topic is missing.
    pub fn connect(config: &Config) -> Result<Self> {
        let topic = config.output.dead_letters.clone();
        let topics = Topics::of(config)?;
        let scan = topics.scan(&topic).context("output.dead_letters")?;
        Ok(Self { scan, topic, partitions: topics.partitions })
    }

    /// How many partitions another topic has; `None` if there is no such topic.
    pub fn partitions_of(&self, topic: &str) -> Option<i32> {
        self.partitions.get(topic).copied()
    }

    /// The partitions to read: all, or the one that was asked for.
    ///
    /// # Errors
    /// When there is no such partition.
    pub fn partitions(&self, asked: Option<i32>) -> Result<Vec<i32>> {
        match asked {
            None => Ok(self.scan.bounds().keys().copied().collect()),
            Some(partition) if self.scan.bounds().contains_key(&partition) => Ok(vec![partition]),
            Some(partition) => {
                bail!("{} has no partition {partition}: it has {}, from 0 on", self.topic, self.scan.bounds().len())
            }
        }
    }

    /// Which dead letters of a partition were replayed.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn replayed(&self, partition: i32) -> Result<Offsets> {
        let mut replayed = Offsets::default();
        self.scan.each(partition, 0, |_, headers| {
            replayed.read_note(headers);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(replayed)
    }

    /// Visits the dead letters of a partition, from an offset to the end or until the visitor breaks off.
    ///
    /// # Errors
    /// When it can't be read, or the visitor fails.
    pub fn each_letter(
        &self,
        partition: i32,
        from: i64,
        mut visit: impl FnMut(&Letter<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.scan.each(partition, from, |record, headers| {
            let explained = headers.and_then(|headers| Some((headers, dead_letter::explanation(headers)?)));
            let Some((headers, explanation)) = explained else { return Ok(ControlFlow::Continue(())) };
            visit(&Letter { record, headers, explanation })
        })
    }
}
