//! `tagbert run`.

use std::process::ExitCode;

use anyhow::Result;

use super::cli::Run;
use super::output;
use crate::config::ConfigError;
use crate::worker::lifecycle::Worker;

pub(super) fn run(args: &Run) -> Result<ExitCode> {
    let config = super::config(&args.config)?;
    if config.kafka.brokers == "embedded" {
        let why = "is `embedded`: that broker is empty, and only `tagbert demo` has one".into();
        return Err(ConfigError::Value { key: "kafka.brokers".into(), why }.into());
    }
    let worker = Worker::start(&config, args.until_end)?;
    let summary = worker.run()?;
    if args.until_end {
        output::print(&summary)?;
    } else {
        tracing::info!(
            fetched = summary.fetched,
            enriched = summary.enriched,
            dead_letters = summary.dead_letters,
            given_up = summary.given_up(),
            "stopped"
        );
    }
    Ok(ExitCode::SUCCESS)
}
