//! Keys that a file has twice, flat (`kafka.group: a`) and nested (`kafka: {group: b}`): which of them counts would be chance.

use std::collections::BTreeMap;

use config::{Value, ValueKind};

use super::ConfigError;
use super::dotted::dotted;
use super::mistakes::Mistakes;
use super::place::{Lines, Origin};

/// Notes each of them, at its second place.
pub(super) fn note(file: &Value, yaml: &str, mistakes: &mut Mistakes) {
    let mut all = BTreeMap::new();
    collect(file, "", &mut all);
    for (key, mut places) in all {
        places.sort_by_key(|mark: &Origin| (mark.key.line, mark.key.column));
        if let [_, .., second] = places[..] {
            let why = "is given twice, flat and nested: one would be passed over".into();
            let place = Lines::unread(yaml).place(second.key);
            mistakes.note(ConfigError::Placed { place, error: Box::new(ConfigError::Value { key, why }) });
        }
    }
}

fn collect(value: &Value, key: &str, all: &mut BTreeMap<String, Vec<Origin>>) {
    match &value.kind {
        ValueKind::Table(table) => table.iter().for_each(|(name, below)| collect(below, &dotted(key, name), all)),
        ValueKind::Array(elements) if elements.iter().any(|one| matches!(one.kind, ValueKind::Table(_))) => {
            elements.iter().enumerate().for_each(|(n, one)| collect(one, &format!("{key}[{n}]"), all));
        }
        _ => {
            let origin = value.origin().and_then(|origin| origin.parse::<Origin>().ok());
            all.entry(key.to_owned()).or_default().extend(origin);
        }
    }
}
