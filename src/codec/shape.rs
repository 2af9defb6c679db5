//! The other shapes of enriched records: flat, for those who want columns, and headers, for those who want their records as
//! they were.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::nested::{EnrichedRecord, bytes};
use super::tags::{WrittenClass, WrittenTag};
use crate::record::enriched::TagHeaders;
use crate::record::headers;

/// An enriched record without objects in it, but for the document, and those in lists.
pub(super) struct Flat<'r, 'a>(pub &'r EnrichedRecord<'a>);

impl Serialize for Flat<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let EnrichedRecord { id, tags, document, texts, source, model, models, tokens, truncated, tagged_at } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", id)?;
        for (name, tag) in tags.0 {
            let [column, of_score, of_scores] = headers::columns_of_tag(name);
            match tag {
                WrittenTag::Class(WrittenClass { label, score, scores }) => {
                    map.serialize_entry(&column, label)?;
                    map.serialize_entry(&of_score, score)?;
                    if !scores.is_empty() {
                        map.serialize_entry(&of_scores, scores)?;
                    }
                }
                WrittenTag::Number(number) => map.serialize_entry(&column, &number.value)?,
                list => map.serialize_entry(&column, list)?,
            }
        }
        if let Some(document) = document {
            map.serialize_entry("document", document)?;
        }
        if !texts.is_empty() {
            map.serialize_entry("texts", texts)?;
        }
        map.serialize_entry("source_topic", source.topic)?;
        map.serialize_entry("source_partition", &source.partition)?;
        map.serialize_entry("source_offset", &source.offset)?;
        map.serialize_entry("source_timestamp", &source.timestamp)?;
        map.serialize_entry("model_name", &model.name)?;
        map.serialize_entry("model_version", &model.version)?;
        if let Some(models) = models {
            map.serialize_entry("models", models)?;
        }
        map.serialize_entry("tokens", tokens)?;
        map.serialize_entry("truncated", truncated)?;
        map.serialize_entry("tagged_at", tagged_at)?;
        map.end()
    }
}

/// The tags as headers. One that there is not takes the place of what the record may have brought.
pub(super) fn headers<'a>(tags: &[(&str, WrittenTag)], absent: impl IntoIterator<Item = &'a Arc<str>>) -> TagHeaders {
    let mut headers = Vec::with_capacity(3 * tags.len());
    let mut add = |tag: &str, values: [Option<String>; 3]| {
        headers.extend(headers::of_tag(tag).into_iter().zip(values));
    };
    for (name, tag) in tags {
        add(
            name,
            match tag {
                WrittenTag::Class(WrittenClass { label, score, scores }) => {
                    let scores = (!scores.is_empty()).then(|| json(scores));
                    [label.map(ToOwned::to_owned), Some(json(score)), scores]
                }
                WrittenTag::Number(number) => [Some(json(&number.value)), None, None],
                list => [Some(json(list)), None, None],
            },
        );
    }
    for name in absent {
        add(name, [None, None, None]);
    }
    TagHeaders(headers)
}

fn json(value: &impl Serialize) -> String {
    String::from_utf8(bytes(value, 32)).unwrap_or_default()
}
