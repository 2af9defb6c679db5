//! `auto.offset.reset`: where reading begins in a partition for which the group has committed no offset, or one that the log
//! does not have.

use std::fmt;

use rdkafka::Offset;

use crate::config::Config;

/// What `auto.offset.reset` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// At the first record that is there. librdkafka's own default, `latest`, loses what was written before the first start,
    /// without a word.
    Earliest,
    /// Behind the last one.
    Latest,
    /// Nowhere: the worker stops.
    Error,
}

impl Reset {
    /// As it is configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        match config.kafka.properties.get("auto.offset.reset").map(String::as_str) {
            Some("latest" | "largest" | "end") => Self::Latest,
            Some("error" | "none") => Self::Error,
            _ => Self::Earliest,
        }
    }

    /// For a bounded run: it reads what there is. At the end it would find nothing to do, and call it done.
    #[must_use]
    pub fn bounded(self) -> Self {
        if self != Self::Latest {
            return self;
        }
        tracing::info!("a bounded run reads what there is: `auto.offset.reset: latest` counts as `earliest`");
        Self::Earliest
    }

    /// The place, if there is one.
    #[must_use]
    pub fn place(self) -> Option<Offset> {
        match self {
            Self::Earliest => Some(Offset::Beginning),
            Self::Latest => Some(Offset::End),
            Self::Error => None,
        }
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::Error => "error",
        })
    }
}
