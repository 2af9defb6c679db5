//! How much memory a worker takes, whatever is there to be read.

use std::thread;

use rdkafka::producer::BaseRecord;

mod support;

use support::kafka::Kafka;
use support::line::{Line, document};
use support::tagbert::resident_peak;

const MIB: usize = 1 << 20;

/// What a worker takes at most, in bytes, as the README says, but for the model, which is tiny here: the process, its sessions, the
/// budget, a quarter of it for what is fetched ahead, and a little for each partition.
const PROCESS: usize = 95 * MIB;
const SESSION: usize = 12 * MIB;

#[test]
fn documents_of_a_mebibyte_and_any_lag_stay_within_the_budget() {
    let (documents, in_flight) = (100_i32, 32 * MIB);
    let line = Line::create("large-documents", 4);
    let large = document(&"word ".repeat(199_000));
    assert!(large.len() > 990_000, "nearly all that a message may have by default");
    let record = |number: i32| BaseRecord::<[u8], [u8]>::to(&line.input).partition(number % 4).payload(&large);
    Kafka::shared().produce((0..documents).map(record));
    let worker = line.worker().set("limits.in_flight", "32MiB").set("limits.document", "2MiB");
    let mut worker = worker.set("model.long_documents", "truncate").start();
    worker.wait_for_log("assigned: ");
    let mut most = 0;
    worker.wait_until("all are out", |worker| {
        most = most.max(resident_peak(worker.id()).unwrap_or_default());
        worker.metric("tagbert_records_out_total").is_some_and(|count| count >= f64::from(documents))
    });
    worker.terminate();
    worker.wait_for_success();
    let sessions = thread::available_parallelism().map_or(1, usize::from).min(4);
    let bound = PROCESS + sessions * SESSION + in_flight * 5 / 4 + 4 * 2 * MIB;
    eprintln!("peak {} MiB, bound {} MiB, {} MiB of documents", most / MIB, bound / MIB, large.len() * 100 / MIB);
    assert!(most < bound);
}
