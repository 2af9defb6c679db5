//! `tagbert run`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;

use super::cli::Run;
use super::progress::Following;
use super::{job, output};
use crate::config::ConfigError;
use crate::kafka::tally::Tally;
use crate::worker::lifecycle::Worker;
use crate::worker::manifest::Manifest;

/// The exit code of a bounded run that is done, but with too many dead letters.
pub(super) const TOO_MANY_DEAD: u8 = 3;

pub(super) fn run(args: &Run) -> Result<ExitCode> {
    let mut config = super::config(&args.config)?;
    if config.kafka.brokers == "embedded" {
        let why = "is `embedded`: that broker is empty, and only `tagbert demo` has one".into();
        return Err(ConfigError::Value { key: "kafka.brokers".into(), why }.into());
    }
    let bounds = job::bounds(args)?;
    config.kafka.group = job::group(args, &config);
    let tally = args.manifest.is_some().then(Arc::<Tally>::default);
    let worker = Worker::start(&config, bounds, tally.clone())?;
    let manifest = bounds.map(|_| Manifest::begin(&config, worker.models(), worker.job()));
    let following = bounds.map(|_| {
        let (all, metrics) = (worker.job().iter().map(|part| part.to.abs_diff(part.from)).sum(), worker.metrics());
        Following::start(all, move || metrics.done())
    });
    let following = following.transpose()?;
    let done = worker.run();
    drop(following);
    if let (Some(path), Some(tally), Some(mut manifest)) = (&args.manifest, tally, manifest) {
        manifest.finished = Timestamp::now();
        manifest.failure = done.as_ref().err().map(|error| format!("{error:#}"));
        (manifest.done, manifest.records) = tally.total();
        manifest.write(path)?;
    }
    let summary = done?;
    if bounds.is_none() {
        tracing::info!(
            fetched = summary.fetched,
            enriched = summary.enriched,
            dead_letters = summary.dead_letters,
            given_up = summary.given_up(),
            "stopped"
        );
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&summary)?;
    if summary.dead_letters > args.max_dead {
        let (dead, most) = (summary.dead_letters, args.max_dead);
        output::say(format_args!(
            "tagbert: {dead} dead letters, and --max-dead is {most}; `tagbert dead-letters list` shows them"
        ));
        return Ok(ExitCode::from(TOO_MANY_DEAD));
    }
    Ok(ExitCode::SUCCESS)
}
