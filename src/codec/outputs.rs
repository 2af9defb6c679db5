//! Which schema an enriched record is written by: registered once for each schema that documents come in, where it has theirs
//! within, or else once for all.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};

use super::registry::schemas::{Fetched, Readable as _};
use super::registry::{Missing, Proposed, Registry};
use super::{avro, protobuf};
use crate::config::{Config, Format, KeepDocument, OutputFormat, Subjects};
use crate::record::document::{Original, Target};

/// The schema of enriched records in Protobuf: the type is the first there.
const PROTOBUF: &str = include_str!("../../schemas/enriched.proto");

/// That of those in JSON.
const JSON: &str = include_str!("../../schemas/record.json");

/// What a record is called whose schema is ours alone.
const NAME: &str = "tagbert.Enriched";

/// The schemas of enriched records.
#[derive(Debug)]
pub struct Outputs {
    registry: Arc<Registry>,
    /// Those that enriched records may go to: each has a subject of its own.
    topics: Vec<String>,
    subjects: Subjects,
    input: Format,
    format: OutputFormat,
    keep: bool,
    /// The numbers, by that of the document's schema.
    known: Mutex<HashMap<Option<u32>, u32>>,
}

/// What a value was read by.
#[derive(Debug)]
pub enum Writer {
    /// A schema of Avro.
    Avro(Arc<Fetched<avro::schema::Schema>>),
    /// A type of Protobuf.
    Protobuf {
        /// Its name.
        kind: Arc<str>,
        /// Where in the value the message begins.
        at: usize,
    },
}

impl Outputs {
    /// Those of the configuration's output topics; `None`: its records have none.
    #[must_use]
    pub fn new(config: &Config, registry: Arc<Registry>) -> Option<Self> {
        let (input, format) = (config.input.format, config.output.format);
        // What is masked may not fit its schema any more: it is JSON.
        let keep = config.output.document == KeepDocument::Keep && config.redact.is_empty();
        let topics = config.output_topics().into_iter().map(ToOwned::to_owned).collect();
        let subjects = config.registry.subjects;
        let made = Self { registry, topics, subjects, input, format, keep, known: Mutex::default() };
        format.with_schema().is_some().then_some(made)
    }

    /// What the enriched record of a document is written by that was read by this; `None`: it had no schema.
    ///
    /// # Errors
    /// When the registry can't or won't register its schema.
    pub fn target(&self, document: Option<&Writer>) -> Result<Target, Missing> {
        Ok(match (self.format, document) {
            (OutputFormat::Avro, Some(Writer::Avro(fetched))) if self.keep => {
                Target { schema: self.schema(Some(fetched))?, original: Original::Datum }
            }
            (OutputFormat::Protobuf, Some(Writer::Protobuf { kind, at })) if self.keep => {
                let original = Original::Message { kind: Arc::clone(kind), at: *at };
                Target { schema: self.schema(None)?, original }
            }
            _ => Target { schema: self.schema(None)?, original: Original::Json },
        })
    }

    /// The number of the schema for documents that come by this one; `None`: it says nothing of them.
    fn schema(&self, document: Option<&Fetched<avro::schema::Schema>>) -> Result<u32, Missing> {
        let key = document.map(|fetched| fetched.id);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known().get(&key) {
            return Ok(*id);
        }
        let (subjects, proposed) = self.proposed(document).map_err(Missing::Nothing)?;
        let mut number = None;
        for subject in &subjects {
            let id = self.registry.register(subject, &proposed)?;
            if *number.get_or_insert(id) != id {
                let why = "the schema registry gives one schema several numbers, so that a record's copies would differ: \
                           `registry.subjects: record-name` has one subject for all topics";
                return Err(Missing::Unanswered(anyhow!("{why}")));
            }
        }
        let id = number.ok_or_else(|| Missing::Nothing("there is no topic for enriched records".into()))?;
        known().insert(key, id);
        Ok(id)
    }

    /// Asks the registry whether records can be written, where that can be told before there are any. Nothing is registered.
    ///
    /// # Errors
    /// When it says no, or nothing.
    pub fn prove(&self) -> Result<()> {
        if self.format == OutputFormat::Avro && self.input == Format::Avro && self.keep {
            return Ok(());
        }
        let (subjects, proposed) = self.proposed(None).map_err(anyhow::Error::msg)?;
        subjects.iter().try_for_each(|subject| self.registry.prove(subject, &proposed))
    }

    /// The schema for documents that come by this one, and where it is registered.
    fn proposed<'d>(
        &self,
        document: Option<&'d Fetched<avro::schema::Schema>>,
    ) -> Result<(Vec<String>, Proposed<'d>), String> {
        let (kind, name, schema) = match self.format {
            OutputFormat::Avro => {
                let (schema, name) = avro::output::enriched(document.map(|fetched| fetched.text.as_str()))?;
                (avro::schema::Schema::KIND, Cow::Owned(name), Cow::Owned(schema))
            }
            OutputFormat::Protobuf => (protobuf::schema::Schema::KIND, NAME.into(), PROTOBUF.into()),
            OutputFormat::Json | OutputFormat::CloudEvents | OutputFormat::JsonSchema => {
                ("JSON", NAME.into(), JSON.into())
            }
        };
        let of_topics = |behind: &str| self.topics.iter().map(|topic| format!("{topic}-{behind}")).collect();
        let subjects = match self.subjects {
            Subjects::TopicName => of_topics("value"),
            Subjects::RecordName => vec![name.into_owned()],
            Subjects::TopicRecordName => of_topics(&name),
        };
        let references = document.map(|fetched| fetched.references.as_slice()).unwrap_or_default();
        Ok((subjects, Proposed { kind, schema, references }))
    }
}
