//! `input.start`: where a group begins that has committed nothing yet.

use std::fmt;
use std::time::Duration;

use humantime_serde::re::humantime;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::refuse;
use super::{Config, ConfigError};

/// Where a group begins that has committed nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// At the first records that there are.
    Earliest,
    /// Behind the last ones.
    Latest,
    /// At the first records of this time or later.
    Time(Timestamp),
    /// At the first records that are so old at most.
    Ago(Duration),
}

impl TryFrom<String> for Start {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ago = text.trim().trim_end_matches("ago");
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => {
                text.parse().map(Self::Time).or_else(|_| humantime::parse_duration(ago).map(Self::Ago)).map_err(|_| {
                    format!(
                        "is `{text}`: must be earliest, latest, a time (2026-11-01T00:00:00Z), or so long ago (2h ago)"
                    )
                })
            }
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Ago(ago) => write!(f, "{} ago", humantime::format_duration(*ago)),
        }
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        start.to_string()
    }
}

impl Config {
    /// A group begins once: what is latest then is not what is latest in a partition that comes later.
    pub(super) fn validate_start(&self) -> Result<(), ConfigError> {
        let reset = self.kafka.properties.get("auto.offset.reset");
        match reset.filter(|reset| self.input.start.is_some() && ["latest", "largest", "end"].contains(&reset.as_str()))
        {
            Some(reset) => refuse(
                "input.start",
                format!(
                    "and `auto.offset.reset: {reset}` are given: with the latter, the first records of partitions that \
                     come later would be passed over; leave it out, and say `input.start: latest` if that was meant"
                ),
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_an_end_of_the_log_a_time_or_so_long_ago_and_prints_as_what_it_is() {
        let hours = Duration::from_hours(2);
        for (text, start) in [
            ("earliest", Start::Earliest),
            ("latest", Start::Latest),
            ("2026-11-01T00:00:00Z", Start::Time("2026-11-01T00:00:00Z".parse().unwrap())),
            ("2h ago", Start::Ago(hours)),
            ("2h", Start::Ago(hours)),
            ("1h 60m ago", Start::Ago(hours)),
        ] {
            assert_eq!(Start::try_from(text.to_owned()), Ok(start), "{text}");
            assert_eq!(Start::try_from(start.to_string()), Ok(start), "{text}");
        }
        for wrong in ["", "ago", "2", "yesterday", "2026-11-01", "-2h", "end"] {
            assert!(Start::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
