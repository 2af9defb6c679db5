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
mod test;
mod version;

use std::process::ExitCode;

use self::cli::{Cli, Command, ConfigArgs, ConfigCommand};
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
        Some(Command::Test(args)) => test::run(&args),
        Some(Command::Config(ConfigCommand::Print(args))) => print(&args),
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
            let mistake = error.downcast_ref::<ConfigError>();
            let report = mistake.filter(|_| error.chain().count() == 1).map(ConfigError::report);
            // ONNX Runtime's own errors may have several lines; those of the configuration show where.
            let in_line = || format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ");
            output::say(format_args!("tagbert: {}", plain(report.unwrap_or_else(in_line).trim_end())));
            ExitCode::from(if mistake.is_some() { 2 } else { 1 })
        }
    }
}

/// An error may quote a file of unknown origin: what would control the terminal is left out.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Reads the configuration that the command line names.
fn config(args: &ConfigArgs) -> anyhow::Result<Config> {
    let config = Config::load(&args.config, &args.set);
    Ok(config.map_err(|error| error.in_file(&args.config.display().to_string()))?)
}

/// `tagbert config print`.
fn print(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let explained = Config::explained(&args.config, &args.set);
    let explained = explained.map_err(|error| error.in_file(&args.config.display().to_string()))?;
    output::print(explained.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
