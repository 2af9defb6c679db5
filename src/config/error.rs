//! What is said of a configuration that can't be used.

use super::place::Place;

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
    /// It is not the YAML that a configuration is written in.
    #[error("{0}")]
    Yaml(String),
    /// The layers can't be joined.
    #[error(transparent)]
    Layers(#[from] config::ConfigError),
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
    /// Any of these, with the line, the variable or the option where it stands.
    #[error("{place}: {error}")]
    Placed {
        /// Where.
        place: Place,
        /// What is wrong.
        error: Box<ConfigError>,
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
    /// All that is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    All(Vec<ConfigError>),
}

/// Refuses the value of a key.
pub(super) fn refuse<T>(key: &str, why: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Value { key: key.into(), why: why.into() })
}

impl ConfigError {
    /// The same, with the file that it is in; unless it says itself where it is.
    #[must_use]
    pub fn in_file(self, file: &str) -> Self {
        match self {
            Self::Placed { place, error } => Self::Placed { place: place.in_file(file), error },
            Self::All(errors) => Self::All(errors.into_iter().map(|error| error.in_file(file)).collect()),
            Self::File { .. } | Self::Set => self,
            error => Self::In { file: file.into(), error: Box::new(error) },
        }
    }

    /// For people: each mistake, with the line that it is in.
    #[must_use]
    pub fn report(&self) -> String {
        match self {
            Self::All(errors) => {
                let all: Vec<_> = errors.iter().map(Self::report).collect();
                format!("{} mistakes in the configuration\n{}", errors.len(), all.join("\n"))
            }
            Self::Placed { place, .. } => format!("{self}{}", place.excerpt()),
            error => error.to_string(),
        }
    }

    /// What it is about, if that is a key.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Value { key, .. } | Self::UnknownKey { key, .. } => Some(key),
            Self::Placed { error, .. } | Self::In { error, .. } => error.key(),
            _ => None,
        }
    }
}
