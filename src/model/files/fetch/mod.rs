//! Brings a model to this machine, from wherever it is (G-55).

mod hub;
mod redact;
mod remote;
mod route;
mod settings;

use std::path::PathBuf;
use std::{panic, thread};

use anyhow::{Context as _, Result};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

pub use self::settings::{Hub, Settings};

use crate::config::installed;
use crate::config::location::Location;

/// A model on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its directory.
    pub directory: PathBuf,
    /// Which state of it: the commit on the hub, a hash of the entity tags elsewhere, nothing for a directory.
    pub revision: Option<String>,
}

/// Fetches what is needed of a model, unless it is here already. It blocks, for as long as the network takes.
///
/// # Errors
/// When it can't be had. What may be a secret is not in the message.
pub fn fetch(location: &Location, variant: Option<&str>) -> Result<Fetched> {
    fetch_with(&Settings::from_environment(), location, variant)
}

/// The same with settings that are not the environment's.
///
/// # Errors
/// As for [`fetch`].
pub fn fetch_with(settings: &Settings, location: &Location, variant: Option<&str>) -> Result<Fetched> {
    let fetched = match location {
        Location::Directory(path) => Ok(Fetched { directory: installed::find(path), revision: None }),
        Location::Hub { repo, revision } => {
            block_on(async || hub::fetch(settings, repo, revision.as_deref(), variant).await)
        }
        Location::Remote(url) => block_on(async || remote::fetch(settings, url, variant).await),
    };
    fetched.with_context(|| location.to_string())
}

/// Runs a future on a thread of its own: the caller's may be one of a runtime, where blocking is a panic.
fn block_on<T: Send>(work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
    let run = || {
        // Of the kind with workers, as the hub's own transfer protocol wants it.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("fetch")
            .enable_all()
            .build()
            .context("threads for fetching")?;
        let result = runtime.block_on(work());
        // A name that is still being resolved must not hold the worker up.
        runtime.shutdown_background();
        result
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
}

/// Keeps a library's log lines back: they have whole URLs, which may be signed. What matters is in its errors.
async fn quietly<F: Future>(future: F) -> F::Output {
    future.with_subscriber(NoSubscriber::default()).await
}
