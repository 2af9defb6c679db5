//! `tagbert --version`.

use std::process::ExitCode;

use crate::model::session::runtime;

pub(super) fn run() -> ExitCode {
    println!("tagbert {}", env!("CARGO_PKG_VERSION"));
    println!("librdkafka {}", rdkafka::util::get_rdkafka_version().1);
    match runtime::version() {
        Ok(version) => println!("onnxruntime {version}"),
        Err(error) => println!("onnxruntime not found: {error:#}"),
    }
    ExitCode::SUCCESS
}
