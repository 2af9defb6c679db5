//! Whether the worker lives, and whether it is ready: what the probes ask.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A source that has not polled for so long hangs. Longer than a rebalance may hold it up.
const SILENCE: Duration = Duration::from_mins(1);

/// The state that the probes see.
#[derive(Debug, Default)]
pub struct Health {
    warm: AtomicBool,
    connected: AtomicBool,
    assigned: AtomicBool,
    stopping: AtomicBool,
    last_poll: Mutex<Option<Instant>>,
    /// Input topics that are not there.
    gone: Mutex<BTreeSet<String>>,
}

impl Health {
    /// The model is loaded and has run once.
    pub fn set_warm(&self) {
        self.warm.store(true, Ordering::Release);
    }

    /// The brokers have answered.
    pub fn set_connected(&self) {
        self.connected.store(true, Ordering::Release);
    }

    /// The group has told this worker its partitions (which may be none).
    pub fn set_assigned(&self) {
        self.assigned.store(true, Ordering::Release);
    }

    /// Whether the group has told this worker its partitions.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        self.assigned.load(Ordering::Acquire)
    }

    /// The worker drains, and takes nothing more.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// The source polls.
    pub fn alive(&self) {
        *self.last_poll.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// An input topic is not there any more, or there again.
    pub fn set_gone(&self, topic: &str, gone: bool) {
        let mut all = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone {
            all.insert(topic.to_owned());
        } else {
            all.remove(topic);
        }
    }

    /// Why the worker is not ready, if it isn't.
    ///
    /// # Errors
    /// With the reason.
    pub fn ready(&self) -> Result<(), Cow<'static, str>> {
        if self.stopping.load(Ordering::Acquire) {
            return Err("stopping".into());
        }
        if !self.warm.load(Ordering::Acquire) {
            return Err("the model is not loaded yet".into());
        }
        if !self.connected.load(Ordering::Acquire) {
            return Err("the brokers have not answered yet".into());
        }
        if !self.is_assigned() {
            return Err("no partitions are assigned yet".into());
        }
        match self.gone.lock().unwrap_or_else(PoisonError::into_inner).first() {
            Some(topic) => Err(format!("the input topic `{topic}` was deleted").into()),
            None => Ok(()),
        }
    }

    /// Why the worker is not alive, if it isn't.
    ///
    /// # Errors
    /// With the reason.
    pub fn live(&self) -> Result<(), Cow<'static, str>> {
        let last_poll = *self.last_poll.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the first poll the worker loads its models, and waits for brokers: to be started anew would not help.
        let hangs = last_poll.is_some_and(|last_poll| last_poll.elapsed() > SILENCE);
        if hangs { Err("the source has not polled for a minute".into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_warm_and_assigned_and_not_stopping() {
        let health = Health::default();
        assert!(health.ready().is_err() && health.live().is_ok());
        health.set_warm();
        assert_eq!(health.ready(), Err("the brokers have not answered yet".into()));
        health.set_connected();
        assert!(health.ready().is_err());
        health.set_assigned();
        assert!(health.ready().is_ok());
        health.set_gone("documents", true);
        assert_eq!(health.ready(), Err("the input topic `documents` was deleted".into()));
        health.set_gone("documents", false);
        assert!(health.ready().is_ok());
        health.set_stopping();
        assert_eq!(health.ready(), Err("stopping".into()));
    }
}
