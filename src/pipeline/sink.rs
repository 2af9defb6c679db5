//! Where documents end.

use anyhow::Result;

use crate::record::outcome::Outcome;

/// Where documents end: the seam between the pipeline and Kafka (or a file).
pub trait Sink: Send + 'static {
    /// Takes an outcome, to deliver it. Those of a partition come in input order (G-35).
    ///
    /// # Errors
    /// When delivery is impossible for good; the worker then stops.
    fn deliver(&mut self, outcome: Outcome) -> Result<()>;

    /// Is called after every few outcomes, and when nothing comes for a while.
    ///
    /// # Errors
    /// As for [`Sink::deliver`].
    fn tick(&mut self) -> Result<()> {
        Ok(())
    }
}
