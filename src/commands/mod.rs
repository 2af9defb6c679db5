//! The commands, one a file.

mod bench;
mod check;
pub mod cli;
mod completions;
mod dead;
mod dead_letters;
mod demo;
mod enrich;
pub mod gauge;
mod job;
mod keeper;
mod man;
mod manifest;
mod model;
pub mod offline;
mod output;
mod plan;
mod progress;
mod run;
mod sample;
mod schema;
mod tag;
mod version;

use std::process::ExitCode;

use self::cli::{Cli, Command};
use self::output::Unread;
use crate::config::{Config, ConfigError};

/// Runs the command, and says what went wrong if it did.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        None => version::run(),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Tag(args)) => tag::run(&args),
        Some(Command::Enrich(args)) => enrich::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Plan(args)) => plan::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::DeadLetters(args)) => dead_letters::run(&args),
        Some(Command::Model(args)) => model::run(args),
        Some(Command::Manifest(command)) => manifest::run(&command),
        Some(Command::Schema { of }) => schema::run(of),
        Some(Command::Completions { shell }) => completions::run(shell),
        Some(Command::Man { directory }) => man::run(&directory),
    };
    match done {
        Ok(code) => code,
        // As for grep and its like: `tagbert tag | head`.
        Err(error) if error.is::<Unread>() => ExitCode::SUCCESS,
        Err(error) => {
            let is_of_config = error.is::<ConfigError>();
            let mut said = format!("{error:#}");
            // ONNX Runtime's own errors may have several lines; those of the configuration show where.
            if !is_of_config {
                said = said.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            }
            output::say(format_args!("tagbert: {}", plain(said.trim_end())));
            ExitCode::from(if is_of_config { 2 } else { 1 })
        }
    }
}

/// An error may quote a file of unknown origin: what would control the terminal is left out.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Reads the configuration that the command line names.
fn config(args: &crate::commands::cli::ConfigArgs) -> anyhow::Result<Config> {
    let config = Config::load(&args.config, &args.set);
    Ok(config.map_err(|error| error.in_file(&args.config.display().to_string()))?)
}
