//! The taggers in use.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;

use super::taggers::Taggers;
use crate::config::Config;

/// The taggers that new documents get. Those on their way keep the ones they began with (G-24).
#[derive(Debug)]
pub struct Live {
    current: RwLock<Arc<Taggers>>,
}

impl Live {
    /// Loads the configuration's taggers.
    ///
    /// # Errors
    /// As for [`Taggers::load`].
    pub fn load(config: &Config) -> Result<Arc<Self>> {
        Ok(Self::of(Taggers::load(config)?))
    }

    /// With taggers that are loaded already.
    #[must_use]
    pub fn of(taggers: Taggers) -> Arc<Self> {
        Arc::new(Self { current: RwLock::new(Arc::new(taggers)) })
    }

    /// Those for the next document.
    #[must_use]
    pub fn current(&self) -> Arc<Taggers> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From the next document on, these.
    pub fn replace(&self, taggers: Arc<Taggers>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = taggers;
    }
}
