//! Reading the configuration: defaults < file < environment < `--set`. Whatever the layer, a value is the text that was
//! written, and the key says what it means.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use config::{Environment, Map, Source, Value, ValueKind};
use serde::{Deserialize, Deserializer};

use super::words::Words;
use super::{Config, ConfigError, written};

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
        environment.keys().try_for_each(|variable| refuse_single(variable, &WORDS))?;
        let [usual, ours] = of_environment(environment)?;
        let written = written::read(yaml)?;
        written.iter().try_for_each(|(key, value)| check_elements(key, value.origin().unwrap_or_default()))?;
        let layers = [written, usual, ours, of_sets(sets)?].map(|table| Value::new(None, table));
        let mut merged = config::Config::builder();
        let mut properties = BTreeMap::new();
        for layer in &layers {
            // Dotted names may be written flat or nested, from the top of a file on; one layer must beat another either way.
            let whole = config::Config::builder().add_source(Layer(layer.clone())).build()?.cache;
            if let Some(given) = find(&whole, "kafka.properties") {
                flatten(given, "", &mut properties)?;
            }
            merged = merged.add_source(Layer(layer.clone()));
        }
        let tree = merged.build()?.cache;
        let placed = |error: ConfigError| placed(error, &layers);
        WORDS.check(&tree).map_err(placed)?;
        let config = Self::deserialize(tree.clone()).map_err(|error| explain(error, &WORDS, &tree));
        let mut config = config.map_err(placed)?;
        config.kafka.properties = properties;
        config.read_secrets().and_then(|()| config.validate()).map_err(placed)?;
        Ok(config)
    }
}

/// Made once, since it never changes, and takes longer to make than a configuration to read.
static WORDS: LazyLock<Words> = LazyLock::new(Words::new);

/// How our own variables begin.
const PREFIX: &str = "TAGBERT";

/// Keys and values of one source.
type Table = Map<String, Value>;

/// A source that has been read.
#[derive(Clone, Debug)]
struct Layer(Value);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, config::ConfigError> {
        self.0.clone().into_table()
    }
}

/// What the environment says: by the variable that other clients of Kafka know, and by our own.
fn of_environment(environment: HashMap<String, String>) -> Result<[Table; 2], ConfigError> {
    let ours = |name: &&String| name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    environment.keys().filter(ours).try_for_each(|name| check_elements(name, name))?;
    let usual = "KAFKA_BOOTSTRAP_SERVERS";
    let brokers = environment.get(usual).map(|brokers| ("kafka.brokers", brokers.clone()));
    let ours = Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(environment));
    let ours = config::Config::builder().add_source(ours).build()?.cache;
    Ok([overrides(brokers, usual)?, ours.into_table()?])
}

/// Refuses a variable that was meant for a key, and would be passed over.
fn refuse_single(variable: &str, words: &Words) -> Result<(), ConfigError> {
    let upper = variable.to_uppercase();
    let Some(name) = upper.strip_prefix("TAGBERT_").filter(|name| !name.starts_with('_') && *name != "CACHE") else {
        return Ok(());
    };
    let Some(key) = words.meant_by(name) else { return Ok(()) };
    let right = key.to_uppercase().replace('.', "__");
    let why = format!("is TAGBERT__{right} in the environment: two underscores, before a section and behind it");
    let error = ConfigError::Value { key, why };
    Err(ConfigError::Placed { place: variable.to_owned(), error: Box::new(error) })
}

fn of_sets(sets: &[String]) -> Result<Table, ConfigError> {
    let sets = sets.iter().map(|set| {
        let (key, value) = set.split_once('=').ok_or(ConfigError::Set)?;
        Ok((key, value.to_owned()))
    });
    overrides(sets.collect::<Result<Vec<_>, ConfigError>>()?, "--set")
}

/// A layer of single keys.
fn overrides<'k>(keys: impl IntoIterator<Item = (&'k str, String)>, origin: &str) -> Result<Table, ConfigError> {
    let mut layer = config::Config::builder();
    for (key, text) in keys {
        check_elements(key, origin)?;
        let value = Value::new(Some(&origin.to_owned()), text);
        layer = layer.set_override(key, value).map_err(|_| ConfigError::Set)?;
    }
    Ok(layer.build()?.cache.into_table()?)
}

