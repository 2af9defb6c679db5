//! Keeps the manifest of a run that goes on: written before the first record is read, then now and then, and at the end.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;

use super::output;
use crate::config::{Config, ConfigError};
use crate::kafka::tally::Tally;
use crate::lake::place::Place;
use crate::worker::manifest::{Manifest, State};

/// How often it is written: so much of what was done is missing from that of a worker that was killed.
const INTERVAL: Duration = Duration::from_secs(5);

/// Whether enriched records are of the shape in which their tags can be counted.
///
/// # Errors
/// When they are not.
pub(super) fn ensure_counts(config: &Config) -> Result<(), ConfigError> {
    if config.output.is_nested_json() {
        return Ok(());
    }
    let why = "must be `nested` and JSON where there is a manifest, which counts the tags of enriched records".into();
    Err(ConfigError::Value { key: "output.shape".into(), why })
}

/// Writes the manifest from time to time.
pub(super) struct Keeper {
    place: Place,
    tally: Arc<Tally>,
    manifest: Manifest,
    stop: Sender<()>,
    writing: JoinHandle<()>,
}

impl Keeper {
    /// Writes it for the first time: what can't be written is to be found out now, and not after hours.
    ///
    /// # Errors
    /// When it can't be written, or there is one already.
    pub fn begin(file: &str, manifest: Manifest, tally: Arc<Tally>) -> Result<Self> {
        let place = Place::parse(file)?;
        manifest.create(&place).map_err(|error| refuse(&place, &error))?;
        let (stop, stopped) = bounded(0);
        let writing = {
            let (place, tally, mut manifest) = (place.clone(), Arc::clone(&tally), manifest.clone());
            thread::spawn(move || {
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    note(&mut manifest, &tally);
                    if let Err(error) = manifest.write(&place) {
                        tracing::warn!("the manifest can't be written to {place} now: {error:#}");
                    }
                }
            })
        };
        Ok(Self { place, tally, manifest, stop, writing })
    }

    /// Writes it for the last time. Where that fails it is printed: what it says is known nowhere else.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn end(self, failure: Option<String>) -> Result<()> {
        let Self { place, tally, mut manifest, stop, writing } = self;
        drop(stop);
        drop(writing.join());
        note(&mut manifest, &tally);
        (manifest.state, manifest.failure) = (State::Ended, failure);
        manifest.write(&place).map_err(|error| {
            output::say(manifest.text());
            anyhow::anyhow!("the manifest (above) can't be written to {place}: {error:#}")
        })
    }
}

/// What was done until now.
fn note(manifest: &mut Manifest, tally: &Tally) {
    manifest.finished = Timestamp::now();
    (manifest.done, manifest.records) = tally.total();
}

fn refuse(place: &Place, error: &io::Error) -> ConfigError {
    let why = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{place} is there already: name another (`tagbert manifest verify` takes several)")
        }
        _ => format!("can't be written to {place}: {error:#}"),
    };
    ConfigError::Value { key: "--manifest".into(), why }
}

/// Refuses what can't work, before anything is loaded.
///
/// # Errors
/// When there is such a file, or it is no place for one.
pub(super) fn check(file: &str) -> Result<(), ConfigError> {
    let place = Place::parse(file)
        .map_err(|error| ConfigError::Value { key: "--manifest".into(), why: format!("{error:#}") })?;
    match place.wait(place.find()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(refuse(&place, &io::ErrorKind::AlreadyExists.into())),
        Err(error) => Err(refuse(&place, &io::Error::other(error))),
    }
}
