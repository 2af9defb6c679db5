//! All that is wrong with a configuration, and each thing once.

use super::ConfigError;

/// More than that help nobody.
const MOST: usize = 50;

/// What was found to be wrong so far.
#[derive(Default)]
pub(super) struct Mistakes {
    all: Vec<ConfigError>,
    /// So many of them were found when the layers were read: in the place of those values, checks see defaults.
    unread: usize,
}

impl Mistakes {
    /// Takes a mistake down, unless there is one of the same key.
    pub fn note(&mut self, error: ConfigError) {
        let is_new = error.key().is_none_or(|key| !self.has(key));
        if is_new && self.all.len() < MOST {
            self.all.push(error);
        }
    }

    /// Says that the layers are read: now come the checks.
    pub fn all_is_read(&mut self) {
        self.unread = self.all.len();
    }

    /// Whether there is one of exactly this key.
    pub fn has(&self, key: &str) -> bool {
        self.all.iter().any(|error| error.key() == Some(key))
    }

    /// What was found, if it could be.
    pub fn take<T>(&mut self, found: Result<T, ConfigError>) -> Option<T> {
        found.map_err(|error| self.note(error)).ok()
    }

    /// What a check found that looks at these keys; but if one of them could not be read, the check has seen its default,
    /// and what it found is no mistake of anybody's.
    pub fn check(&mut self, keys: &[&str], found: Result<(), ConfigError>) {
        let touches = |error: &ConfigError| match error {
            ConfigError::UnknownKey { nearest: Some(meant), .. } => keys.iter().any(|key| overlap(key, meant)),
            error => error.key().is_some_and(|wrong| keys.iter().any(|key| overlap(key, wrong))),
        };
        if !self.all[..self.unread].iter().any(touches) {
            self.take(found);
        }
    }

    /// Those that have a key.
    pub fn keys(&self) -> Vec<String> {
        self.all.iter().filter_map(ConfigError::key).map(ToOwned::to_owned).collect()
    }

    /// Nothing, if nothing is wrong; otherwise all of it, each as `placed` makes it, in the order of the file.
    pub fn end(self, placed: impl Fn(ConfigError) -> ConfigError) -> Result<(), ConfigError> {
        let mut all: Vec<_> = self.all.into_iter().map(placed).collect();
        all.sort_by(|one, other| order(one).cmp(&order(other)));
        match all.len() {
            0 => Ok(()),
            1 => Err(all.remove(0)),
            _ => Err(ConfigError::All(all)),
        }
    }
}

/// What is in the file comes first.
pub(super) fn order(error: &ConfigError) -> (usize, usize, &str) {
    match error {
        ConfigError::Placed { place, .. } => place.order(),
        _ => (usize::MAX, 1, ""),
    }
}

/// Whether one key is the other, or stands within it.
fn overlap(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(one, other) || within(other, one)
}
