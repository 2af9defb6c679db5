//! What can be known to be wrong with the way to the cluster before anything is asked of it.

use super::error::refuse;
use super::mistakes::Mistakes;
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

    pub(super) fn validate_cluster(&self, mistakes: &mut Mistakes) {
        let properties = &self.kafka.properties;
        for (key, why) in REFUSED.iter().filter(|(key, _)| properties.contains_key(*key)) {
            let key = format!("kafka.properties.{key}");
            mistakes.check(&[&key], refuse(&key, format!("can't be set: {why}")));
        }
        for (key, _) in properties.iter().filter(|(key, value)| key.contains('\0') || value.contains('\0')) {
            let key = format!("kafka.properties.{}", key.escape_default());
            mistakes.check(&[&key], refuse(&key, "has a NUL byte"));
        }
        if self.kafka.brokers.trim().is_empty() {
            mistakes.check(&["kafka.brokers"], refuse("kafka.brokers", "is empty"));
        }
        if self.kafka.group.is_empty() {
            mistakes.check(&["kafka.group"], refuse("kafka.group", "is empty"));
        }
        let heartbeats = ["kafka.properties.heartbeat.interval.ms", "kafka.properties.session.timeout.ms"];
        mistakes.check(&heartbeats, self.validate_heartbeat());
        mistakes.check(&["kafka.properties.auto.offset.reset"], self.validate_reset());
        mistakes.check(&["kafka.properties"], self.validate_security());
    }

    fn validate_reset(&self) -> Result<(), ConfigError> {
        let reset = self.kafka.properties.get("auto.offset.reset");
        let Some(reset) = reset.filter(|reset| !RESETS.contains(&reset.as_str())) else { return Ok(()) };
        let meant = near::meant(near::word(reset, &RESETS).map(ToOwned::to_owned));
        refuse_property("auto.offset.reset", format!("is `{reset}`: {meant}must be earliest, latest or error"))
    }

    fn validate_heartbeat(&self) -> Result<(), ConfigError> {
        let heartbeat = self.kafka.properties.get("heartbeat.interval.ms");
        let heartbeat = heartbeat.and_then(|millis| millis.parse::<u64>().ok());
        if let (Some(heartbeat), Some(session)) = (heartbeat, self.session_timeout())
            && heartbeat >= session
        {
            let why = format!("must be less than session.timeout.ms, which is {session}: a third of it or less");
            return refuse_property("heartbeat.interval.ms", why);
        }
        Ok(())
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
}

fn refuse_property<T>(name: &str, why: impl Into<String>) -> Result<T, ConfigError> {
    refuse(&format!("kafka.properties.{name}"), why)
}

fn in_words(all: &[&str]) -> String {
    let (last, others) = all.split_last().unwrap_or((&"", &[]));
    format!("{} or {last}", others.join(", "))
}
