//! Secrets: from files, as Kubernetes and Docker mount them, and never shown (G-29).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::location::Location;
use super::mark::text_without_mark;
use super::{Config, ConfigError};

/// `sasl.password_file` names the file that has `sasl.password`. No property of librdkafka ends like this.
const SUFFIX: &str = "_file";

/// Far more than a chain of certificates has.
const MOST: u64 = 1 << 20;

const MASK: &str = "********";

impl Config {
    /// Puts what the named files hold in its place.
    pub(super) fn read_secrets(&mut self) -> Result<(), ConfigError> {
        let kafka = &mut self.kafka;
        let named = kafka.properties.keys().filter(|key| key.ends_with(SUFFIX)).cloned().collect::<Vec<_>>();
        for key in named {
            let name = key.trim_end_matches(SUFFIX);
            if kafka.properties.contains_key(name) {
                return Err(both(&format!("kafka.properties.{name}")));
            }
            let path = PathBuf::from(kafka.properties.remove(&key).unwrap_or_default());
            kafka.properties.insert(name.into(), read(&format!("kafka.properties.{key}"), &path)?);
            kafka.files.insert(key, path);
        }
        if let Some(path) = &self.http.token_file {
            if self.http.token.is_some() {
                return Err(both("http.token"));
            }
            self.http.token = Some(read("http.token_file", path)?);
        }
        let registry = &mut self.registry;
        for (key, file, secret) in [
            ("password", &registry.password_file, &mut registry.password),
            ("token", &registry.token_file, &mut registry.token),
        ] {
            let Some(path) = file else { continue };
            if secret.is_some() {
                return Err(both(&format!("registry.{key}")));
            }
            *secret = Some(read(&format!("registry.{key}_file"), path)?);
        }
        Ok(())
    }

    /// The configuration as JSON (which is YAML, too), with every secret masked.
    #[must_use]
    pub fn masked(&self) -> String {
        let mut masked = self.clone();
        let properties = &mut masked.kafka.properties;
        for (key, value) in &mut *properties {
            let has_user = last(key) == "url" && value.contains('@');
            if has_user || is_secret(key) {
                *value = MASK.into();
            }
        }
        // What came from a file may be a secret, whatever its name.
        for (key, path) in &self.kafka.files {
            properties.remove(key.trim_end_matches(SUFFIX));
            properties.insert(key.clone(), path.display().to_string());
        }
        let from_file = masked.http.token_file.is_some();
        masked.http.token = masked.http.token.filter(|_| !from_file).map(|_| MASK.into());
        let registry = &mut masked.registry;
        for (file, secret) in
            [(&registry.password_file, &mut registry.password), (&registry.token_file, &mut registry.token)]
        {
            *secret = secret.take().filter(|_| file.is_none()).map(|_| MASK.into());
        }
        // As it is shown, a location has no password; a path is shown as it is.
        let shown = |path: &Location| Location::Directory(path.to_string().into());
        masked.model.path = shown(&masked.model.path);
        for tagger in &mut masked.taggers {
            tagger.model.path = tagger.model.path.as_ref().map(shown);
        }
        if let Some(shadow) = &mut masked.shadow {
            shadow.path = shown(&shadow.path);
        }
        serde_json::to_string_pretty(&masked).unwrap_or_default()
    }
}

fn both(key: &str) -> ConfigError {
    ConfigError::Value { key: key.into(), why: format!("is given, and `{key}{SUFFIX}` too: give one of them") }
}

/// A file's text, without the byte order mark that editors leave before it, and the newline at its end.
fn read(key: &str, path: &Path) -> Result<String, ConfigError> {
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

/// librdkafka's secret properties: passwords, keys in PEM form, client secrets, and anything that looks like one.
fn is_secret(property: &str) -> bool {
    // Java's `sasl.jaas.config` is none of librdkafka's; it has a password all the same.
    ["password", "passphrase", "secret", ".pem", "sasl.oauthbearer.config", "token", "jaas"]
        .iter()
        .any(|part| property.contains(part))
        && !matches!(last(property), "url" | "location")
}

/// The last part of a dotted name.
fn last(property: &str) -> &str {
    property.rsplit('.').next().unwrap_or(property)
}
