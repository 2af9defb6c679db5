//! Keeps the manifest of a run that goes on: written before the first record is read, then now and then, and at the end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;

use super::output;
use crate::config::ConfigError;
use crate::kafka::tally::Tally;
use crate::worker::manifest::{Manifest, State};

/// How often it is written: so much of what was done is missing from that of a worker that was killed.
const INTERVAL: Duration = Duration::from_secs(5);

/// Writes the manifest from time to time.
pub(super) struct Keeper {
    path: PathBuf,
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
    pub fn begin(path: &Path, manifest: Manifest, tally: Arc<Tally>) -> Result<Self> {
        manifest.create(path).map_err(|error| refuse(path, &error))?;
        let (stop, stopped) = bounded(0);
        let writing = {
            let (path, tally, mut manifest) = (path.to_owned(), Arc::clone(&tally), manifest.clone());
            thread::spawn(move || {
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    note(&mut manifest, &tally);
                    if let Err(error) = manifest.write(&path) {
                        tracing::warn!("the manifest can't be written to {} now: {error}", path.display());
                    }
                }
            })
        };
        Ok(Self { path: path.to_owned(), tally, manifest, stop, writing })
    }

    /// Writes it for the last time. Where that fails it is printed: what it says is known nowhere else.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn end(self, failure: Option<String>) -> Result<()> {
        let Self { path, tally, mut manifest, stop, writing } = self;
        drop(stop);
        drop(writing.join());
        note(&mut manifest, &tally);
        (manifest.state, manifest.failure) = (State::Ended, failure);
        manifest.write(&path).map_err(|error| {
            output::say(manifest.text());
            anyhow::anyhow!("the manifest (above) can't be written to {}: {error}", path.display())
        })
    }
}

/// What was done until now.
fn note(manifest: &mut Manifest, tally: &Tally) {
    manifest.finished = Timestamp::now();
    (manifest.done, manifest.records) = tally.total();
}

fn refuse(path: &Path, error: &io::Error) -> ConfigError {
    let path = path.display();
    let why = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{path} is there already: name another (`tagbert manifest verify` takes several)")
        }
        _ => format!("can't be written to {path}: {error}"),
    };
    ConfigError::Value { key: "--manifest".into(), why }
}

/// Refuses what can't work, before anything is loaded.
///
/// # Errors
/// When the path is that of a file that is there, or no path.
pub(super) fn check(path: &Path) -> Result<(), ConfigError> {
    if path.to_string_lossy().contains("://") {
        let why = "has to be a file on this machine; URLs are not written to".into();
        return Err(ConfigError::Value { key: "--manifest".into(), why });
    }
    if path.try_exists().unwrap_or(false) {
        return Err(refuse(path, &io::ErrorKind::AlreadyExists.into()));
    }
    Ok(())
}
