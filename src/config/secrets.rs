//! Secrets: from files, as Kubernetes and Docker mount them, and never shown (G-29).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::key::Key;
use super::mark::text_without_mark;
use super::mistakes::Mistakes;
use super::{Config, ConfigError};

/// `sasl.password_file` names the file that has `sasl.password`. No property of librdkafka ends like this.
const SUFFIX: &str = "_file";

/// Far more than a chain of certificates has.
const MOST: u64 = 1 << 20;

pub(super) const MASK: &str = "********";

impl Config {
    /// Puts what the named files hold in its place.
    pub(super) fn read_secrets(&mut self, mistakes: &mut Mistakes) {
        let kafka = &mut self.kafka;
        let named = kafka.properties.keys().filter(|key| key.ends_with(SUFFIX)).cloned().collect::<Vec<_>>();
        for key in named {
            let name = key.trim_end_matches(SUFFIX);
            let path = PathBuf::from(kafka.properties.remove(&key).unwrap_or_default());
            let secret = if kafka.properties.contains_key(name) {
                Err(both(&format!("kafka.properties.{name}")))
            } else {
                read(&format!("kafka.properties.{key}"), &path)
            };
            // Whatever it is, it is not missing.
            kafka.properties.insert(name.into(), mistakes.take(secret).unwrap_or_else(|| MASK.into()));
            kafka.files.insert(key, path);
        }
        if let Some(path) = &self.http.token_file {
            let secret =
                if self.http.token.is_some() { Err(both("http.token")) } else { read("http.token_file", path) };
            self.http.token = mistakes.take(secret);
        }
        let registry = &mut self.registry;
        for (key, file, secret) in [
            ("password", &registry.password_file, &mut registry.password),
            ("token", &registry.token_file, &mut registry.token),
        ] {
            let Some(path) = file else { continue };
            let key = format!("registry.{key}");
            let read = if secret.is_some() { Err(both(&key)) } else { read(&format!("{key}{SUFFIX}"), path) };
            // Whatever it is, it is not missing.
            *secret = Some(mistakes.take(read).unwrap_or_else(|| MASK.into()));
        }
        for (number, rule) in self.redact.iter_mut().enumerate() {
            if let Some(path) = &rule.key_file {
                let key = read(&format!("redact[{number}].key_file"), path);
                rule.key = Key(mistakes.take(key).unwrap_or_else(|| MASK.into()));
            }
            if let Some(path) = &rule.words_file {
                let lines = match rule.words {
                    Some(_) => Err(both(&format!("redact[{number}].words"))),
                    None => read(&format!("redact[{number}].words_file"), path),
                };
                // Whatever they are, they are not missing.
                let lines = mistakes.take(lines).unwrap_or_else(|| MASK.into());
                rule.words =
                    Some(lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(Into::into).collect());
            }
        }
    }
}

fn both(key: &str) -> ConfigError {
    ConfigError::Value { key: key.into(), why: format!("is given, and `{key}{SUFFIX}` too: give one of them") }
}

/// A file's text, without the byte order mark that editors leave before it, and the newline at its end.
pub(super) fn read(key: &str, path: &Path) -> Result<String, ConfigError> {
    let refuse = |why: String| ConfigError::Value { key: key.into(), why: format!("names {}: {why}", path.display()) };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    file.take(MOST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => refuse("it is not UTF-8".into()),
        _ => refuse(error.to_string()),
    })?;
    match text_without_mark(&text).trim_end_matches(['\r', '\n']) {
        "" => Err(refuse("it is empty".into())),
        _ if text.len() as u64 > MOST => Err(refuse(format!("it has more than {MOST} bytes"))),
        secret => Ok(secret.into()),
    }
}

/// Whether a key is one of a secret: what is not librdkafka's says so by its name.
pub(super) fn is_secret(key: &str) -> bool {
    match key.strip_prefix("kafka.properties.") {
        Some(property) => is_secret_property(property),
        None => last(key).rsplit('_').next().is_some_and(|word| ["password", "secret", "token"].contains(&word)),
    }
}

/// librdkafka's secret properties: passwords, keys in PEM form, client secrets, and anything that looks like one.
fn is_secret_property(property: &str) -> bool {
    // Java's `sasl.jaas.config` is none of librdkafka's; it has a password all the same.
    ["password", "passphrase", "secret", ".pem", "sasl.oauthbearer.config", "token", "jaas"]
        .iter()
        .any(|part| property.contains(part))
        && !matches!(last(property), "url" | "location")
        && !property.ends_with(SUFFIX)
}

/// Whether a text has a secret in it, whatever its key: an address with a user or a signature, or what was meant for a map.
pub(super) fn looks_secret(text: &str) -> bool {
    let is_address = text.contains("://") && text.contains(['@', '?']);
    let is_pair = |word: &str| text.split_once(word).is_some_and(|(_, rest)| rest.contains([':', '=']));
    is_address || ["password", "secret", "token"].into_iter().any(is_pair)
}

/// The last part of a dotted name.
fn last(property: &str) -> &str {
    property.rsplit('.').next().unwrap_or(property)
}
