//! The `tagbert` command: see `tagbert --help`.

use std::process::ExitCode;

use clap::Parser;
use tagbert::cli::{Cli, Command};
use tagbert::{commands, telemetry};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A service tells what it does; a command tells what went wrong.
    telemetry::log(if matches!(cli.command, Some(Command::Run(_))) { "info" } else { "warn" });
    commands::run(cli)
}
