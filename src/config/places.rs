//! Where that stands which is checked only when the models are there: the expressions of routes.

use std::collections::BTreeMap;

use super::mistakes::order;
use super::place::Place;
use super::{Config, ConfigError};

/// The places of all expressions, by their keys.
///
/// `placed` gives a mistake its place.
pub(super) fn of(config: &Config, placed: impl Fn(ConfigError) -> ConfigError) -> BTreeMap<String, Place> {
    let mut keys = Vec::new();
    for (number, route) in config.routes.iter().enumerate() {
        let names = ["when", "to", "key", "partition"].map(ToOwned::to_owned);
        let names = names.into_iter().chain(route.headers.keys().map(|name| format!("headers.{name}")));
        keys.extend(names.map(|name| format!("routes[{number}].{name}")));
    }
    let place = |key: String| {
        let named = ConfigError::Value { key: key.clone(), why: String::new() };
        // The mistake shows the expression itself.
        let ConfigError::Placed { place, .. } = placed(named) else { return None };
        Some((key, place.without_excerpt()))
    };
    keys.into_iter().filter_map(place).collect()
}

impl Config {
    /// Mistakes that were found when the models were there, each with its place, in the order of the file.
    #[must_use]
    pub fn placed(&self, mistakes: Vec<ConfigError>) -> ConfigError {
        let placed = |error: ConfigError| match error.key().and_then(|key| self.places.get(key)) {
            Some(place) => ConfigError::Placed { place: place.clone(), error: Box::new(error) },
            None => error,
        };
        let mut all: Vec<_> = mistakes.into_iter().map(placed).collect();
        all.sort_by(|one, other| order(one).cmp(&order(other)));
        if all.len() == 1 { all.remove(0) } else { ConfigError::All(all) }
    }

    /// The same configuration, whose places name their file.
    pub(super) fn in_file(mut self, file: &str) -> Self {
        self.places = self.places.into_iter().map(|(key, place)| (key, place.in_file(file))).collect();
        self
    }
}
