//! What can be known to be wrong with the way to the cluster before anything is asked of it.

use std::collections::HashSet;

use super::error::refuse;
use super::{Config, ConfigError, near};

/// Properties that would break a promise, or that tagbert sets by another name (G-11).
pub(super) const REFUSED: [(&str, &str); 11] = [
    ("enable.auto.commit", "offsets are committed only when every result is acknowledged"),
    ("enable.auto.offset.store", "offsets are committed only when every result is acknowledged"),
    ("transactional.id", "transactions are tagbert's own affair"),
    ("isolation.level", "aborted records must never be read as documents"),
    ("enable.partition.eof", "the ends of partitions are looked for by it"),
    ("statistics.interval.ms", "lag and stalled partitions are looked for by it, once a second"),
    ("enable.idempotence", "without it a retry could break the order, or write a record twice"),
    ("delivery.report.only.error", "offsets are committed when results are acknowledged, so it must hear of that"),
    ("bootstrap.servers", "set `kafka.brokers` instead"),
    ("metadata.broker.list", "set `kafka.brokers` instead"),
    ("group.id", "set `kafka.group` instead"),
];

/// What `security.protocol` may be.
const PROTOCOLS: [&str; 4] = ["ssl", "sasl_ssl", "sasl_plaintext", "plaintext"];

/// What `auto.offset.reset` may be: librdkafka's words, and Java's for `error`.
const RESETS: [&str; 8] = ["earliest", "latest", "error", "smallest", "beginning", "largest", "end", "none"];

/// The mechanisms of SASL that this build has.
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

impl Config {
    /// After so many milliseconds without a heartbeat a worker is taken for dead, if that is said.
    #[must_use]
    pub fn session_timeout(&self) -> Option<u64> {
        self.kafka.properties.get("session.timeout.ms")?.parse().ok()
    }

    pub(super) fn validate_cluster(&self) -> Result<(), ConfigError> {
        let properties = &self.kafka.properties;
        for (key, why) in REFUSED {
            if properties.contains_key(key) {
                return refuse(&format!("kafka.properties.{key}"), format!("can't be set: {why}"));
            }
        }
        if let Some((key, _)) = properties.iter().find(|(key, value)| key.contains('\0') || value.contains('\0')) {
            return refuse(&format!("kafka.properties.{}", key.escape_default()), "has a NUL byte");
        }
        if self.kafka.brokers.trim().is_empty() {
            return refuse("kafka.brokers", "is empty");
        }
        if self.kafka.group.is_empty() {
            return refuse("kafka.group", "is empty");
        }
        if let Some(reset) = properties.get("auto.offset.reset").filter(|reset| !RESETS.contains(&reset.as_str())) {
            let meant = near::meant(near::word(reset, &RESETS).map(ToOwned::to_owned));
            return refuse_property(
                "auto.offset.reset",
                format!("is `{reset}`: {meant}must be earliest, latest or error"),
            );
        }
        let heartbeat = properties.get("heartbeat.interval.ms").and_then(|millis| millis.parse::<u64>().ok());
        if let (Some(heartbeat), Some(session)) = (heartbeat, self.session_timeout())
            && heartbeat >= session
        {
            let why = format!("must be less than session.timeout.ms, which is {session}: a third of it or less");
            return refuse_property("heartbeat.interval.ms", why);
        }
        self.validate_security()?;
        self.validate_topics()
    }

    /// The library says "recompile librdkafka", or nothing until nobody answers.
    fn validate_security(&self) -> Result<(), ConfigError> {
        let given = |name: &str| self.kafka.properties.get(name).map(String::as_str);
        let protocol = given("security.protocol").unwrap_or("plaintext").to_lowercase();
        if !PROTOCOLS.contains(&protocol.as_str()) {
            let meant = near::word(&protocol.replace('-', "_"), &PROTOCOLS).map(str::to_uppercase);
            let meant = near::meant(meant);
            let why = format!("is `{protocol}`: {meant}must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL");
            return refuse_property("security.protocol", why);
        }
        let named = ["sasl.mechanism", "sasl.mechanisms"].into_iter().find_map(|name| Some((name, given(name)?)));
        match named {
            Some((name, mechanism)) if !protocol.starts_with("sasl") => refuse_property(
                name,
                format!(
                    "is `{mechanism}`, but no login is made over {}: set `security.protocol: SASL_SSL` too \
                     (or SASL_PLAINTEXT, where the network is your own)",
                    protocol.to_uppercase()
                ),
            ),
            Some((name, mechanism)) => self.validate_mechanism(name, mechanism),
            None if protocol.starts_with("sasl") => refuse_property(
                "sasl.mechanism",
                format!(
                    "is missing, which `security.protocol: {}` needs: it must be {}",
                    protocol.to_uppercase(),
                    in_words(&MECHANISMS)
                ),
            ),
            None => Ok(()),
        }
    }

