//! New models for old, while the line runs: on SIGHUP, on `POST /models/reload`, or when files have changed.
//!
//! One thread does it, one reload after the other. A new model is loaded beside the old one, warmed up and tried; then
//! new documents get it, and those on their way keep the old (G-24). A broken one is refused, and nothing changes
//! (G-25).

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use serde::Serialize;
use tokio::sync::oneshot;

use super::live::Live;
use super::probe;
use super::shadow::{self, Shadow};
use super::taggers::Taggers;
use super::watch::{Watch, local_files};
use crate::config::Config;
use crate::model::vet;
use crate::record::answer::Identity;
use crate::route::Router;

/// So many reloads may wait for the one that is being done. Each sees all that changed before it began.
const WAITING: usize = 4;

/// Where reloads are asked for.
#[derive(Clone, Debug)]
pub struct Reloads(Sender<Request>);

/// A reload that was asked for.
#[derive(Debug)]
pub struct Request {
    cause: &'static str,
    answer: Option<oneshot::Sender<Report>>,
}

/// Too many reloads wait already.
#[derive(Debug)]
pub struct Busy;

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// For the models that tag.
    #[serde(flatten)]
    pub models: Change,
    /// For the shadow, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Change>,
}

/// What came of a reload for some models.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Whether others are in use than before.
    pub changed: bool,
    /// Those in use now.
    pub models: Vec<Identity>,
    /// Those in use before, if others are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Vec<Identity>>,
    /// Why the new ones were refused, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A place for reloads to be asked for, and to be taken from. What is asked for waits until [`Reloader::start`].
#[must_use]
pub fn requests() -> (Reloads, Receiver<Request>) {
    let (ask, asked) = bounded(WAITING);
    (Reloads(ask), asked)
}

impl Reloads {
    /// Asks for a reload.
    ///
    /// # Errors
    /// When too many wait already. They will see what this one would have seen.
    pub fn ask(&self, cause: &'static str) -> Result<(), Busy> {
        self.send(Request { cause, answer: None })
    }

    /// The same, and says what came of it. (Nothing, if the worker ends before.)
    ///
    /// # Errors
    /// As for [`Reloads::ask`].
    pub fn ask_and_hear(&self, cause: &'static str) -> Result<oneshot::Receiver<Report>, Busy> {
        let (answer, heard) = oneshot::channel();
        self.send(Request { cause, answer: Some(answer) })?;
        Ok(heard)
    }

    fn send(&self, request: Request) -> Result<(), Busy> {
        self.0.try_send(request).map_err(|_| Busy)
    }
}

impl Report {
    /// True when something was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.changes().any(|change| change.error.is_some())
    }

    /// How it is counted.
    fn result(&self) -> &'static str {
        match self.changes().any(|change| change.changed) {
            _ if self.is_refused() => "refused",
            true => "ok",
            false => "unchanged",
        }
    }

    fn changes(&self) -> impl Iterator<Item = &Change> {
        std::iter::once(&self.models).chain(&self.shadow)
    }
}

/// Does the reloads.
pub struct Reloader {
    config: Config,
    of_shadow: Option<Config>,
    live: Arc<Live>,
    shadow: Option<Arc<Shadow>>,
    watch: Watch,
    reloads: Counter<u64>,
    took: Gauge<f64>,
}

