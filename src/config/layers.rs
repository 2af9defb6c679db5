//! Reading the configuration: defaults < file < environment < `--set`. Whatever the layer, a value is the text that was
//! written, and the key says what it means.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use config::{Environment, Map, Source, Value, ValueKind};
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer};

use super::dotted::dotted;
use super::expand::Expansion;
use super::mark::text_without_mark;
use super::mistakes::Mistakes;
use super::place::{Lines, Origin, Place};
use super::tree::{deserialize, find};
use super::words::{Words, elements, shown};
use super::{Config, ConfigError, cores, places, twice, written};

impl Config {
    /// Reads the configuration from `file`, the environment and `sets` (each `KEY=VALUE`), and checks it.
    ///
    /// # Errors
    /// When a layer can't be read, names an unknown key, or has a value that can't be used: all such mistakes.
    pub fn load(file: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        Self::parse(&read(file)?, environment(), sets).map(|config| config.in_file(&file.display().to_string()))
    }

    /// The same for the text of a file and a given environment.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(yaml: &str, environment: HashMap<String, String>, sets: &[String]) -> Result<Self, ConfigError> {
        Self::with_layers(yaml, environment, sets).map(|(config, _)| config)
    }

    /// The same, with the layers that it was made of.
    pub(super) fn with_layers(
        yaml: &str,
        environment: HashMap<String, String>,
        sets: &[String],
    ) -> Result<(Self, Layers), ConfigError> {
        let yaml = text_without_mark(yaml);
        let mut mistakes = Mistakes::default();
        let (layers, from_files) = Layers::read(yaml, environment, sets, &mut mistakes)?;
        let (tree, properties) = layers.merge(&mut mistakes)?;
        WORDS.check(&tree, &mut mistakes);
        let mut config = deserialize(tree, &WORDS, &mut mistakes);
        mistakes.all_is_read();
        config.kafka.properties = properties;
        config.from_files = from_files;
        config.read_secrets(&mut mistakes);
        config.validate(&mut mistakes);
        let lines = Lines::new(yaml, &layers.0[FILE]);
        mistakes.end(|error| layers.placed(layers.unread(error, &config), &lines))?;
        config.places = places::of(&config, |error| layers.placed(error, &lines));
        Ok((config, layers))
    }
}

/// The text of a configuration's file.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|error| ConfigError::File { path: file.display().to_string(), error })
}

/// What was written, from the layer that counts least: the file, the usual variable, our own variables, `--set`.
pub(super) struct Layers([Value; 4]);

/// The layer that is a file.
const FILE: usize = 0;

impl Layers {
    /// Reads them, and says what the values that have a file's text in them were written as.
    fn read(
        yaml: &str,
        mut environment: HashMap<String, String>,
        sets: &[String],
        mistakes: &mut Mistakes,
    ) -> Result<(Self, BTreeMap<String, String>), ConfigError> {
        let mut written = written::read(yaml, mistakes)?;
        written.retain(|key, value| {
            let origin = value.origin().and_then(|origin| origin.parse::<Origin>().ok());
            let place = origin.map(|origin| Lines::unread(yaml).place(origin.key));
            mistakes.take(check_elements(key, place)).is_some()
        });
        let mut written = Value::new(None, written);
        twice::note(&written, yaml, mistakes);
        let mut expansion = Expansion { environment: &environment, mistakes, from_files: BTreeMap::new() };
        expansion.expand(&mut written, "");
        let mut from_files = expansion.from_files;
        mistakes.take(cores::check(&environment));
        for variable in environment.keys() {
            mistakes.take(refuse_single(variable, &WORDS));
        }
        environment.retain(|name, _| {
            !is_ours(name) || mistakes.take(check_elements(name, Some(Place::Elsewhere(name.clone())))).is_some()
        });
        let [usual, ours] = of_environment(environment)?;
        let sets = of_sets(sets, mistakes)?;
        let [usual, ours, sets] = [usual, ours, sets].map(|table| Value::new(None, table));
        let layers = Self([written, usual, ours, sets]);
        from_files.retain(|key, _| layers.0[FILE + 1..].iter().all(|layer| find(layer, key).is_none()));
        Ok((layers, from_files))
    }

    /// All layers in one, and the properties of librdkafka, whose dotted names may be written flat or nested in each.
    fn merge(&self, mistakes: &mut Mistakes) -> Result<(Value, BTreeMap<String, String>), ConfigError> {
        let mut merged = config::Config::builder();
        let mut properties = BTreeMap::new();
        for layer in &self.0 {
            let whole = config::Config::builder().add_source(Layer(layer.clone())).build()?.cache;
            if let Some(given) = find(&whole, "kafka.properties") {
                flatten(given, "", &mut properties, mistakes);
            }
            merged = merged.add_source(Layer(layer.clone()));
        }
        Ok((merged.build()?.cache, properties))
    }

    /// The error without what a file of secrets has in it.
    fn unread(&self, error: ConfigError, config: &Config) -> ConfigError {
        let text = |key: &str| Some((config.from_files.get(key)?, self.last(key)?.kind.to_string()));
        match error {
            ConfigError::Value { key, why } => {
                let why = text(&key).map_or(why.clone(), |(written, text)| why.replace(&shown(&text), written));
                ConfigError::Value { key, why }
            }
            other => other,
        }
    }

