//! `tagbert man`: a man page for each command, generated from the command line itself.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::cli::Cli;

pub(super) fn run(directory: &Path) -> Result<ExitCode> {
    let pages = || {
        std::fs::create_dir_all(directory)?;
        clap_mangen::generate_to(Cli::command().version(env!("CARGO_PKG_VERSION")), directory)
    };
    pages().with_context(|| directory.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