/// The library makes a list as long as the number in a key says: `a[99999999999]` would be all memory, and more.
fn check_elements(key: &str, origin: &str) -> Result<(), ConfigError> {
    let is_far = |part: &str| {
        let number = part.split(']').next().unwrap_or_default().trim().trim_start_matches(['-', '0']);
        number.len() > 3 && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut parts = key.split('[');
    let list = parts.next().unwrap_or_default();
    if !parts.any(is_far) {
        return Ok(());
    }
    let why = "has an element with a number of more than three digits: number them 0, 1, 2 …".into();
    let error = ConfigError::Value { key: list.to_owned(), why };
    Err(ConfigError::Placed { place: origin.to_owned(), error: Box::new(error) })
}

/// The value of a dotted key, however deep it is written.
fn find<'t>(tree: &'t Value, key: &str) -> Option<&'t Value> {
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

/// Where a key stands in the last layer that has it, or else the section that it is missing in.
fn origin<'t>(layers: &'t [Value], key: &str) -> Option<&'t str> {
    let here = layers.iter().rev().find_map(|layer| find(layer, key)?.origin());
    here.or_else(|| origin(layers, key.rsplit_once(['.', '['])?.0))
}

/// The error with the line, the variable or the option where its key stands, if it has one.
fn placed(error: ConfigError, layers: &[Value]) -> ConfigError {
    let (ConfigError::Value { key, .. } | ConfigError::UnknownKey { key, .. }) = &error else { return error };
    let Some(place) = origin(layers, key) else { return error };
    let place = match place {
        "the environment" => format!("TAGBERT__{}", key.to_uppercase().replace('.', "__")),
        place => place.to_owned(),
    };
    ConfigError::Placed { place, error: Box::new(error) }
}

/// What a key's own type does not take, in the schema's words; or in the type's, where they say more.
fn explain(error: config::ConfigError, words: &Words, tree: &Value) -> ConfigError {
    use config::ConfigError::{At, Message, NotFound, Type};
    let dotted =
        |key: &str| key.replace(']', "].").replace("].[", "][").replace("..", ".").trim_end_matches('.').to_owned();
    match error {
        NotFound(key) => words.missing(&dotted(&key)),
        At { error, key: Some(key), .. } if !words.knows(&dotted(&key)) && matches!(*error, Message(_)) => {
            ConfigError::Value { key: dotted(&key), why: error.to_string() }
        }
        At { key: Some(ref key), .. } | Type { key: Some(ref key), .. } => match find(tree, &dotted(key)) {
            Some(value) => words.explain(&dotted(key), value),
            None => error.into(),
        },
        other => other.into(),
    }
}

/// The environment, without what is not UTF-8: none of that is ours.
pub(crate) fn environment() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A list, or its elements in one string, as the environment and `--set` have it: `a,b` or `[a, b]`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum List {
    Joined(String),
    Elements(Vec<String>),
}

impl From<List> for Vec<String> {
    fn from(list: List) -> Self {
        match list {
            List::Elements(elements) => elements,
            List::Joined(joined) => {
                let inner = joined.trim().trim_start_matches('[').trim_end_matches(']');
                inner.split(',').map(|element| element.trim().trim_matches(['"', '\'']).to_owned()).collect()
            }
        }
    }
}

/// Reads a list.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    List::deserialize(from).map(Vec::from)
}

/// The same where it may be left out.
pub(super) fn some_list<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    Option::<List>::deserialize(from).map(|list| list.map(Vec::from))
}

/// A time such as `5s`, or `off`, which is none.
pub(super) fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    if text == "off" {
        return Ok(Duration::ZERO);
    }
    humantime_serde::re::humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

/// librdkafka's dotted names, written flat (`{"sasl.password": …}`) or nested (`TAGBERT__KAFKA__PROPERTIES__SASL__PASSWORD`).
fn flatten(value: &Value, name: &str, into: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
    let what = match &value.kind {
        ValueKind::Table(nested) => {
            let dot = if name.is_empty() { "" } else { "." };
            return nested.iter().try_for_each(|(key, value)| flatten(value, &format!("{name}{dot}{key}"), into));
        }
        // `properties:` alone says nothing, and a text in their place is the schema's to refuse.
        _ if name.is_empty() => return Ok(()),
        ValueKind::Array(_) => "is a list",
        ValueKind::Nil => "is empty",
        text => {
            into.insert(name.to_owned(), text.to_string());
            return Ok(());
        }
    };
    let why = format!("{what}: it must be a text, a number or a boolean, as librdkafka takes it; '' is the empty text");
    // Without a blank behind the colon, the value has become a part of the name: it may be a password.
    let name = name.split(':').next().unwrap_or(name);
    let error = ConfigError::Value { key: format!("kafka.properties.{name}"), why };
    Err(match value.origin() {
        Some(place) => ConfigError::Placed { place: place.to_owned(), error: Box::new(error) },
        None => error,
    })
}

/// Any tree: what it means is known only when all layers are.
pub(super) fn properties<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| BTreeMap::new())
}
