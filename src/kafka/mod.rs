//! Kafka: its clients, where records come from, where outcomes go, and which offsets are safe. This wing knows nothing of
//! models.

pub mod clients;
mod describe;
pub mod ledger;
pub mod reach;
pub mod reset;
pub mod scan;
pub mod sink;
pub mod source;
pub mod tally;
