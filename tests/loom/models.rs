//! Small models of what threads share, run in every order that the threads can meet, and with every value that a load may see: it
//! is [loom](https://docs.rs/loom) that goes through them.
//!
//! The files under test are the worker's own. Beside them stands in `record/sync.rs` for the one of `src/`; whose real one needs
//! half of the worker has a stand-in, too.

#![expect(dead_code, reason = "the files under test have more than the models use")]

mod kafka;
mod record;
mod tagger;
mod telemetry;

mod budget;
mod cache;
mod lease;
mod ledger;
mod stop;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a model in every order. Who waits for ever fails it.
fn in_every_order(model: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let orders = orders.load(Ordering::Relaxed);
    println!("{orders} orders");
    assert!(orders > 1, "its threads do not meet");
}
