//! What the environment says of where models come from, and where copies go.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config;

/// Where models come from, and where copies of them go.
#[derive(Clone)]
pub struct Settings {
    /// The Hugging Face hub.
    pub hub: Hub,
    /// Where copies from elsewhere go; `None` if no place is known.
    pub cache: Option<PathBuf>,
    /// The `AWS_*` variables.
    pub aws: Vec<(String, String)>,
    /// A host that gives no answer, or no further byte, for so long is taken for dead.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hub: Hub::default(), cache: None, aws: Vec::new(), patience: Duration::from_secs(25) }
    }
}

/// The variables that say where the hub's cache is.
const PLACES: [&str; 5] = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"];

/// The Hugging Face hub. What is `None` is read by its library, from the variables that all such libraries know.
#[derive(Clone)]
pub struct Hub {
    /// `HF_ENDPOINT`.
    pub endpoint: Option<String>,
    /// `HF_TOKEN`, or the token that `hf auth login` has left.
    pub token: Option<String>,
    /// `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub cache: Option<PathBuf>,
    /// `HF_HUB_OFFLINE`: the cache is asked, and nothing else.
    pub offline: bool,
    /// Whether any variable says where the cache is: the library would take a directory that everyone may write to.
    pub has_place: bool,
}

impl Default for Hub {
    fn default() -> Self {
        Self { endpoint: None, token: None, cache: None, offline: false, has_place: true }
    }
}

impl Settings {
    /// Reads the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from(config::environment())
    }
}

impl From<HashMap<String, String>> for Settings {
    fn from(environment: HashMap<String, String>) -> Self {
        let directory = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || directory("HOME").map(|home| home.join(".cache"));
        let cache = || directory("XDG_CACHE_HOME").or_else(home).map(|cache| cache.join("tagbert/models"));
        let offline = environment.get("HF_HUB_OFFLINE").map(|value| value.to_ascii_lowercase());
        Self {
            hub: Hub {
                offline: offline.is_some_and(|value| ["1", "on", "true", "yes"].contains(&value.as_str())),
                has_place: PLACES.iter().any(|name| directory(name).is_some()),
                ..Hub::default()
            },
            cache: directory("TAGBERT_CACHE").or_else(cache),
            aws: environment.into_iter().filter(|(name, _)| name.starts_with("AWS_")).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<const N: usize>(environment: [(&str, &str); N]) -> Settings {
        environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<HashMap<_, _>>()
            .into()
    }

    #[test]
    fn the_cache_is_where_the_most_specific_variable_says() {
        let all = settings([("TAGBERT_CACHE", "/t"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(all.cache, Some("/t".into()));
        let some = settings([("TAGBERT_CACHE", ""), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(some.cache, Some("/x/tagbert/models".into()));
        assert_eq!(settings([("HOME", "/h")]).cache, Some("/h/.cache/tagbert/models".into()));
        assert_eq!(settings([]).cache, None);
    }

    #[test]
    fn offline_is_what_other_tools_of_the_hub_take_for_it() {
        for (value, offline) in [("1", true), ("TRUE", true), ("yes", true), ("0", false), ("", false)] {
            assert_eq!(settings([("HF_HUB_OFFLINE", value)]).hub.offline, offline, "{value}");
        }
    }

    #[test]
    fn without_a_home_the_hub_has_no_place_but_one_that_is_named() {
        assert!(!settings([("PATH", "/bin"), ("HOME", "")]).hub.has_place);
        for name in PLACES {
            assert!(settings([(name, "/place")]).hub.has_place, "{name}");
        }
    }
}
