//! The worker: a configuration made into a running line, and brought to a clean stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::budget::Budget;
use crate::config::Config;
use crate::health::Health;
use crate::http;
use crate::ledger::Ledger;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::signals;
use crate::sink::KafkaSink;
use crate::source::Source;
use crate::stop::Stop;
use crate::summary::Summary;
use crate::telemetry::Telemetry;

/// A worker that is ready to run: model warm, cluster reached, topics found.
pub struct Worker {
    source: Source,
    pipeline: Pipeline,
    telemetry: Telemetry,
    metrics: Arc<Metrics>,
    stop: Arc<Stop>,
    runtime: tokio::runtime::Runtime,
}

impl Worker {
    /// Loads the model, connects, and starts the stages; no record is read yet. With `until_end` the run is bounded.
    ///
    /// # Errors
    /// With the one thing that is wrong.
    pub fn start(config: &Config, until_end: bool) -> Result<Self> {
        // Few threads: it serves probes, and waits.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let telemetry = {
            let _inside = runtime.enter();
            Telemetry::start()?
        };
        let stop = Arc::new(Stop::default());
        // First of all: the first process of a container would not hear them otherwise.
        signals::stop_on_signals(&runtime, Arc::clone(&stop), config.shutdown.timeout)?;
        let health = Arc::new(Health::default());
        let ledger = Arc::new(Ledger::default());
        let budget = Budget::new(usize::try_from(config.limits.in_flight.as_u64())?);
        let metrics = Metrics::new(&telemetry.meter(), &budget);
        runtime.block_on(http::serve(config.http.listen, Arc::clone(&health), telemetry.registry.clone()))?;

        let started = Instant::now();
        let live = Live::load(config)?;
        health.set_warm();
        for identity in live.current().models() {
            tracing::info!("model: {} {}", identity.name, identity.version);
        }
        tracing::info!("loaded in {} ms", started.elapsed().as_millis());

        let sink = KafkaSink::connect(config, Arc::clone(&ledger), Arc::clone(&metrics), Arc::clone(&stop))?;
        let source =
            Source::connect(config, until_end, ledger, budget, Arc::clone(&metrics), health, Arc::clone(&stop))?
                .traced(telemetry.traces());
        let pipeline = Pipeline::start(config, &live, sink, &metrics, &stop)?;
        Ok(Self { source, pipeline, telemetry, metrics, stop, runtime })
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// What stops it.
    #[must_use]
    pub fn stop(&self) -> Arc<Stop> {
        Arc::clone(&self.stop)
    }

    /// Runs until it is stopped, or until the end of a bounded run.
    ///
    /// # Errors
    /// When something failed that can't be survived. Nothing is lost: offsets stay where they are.
    pub fn run(self) -> Result<Summary> {
        let result = self.source.run(self.pipeline);
        let summary = Summary::of(&self.metrics);
        {
            let _inside = self.runtime.enter();
            self.telemetry.stop();
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        match self.stop.take_failure() {
            Some(error) => Err(error),
            None => result.map(|()| summary),
        }
    }
}
