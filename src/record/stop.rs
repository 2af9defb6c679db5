//! How everything is told to stop, and why.

use std::sync::PoisonError;

use super::sync::Mutex;
use super::sync::atomic::{AtomicBool, Ordering};

/// Set once, by a signal or by the first error that can't be survived.
#[derive(Debug, Default)]
pub struct Stop {
    begun: AtomicBool,
    requested: AtomicBool,
    abandoned: AtomicBool,
    failure: Mutex<Option<anyhow::Error>>,
}

impl Stop {
    /// Says that from now on something may be in flight, which a stop has to wait for.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether anything may be in flight.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Asks for a clean stop.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    /// Stops because of an error. The first one counts; what follows is its echo.
    pub fn fail(&self, error: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.abandon();
        self.request();
    }

    /// Ends the drain: what is still in flight is given up. It stays uncommitted, so it is read again.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// True when no stage should do anything more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// True once a stop was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// The error, if that was the reason.
    #[must_use]
    pub fn take_failure(&self) -> Option<anyhow::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
