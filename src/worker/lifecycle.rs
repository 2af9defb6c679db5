//! The worker: a configuration made into a running line, and brought to a clean stop.

use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::http::{self, Shown};
use super::summary::Summary;
use super::{service, signals};
use crate::codec::outputs::Outputs;
use crate::codec::registry::Registry;
use crate::config::Config;
use crate::kafka::ledger::Ledger;
use crate::kafka::sink::KafkaSink;
use crate::kafka::source::Source;
use crate::kafka::source::bounds::Bounds;
use crate::kafka::tally::{Part, Tally};
use crate::pipeline::Pipeline;
use crate::record::answer::Identity;
use crate::record::budget::Budget;
use crate::record::stop::Stop;
use crate::route::Router;
use crate::tagger::live::Live;
use crate::tagger::reload::{self, Reloader};
use crate::tagger::shadow::Shadow;
use crate::telemetry::Telemetry;
use crate::telemetry::health::Health;
use crate::telemetry::memory;
use crate::telemetry::metrics::Metrics;

/// A worker that is ready to run: model warm, cluster reached, topics found.
pub struct Worker {
    models: Vec<Identity>,
    source: Source,
    pipeline: Pipeline,
    telemetry: Telemetry,
    metrics: Arc<Metrics>,
    stop: Arc<Stop>,
    shadow: Option<Arc<Shadow>>,
    /// Threads that run models beside the line.
    beside: Vec<JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

/// How long a model that runs beside the line may take to finish, once all else is done.
const PATIENCE: Duration = Duration::from_secs(5);

impl Worker {
    /// Loads the model, connects, and starts the stages; no record is read yet. With `bounds` the run is bounded.
    ///
    /// # Errors
    /// With the one thing that is wrong.
    pub fn start(config: &Config, bounds: Option<Bounds>, tally: Option<Arc<Tally>>) -> Result<Self> {
        // Few threads: it serves probes, and waits.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let telemetry = {
            let _inside = runtime.enter();
            Telemetry::start()?
        };
        let stop = Arc::new(Stop::default());
        // First of all: the first process of a container would not hear them otherwise.
        // A bounded run that has read nothing is not done (G-13).
        signals::stop_on_signals(&runtime, Arc::clone(&stop), config.shutdown.timeout, i32::from(bounds.is_some()))?;
        // What is asked for before the models are loaded waits until then.
        let (reloads, asked) = reload::requests();
        signals::reload_on_hangup(&runtime, reloads.clone())?;
        let health = Arc::new(Health::default());
        let ledger = Arc::new(Ledger::default());
        let budget = Budget::new(config.limits.in_flight.as_u64());
        let metrics = Metrics::new(&telemetry.meter(), &budget);
        let shadow_shown = Arc::new(OnceLock::new());
        let shown = Shown {
            health: Arc::clone(&health),
            registry: telemetry.registry.clone(),
            reloads,
            shadow: Arc::clone(&shadow_shown),
        };
        runtime.block_on(http::serve(&config.http, shown))?;

        let started = Instant::now();
        let live = Live::load(config)?;
        Router::new(config, &live.current().kinds())?;
        if let Some(unsaid) = config.unsaid() {
            tracing::warn!("{unsaid}");
        }
        if let Some(outputs) =
            Registry::new(&config.registry)?.and_then(|registry| Outputs::new(config, registry.into()))
        {
            outputs.prove()?;
        }
        let took = started.elapsed();
        for identity in live.current().models() {
            tracing::info!("model: {identity}");
        }
        tracing::info!("loaded in {} ms", took.as_millis());
        let (shadow, shadow_thread) = Shadow::start(config, &live.current(), &telemetry.meter())?.unzip();
        drop(shadow_shown.set(shadow.clone()));
        let reloader = Reloader::start(config, &live, shadow.clone(), asked, &telemetry.meter(), took)?;
        let beside = shadow_thread.into_iter().chain([reloader]).collect();
        health.set_warm();
        memory::warn(config);
        // All that is the configuration's or the models' fault was told by now; brokers may be late.
        service::tell_started();

        let (ours, counts, stops) = (Arc::clone(&ledger), Arc::clone(&metrics), Arc::clone(&stop));
        let source = Source::connect(config, bounds, ours, budget, counts, health, stops)?;
        let source = source.traced(telemetry.traces());
        let sink = KafkaSink::connect(
            config,
            source.consumer(),
            ledger,
            Arc::clone(&metrics),
            tally,
            Arc::clone(&stop),
            source.pulse(),
        )?;
        // From here on, a stop has something to leave.
        stop.begin();
        source.subscribe()?;
        let pipeline = Pipeline::start(config, &live, shadow.clone(), sink, &metrics, &stop)?;
        let models = live.current().models().into_iter().cloned().collect();
        Ok(Self { models, source, pipeline, telemetry, metrics, stop, shadow, beside, runtime })
    }

    /// The models that it began with.
    #[must_use]
    pub fn models(&self) -> Vec<Identity> {
        self.models.clone()
    }

    /// What a bounded run is to read, as far as it was not done before.
    #[must_use]
    pub fn job(&self) -> Vec<Part> {
        self.source.job()
    }

    /// What a bounded run was asked for, done or not.
    #[must_use]
    pub fn range(&self) -> Vec<Part> {
        self.source.range()
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
        // With the runtime go those who ask for reloads, and so the thread that does them.
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        if let Some(shadow) = self.shadow {
            shadow.stop();
        }
        finish(&self.beside);
        match self.stop.take_failure() {
            Some(error) => Err(error),
            None => result.map(|()| summary),
        }
    }
}

/// Waits until no model runs any more: the end of the process takes ONNX Runtime away, and one that runs would crash.
/// All is delivered and committed by now, so it is not waited for long.
fn finish(threads: &[JoinHandle<()>]) {
    let deadline = Instant::now() + PATIENCE;
    while !threads.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}
