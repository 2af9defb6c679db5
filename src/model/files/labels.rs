//! The labels of a `config.json`, as people write them and `transformers` reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// What `config.json` says of labels.
#[derive(Default, Deserialize)]
pub(super) struct LabelKeys {
    id2label: Option<Value>,
    label2id: Option<Value>,
    num_labels: Option<Value>,
}

/// The labels in the order of the logits, and where they are from.
pub(super) struct Labels {
    pub names: Vec<Arc<str>>,
    pub source: String,
    /// What is said in vain.
    pub unheeded: Option<String>,
}

/// `transformers` leaves out what is its default: two labels without names.
const DEFAULT_LABELS: usize = 2;

/// More labels than any head has.
const MOST_LABELS: usize = 1 << 16;

impl LabelKeys {
    pub fn read(&self) -> Result<Labels> {
        let count = self.count()?;
        let names = self.names()?;
        match (names, count) {
            (Some(names), Some(count)) if names.len() != count => {
                let unheeded = format!(
                    "config.json names {} labels in id2label, but its num_labels is {count}, which counts",
                    names.len()
                );
                Ok(Labels { names: numbered(count), source: "num_labels".into(), unheeded: Some(unheeded) })
            }
            (Some(names), _) => Ok(Labels { names, source: "id2label".into(), unheeded: None }),
            (None, count) => {
                let source = if count.is_some() { "num_labels" } else { "no id2label, so two" };
                let unheeded = self.label2id.as_ref().is_some_and(|map| !map.is_null()).then(|| {
                    "config.json has a label2id, which names no labels: write id2label, its reverse".to_owned()
                });
                Ok(Labels { names: numbered(count.unwrap_or(DEFAULT_LABELS)), source: source.into(), unheeded })
            }
        }
    }

    fn count(&self) -> Result<Option<usize>> {
        let Some(value) = self.num_labels.as_ref().filter(|value| !value.is_null()) else { return Ok(None) };
        let count = value.as_u64().map(|count| count as usize).filter(|count| (1..=MOST_LABELS).contains(count));
        count.map(Some).with_context(|| format!("num_labels is {value}, and can be 1 to {MOST_LABELS}"))
    }

    fn names(&self) -> Result<Option<Vec<Arc<str>>>> {
        let map = match &self.id2label {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(map)) => map,
            Some(other) => bail!("id2label is {}, and can be {}", kind(other), example()),
        };
        ensure!(!map.is_empty() || self.num_labels.is_some(), "id2label names no label; write {}", example());
        let mut names = BTreeMap::new();
        for (id, label) in map {
            let number: usize = id
                .trim()
                .parse()
                .ok()
                .with_context(|| format!("id2label: `{id}` is no number; write {}", example()))?;
            let label = match label {
                Value::String(label) => label.clone(),
                // 0 and 1, or true and false: their names are how they are written.
                Value::Number(_) | Value::Bool(_) => label.to_string(),
                other => bail!("id2label: the label {id} is {}, and can be a text", kind(other)),
            };
            names.insert(number, Arc::from(label));
        }
        let missing = (0..names.len()).find(|number| !names.contains_key(number));
        if let Some(number) = missing {
            bail!("id2label names {} labels, and none of them is {number}: number them 0, 1, 2 …", names.len());
        }
        Ok(Some(names.into_values().collect()))
    }
}

fn numbered(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|id| format!("LABEL_{id}").into()).collect()
}

fn example() -> &'static str {
    r#"{"0": "no", "1": "yes"}"#
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(json: &str) -> Result<Vec<String>> {
        let keys: LabelKeys = serde_json::from_str(json).unwrap();
        Ok(keys.read()?.names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn labels_are_read_as_people_write_them() {
        for (json, expected) in [
            (r#"{"id2label": {"1": "b", "0": "a"}}"#, &["a", "b"][..]),
            (r#"{"id2label": {"0": 0, "1": 1}}"#, &["0", "1"]),
            (r#"{"id2label": {"0": false, "1": 0.5}}"#, &["false", "0.5"]),
            (r#"{"id2label": {" 0": "a", "01": "b"}}"#, &["a", "b"]),
            (r#"{"id2label": null, "num_labels": 3}"#, &["LABEL_0", "LABEL_1", "LABEL_2"]),
            (r#"{"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 2}"#, &["LABEL_0", "LABEL_1"]),
            (r#"{"id2label": null, "num_labels": null}"#, &["LABEL_0", "LABEL_1"]),
            ("{}", &["LABEL_0", "LABEL_1"]),
            (r#"{"label2id": {"a": 0}}"#, &["LABEL_0", "LABEL_1"]),
        ] {
            assert_eq!(labels(json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn labels_that_make_no_sense_are_refused_with_what_to_write() {
        for (json, expected) in [
            (r#"{"id2label": ["a", "b"]}"#, r#"id2label is a list, and can be {"0": "no", "1": "yes"}"#),
            (r#"{"id2label": {}}"#, "names no label"),
            (r#"{"id2label": {"a": "0"}}"#, "`a` is no number"),
            (r#"{"id2label": {"0": null, "1": "x"}}"#, "the label 0 is null"),
            (r#"{"id2label": {"1": "a", "2": "b"}}"#, "none of them is 0"),
            (r#"{"num_labels": "3"}"#, "num_labels is \"3\""),
        ] {
            let error = labels(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