    /// The keys at the top of the file.
    pub fn keys_of_file(&self) -> impl Iterator<Item = &str> {
        let table = match &self.0[FILE].kind {
            ValueKind::Table(table) => Some(table),
            _ => None,
        };
        table.into_iter().flat_map(|table| table.keys().map(String::as_str))
    }

    /// What is written of a key in the last layer that has it.
    fn last(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find_map(|layer| find(layer, key))
    }

    /// The error with the line, the variable or the option where its key stands, if it has one, or else the section that it is
    /// missing in.
    fn placed(&self, error: ConfigError, lines: &Lines<'_>) -> ConfigError {
        let (ConfigError::Value { key, .. } | ConfigError::UnknownKey { key, .. }) = &error else { return error };
        let mut at = key.as_str();
        let value = loop {
            match self.last(at).filter(|value| value.origin().is_some()) {
                Some(value) => break value,
                None => match at.rsplit_once(['.', '[']) {
                    Some((section, _)) => at = section,
                    None => return error,
                },
            }
        };
        let origin = value.origin().unwrap_or_default();
        let place = match origin.parse::<Origin>() {
            Ok(origin) => match error {
                ConfigError::UnknownKey { .. } => lines.place_of_key(origin.key),
                _ if at == key => lines.place(origin.value),
                _ => lines.place(origin.key),
            },
            Err(()) => Place::Elsewhere(elsewhere(origin, key)),
        };
        ConfigError::Placed { place, error: Box::new(error) }
    }

    /// Where the value of a key comes from: `None` for a default.
    pub fn origin(&self, key: &str, file: &str) -> Option<String> {
        let origin = self.last(key)?.origin()?;
        Some(match origin.parse::<Origin>() {
            Ok(origin) => format!("{file}:{}", origin.key.line),
            Err(()) => elsewhere(origin, key),
        })
    }
}

/// The variable or the option that a key was set by.
fn elsewhere(origin: &str, key: &str) -> String {
    match origin {
        "the environment" => format!("{PREFIX}__{}", key.to_uppercase().replace('.', "__")),
        other => other.to_owned(),
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
    let usual = "KAFKA_BOOTSTRAP_SERVERS";
    let brokers = environment.get(usual).map(|brokers| ("kafka.brokers", brokers.clone()));
    let ours = Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(environment));
    let ours = config::Config::builder().add_source(ours).build()?.cache;
    Ok([overrides(brokers, usual)?, ours.into_table()?])
}

fn is_ours(variable: &str) -> bool {
    variable.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
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
    Err(ConfigError::Placed { place: Place::Elsewhere(variable.to_owned()), error: Box::new(error) })
}

fn of_sets(sets: &[String], mistakes: &mut Mistakes) -> Result<Table, ConfigError> {
    let sets = sets.iter().filter_map(|set| {
        let pair = set.split_once('=').ok_or(ConfigError::Set);
        let (key, value) = mistakes.take(
            pair.and_then(|pair| check_elements(pair.0, Some(Place::Elsewhere("--set".into()))).map(|()| pair)),
        )?;
        Some((key, value.to_owned()))
    });
    overrides(sets.collect::<Vec<_>>(), "--set")
}

/// A layer of single keys.
fn overrides<'k>(keys: impl IntoIterator<Item = (&'k str, String)>, origin: &str) -> Result<Table, ConfigError> {
    let mut layer = config::Config::builder();
    for (key, text) in keys {
        let value = Value::new(Some(&origin.to_owned()), text);
        layer = layer.set_override(key, value).map_err(|_| ConfigError::Set)?;
    }
    Ok(layer.build()?.cache.into_table()?)
}

/// The library makes a list as long as the number in a key says: `a[99999999999]` would be all memory, and more.
fn check_elements(key: &str, place: Option<Place>) -> Result<(), ConfigError> {
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
    Err(match place {
        Some(place) => ConfigError::Placed { place, error: Box::new(error) },
        None => error,
    })
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
            List::Joined(joined) => elements(&joined).map(ToOwned::to_owned).collect(),
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

/// Reads a list of words that are known.
pub(super) fn words<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    known(list(from)?)
}

/// The same where it may be left out.
pub(super) fn some_words<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Vec<T>>, D::Error> {
    some_list(from)?.map(known).transpose()
}

fn known<'de, T: Deserialize<'de>, E: serde::de::Error>(words: Vec<String>) -> Result<Vec<T>, E> {
    words.into_iter().map(|word| T::deserialize(word.into_deserializer())).collect()
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
fn flatten(value: &Value, name: &str, into: &mut BTreeMap<String, String>, mistakes: &mut Mistakes) {
    let what = match &value.kind {
        ValueKind::Table(nested) => {
            for (key, value) in nested {
                flatten(value, &dotted(name, key), into, mistakes);
            }
            return;
        }
        // `properties:` alone says nothing, and a text in their place is the schema's to refuse.
        _ if name.is_empty() => return,
        ValueKind::Array(_) => "is a list",
        ValueKind::Nil => "is empty",
        text => {
            into.insert(name.to_owned(), text.to_string());
            return;
        }
    };
    let why = format!("{what}: it must be a text, a number or a boolean, as librdkafka takes it; '' is the empty text");
    // Without a blank behind the colon, the value has become a part of the name: it may be a password.
    let name = name.split(':').next().unwrap_or(name);
    mistakes.note(ConfigError::Value { key: format!("kafka.properties.{name}"), why });
}

/// Any tree: what it means is known only when all layers are.
pub(super) fn properties<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| BTreeMap::new())
}
