//! Stands in for the one of `src/`: without what Kafka, the traces and the budget put into it.

pub use super::origin::{Lease, Origin};

/// A record on its way.
#[derive(Debug)]
pub struct Envelope<T> {
    pub origin: Origin,
    pub body: T,
}

impl<T> Envelope<T> {
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Envelope<U> {
        Envelope { origin: self.origin, body: make(self.body) }
    }
}
