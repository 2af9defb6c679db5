//! Reaches the cluster at the start: what can't come right is said soon, and brokers that are late are waited for.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::clients::{REQUEST_TIMEOUT, consumer, plain, refused};
use crate::config::Config;

/// How often it is looked whether waiting is of any use.
const LOOK: Duration = Duration::from_secs(2);

/// How long it is then listened to what the library has met.
const LISTEN: Duration = Duration::from_millis(200);

/// How often it is said that brokers are waited for.
const SAY: Duration = Duration::from_mins(1);

/// Whether brokers that can't be reached are worth waiting for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Patience {
    /// Whoever asked is told soon.
    OneRequest,
    /// A service has nothing else to do.
    Endless,
}

/// The cluster's topics, all of them: to ask for one by name may create it.
///
/// # Errors
/// When a property is wrong, or the cluster can't be reached or refuses the worker.
pub fn metadata(config: &Config) -> Result<Metadata> {
    reach(config, Patience::OneRequest)
}

/// The same; brokers that can't be reached are waited for, without end (G-16).
///
/// # Errors
/// When a property is wrong, or brokers that can be reached refuse the worker, or none is there but listeners of another protocol.
pub fn metadata_when_there(config: &Config) -> Result<Metadata> {
    reach(config, Patience::Endless)
}

/// How many partitions each topic of the cluster has.
///
/// # Errors
/// When the cluster does not tell.
pub fn partition_counts(config: &Config) -> Result<HashMap<String, i32>> {
    let metadata = metadata(config)?;
    let count = |topic: &MetadataTopic| (topic.name().to_owned(), topic.partitions().len() as i32);
    Ok(metadata.topics().iter().map(count).collect())
}

fn reach(config: &Config, patience: Patience) -> Result<Metadata> {
    let mut client = consumer(config, 1);
    // That somebody hangs up is no more than information to the library.
    let client = client.set("statistics.interval.ms", "0").set_log_level(RDKafkaLogLevel::Info);
    let client: BaseConsumer<Witness> = client.create_with_context(Witness::default()).map_err(refused)?;
    ask(&client, config, patience).with_context(|| no_connection(config))
}

fn no_connection(config: &Config) -> String {
    format!("kafka.brokers: no connection to {}", config.kafka.brokers)
}

/// The library goes on trying for ever; what it meets meanwhile, it tells only to who polls.
fn ask(client: &BaseConsumer<Witness>, config: &Config, patience: Patience) -> Result<Metadata> {
    let started = Instant::now();
    let mut deadline = started + REQUEST_TIMEOUT;
    loop {
        let error = match client.fetch_metadata(None, LOOK) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        // One poll passes one message on, and does not tell whether there are more.
        let until = Instant::now() + LISTEN;
        while Instant::now() < until {
            drop(client.poll(LISTEN / 10));
        }
        let witness = client.context();
        if let Some(reason) = witness.refused.get() {
            bail!("{reason}: {HINT}");
        }
        if Instant::now() >= deadline {
            let met = witness.take();
            let is_hopeless = met.is_hopeless();
            let last = met.last.unwrap_or_else(|| plain(&error));
            let protocol =
                config.kafka.properties.get("security.protocol").map_or("PLAINTEXT, unless set", String::as_str);
            let seconds = started.elapsed().as_secs();
            let why = format!(
                "no answer in {seconds} s: {last}; `security.protocol` is {protocol}: is the listener of that kind?"
            );
            if patience == Patience::OneRequest || is_hopeless {
                bail!(why);
            }
            tracing::warn!("{}: {why}; waiting for the brokers", no_connection(config));
            deadline = Instant::now() + SAY;
        }
    }
}

/// Whether a listener of another protocol is there: it hangs up on a worker that begins to speak, or its answer can't be read.
fn is_another_protocol(reason: &str) -> bool {
    reason.contains("Disconnected") || reason.contains("Invalid response size")
}

/// Where to look when the brokers and the worker do not trust each other.
const HINT: &str = "look at `security.protocol`, `sasl.*` and `ssl.*` of kafka.properties";

/// Keeps what went wrong, to tell it once.
#[derive(Default)]
struct Witness {
    /// Credentials or certificates that one side does not take: that does not pass.
    refused: OnceLock<String>,
    met: Mutex<Met>,
}

/// What else was met, since it was last said.
#[derive(Default)]
struct Met {
    last: Option<String>,
    /// Somebody could not be reached: one broker that is merely down may be the one that will answer.
    away: bool,
}

impl Met {
    /// Whether waiting would not help.
    fn is_hopeless(&self) -> bool {
        self.last.is_some() && !self.away
    }
}

impl Witness {
    fn meet(&self, reason: &str) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.away |= !is_another_protocol(reason);
        met.last = Some(reason.to_owned());
    }

    fn take(&self) -> Met {
        mem::take(&mut self.met.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Witness {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility}: {message}");
        if facility == "FAIL" {
            let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
            self.meet(reason);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{Authentication, Fatal, SSL, SaslAuthenticationFailed};
        let code = error.rdkafka_error_code();
        // Under TLS 1.3, that a certificate is not taken is told only once the connection is up, as an alert.
        let alert = reason.contains("SSL alert number");
        if alert || matches!(code, Some(Authentication | Fatal | SSL | SaslAuthenticationFailed)) {
            let _ = self.refused.set(reason.to_owned());
        }
        // That all are down only sums up.
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.meet(reason);
        }
    }
}

impl ConsumerContext for Witness {}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: &str = "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
    const HANGS_UP: &str = "Disconnected while requesting ApiVersion (after 0ms in state APIVERSION_QUERY)";
    const HTTP: &str = "Receive failed: Invalid response size 1213486160 (0..100000000)";

    fn is_hopeless(reasons: &[&str]) -> bool {
        let witness = Witness::default();
        for reason in reasons {
            witness.meet(reason);
        }
        witness.take().is_hopeless()
    }

    #[test]
    fn waiting_is_hopeless_only_where_nobody_is_away_whoever_was_met_last() {
        assert!(is_hopeless(&[HANGS_UP]) && is_hopeless(&[HTTP]) && is_hopeless(&[HTTP, HANGS_UP]));
        assert!(!is_hopeless(&[DOWN, HANGS_UP]) && !is_hopeless(&[HANGS_UP, DOWN]) && !is_hopeless(&[DOWN, HTTP]));
        assert!(!is_hopeless(&[]));
    }

    #[test]
    fn what_was_said_does_not_count_again() {
        let witness = Witness::default();
        witness.meet(DOWN);
        assert!(!witness.take().is_hopeless());
        witness.meet(HANGS_UP);
        assert!(witness.take().is_hopeless());
    }
}
