//! `tagbert --version`.

use std::process::ExitCode;

use anyhow::Result;

use super::output;
use crate::model::session::runtime;

pub(super) fn run() -> Result<ExitCode> {
    output::print(format_args!("tagbert {}{}", env!("CARGO_PKG_VERSION"), built_from()))?;
    output::print(format_args!("librdkafka {}", rdkafka::util::get_rdkafka_version().1))?;
    match runtime::version() {
        Ok(version) => output::print(format_args!("onnxruntime {version}"))?,
        Err(error) => output::print(format_args!("onnxruntime not found: {error:#}"))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The commit and its date, in a release; `make dist` says them, so that they are the same wherever it is built.
fn built_from() -> String {
    let known = [option_env!("TAGBERT_COMMIT"), option_env!("TAGBERT_DATE")].map(Option::unwrap_or_default);
    let known: Vec<_> = known.into_iter().filter(|part| !part.is_empty()).collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(" ")) }
}
