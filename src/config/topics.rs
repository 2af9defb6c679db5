//! What can be known to be wrong with topics before the cluster is asked; and which topics are read, of those that there are.

use std::collections::BTreeSet;

use regex::Regex;

use super::error::refuse;
use super::mistakes::Mistakes;
use super::{Config, ConfigError, Route};

/// Topics of the brokers' own begin so.
const INTERNAL: &str = "__";

/// Which topics are read: those that are named, and those that a pattern matches (`^logs\..*`). What the worker writes to is
/// never read, and the brokers' own topics only if a pattern begins as they do.
#[derive(Clone, Debug)]
pub struct Inputs {
    names: Vec<String>,
    patterns: Vec<Regex>,
    outputs: Vec<String>,
}

impl Inputs {
    /// Those that are configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let (patterns, names): (Vec<_>, Vec<_>) =
            config.input.topics.iter().cloned().partition(|topic| is_pattern(topic));
        let patterns = patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
        let outputs = config.outputs().into_iter().map(|(_, topic)| topic.to_owned()).collect();
        Self { names, patterns, outputs }
    }

    /// Those that are named.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether topics may come and go.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Which of these topics are read.
    #[must_use]
    pub fn among<'t>(&self, topics: impl IntoIterator<Item = &'t str>) -> BTreeSet<String> {
        topics.into_iter().filter(|topic| self.has(topic)).map(ToOwned::to_owned).collect()
    }

    fn has(&self, topic: &str) -> bool {
        let is_matched = |pattern: &Regex| {
            pattern.is_match(topic) && (!topic.starts_with(INTERNAL) || pattern.as_str().starts_with("^__"))
        };
        let is_output = || self.outputs.iter().any(|output| output == topic);
        self.names.iter().any(|name| name == topic) || self.patterns.iter().any(is_matched) && !is_output()
    }
}

/// As librdkafka tells them.
fn is_pattern(topic: &str) -> bool {
    topic.starts_with('^')
}

impl Config {
    /// Every topic that the worker writes to, with its key.
    #[must_use]
    pub fn outputs(&self) -> Vec<(&'static str, &str)> {
        let usual = self.takes_the_rest().then_some(("output.topic", self.output.topic.as_str()));
        let routed = self.routes.iter().flat_map(Route::targets).map(|topic| ("routes", topic.as_str()));
        usual.into_iter().chain([("output.dead_letters", self.output.dead_letters.as_str())]).chain(routed).collect()
    }

    pub(super) fn validate_topics(&self, mistakes: &mut Mistakes) {
        let inputs = &self.input.topics;
        if inputs.is_empty() || inputs.iter().any(String::is_empty) {
            mistakes.check(&["input.topics"], refuse("input.topics", "names no topic"));
        }
        for topic in inputs {
            let found = if is_pattern(topic) { validate_pattern(topic) } else { validate_name("input.topics", topic) };
            mistakes.check(&["input.topics"], found);
        }
        if let Some(twice) = inputs.iter().enumerate().find(|(n, topic)| inputs[..*n].contains(topic)) {
            mistakes.check(&["input.topics"], refuse("input.topics", format!("names `{}` twice", twice.1)));
        }
        for (key, topic) in [("output.topic", &self.output.topic), ("output.dead_letters", &self.output.dead_letters)] {
            mistakes.check(&[key], validate_name(key, topic));
            if inputs.contains(topic) {
                let why = format!("`{topic}` is an input topic too: its records would go round for ever");
                mistakes.check(&["input.topics", key], refuse(key, why));
            }
        }
        if self.output.topic == self.output.dead_letters {
            let keys = ["output.topic", "output.dead_letters"];
            mistakes.check(&keys, refuse("output.dead_letters", "must not be `output.topic`"));
        }
    }
}

fn validate_pattern(pattern: &str) -> Result<(), ConfigError> {
    match Regex::new(pattern) {
        Ok(_) => Ok(()),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            refuse("input.topics", format!("has `{}`, a pattern that can't be used: {why}", pattern.escape_debug()))
        }
    }
}

/// Whether Kafka takes it as a topic's name.
pub(super) fn is_topic(name: &str) -> bool {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.chars().all(is_known) && name.len() <= 249 && ![".", ".."].contains(&name)
}

fn validate_name(key: &str, topic: &str) -> Result<(), ConfigError> {
    if topic.is_empty() {
        return refuse(key, "is empty");
    }
    if is_topic(topic) {
        return Ok(());
    }
    let looks_like_pattern = topic.contains(['^', '*', '$', '[', '(', '|', '?', '+', '\\']);
    let what = match (looks_like_pattern, key) {
        (true, "input.topics") => "a pattern without the `^` that patterns begin with (`^logs\\..*`)",
        (true, _) => "a pattern: the topic is named",
        (false, _) => "no topic's name",
    };
    let why = format!(
        "has `{}`, {what}; up to 249 letters, digits, `.`, `_` and `-` make a name, such as `documents`",
        topic.escape_debug()
    );
    refuse(key, why)
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn a_pattern_reads_what_it_matches_but_never_what_the_worker_writes_nor_the_brokers_own() {
        let yaml =
            "input: {topics: ['^logs\\..*', plain, '^a$']}\noutput: {topic: logs.tagged, dead_letters: logs.dead}";
        let inputs = Inputs::of(&parse(yaml, &[], &[]).unwrap());
        let all = [
            "logs.a",
            "logs.b",
            "logs",
            "logsx",
            "my.logs.a",
            "logs.tagged",
            "logs.dead",
            "plain",
            "plainer",
            "a",
            "ab",
        ];
        let read: Vec<_> = inputs.among(all).into_iter().collect();
        assert_eq!(read, ["a", "logs.a", "logs.b", "plain"]);
        let all = ["__consumer_offsets", "__mine", "documents", "documents.tagged"];
        let of = |pattern: &str| {
            let set = format!("input.topics=[{pattern}]");
            Inputs::of(&parse("", &[], &[&set]).unwrap()).among(all).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of("^.*"), ["documents"]);
        assert_eq!(of("^__m"), ["__mine"]);
        assert!(parse("input: {topics: ['^a(']}", &[], &[]).unwrap_err().contains("can't be used: unclosed group"));
    }
}
