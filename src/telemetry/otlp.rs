//! Export by OTLP, to a receiver that may be away: one line when it goes, one when it is back. What can't be sent
//! meanwhile is dropped; documents do not wait for it.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use url::Url;

use crate::config::location::public;

/// Who metrics and traces go to.
#[derive(Debug)]
pub(super) struct Receiver {
    /// As it is shown: without a password.
    address: String,
    state: Mutex<State>,
    /// Once the worker stops, what is away is not tried again.
    leaving: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    away: Option<Instant>,
    /// The signals that it does not take, although it is there.
    refused: Vec<&'static str>,
}

impl Receiver {
    /// The receiver of a signal (`TRACES`, `METRICS`), as the standard variables name it.
    pub fn of(signal: &str) -> Arc<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let own = variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
        let address = own.or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT")).unwrap_or_default();
        Arc::new(Self::at(&address))
    }

    fn at(address: &str) -> Self {
        let address = Url::parse(address).map_or_else(|_| "the OTLP endpoint".into(), |url| public(&url).to_string());
        Self { address: address.trim_end_matches('/').into(), state: Mutex::default(), leaving: AtomicBool::new(false) }
    }

    /// Whether another signal goes there too.
    pub fn is(&self, other: &Self) -> bool {
        self.address == other.address
    }

    /// From now on, what is away is not waited for.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    fn is_given_up(&self) -> bool {
        self.leaving.load(Ordering::Relaxed) && self.state().away.is_some()
    }

    /// Takes note of how an export went. The SDK would log each that fails, and without the address.
    pub fn note(&self, signal: &'static str, result: OTelSdkResult) {
        let said = self.tell(signal, result.err().map(|error| error.to_string()));
        match said {
            Some(Said::Trouble(line)) => tracing::warn!("{line}"),
            Some(Said::Relief(line)) => tracing::info!("{line}"),
            None => {}
        }
    }

    /// What there is to say, if that is new.
    fn tell(&self, signal: &'static str, error: Option<String>) -> Option<Said> {
        let (mut state, address) = (self.state(), &self.address);
        let Some(error) = error else {
            state.refused.retain(|refused| *refused != signal);
            let away = state.away.take()?.elapsed().as_secs();
            return Some(Said::Relief(format!("OTLP: {address} is back, after {away} s")));
        };
        if is_away(&error) {
            if state.away.is_some() {
                return None;
            }
            state.away = Some(Instant::now());
            let line = format!("OTLP: {address} is away, and what can't be sent is dropped until it is back: {error}");
            return Some(Said::Trouble(line));
        }
        if state.refused.contains(&signal) {
            return None;
        }
        state.refused.push(signal);
        Some(Said::Trouble(format!("OTLP: {address} does not take {signal}: {error}")))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Trouble(String),
    Relief(String),
}

/// Whether the receiver could not be reached, rather than refused what it got. The SDK has only text for it.
fn is_away(error: &str) -> bool {
    let code = |error: &str, code: &str| error.contains(&format!("gRPC code: {code}"));
    let grpc = ["Unavailable", "DeadlineExceeded", "Cancelled", "Unknown", "ResourceExhausted"];
    let http = ["network error", "status code: 429", "status code: 5", "timed out"];
    grpc.iter().any(|name| code(error, name)) || http.iter().any(|part| error.contains(part))
}

/// An exporter whose failures the receiver takes note of, and nobody else.
#[derive(Debug)]
pub(super) struct Patient<E> {
    pub exporter: E,
    pub to: Arc<Receiver>,
}

impl<E: SpanExporter> SpanExporter for Patient<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if !self.to.is_given_up() {
            self.to.note("traces", self.exporter.export(batch).await);
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Patient<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if !self.to.is_given_up() {
            self.to.note("metrics", self.exporter.export(metrics).await);
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: &str = "TonicTracesClient export failed with gRPC code: Unavailable: tcp connect error";

    fn tell(receiver: &Receiver, signal: &'static str, error: Option<&str>) -> Option<String> {
        receiver.tell(signal, error.map(ToOwned::to_owned)).map(|said| match said {
            Said::Trouble(line) | Said::Relief(line) => line,
        })
    }

    #[test]
    fn a_receiver_is_said_to_be_away_once_and_back_once_whatever_the_signals() {
        let receiver = Receiver::at("http://me:hunter2@collector:4317/");
        assert_eq!(tell(&receiver, "traces", None), None);
        let away = tell(&receiver, "traces", Some(AWAY)).unwrap();
        assert!(away.starts_with("OTLP: http://collector:4317 is away") && !away.contains("hunter2"), "{away}");
        for signal in ["metrics", "traces", "traces"] {
            assert_eq!(tell(&receiver, signal, Some(AWAY)), None);
        }
        assert!(tell(&receiver, "metrics", None).unwrap().contains("http://collector:4317 is back, after 0 s"));
        assert_eq!(tell(&receiver, "traces", None), None);
        assert!(tell(&receiver, "metrics", Some("HTTP export failed: network error")).unwrap().contains("is away"));
    }

    #[test]
    fn a_signal_that_is_refused_is_told_once_and_is_not_an_absence() {
        let receiver = Receiver::at("http://jaeger:4317");
        let refused = "TonicMetricsClient export failed with gRPC code: Unimplemented";
        assert!(tell(&receiver, "metrics", Some(refused)).unwrap().contains("does not take metrics"));
        for _ in 0..3 {
            assert_eq!(tell(&receiver, "traces", None), None);
            assert_eq!(tell(&receiver, "metrics", Some(refused)), None);
        }
        assert!(tell(&receiver, "traces", Some(AWAY)).unwrap().contains("is away"));
    }

    #[test]
    fn who_does_not_answer_at_the_end_is_away_unless_that_was_said() {
        let receiver = Receiver::at("http://collector:4317");
        let late = opentelemetry_sdk::error::OTelSdkError::Timeout(Duration::from_secs(1)).to_string();
        assert!(tell(&receiver, "the last", Some(&late)).unwrap().contains("is away"), "{late}");
        assert_eq!(tell(&receiver, "traces", Some("gRPC code: Unknown: dispatch task is gone")), None);
    }

    #[test]
    fn who_is_away_is_not_waited_for_at_the_end() {
        let receiver = Receiver::at("http://collector:4317");
        receiver.leave();
        assert!(!receiver.is_given_up(), "it may be there");
        tell(&receiver, "traces", Some(AWAY));
        assert!(receiver.is_given_up());
    }
}
