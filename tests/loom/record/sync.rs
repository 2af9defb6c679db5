//! Stands in for the one of `src/`: loom's types, and time that passes as it likes.

#![expect(clippy::unnecessary_wraps, reason = "as the standard library has it")]

use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

pub(crate) use loom::sync::atomic;

/// Who has that much patience waits for ever.
pub(crate) const ENDLESS: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// Knows its lock, as loom's own does not tell.
pub(crate) struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    held: loom::sync::MutexGuard<'a, T>,
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl<T> Mutex<T> {
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        Ok(MutexGuard { lock: self, held: self.0.lock().expect("loom's locks are never poisoned") })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

impl Condvar {
    /// A wait without end is over when it is woken and the condition holds no more; any other may also be over before, whatever
    /// happens until then.
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        patience: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        while condition(&mut guard) {
            let MutexGuard { lock, held } = guard;
            if patience < ENDLESS {
                drop(held);
                return Ok((lock.lock().unwrap_or_else(PoisonError::into_inner), true));
            }
            guard = MutexGuard { lock, held: self.0.wait(held).expect("loom's locks are never poisoned") };
        }
        Ok((guard, false))
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
