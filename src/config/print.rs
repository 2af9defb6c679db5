//! The configuration as it is shown: secrets masked, and where each value came from. What is shown is a configuration, too.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value as Json;

use super::dotted::dotted;
use super::expand::escaped;
use super::layers::{environment, read};
use super::location::Location;
use super::secrets::{MASK, is_secret, looks_secret};
use super::{Config, ConfigError};

/// What stands for words to mask: a word itself, so that what is shown can be read again.
const WORDS_MASK: &str = "words masked";

impl Config {
    /// The configuration as JSON (which is YAML, too), with every secret masked.
    #[must_use]
    pub fn masked(&self) -> String {
        serde_json::to_string_pretty(&self.shown()).unwrap_or_default()
    }

    /// The configuration as YAML, each value with the line, variable or option that it came from, and every secret masked.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn explained(file: &Path, sets: &[String]) -> Result<String, ConfigError> {
        let (config, layers) = Self::with_layers(&read(file)?, environment(), sets)?;
        let name = file.display().to_string();
        let mut page = Page { yaml: String::new(), origin: &|key: &str| layers.origin(key, &name) };
        page.section(&config.shown(), "", 0, "");
        Ok(page.yaml)
    }

    fn shown(&self) -> Json {
        let mut config = self.clone();
        // What came from a file may be a secret, whatever its name.
        for (key, path) in &self.kafka.files {
            config.kafka.properties.remove(key.trim_end_matches("_file"));
            config.kafka.properties.insert(key.clone(), path.display().to_string());
        }
        if config.http.token_file.is_some() {
            config.http.token = None;
        }
        let registry = &mut config.registry;
        for (file, secret) in
            [(&registry.password_file, &mut registry.password), (&registry.token_file, &mut registry.token)]
        {
            *secret = secret.take().filter(|_| file.is_none());
        }
        // Words to mask are secrets, wherever they stand. Beside their file, they would be given twice.
        for rule in &mut config.redact {
            let words = rule.words.take().filter(|_| rule.words_file.is_none());
            rule.words = words.map(|_| vec![WORDS_MASK.into()]);
        }
        // As it is shown, a location has no password; a path is shown as it is.
        let shown = |path: &Location| Location::Directory(path.to_string().into());
        config.model.path = shown(&config.model.path);
        for tagger in &mut config.taggers {
            tagger.model.path = tagger.model.path.as_ref().map(shown);
        }
        if let Some(shadow) = &mut config.shadow {
            shadow.path = shown(&shadow.path);
        }
        self.mask(serde_json::to_value(&config).unwrap_or_default(), "")
    }

    fn mask(&self, value: Json, key: &str) -> Json {
        match value {
            Json::Object(table) => {
                let masked = table.into_iter().map(|(name, below)| {
                    let below = self.mask(below, &dotted(key, &name));
                    (name, below)
                });
                Json::Object(masked.collect())
            }
            Json::Array(elements) => {
                let masked = elements.into_iter().enumerate().map(|(n, one)| self.mask(one, &format!("{key}[{n}]")));
                Json::Array(masked.collect())
            }
            Json::Null => Json::Null,
            _ if is_secret(key) => MASK.into(),
            Json::String(text) if key.starts_with("kafka.properties.") && looks_secret(&text) => MASK.into(),
            other => match (self.from_files.get(key), other) {
                (Some(written), _) => written.clone().into(),
                (None, Json::String(text)) => escaped(&text).into(),
                (None, other) => other,
            },
        }
    }
}

/// YAML as it is written, with comments.
struct Page<'o> {
    yaml: String,
    /// Where the value of a key came from, if that is no default.
    origin: &'o dyn Fn(&str) -> Option<String>,
}

impl Page<'_> {
    /// The keys of a section, so many levels deep; before the first one stands `first` (a hyphen), if that is no blank.
    fn section(&mut self, section: &Json, key: &str, depth: usize, first: &str) {
        for (n, (name, value)) in section.as_object().into_iter().flatten().enumerate() {
            let indent = if n == 0 && !first.is_empty() { first.to_owned() } else { "  ".repeat(depth) };
            let _ = write!(self.yaml, "{indent}{}:", scalar(name));
            self.value(value, &dotted(key, name), depth + 1);
        }
    }

    fn value(&mut self, value: &Json, key: &str, depth: usize) {
        match value {
            Json::Object(table) if !table.is_empty() => {
                self.yaml.push('\n');
                self.section(value, key, depth, "");
            }
            Json::Array(elements) if elements.iter().any(Json::is_object) => {
                self.yaml.push('\n');
                let hyphen = format!("{}- ", "  ".repeat(depth - 1));
                for (n, element) in elements.iter().enumerate() {
                    self.section(element, &format!("{key}[{n}]"), depth, &hyphen);
                }
            }
            value => {
                let origin = (self.origin)(key).unwrap_or_else(|| "default".into());
                // A name may be anything, but it ends no comment.
                let origin: String = origin.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
                let _ = writeln!(self.yaml, " {}  # {origin}", in_line(value));
            }
        }
    }
}

fn in_line(value: &Json) -> String {
    match value {
        Json::String(text) => scalar(text),
        Json::Array(elements) => format!("[{}]", elements.iter().map(in_line).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A text as YAML: without quotes, if whoever reads it can't take it for anything else.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c));
    let is_word = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if is_plain && !is_word { text.to_owned() } else { Json::from(text).to_string() }
}
