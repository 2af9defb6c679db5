//! Writes outcomes to the output topics.
//!
//! `Deliveries` decides what is sent, sent again, committed and given up; it asks the brokers through a seam
//! (`brokers.rs`), behind which is the client library (`client.rs`) or, in tests, brokers that do their worst.

mod brokers;
mod client;
mod deliveries;
mod ending;
mod flood;
pub(crate) mod pace;
pub(crate) mod parcel;
mod producer;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::Arc;

use anyhow::Result;
use rdkafka::consumer::BaseConsumer;

use self::client::Client;
use self::deliveries::{Books, Deliveries};
use super::ledger::Ledger;
use super::source::assignment::Assignment;
use super::source::watchdog::Pulse;
use super::tally::Tally;
use crate::config::Config;
use crate::pipeline::sink::Sink;
use crate::record::outcome::Outcome;
use crate::record::stop::Stop;
use crate::telemetry::metrics::Metrics;

/// The sink of `tagbert run`.
pub struct KafkaSink(Deliveries<Client>);

impl KafkaSink {
    /// Connects the producer. Under exactly-once, the offsets are those of the consumer's group.
    ///
    /// # Errors
    /// When a property is unknown or has a wrong value, or the brokers refuse transactions.
    pub fn connect(
        config: &Config,
        consumer: Arc<BaseConsumer<Assignment>>,
        ledger: Arc<Ledger>,
        metrics: Arc<Metrics>,
        tally: Option<Arc<Tally>>,
        stop: Arc<Stop>,
        pulse: Pulse,
    ) -> Result<Self> {
        let brokers = Client::connect(config, consumer, Arc::clone(&stop), pulse)?;
        Ok(Self(Deliveries::new(config, brokers, ledger, Books { metrics, tally }, stop)))
    }
}

impl Sink for KafkaSink {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        self.0.deliver(outcome)
    }

    fn tick(&mut self) -> Result<()> {
        self.0.tick()
    }
}
