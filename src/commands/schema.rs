//! `tagbert schema`: JSON Schemas, generated from the Rust types.

use std::process::ExitCode;

use anyhow::Result;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, schema_for};

use super::cli::SchemaOf;
use super::output;
use crate::codec::dead_letter::DeadLetterHeaders;
use crate::codec::enriched::EnrichedRecord;
use crate::config::Config;
use crate::worker::manifest::Manifest;

/// A document, as the default configuration expects it. Any other fields are welcome, and kept.
#[derive(JsonSchema)]
#[schemars(title = "Document")]
#[expect(dead_code, reason = "it describes what is read by JSON pointers, field by field")]
struct Document {
    /// Anything that tells it from others (`input.id`).
    id: Option<serde_json::Value>,
    /// The first part of the text (`input.text`).
    subject: Option<String>,
    /// The second part of the text (`input.text`).
    body: Option<String>,
}

/// The JSON Schema of one of tagbert's formats.
#[must_use]
pub fn schema(of: SchemaOf) -> Schema {
    match of {
        SchemaOf::Config => schema_for!(Config),
        SchemaOf::Document => schema_for!(Document),
        // As it is written: what may be left out is not required, and what is null is there. And as registries of schemas can
        // read it, which know no later draft.
        SchemaOf::Record => {
            SchemaSettings::draft07().for_serialize().into_generator().into_root_schema_for::<EnrichedRecord>()
        }
        SchemaOf::DeadLetter => schema_for!(DeadLetterHeaders),
        SchemaOf::Manifest => schema_for!(Manifest),
    }
}

pub(super) fn run(of: SchemaOf) -> Result<ExitCode> {
    output::print(serde_json::to_string_pretty(&schema(of))?)?;
    Ok(ExitCode::SUCCESS)
}
