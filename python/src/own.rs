//! What belongs to the process that made it. A fork copies it without its threads: the child may neither use nor end it.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result, ensure};
use tagbert::lake::tables::Tables;
use tagbert::tagger::live::Live;

/// A thing of this process alone, until it is ended.
pub struct Own<T: End> {
    thing: RwLock<Option<T>>,
    process: u32,
}

/// How a thing ends.
pub trait End {
    /// Has those who use it give up.
    fn stop(&self) {}
    /// Ends it, when nobody uses it any more.
    fn end(self);
}

impl<T: End> Own<T> {
    /// From now on it is this process' own.
    pub fn new(thing: T) -> Self {
        Self { thing: RwLock::new(Some(thing)), process: std::process::id() }
    }

    /// Uses it.
    ///
    /// # Errors
    /// In any other process, or after its end, or those of the use.
    pub fn with<R>(&self, using: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        // In a child, nobody might be there to give the lock back.
        ensure!(
            self.is_own(),
            "this was made before a fork, and does not work in the child: make a Tagger in this process"
        );
        let thing = self.thing.read().unwrap_or_else(PoisonError::into_inner);
        using(thing.as_ref().context("the interpreter ends, and nothing is tagged any more")?)
    }

    /// Ends it; in a child, there is nothing to end.
    pub fn end(&self) {
        if self.is_own() {
            if let Some(thing) = &*self.thing.read().unwrap_or_else(PoisonError::into_inner) {
                thing.stop();
            }
            let thing = self.thing.write().unwrap_or_else(PoisonError::into_inner).take();
            thing.into_iter().for_each(End::end);
        }
    }

    fn is_own(&self) -> bool {
        self.process == std::process::id()
    }
}

impl<T: End> Drop for Own<T> {
    fn drop(&mut self) {
        if self.is_own() {
            self.end();
        } else {
            // To wait for threads that are not here would be for ever.
            std::mem::forget(self.thing.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl End for Tables {
    fn stop(&self) {
        self.stop();
    }

    fn end(self) {
        self.finish();
    }
}

impl End for Arc<Live> {
    fn end(self) {}
}
