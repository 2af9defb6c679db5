//! `tagbert --version`.

use std::process::ExitCode;

use anyhow::Result;

use super::output;
use crate::model::session::runtime;

pub(super) fn run() -> Result<ExitCode> {
    output::print(format_args!("tagbert {}", env!("CARGO_PKG_VERSION")))?;
    output::print(format_args!("librdkafka {}", rdkafka::util::get_rdkafka_version().1))?;
    match runtime::version() {
        Ok(version) => output::print(format_args!("onnxruntime {version}"))?,
        Err(error) => output::print(format_args!("onnxruntime not found: {error:#}"))?,
    }
    Ok(ExitCode::SUCCESS)
}
