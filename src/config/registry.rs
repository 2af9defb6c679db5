//! The schema registry, and how to speak to it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::refuse;
use super::kinds::Time;
use super::{Config, ConfigError};

/// A schema registry that speaks as Confluent's does.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// Where it is: of Confluent's the address alone, of Apicurio's with `/apis/ccompat/v7` behind it.
    #[schemars(with = "Option<String>", example = &"http://localhost:8081")]
    pub url: Option<Url>,
    /// The name to log in with, or an API key.
    pub username: Option<String>,
    /// Its password, or secret.
    pub password: Option<String>,
    /// The file that has the password.
    #[schemars(example = &"/run/secrets/registry-password")]
    pub password_file: Option<PathBuf>,
    /// Instead of them, a token: `Authorization: Bearer TOKEN`.
    pub token: Option<String>,
    /// The file that has the token.
    #[schemars(example = &"/run/secrets/registry-token")]
    pub token_file: Option<PathBuf>,
    /// A file with the certificates (PEM) of those who may sign the registry's, if they are none that all know.
    #[schemars(example = &"/etc/tagbert/ca.pem")]
    pub ca: Option<PathBuf>,
    /// A file with the certificate (PEM) to show, if the registry asks for one.
    #[schemars(example = &"/etc/tagbert/client.pem")]
    pub certificate: Option<PathBuf>,
    /// The file with its private key (PEM).
    #[schemars(example = &"/run/secrets/registry-key")]
    pub key: Option<PathBuf>,
    /// Under which subject the schema of enriched records is registered: by the topic (`documents.tagged-value`), by the
    /// record, or by both.
    pub subjects: Subjects,
    /// Whether schemas are registered that are not there yet. Without it, they must be there, or the worker stops.
    pub auto_register: bool,
    /// How long it may take to answer. It is asked up to five times.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub timeout: Duration,
}

/// Which subject a schema is registered under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subjects {
    /// The topic's, with `-value` behind it: one type of records for a topic.
    #[default]
    TopicName,
    /// The record's name: one type of records for all topics.
    RecordName,
    /// The topic's and the record's.
    TopicRecordName,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            url: None,
            username: None,
            password: None,
            password_file: None,
            token: None,
            token_file: None,
            ca: None,
            certificate: None,
            key: None,
            subjects: Subjects::default(),
            auto_register: true,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    pub(super) fn validate_registry(&self) -> Result<(), ConfigError> {
        let Registry { url, username, password, token, timeout, .. } = &self.registry;
        let Some(url) = url else {
            if let Some(format) = self.input.format.asks_the_registry() {
                return refuse("registry.url", format!("is missing, which `input.format: {format}` needs"));
            }
            if let Some(format) = self.output.format.with_schema() {
                return refuse("registry.url", format!("is missing, which `output.format: {format}` needs"));
            }
            return Ok(());
        };
        if !["http", "https"].contains(&url.scheme()) {
            return refuse("registry.url", "must begin with `http://` or `https://`");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("registry.url", "has a password: set `registry.username` and `registry.password_file`");
        }
        if username.is_some() != password.is_some() {
            return refuse("registry.password", "goes with `registry.username`, each with the other");
        }
        if username.is_some() && token.is_some() {
            return refuse("registry.token", "is another way than `registry.username`: set one of them");
        }
        if self.registry.certificate.is_some() != self.registry.key.is_some() {
            return refuse("registry.key", "goes with `registry.certificate`, each with the other");
        }
        if timeout.is_zero() || *timeout > Duration::from_mins(1) {
            return refuse("registry.timeout", "must be more than 0, and a minute or less");
        }
        Ok(())
    }
}
