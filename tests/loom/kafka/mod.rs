//! The worker's own file.

#[path = "../../../src/kafka/ledger/mod.rs"]
pub mod ledger;
