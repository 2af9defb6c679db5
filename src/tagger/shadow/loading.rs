//! The shadow's model: loaded and tried out of the line's way, and held against the one that it is compared with.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::config::Config;
use crate::model::vet;
use crate::tagger::probe;
use crate::tagger::taggers::Taggers;

/// Loads the models of a shadow's configuration ([`Config::of_shadow`]), to be compared with `primary`. ONNX Runtime's
/// threads inherit the low priority of the one that opens a session.
///
/// # Errors
/// When they can't be used, or give no tag that could be compared.
pub fn load(config: &Config, primary: &Taggers) -> Result<Arc<Taggers>> {
    ensure_is_there(config)?;
    let loaded = thread::scope(|scope| {
        let load = || {
            lower_priority();
            probe::load(config)
        };
        scope.spawn(load).join()
    });
    let taggers = loaded.unwrap_or_else(|_| Err(anyhow!("loading it panicked"))).context("shadow")?;
    let names = |taggers: &Taggers| taggers.names().iter().map(|name| &***name).collect::<Vec<_>>().join(", ");
    ensure!(
        !pairs(primary, &taggers).is_empty(),
        "shadow.path: its model gives {}, and the one that it is compared with {}: they have no tag in common",
        names(&taggers),
        names(primary)
    );
    Ok(taggers)
}

/// Tries the models of a shadow's configuration, each in a process of its own.
///
/// # Errors
/// When they can't be used.
pub fn vet(config: &Config) -> Result<()> {
    ensure_is_there(config)?;
    vet::all(config).context("shadow")
}

/// Else it would be `model.path` that is said to be wrong, in whose place the shadow's is.
fn ensure_is_there(config: &Config) -> Result<()> {
    let directory = config.model.path.directory();
    ensure!(directory.is_none_or(|path| path.is_dir()), "shadow.path: {} is not a directory", config.model.path);
    Ok(())
}

/// Tags of the same name are compared. Where there is only one and one, their names don't matter: those of single heads
/// are their directories'.
pub(super) fn pairs(primary: &Taggers, shadow: &Taggers) -> HashMap<Arc<str>, Arc<str>> {
    let (ours, its) = (primary.names(), shadow.names());
    if let ([one], [other]) = (&*ours, &*its) {
        return HashMap::from([(Arc::clone(one), Arc::clone(other))]);
    }
    ours.into_iter().filter(|name| its.contains(name)).map(|name| (Arc::clone(name), Arc::clone(name))).collect()
}

/// The line goes first. On Linux this is the thread's own priority, and that of the threads which it starts.
#[expect(unsafe_code, reason = "std knows no priorities")]
pub(super) fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes numbers alone, and 0 is the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
