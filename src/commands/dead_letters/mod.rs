//! `tagbert dead-letters`: what could not be tagged, and its way back.

mod list;
mod notes;
mod read;
mod replay;
mod send;
mod show;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use jiff::Timestamp;

use super::cli::{ConfigArgs, DeadLetters, Which};
use crate::codec::dead_letter::Explanation;
use crate::config::{Config, ConfigError};

pub(super) fn run(args: &DeadLetters) -> Result<ExitCode> {
    let done = match args {
        DeadLetters::List(args) => list::run(&config(&args.config)?, args),
        DeadLetters::Show(args) => show::run(&config(&args.config)?, args),
        DeadLetters::Replay(args) => replay::run(&config(&args.config)?, args),
    };
    let is_closed = |error: &anyhow::Error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    match done {
        // Whoever reads has seen enough: `list | head`.
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

fn config(args: &ConfigArgs) -> Result<Config> {
    let config = super::config(args)?;
    if config.kafka.brokers == "embedded" {
        let why = "is `embedded`: that broker went with its process, and its dead letters too".into();
        return Err(ConfigError::Value { key: "kafka.brokers".into(), why }.into());
    }
    Ok(config)
}

impl Which {
    /// Whether it is one of those that were asked for.
    fn takes(&self, offset: i64, timestamp: Option<i64>, letter: &Explanation) -> bool {
        let one_of = |wanted: &[String], is: &String| wanted.is_empty() || wanted.contains(is);
        let after = |time: Timestamp| timestamp.is_some_and(|timestamp| timestamp >= time.as_millisecond());
        one_of(&self.stage, &letter.stage)
            && one_of(&self.class, &letter.class)
            && one_of(&self.topic, &letter.topic)
            && self.since.is_none_or(after)
            && self.until.is_none_or(|time| !after(time))
            && (self.offset.is_empty() || self.offset.contains(&offset))
    }
}

/// For a line of a terminal: texts of headers may hold anything.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A timestamp as people read it.
fn time(timestamp: Option<i64>) -> String {
    let time = timestamp.and_then(|timestamp| Timestamp::from_millisecond(timestamp).ok());
    time.map_or_else(|| "-".into(), |time| format!("{time:.0}"))
}
