//! A bounded run as its user asks for it: which part of the topics, and in whose name.

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::cli::Run;
use super::keeper;
use crate::config::{Config, ConfigError};
use crate::kafka::source::bounds::{Bounds, Edge};
use crate::kafka::tally::Part;
use crate::worker::manifest::Range;

/// So many bytes of a digest tell the groups of jobs apart.
const BYTES: usize = 4;

/// What the run reads, if it is bounded.
///
/// # Errors
/// When something is asked for that only a bounded run can give.
pub(super) fn bounds(args: &Run) -> Result<Option<Bounds>> {
    let bounded = args.until_end || args.from.is_some() || args.to.is_some();
    if !bounded && args.manifest.is_some() {
        let why = "a run without an end has none; with --until-end, --from or --to it has".into();
        return Err(ConfigError::Value { key: "--manifest".into(), why }.into());
    }
    if let Some(path) = &args.manifest {
        keeper::check(path)?;
    }
    Ok(bounded.then_some(Bounds { from: args.from, to: args.to }))
}

/// The group that it reads in. With `--from` or `--to` it is one of the job's own; and it is the same whenever the same is
/// asked for: from these topics to those, from here to there.
pub(super) fn group(args: &Run, config: &Config) -> String {
    let group = args.group.as_ref().unwrap_or(&config.kafka.group);
    if args.group.is_some() || args.from.is_none() && args.to.is_none() {
        return group.clone();
    }
    let edge = |edge: Option<Edge>| edge.map_or_else(String::new, |edge| edge.to_string());
    let job = [config.input.topics.join(","), config.output.topic.clone(), edge(args.from), edge(args.to)];
    let digest = Sha256::digest(job.join("\n"));
    format!("{group}-job-{}", hex::encode(&digest[..BYTES]))
}

/// What was asked for, for the manifest.
pub(super) fn range(bounds: Bounds, parts: Vec<Part>) -> Range {
    let edge = |edge: Option<Edge>| edge.map(|edge| edge.to_string());
    Range { from: edge(bounds.from), to: edge(bounds.to), parts }
}
