//! How results are delivered, and what is done when something fails.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::error::refuse;
use super::kinds::{Size, Time};
use super::mistakes::Mistakes;

/// What readers of the output may count on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Offsets are committed once results are acknowledged: nothing is lost, and a crash may write some results twice.
    #[default]
    AtLeastOnce,
    /// Results, dead letters and offsets go in one Kafka transaction (KIP-98, KIP-447): who reads with
    /// `isolation.level=read_committed` sees each result once.
    ExactlyOnce,
}

/// When a transaction is committed, whichever comes first. Readers see its records only then.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transaction {
    /// So long after its first record. Shorter than half of `kafka.properties.transaction.timeout.ms`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub interval: Duration,
    /// With so many records.
    pub records: usize,
    /// With so many bytes of records.
    #[schemars(with = "Size")]
    pub bytes: ByteSize,
}

impl Default for Transaction {
    fn default() -> Self {
        Self { interval: Duration::from_millis(200), records: 10_000, bytes: ByteSize::mib(16) }
    }
}

/// How often what failed is tried again: a model run, or a delivery that the brokers refuse for now. (A broker that is
/// slow or away is waited for without end.) Each wait is twice as long as the one before, give or take a half.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// After so many, a record that the model fails on is done with as `dead_letters.policy` says; if it is the delivery
    /// that fails, the worker stops, with offsets unmoved.
    pub max: u32,
    /// The first wait.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub backoff: Duration,
    /// The longest.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub max_backoff: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { max: 5, backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(10) }
    }
}

impl Retries {
    /// The wait before the retry of this number, from 1 on: exponential, at most the longest, give or take a half.
    #[must_use]
    pub fn wait_before(&self, number: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (number - 1).min(20));
        doubled.min(self.max_backoff).mul_f64(0.5 + fastrand::f64())
    }
}

/// What is done with records that can't be tagged or delivered.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetters {
    /// What becomes of such a record.
    pub policy: Policy,
    /// So many in a row stop the worker, with the offset of the last one unmoved: something is wrong upstream.
    pub max_consecutive: Option<u32>,
    /// So stops a share of them, 0 to 1, among the latest 1,000 records (or 100, early on).
    #[schemars(example = 0.5)]
    pub max_ratio: Option<f64>,
    /// Whether what `redact` says is masked in dead letters, too. What can't be masked in them is left out, and the headers
    /// say why; replayed, they are what they have become.
    pub redact: bool,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self { policy: Policy::default(), max_consecutive: Some(1000), max_ratio: None, redact: false }
    }
}

/// What becomes of a record that can't be tagged or delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It goes to the dead-letter topic.
    #[default]
    DeadLetter,
    /// It is counted, and nothing else.
    Skip,
    /// The worker stops, with the record's offset unmoved.
    Stop,
}

/// What Kafka Streams takes. A crashed worker holds up the readers of its output for so long.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

impl Config {
    /// How long the brokers let a transaction be open.
    #[must_use]
    pub fn transaction_timeout(&self) -> Duration {
        let given = self.kafka.properties.get("transaction.timeout.ms").and_then(|millis| millis.parse().ok());
        given.map_or(TRANSACTION_TIMEOUT, Duration::from_millis)
    }

    pub(super) fn validate_delivery(&self, mistakes: &mut Mistakes) {
        let timeout = self.transaction_timeout();
        if self.transaction.interval > timeout / 2 {
            let keys = ["transaction.interval", "kafka.properties.transaction.timeout.ms"];
            let why = format!("must be at most half of transaction.timeout.ms, which is {} ms", timeout.as_millis());
            mistakes.check(&keys, refuse("transaction.interval", why));
        }
        let mut check = |is_wrong: bool, reads: &str, key: &str, why: &str| {
            if is_wrong {
                mistakes.check(&[reads], refuse(key, why));
            }
        };
        let (retries, dead_letters) = (&self.retries, &self.dead_letters);
        check(self.transaction.records == 0, "transaction.records", "transaction.records", "must be 1 or more");
        check(
            retries.backoff.is_zero() || retries.max_backoff < retries.backoff,
            "retries",
            "retries.max_backoff",
            "must be `retries.backoff` or more, and that must not be 0",
        );
        let key = "dead_letters.max_consecutive";
        check(dead_letters.max_consecutive == Some(0), key, key, "must be 1 or more; null turns it off");
        let key = "dead_letters.max_ratio";
        let is_ratio = |ratio| (0.0..=1.0).contains(&ratio);
        check(!dead_letters.max_ratio.is_none_or(is_ratio), key, key, "must be between 0 and 1; null turns it off");
    }
}
