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
const BYTES: usize = 16;

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
    if let (Some(from), Some(to)) = (args.from, args.to)
        && is_behind(from, to)
    {
        let why = format!("{from} is behind --to, which is {to}");
        return Err(ConfigError::Value { key: "--from".into(), why }.into());
    }
    Ok(bounded.then_some(Bounds { from: args.from, to: args.to }))
}

/// Whether one is behind the other in each log there may be.
fn is_behind(from: Edge, to: Edge) -> bool {
    match (from, to) {
        (Edge::Offset(from), Edge::Offset(to)) => from > to,
        // Both are of now.
        (Edge::Ago(from), Edge::Ago(to)) => from < to,
        _ => from.time().zip(to.time()).is_some_and(|(from, to)| from > to),
    }
}

/// The group that it reads in. With `--from` or `--to` it is one of the job's own; and it is the same whenever the same is
/// asked for: from these topics to those, by these models, from here to there.
pub(super) fn group(args: &Run, config: &Config) -> String {
    let group = args.group.as_ref().unwrap_or(&config.kafka.group);
    if args.group.is_some() || args.from.is_none() && args.to.is_none() {
        return group.clone();
    }
    let Config { input, output, model, taggers, routes, .. } = config;
    let edges = [args.from, args.to].map(|edge| edge.map(|edge| edge.to_string()));
    let job = serde_json::json!([input, output, routes, [model.path, model.variant], taggers, edges]);
    format!("{group}-job-{}", hex::encode(&Sha256::digest(job.to_string())[..BYTES]))
}

/// What was asked for, for the manifest.
pub(super) fn range(bounds: Bounds, parts: Vec<Part>) -> Range {
    let edge = |edge: Option<Edge>| edge.map(|edge| edge.to_string());
    Range { from: edge(bounds.from), to: edge(bounds.to), parts }
}
