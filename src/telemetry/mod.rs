//! Logs, metrics and traces: how they leave the process.
//!
//! Logs go to stderr, for people on a terminal and as JSON otherwise. Metrics are there for Prometheus always, and go
//! out by OTLP, as traces do, when the standard variables name an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`, or the ones
//! of a signal).

pub mod health;
pub mod memory;
pub mod metrics;
mod otlp;

use std::io::{self, IsTerminal};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use opentelemetry::KeyValue;
use opentelemetry::global;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::Registry;
use tracing_subscriber::EnvFilter;

use self::otlp::{Patient, Receiver};

/// Starts logging. `RUST_LOG` filters it; without it, or if it makes no sense, `usual` does.
pub fn log(usual: &str) {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).map(EnvFilter::try_new);
    let wrong = wanted.as_ref().ok().and_then(|wanted| wanted.as_ref().err()).map(ToString::to_string);
    let filter = wanted.ok().and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(usual));
    // A log that nobody reads any more is no reason to stop: the library would panic when it says so.
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    // A second call, as tests of the library make it, changes nothing.
    let _ = if io::stderr().is_terminal() {
        subscriber.with_target(false).compact().try_init()
    } else {
        subscriber.json().flatten_event(true).try_init()
    };
    if let Some(wrong) = wrong {
        tracing::warn!("RUST_LOG is no filter, such as `info` or `tagbert=debug`: {wrong}");
    }
}

/// Where metrics and traces go.
#[derive(Debug)]
pub struct Telemetry {
    /// What `/metrics` shows.
    pub registry: Registry,
    metrics: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
    receivers: Vec<Arc<Receiver>>,
}

/// How long the end of a worker waits for the last metrics and traces to be sent.
const LAST: Duration = Duration::from_millis(1500);

impl Telemetry {
    /// Sets the exporters up. Call it within a tokio runtime: gRPC needs one.
    ///
    /// # Errors
    /// When an exporter can't be made of what the `OTEL_*` variables say.
    pub fn start() -> Result<Self> {
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let resource = Resource::builder();
        let resource = if named { resource } else { resource.with_service_name("tagbert") };
        let resource = resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build();

        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .build()
            .context("metrics for Prometheus")?;
        let mut metrics = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(prometheus);
        let mut receivers: Vec<Arc<Receiver>> = Vec::new();
        // One that gets both signals is away for both, and back for both.
        let mut receiver = |signal| {
            let new = Receiver::of(signal);
            let known = receivers.iter().find(|known| known.is(&new)).map(Arc::clone);
            known.unwrap_or_else(|| {
                receivers.push(Arc::clone(&new));
                new
            })
        };
        if exports_to("METRICS") {
            let exporter = MetricExporter::builder().build().context("OTLP export of metrics")?;
            metrics = metrics.with_periodic_exporter(Patient { exporter, to: receiver("METRICS") });
        }
        let traces = exports_to("TRACES").then(|| {
            let exporter = SpanExporter::builder().build().context("OTLP export of traces")?;
            let exporter = Patient { exporter, to: receiver("TRACES") };
            anyhow::Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
        });
        let traces = traces.transpose()?;
        if let Some(traces) = &traces {
            global::set_tracer_provider(traces.clone());
        }
        Ok(Self { registry, metrics: metrics.build(), traces, receivers })
    }

    /// What instruments are made of.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.metrics.meter("tagbert")
    }

    /// Whether records are traced.
    #[must_use]
    pub fn traces(&self) -> bool {
        self.traces.is_some()
    }

    /// Sends what is left, unless that takes too long: the receivers may be away.
    pub fn stop(self) {
        let Self { metrics, traces, receivers, .. } = self;
        for receiver in &receivers {
            receiver.leave();
        }
        let (done, all_done) = mpsc::channel();
        let last = move || {
            let results = [traces.map(|traces| traces.shutdown()), Some(metrics.shutdown())];
            let _ = done.send(results.into_iter().flatten().collect::<Result<Vec<_>, _>>());
        };
        // A thread of its own, which the end of the process takes along.
        if thread::Builder::new().name("telemetry".into()).spawn(last).is_err() || receivers.is_empty() {
            return;
        }
        match all_done.recv_timeout(LAST) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("OTLP: {error}"),
            // Who answers no more is away, if that was not known yet.
            Err(_) => receivers.iter().for_each(|receiver| receiver.note("the last", Err(OTelSdkError::Timeout(LAST)))),
        }
    }
}

/// True when the standard variables name an OTLP endpoint for the signal.
fn exports_to(signal: &str) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let none = std::env::var(format!("OTEL_{signal}_EXPORTER")).is_ok_and(|value| value == "none");
    let endpoint = set("OTEL_EXPORTER_OTLP_ENDPOINT") || set(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
    endpoint && !disabled && !none
}
