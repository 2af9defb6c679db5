//! Which schema an enriched record is written by: registered once for each schema that documents come in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::schema::Schema;
use crate::codec::registry::schemas::Fetched;
use crate::codec::registry::{Missing, Registry};
use crate::config::{Config, KeepDocument, Subjects};

/// The schema of enriched records, but for the type of the document.
const ENRICHED: &str = include_str!("../../../schemas/enriched.avsc");

/// The schemas of enriched records.
#[derive(Debug)]
pub struct Outputs {
    registry: Arc<Registry>,
    /// Those that enriched records may go to: each has a subject of its own.
    topics: Vec<String>,
    subjects: Subjects,
    keep: bool,
    /// The numbers, by that of the document's schema.
    known: Mutex<HashMap<Option<u32>, u32>>,
}

impl Outputs {
    /// Those of the configuration's output topics.
    #[must_use]
    pub fn new(config: &Config, registry: Arc<Registry>) -> Self {
        // What is masked may not fit its schema any more: it is JSON.
        let keep = config.output.document == KeepDocument::Keep && config.redact.is_empty();
        let topics = config.output_topics().into_iter().map(ToOwned::to_owned).collect();
        let subjects = config.registry.subjects;
        Self { registry, topics, subjects, keep, known: Mutex::default() }
    }

    /// The number of the schema for documents that come by this one; `None`: they are JSON.
    ///
    /// # Errors
    /// When the registry can't or won't register it.
    pub fn schema(&self, document: Option<&Fetched<Schema>>) -> Result<u32, Missing> {
        let document = document.filter(|_| self.keep);
        let key = document.map(|fetched| fetched.id);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known().get(&key) {
            return Ok(*id);
        }
        let (schema, name) = enriched(document.map(|fetched| fetched.text.as_str())).map_err(Missing::Nothing)?;
        let of_topics = |behind: &str| self.topics.iter().map(|topic| format!("{topic}-{behind}")).collect();
        let subjects: Vec<String> = match self.subjects {
            Subjects::TopicName => of_topics("value"),
            Subjects::RecordName => vec![name],
            Subjects::TopicRecordName => of_topics(&name),
        };
        let references = document.map(|fetched| fetched.references.as_slice()).unwrap_or_default();
        let mut number = None;
        for subject in &subjects {
            let id = self.registry.register(subject, &schema, references)?;
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
}

/// The schema of enriched records with documents of this one, and the record's name.
fn enriched(document: Option<&str>) -> Result<(String, String), String> {
    let mut schema: Value = serde_json::from_str(ENRICHED).map_err(|error| error.to_string())?;
    let mut name = "tagbert.Enriched".to_owned();
    if let Some(document) = document {
        let mut kind: Value = serde_json::from_str(document).map_err(|error| error.to_string())?;
        let Some(own) = kind["name"].as_str().map(ToOwned::to_owned).filter(|_| kind["type"] == "record") else {
            return Err("a document's schema is no record, so it can't stand in an enriched record".into());
        };
        let (space, simple) = match (own.rsplit_once('.'), kind["namespace"].as_str()) {
            (Some((space, simple)), _) => (space.to_owned(), simple.to_owned()),
            (None, space) => (space.unwrap_or_default().to_owned(), own),
        };
        // Without a namespace of its own it would be given that around it.
        kind["namespace"] = json!(space);
        kind["name"] = json!(simple);
        schema["name"] = json!(format!("{simple}Tagged"));
        schema["namespace"] = json!(space);
        name = if space.is_empty() { format!("{simple}Tagged") } else { format!("{space}.{simple}Tagged") };
        let field = schema["fields"].as_array_mut().into_iter().flatten().find(|field| field["name"] == "document");
        field.ok_or("no field `document`")?["type"] = json!(["null", kind]);
    }
    Ok((schema.to_string(), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::avro::schema::Type;
    use crate::codec::registry::schemas::Readable as _;

    #[test]
    fn a_document_keeps_its_names_within_an_enriched_record() {
        for (document, expected) in [
            (
                r#"{"type":"record","name":"a.b.Mail","fields":[{"name":"next","type":["null","Mail"]}]}"#,
                "a.b.MailTagged",
            ),
            (
                r#"{"type":"record","name":"Mail","namespace":"a","fields":[{"name":"x","type":["null","Mail"]}]}"#,
                "a.MailTagged",
            ),
            (r#"{"type":"record","name":"Mail","fields":[{"name":"x","type":["null","Mail"]}]}"#, "MailTagged"),
        ] {
            let (schema, name) = enriched(Some(document)).unwrap();
            assert_eq!(name, expected);
            let parsed = Schema::read(&schema, &[]).unwrap();
            let Type::Record(fields) = parsed.root() else { panic!() };
            let Type::Union(branches) = parsed.at(fields[2].1) else { panic!() };
            assert!(matches!(parsed.at(branches[1]), Type::Record(_)), "{schema}");
        }
        let (schema, name) = enriched(None).unwrap();
        assert!(Schema::read(&schema, &[]).is_ok() && name == "tagbert.Enriched");
        assert!(enriched(Some(r#"["null"]"#)).is_err());
    }
}
