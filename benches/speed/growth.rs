//! Point 10: the cost of a document, against how many there are, how long they are, and how they are spread.

use std::thread;
use std::time::{Duration, Instant};

use crate::host::null_model;
use crate::report::{Figure, Goal, Report};
use crate::support::tagbert::Worker;
use crate::work::{self, Scale, Topics};

pub fn measure(scale: Scale, report: &mut Report) {
    let null = null_model();
    let most = scale.of(10_000, 100_000, 1_000_000);
    let mut lags = vec![];
    for lag in [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|&lag| lag <= most) {
        let documents = work::of_length(lag.min(10_000), 560);
        let topics = Topics::with(&[], 4);
        (0..lag / documents.len()).for_each(|_| topics.write(&documents));
        lags.push((lag, 1e6 * work::run(&topics, lag, &null, &[]).core_seconds));
    }
    for (lag, cost) in &lags {
        report.add(
            "10",
            &format!("host, a lag of {lag}, start and end of the run included: µs of a core for a document"),
            Goal::None,
            &Figure::of([*cost]),
        );
    }
    let documents = work::of_length(10_000, 560);
    let partitions: &[i32] = &[1, 16, 256];
    for &partitions in scale.of(&partitions[..2], partitions, partitions) {
        let topics = Topics::with(&documents, partitions);
        let cost = 1e6 * work::run(&topics, documents.len(), &null, &[]).core_seconds;
        report.add(
            "10",
            &format!("host, {partitions} partitions: µs of a core for a document"),
            Goal::None,
            &Figure::of([cost]),
        );
    }
    let lengths: &[usize] = &[125, 500, 2000, 250, 1000];
    for &characters in scale.of(&lengths[..3], lengths, lengths) {
        let documents = work::of_length(scale.of(20_000, 60_000, 200_000) / characters, characters);
        let cost = work::tag(&documents, "models/tagbert-small", &[]).core_seconds / characters as f64;
        report.add(
            "10",
            &format!("documents of {characters} characters: µs of a core for a character"),
            Goal::None,
            &Figure::of([1e6 * cost]),
        );
    }
    let (rates, costs): (Vec<f64>, Vec<f64>) = (0..scale.rounds()).map(|_| two_workers(scale)).unzip();
    let what = "two workers of a core each ÷ two times one";
    if !report.add("10", what, Goal::AtLeast(0.95), &Figure::of(rates)) {
        report.note("10: with one worker, the broker and the writers have the other core; with two, they share both.");
    }
    report.add("10", &format!("{what}, by core-second"), Goal::None, &Figure::of(costs));
}

/// What two workers on one topic do, each on a core of its own, over that of each alone on its core: documents a second, and
/// documents a core-second.
fn two_workers(scale: Scale) -> (f64, f64) {
    let documents = work::short(scale.of(600, 2000, 8000));
    let rate = |cores: &[&str]| {
        let topics = Topics::with(&[], 4);
        let start = |core: &&str| {
            let mut worker = Worker::start(&topics.yaml("models/tagbert-small"), &["--set", "model.sessions=1"]);
            work::pin(worker.id(), core);
            worker.wait_for_log("assigned: ");
            worker
        };
        let workers: Vec<Worker> = cores.iter().map(start).collect();
        // The group settles.
        thread::sleep(Duration::from_secs(3));
        topics.write(&documents);
        let done = || workers.iter().filter_map(|worker| worker.metric("tagbert_records_out_total")).sum::<f64>();
        let time = || workers.iter().map(|worker| work::processor_time(worker.id())).sum::<f64>();
        // Neither the first nor the last, when one of them may have nothing to do.
        let part = |ninths: f64| {
            let count = loop {
                let count = done();
                if count >= ninths / 9.0 * documents.len() as f64 {
                    break count;
                }
                thread::sleep(Duration::from_millis(50));
            };
            (count, Instant::now(), time())
        };
        let (before, after) = (part(1.0), part(7.0));
        let count = after.0 - before.0;
        (count / (after.1 - before.1).as_secs_f64(), count / (after.2 - before.2))
    };
    let (one, other, both) = (rate(&["0"]), rate(&["1"]), rate(&["0", "1"]));
    (both.0 / (one.0 + other.0), 2.0 * both.1 / (one.1 + other.1))
}
