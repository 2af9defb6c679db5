//! Reading the configuration: defaults < file < environment < `--set`, and what it says of mistakes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Config, Shadow};

/// Why a configuration can't be used. Every one of these ends in exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// The reason.
        error: std::io::Error,
    },
    /// It is not YAML, or a value has the wrong type.
    #[error(transparent)]
    Parse(#[from] config::ConfigError),
    /// A key that does not exist.
    #[error("unknown key `{key}`{}", nearest.as_ref().map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// The known key that it resembles most.
        nearest: Option<String>,
    },
    /// A value that can't be used.
    #[error("`{key}` {why}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Any of these, with the file that the configuration came from.
    #[error("{file}: {error}")]
    In {
        /// The file.
        file: String,
        /// What is wrong; it may also stand in the environment, or on the command line.
        error: Box<ConfigError>,
    },
    /// A `--set` that is not KEY=VALUE. What it is instead may be a secret, so it is not shown.
    #[error("--set: expected KEY=VALUE, KEY being a dotted name such as batch.tokens")]
    Set,
}

impl Config {
    /// Reads the configuration from `file`, the environment and `sets` (each `KEY=VALUE`), and checks it.
    ///
    /// # Errors
    /// When a layer can't be read, names an unknown key, or has a value that can't be used.
    pub fn load(file: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let yaml = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::File { path: file.display().to_string(), error })?;
        Self::parse(&yaml, environment(), sets)
    }

    /// The same for the text of a file and a given environment.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(yaml: &str, environment: HashMap<String, String>, sets: &[String]) -> Result<Self, ConfigError> {
        let usual =
            environment.get("KAFKA_BOOTSTRAP_SERVERS").map(|brokers| ("kafka.brokers".to_owned(), brokers.clone()));
        let ours = Environment::with_prefix("TAGBERT").prefix_separator("__").separator("__").source(Some(environment));
        let sets = sets.iter().map(|set| {
            let (key, value) = set.split_once('=').ok_or(ConfigError::Set)?;
            Ok((key.to_owned(), value.to_owned()))
        });
        let sets = sets.collect::<Result<Vec<_>, ConfigError>>()?;
        let layers = [
            config::Config::builder().add_source(File::from_str(yaml, FileFormat::Yaml)).build()?,
            overrides(usual)?,
            config::Config::builder().add_source(ours).build()?,
            overrides(sets)?,
        ];
        let mut merged = config::Config::builder();
        let mut properties = BTreeMap::new();
        for layer in layers {
            let tree: Value = layer.clone().try_deserialize()?;
            refuse_unknown_keys(&tree)?;
            // Dotted names may be written flat or nested; one layer must beat another either way.
            if let Some(given) = tree.pointer("/kafka/properties") {
                let why = |why| ConfigError::Value { key: "kafka.properties".into(), why };
                flatten(given, "", &mut properties).map_err(why)?;
            }
            merged = merged.add_source(layer);
        }
        let mut config: Self = merged.build()?.try_deserialize()?;
        config.kafka.properties = properties;
        config.read_secrets()?;
        config.validate()?;
        Ok(config)
    }
}

/// A layer of single keys.
fn overrides(keys: impl IntoIterator<Item = (String, String)>) -> Result<config::Config, ConfigError> {
    let mut layer = config::Config::builder();
    for (key, value) in keys {
        layer = layer.set_override(key, value).map_err(|_| ConfigError::Set)?;
    }
    Ok(layer.build()?)
}

/// The environment, without what is not UTF-8: none of that is ours.
pub(crate) fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Below these, any key is welcome.
const OPEN: [&str; 2] = ["kafka.properties.", "model.thresholds."];

/// Every key must be one that the defaults have.
fn refuse_unknown_keys(given: &Value) -> Result<(), ConfigError> {
    let every = Config { shadow: Some(Shadow::example()), ..Config::default() };
    let known = keys(&serde_json::to_value(every).unwrap_or_default(), "");
    for key in keys(given, "") {
        if known.contains(&key) || OPEN.iter().any(|open| key.starts_with(open)) {
            continue;
        }
        let alike = |candidate: &&String| strsim::damerau_levenshtein(candidate, &key);
        let same_name = known.iter().find(|candidate| candidate.rsplit('.').next() == key.rsplit('.').next());
        let near = |most| known.iter().min_by_key(alike).filter(|near| alike(near) <= most);
        let nearest = near(2).or(same_name).or_else(|| near(4));
        return Err(ConfigError::UnknownKey { nearest: nearest.cloned(), key });
    }
    Ok(())
}

/// All keys of a tree, dotted, sections before what is in them.
fn keys(tree: &Value, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in tree.as_object().into_iter().flatten() {
        let key = format!("{prefix}{key}");
        let below = keys(value, &format!("{key}."));
        found.push(key);
        found.extend(below);
    }
    found
}

/// A list, or its elements in one string, as the environment and `--set` have it: `a,b` or `[a, b]`.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Joined(String),
        Elements(Vec<String>),
    }
    Ok(match List::deserialize(from)? {
        List::Elements(elements) => elements,
        List::Joined(joined) => {
            let inner = joined.trim().trim_start_matches('[').trim_end_matches(']');
            inner.split(',').map(|element| element.trim().trim_matches(['"', '\'']).to_owned()).collect()
        }
    })
}

/// A time such as `5s`, or `off`, which is none.
pub(super) fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    if text == "off" {
        return Ok(Duration::ZERO);
    }
    let explain =
        |error| serde::de::Error::custom(format!("`{text}` is neither a time such as `5s` nor `off`: {error}"));
    humantime_serde::re::humantime::parse_duration(&text).map_err(explain)
}

/// librdkafka's dotted names, written flat (`{"sasl.password": …}`) or nested (`TAGBERT__KAFKA__PROPERTIES__SASL__PASSWORD`).
fn flatten(value: &Value, name: &str, into: &mut BTreeMap<String, String>) -> Result<(), String> {
    match value {
        Value::Object(nested) => {
            let dot = if name.is_empty() { "" } else { "." };
            nested.iter().try_for_each(|(key, value)| flatten(value, &format!("{name}{dot}{key}"), into))?;
        }
        Value::Null if name.is_empty() => {}
        _ if name.is_empty() => return Err("must be a map of librdkafka's properties".into()),
        Value::String(text) => drop(into.insert(name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => drop(into.insert(name.to_owned(), value.to_string())),
        Value::Null | Value::Array(_) => {
            return Err(format!("has `{name}`, which must be text, a number or a boolean"));
        }
    }
    Ok(())
}

/// Any tree: what it means is known only when all layers are.
pub(super) fn properties<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| BTreeMap::new())
}
