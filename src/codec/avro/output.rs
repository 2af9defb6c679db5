//! The schema of enriched records in Avro, which has that of their documents in it.

use serde_json::{Value, json};

/// The schema of enriched records, but for the type of the document.
const ENRICHED: &str = include_str!("../../../schemas/enriched.avsc");

/// The schema of enriched records with documents of this one, and the record's name.
pub(in crate::codec) fn enriched(document: Option<&str>) -> Result<(String, String), String> {
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
