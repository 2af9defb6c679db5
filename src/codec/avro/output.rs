//! Which schema an enriched record is written by: registered once for each schema that documents come in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::codec::registry::{Fetched, Missing, Registry};
use crate::config::{Config, KeepDocument, Subjects};

/// The schema of enriched records, but for the type of the document.
const ENRICHED: &str = include_str!("../../../schemas/enriched.avsc");

/// The schemas of enriched records.
#[derive(Debug)]
pub struct Outputs {
    registry: Arc<Registry>,
    topic: String,
    subjects: Subjects,
    keep: bool,
    /// The numbers, by that of the document's schema.
    known: Mutex<HashMap<Option<u32>, u32>>,
}

impl Outputs {
    /// Those of the configuration's output topic.
    #[must_use]
    pub fn new(config: &Config, registry: Arc<Registry>) -> Self {
        let keep = config.output.document == KeepDocument::Keep;
        let (topic, subjects) = (config.output.topic.clone(), config.registry.subjects);
        Self { registry, topic, subjects, keep, known: Mutex::default() }
    }

    /// The number of the schema for documents that come by this one; `None`: they are JSON.
    ///
    /// # Errors
    /// When the registry can't or won't register it.
    pub fn schema(&self, document: Option<(u32, &Fetched)>) -> Result<u32, Missing> {
        let document = document.filter(|_| self.keep);
        let key = document.map(|(id, _)| id);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known().get(&key) {
            return Ok(*id);
        }
        let (schema, name) = enriched(document.map(|(_, fetched)| fetched.text.as_str())).map_err(Missing::Nothing)?;
        let subject = match self.subjects {
            Subjects::TopicName => format!("{}-value", self.topic),
            Subjects::RecordName => name,
            Subjects::TopicRecordName => format!("{}-{name}", self.topic),
        };
        let references = document.map(|(_, fetched)| fetched.references.as_slice()).unwrap_or_default();
        let id = self.registry.register(&subject, &schema, references)?;
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
    use crate::codec::avro::schema::{Schema, Type};

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
            let parsed = Schema::parse(&schema, &[]).unwrap();
            let Type::Record(fields) = parsed.root() else { panic!() };
            let Type::Union(branches) = parsed.at(fields[2].1) else { panic!() };
            assert!(matches!(parsed.at(branches[1]), Type::Record(_)), "{schema}");
        }
        let (schema, name) = enriched(None).unwrap();
        assert!(Schema::parse(&schema, &[]).is_ok() && name == "tagbert.Enriched");
        assert!(enriched(Some(r#"["null"]"#)).is_err());
    }
}
