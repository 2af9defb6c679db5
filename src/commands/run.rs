//! `tagbert run`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::cli::Run;
use super::keeper::{self, Keeper};
use super::progress::Following;
use super::{dead, job, output};
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
    if args.manifest.is_some() {
        keeper::ensure_counts(&config)?;
    }
    let tally = args.manifest.is_some().then(Arc::<Tally>::default);
    let worker = Worker::start(&config, bounds, tally.clone())?;
    let range = worker.range();
    let keeper = match (&args.manifest, tally, bounds) {
        (Some(path), Some(tally), Some(bounds)) => {
            let asked = job::range(bounds, range.clone());
            Some(Keeper::begin(path, Manifest::begin(&config, worker.models(), asked, worker.job()), tally)?)
        }
        _ => None,
    };
    let following = bounds.map(|_| {
        let (all, metrics) = (worker.job().iter().map(|part| part.to.abs_diff(part.from)).sum(), worker.metrics());
        Following::start(all, move || metrics.done())
    });
    let following = following.transpose()?;
    let done = worker.run();
    drop(following);
    let failure = done.as_ref().err().map(|error| format!("{error:#}"));
    let written = keeper.map_or(Ok(()), |keeper| keeper.end(failure));
    if let (Err(_), Err(error)) = (&done, &written) {
        output::say(format_args!("tagbert: {error:#}"));
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
    let dead = dead::of_job(&config, &range, args.max_dead)?;
    if dead > args.max_dead {
        let most = args.max_dead;
        output::say(format_args!(
            "tagbert: {dead} dead letters, and --max-dead is {most}; `tagbert dead-letters list` shows them"
        ));
        if let Err(error) = written {
            output::say(format_args!("tagbert: {error:#}"));
        }
        return Ok(ExitCode::from(TOO_MANY_DEAD));
    }
    written?;
    Ok(ExitCode::SUCCESS)
}