    fn validate_mechanism(&self, name: &str, mechanism: &str) -> Result<(), ConfigError> {
        let given = |name: &str| self.kafka.properties.get(name).is_some_and(|value| !value.is_empty());
        if !MECHANISMS.contains(&mechanism) {
            let lower = MECHANISMS.map(str::to_lowercase);
            let meant = near::word(mechanism, &lower.each_ref().map(String::as_str)).map(str::to_uppercase);
            let meant = near::meant(meant);
            let why = format!("is `{mechanism}`: {meant}must be {} (Kerberos is not built in)", in_words(&MECHANISMS));
            return refuse_property(name, why);
        }
        if mechanism == "OAUTHBEARER" {
            let ways = ["sasl.oauthbearer.method", "enable.sasl.oauthbearer.unsecure.jwt"];
            if ways.iter().any(|way| given(way)) {
                return Ok(());
            }
            return refuse_property(
                "sasl.oauthbearer.method",
                "is missing, which OAUTHBEARER needs: `oidc`, with `sasl.oauthbearer.client.id`, \
                 `sasl.oauthbearer.client.secret` and `sasl.oauthbearer.token.endpoint.url`",
            );
        }
        match ["sasl.username", "sasl.password"].into_iter().find(|name| !given(name)) {
            Some(missing) => refuse_property(
                missing,
                format!("is missing, which {mechanism} needs; `{missing}_file` may name a file"),
            ),
            None => Ok(()),
        }
    }

    fn validate_topics(&self) -> Result<(), ConfigError> {
        if self.input.topics.is_empty() || self.input.topics.iter().any(String::is_empty) {
            return refuse("input.topics", "names no topic");
        }
        let outputs = [("output.topic", &self.output.topic), ("output.dead_letters", &self.output.dead_letters)];
        let inputs = self.input.topics.iter().map(|topic| ("input.topics", topic));
        for (key, topic) in inputs.chain(outputs) {
            if topic.is_empty() {
                return refuse(key, "is empty");
            }
            if !is_topic(topic) {
                let is_pattern = topic.contains(['^', '*', '$', '[', '(', '|', '?', '+', '\\']);
                let what = if is_pattern { "a pattern: each topic is named" } else { "no topic's name" };
                let why = format!(
                    "has `{}`, {what}; up to 249 letters, digits, `.`, `_` and `-` make a name, such as `documents`",
                    topic.escape_debug()
                );
                return refuse(key, why);
            }
        }
        let mut topics = HashSet::new();
        if let Some(twice) = self.input.topics.iter().find(|topic| !topics.insert(*topic)) {
            return refuse("input.topics", format!("names `{twice}` twice"));
        }
        for (key, topic) in outputs {
            if self.input.topics.contains(topic) {
                return refuse(key, format!("`{topic}` is an input topic too: its records would go round for ever"));
            }
        }
        if self.output.topic == self.output.dead_letters {
            return refuse("output.dead_letters", "must not be `output.topic`");
        }
        Ok(())
    }
}

/// Whether Kafka takes it as a topic's name.
pub(super) fn is_topic(name: &str) -> bool {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.chars().all(is_known) && name.len() <= 249 && ![".", ".."].contains(&name)
}

fn refuse_property<T>(name: &str, why: impl Into<String>) -> Result<T, ConfigError> {
    refuse(&format!("kafka.properties.{name}"), why)
}

fn in_words(all: &[&str]) -> String {
    let (last, others) = all.split_last().unwrap_or((&"", &[]));
    format!("{} or {last}", others.join(", "))
}
