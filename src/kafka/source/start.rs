//! Where a group begins that has committed nothing yet (`input.start`): it is committed before anything is read, so that all
//! workers of the group know. Partitions that come later are none of this, and are read from their beginning.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::SignedDuration;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use super::bounds::{self, Edge};
use super::end::known;
use crate::config::Config;
use crate::config::start::Start;
use crate::kafka::clients;

/// Has the group begin where it is told to, if it has committed nothing in these topics.
///
/// # Errors
/// When the brokers do not tell what is committed, or do not take it.
pub(super) fn begin<C: ConsumerContext>(config: &Config, consumer: &BaseConsumer<C>, topics: &[String]) -> Result<()> {
    let Some(start) = config.input.start else { return Ok(()) };
    let metadata = consumer.fetch_metadata(None, clients::REQUEST_TIMEOUT).context("metadata of the input topics")?;
    let keys: Vec<_> = clients::partitions(&metadata, topics).collect();
    // Of a pattern that matches no topic yet, there is nothing to ask for.
    if keys.is_empty() || known(config, consumer, &keys)?.iter().any(|(_, committed)| committed.is_some()) {
        return Ok(());
    }
    let watcher: BaseConsumer = clients::watcher(config).create().context("a second consumer can't be made")?;
    let mut logs = BTreeMap::new();
    for key in keys {
        let range = watcher.fetch_watermarks(&key.0, key.1, clients::REQUEST_TIMEOUT);
        let range = range.with_context(|| format!("where {}/{} begins and ends", key.0, key.1))?;
        logs.insert(key, range);
    }
    let edge = match start {
        Start::Earliest => Edge::Earliest,
        Start::Latest => Edge::Latest,
        Start::Time(time) => Edge::Time(time),
        Start::Ago(ago) => Edge::Ago(SignedDuration::try_from(ago).unwrap_or(SignedDuration::MAX)),
    };
    let starts = edge.resolve(&watcher, &logs)?;
    bounds::begin(consumer, &starts, &BTreeMap::new())?;
    let places: Vec<_> =
        starts.iter().map(|((topic, number), offset)| format!("{topic}/{number} at {offset}")).collect();
    tracing::info!("the group `{}` is new: it begins at {start}: {}", config.kafka.group, places.join(", "));
    Ok(())
}
