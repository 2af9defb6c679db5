//! All layers in one tree, and the configuration that is made of it: with each mistake noted, and taken out for the next to be
//! found.

use config::{Value, ValueKind};
use serde::Deserialize as _;

use super::dotted::dotted;
use super::mistakes::Mistakes;
use super::words::Words;
use super::{Config, ConfigError};

/// The configuration without what is wrong with it, each of which is noted.
pub(super) fn deserialize(tree: Value, words: &Words, mistakes: &mut Mistakes) -> Config {
    // A value that is taken out moves those behind it in its list, so each carries its key.
    let mut tree = named(tree, "");
    for key in mistakes.keys() {
        remove(&mut tree, &key);
    }
    for _ in 0..MOST_TRIES {
        let error = match Config::deserialize(tree.clone()) {
            Ok(config) => return config,
            Err(error) => explain(error, words, &tree),
        };
        let key = error.key().unwrap_or_default().to_owned();
        mistakes.note(error);
        let mut at = key.as_str();
        while !remove(&mut tree, at) {
            match at.rsplit_once(['.', '[']) {
                Some((section, _)) => at = section,
                None => return Config::default(),
            }
        }
    }
    Config::default()
}

/// So many mistakes of one kind, of which each is taken out for the next to be found.
const MOST_TRIES: usize = 100;

/// The same, each value with its key for an origin.
fn named(value: Value, key: &str) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            let below = table.into_iter().map(|(name, value)| {
                let value = named(value, &dotted(key, &name));
                (name, value)
            });
            ValueKind::Table(below.collect())
        }
        ValueKind::Array(elements) => {
            let below = elements.into_iter().enumerate().map(|(n, value)| named(value, &format!("{key}[{n}]")));
            ValueKind::Array(below.collect())
        }
        kind => kind,
    };
    Value::new(Some(&key.to_owned()), kind)
}

/// Takes the value out that has this key, and says whether there was one.
fn remove(tree: &mut Value, key: &str) -> bool {
    let is = |value: &Value| value.origin() == Some(key);
    match &mut tree.kind {
        ValueKind::Table(table) => {
            let before = table.len();
            table.retain(|_, value| !is(value));
            table.len() < before || table.values_mut().any(|value| remove(value, key))
        }
        ValueKind::Array(elements) => {
            let before = elements.len();
            elements.retain(|value| !is(value));
            elements.len() < before || elements.iter_mut().any(|value| remove(value, key))
        }
        _ => false,
    }
}

/// The value of a dotted key, however deep it is written.
pub(super) fn find<'t>(tree: &'t Value, key: &str) -> Option<&'t Value> {
    if key.is_empty() {
        return Some(tree);
    }
    match &tree.kind {
        ValueKind::Table(table) => table.iter().find_map(|(name, value)| {
            let rest = key.strip_prefix(name.as_str())?;
            let below = rest.is_empty() || rest.starts_with(['.', '[']);
            find(value, rest.trim_start_matches('.')).filter(|_| below)
        }),
        ValueKind::Array(elements) => {
            let (number, rest) = key.strip_prefix('[')?.split_once(']')?;
            find(elements.get(number.parse::<usize>().ok()?)?, rest.trim_start_matches('.'))
        }
        _ => None,
    }
}

/// What a key's own type does not take, in the schema's words; or in the type's, where they say more.
fn explain(error: config::ConfigError, words: &Words, tree: &Value) -> ConfigError {
    use config::ConfigError::{At, Message, NotFound, Type};
    let dotted =
        |key: &str| key.replace(']', "].").replace("].[", "][").replace("..", ".").trim_end_matches('.').to_owned();
    match error {
        NotFound(key) => {
            let key = dotted(&key);
            let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
            let section = find(tree, section).and_then(Value::origin).unwrap_or(section);
            words.missing(&if section.is_empty() { key } else { format!("{section}.{name}") })
        }
        At { key: Some(ref key), .. } | Type { key: Some(ref key), .. } => {
            let key = dotted(key);
            let Some(value) = find(tree, &key) else { return error.into() };
            let key = value.origin().unwrap_or(&key).to_owned();
            match error {
                At { error, .. } if !words.knows(&key) && matches!(*error, Message(_)) => {
                    ConfigError::Value { key, why: error.to_string() }
                }
                _ => words.explain(&key, value),
            }
        }
        other => other.into(),
    }
}
