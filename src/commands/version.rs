//! `tagbert --version`.

use std::process::ExitCode;

use anyhow::Result;

use crate::model::runtime;

pub(super) fn run() -> Result<ExitCode> {
    println!("tagbert {}", env!("CARGO_PKG_VERSION"));
    println!("librdkafka {}", rdkafka::util::get_rdkafka_version().1);
    match runtime::version() {
        Ok(version) => println!("onnxruntime {version}"),
        Err(error) => println!("onnxruntime not found: {error:#}"),
    }
    Ok(ExitCode::SUCCESS)
}