impl Reloader {
    /// Starts the thread; it ends when nobody is left who could ask. `took` is how long the first load took.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(
        config: &Config,
        live: &Arc<Live>,
        shadow: Option<Arc<Shadow>>,
        asked: Receiver<Request>,
        meter: &Meter,
        took: Duration,
    ) -> Result<JoinHandle<()>> {
        let (config, of_shadow) = (config.clone(), config.of_shadow());
        let watch = Watch::default();
        let reloads = meter.u64_counter("tagbert.model.reloads");
        let reloads = reloads.with_description("Reloads, by what came of them").build();
        for result in ["ok", "refused", "unchanged"] {
            reloads.add(0, &[KeyValue::new("result", result)]);
        }
        let gauge = meter.f64_gauge("tagbert.model.load.duration").with_unit("s");
        let gauge = gauge.with_description("Time that the last load of the models took").build();
        gauge.record(took.as_secs_f64(), &[]);
        observe(live, meter);
        let mut this = Self { config, of_shadow, live: Arc::clone(live), shadow, watch, reloads, took: gauge };
        this.follow();
        let run = move || this.run(&asked);
        thread::Builder::new().name("reload".into()).spawn(run).context("a thread can't be started")
    }

    fn run(mut self, asked: &Receiver<Request>) {
        loop {
            let interval = self.config.model.watch;
            let next = match interval {
                Duration::ZERO => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
                interval => asked.recv_timeout(interval),
            };
            match next {
                Ok(Request { cause, answer }) => {
                    let report = self.reload(cause);
                    if let Some(answer) = answer {
                        // Whoever asked may have gone.
                        drop(answer.send(report));
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.watch.has_settled() => drop(self.reload("changed files")),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reload(&mut self, cause: &'static str) -> Report {
        self.watch.take_note();
        let started = Instant::now();
        let before = self.live.current();
        let models = exchange(&before, || load_vetted(&self.config), |new| self.live.replace(new));
        if models.error.is_none() {
            self.took.record(started.elapsed().as_secs_f64(), &[]);
        }
        drop(before);
        tell(cause, "models", &models);
        let shadow = self.shadow.as_ref().map(|shadow| {
            let tags = self.live.current();
            let load = || {
                self.of_shadow.as_ref().map_or(Ok(()), shadow::vet)?;
                shadow.load(&tags)
            };
            let change = exchange(&shadow.taggers(), load, |new| shadow.replace(&tags, new));
            if models.changed && !change.changed {
                shadow.replace(&tags, shadow.taggers());
            }
            tell(cause, "shadow", &change);
            change
        });
        self.follow();
        let report = Report { models, shadow };
        self.reloads.add(1, &[KeyValue::new("result", report.result())]);
        report
    }

    /// Watches the files of the models that are in use now.
    fn follow(&mut self) {
        let mut files = local_files(&self.config, &self.live.current());
        if let (Some(config), Some(shadow)) = (&self.of_shadow, &self.shadow) {
            files.extend(local_files(config, &shadow.taggers()));
        }
        self.watch.follow(&files);
    }
}

/// Loads models whose files came while the worker runs: each is first tried in a process of its own, since it must not end
/// this one.
fn load_vetted(config: &Config) -> Result<Arc<Taggers>> {
    vet::all(config)?;
    let taggers = probe::load(config)?;
    // A label that a route asks for may be gone.
    Router::new(config, &taggers.kinds())?;
    Ok(taggers)
}

/// Puts new models in the place of the current ones, if they can be had and are others.
fn exchange(
    current: &Taggers,
    load: impl FnOnce() -> Result<Arc<Taggers>>,
    replace: impl FnOnce(Arc<Taggers>),
) -> Change {
    let lanes =
        |taggers: &Taggers| -> Vec<_> { taggers.lanes.iter().map(|lane| lane.model.identity.clone()).collect() };
    let models = |taggers: &Taggers| taggers.models().into_iter().cloned().collect();
    let as_before = |error| Change { changed: false, models: models(current), previous: None, error };
    match load() {
        Ok(new) if lanes(&new) == lanes(current) => as_before(None),
        Ok(new) => {
            let change = Change { changed: true, models: models(&new), previous: Some(models(current)), error: None };
            replace(new);
            change
        }
        Err(error) => as_before(Some(format!("{error:#}"))),
    }
}

fn tell(cause: &str, what: &str, Change { changed, models, previous, error }: &Change) {
    let named = |models: &[Identity]| models.iter().map(Identity::to_string).collect::<Vec<_>>().join(", ");
    let now = named(models);
    if let Some(error) = error {
        tracing::error!("{cause}: the new {what} are refused, {now} stays: {error}");
    } else if *changed {
        tracing::info!("{cause}: {what}: {now}, instead of {}", named(previous.as_deref().unwrap_or_default()));
    } else {
        tracing::info!("{cause}: {what}: {now} as before, nothing has changed");
    }
}

/// Shows which models are in use.
fn observe(live: &Arc<Live>, meter: &Meter) {
    let live = Arc::clone(live);
    let gauge = meter.u64_observable_gauge("tagbert.model.info").with_description("1 for each model in use");
    gauge
        .with_callback(move |observer| {
            for Identity { name, version } in live.current().models() {
                let labels = [KeyValue::new("name", name.to_string()), KeyValue::new("version", version.to_string())];
                observer.observe(1, &labels);
            }
        })
        .build();
}
