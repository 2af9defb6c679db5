//! Point 10: the cost of a document, against how many there are, how long they are, and how they are spread.

use std::process::Command;
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
            &format!("host, a lag of {lag}: µs of a core for a document"),
            Goal::None,
            &Figure::of([*cost]),
        );
    }
    let documents = work::of_length(10_000, 560);
    for partitions in [1, 16, 256] {
        let topics = Topics::with(&documents, partitions);
        let cost = 1e6 * work::run(&topics, documents.len(), &null, &[]).core_seconds;
        report.add(
            "10",
            &format!("host, {partitions} partitions: µs of a core for a document"),
            Goal::None,
            &Figure::of([cost]),
        );
    }
    for characters in [120, 250, 500, 1000, 2000] {
        let documents = work::of_length(scale.of(20_000, 60_000, 200_000) / characters, characters);
        let cost = work::tag(&documents, "models/tagbert-small", &[]).core_seconds / characters as f64;
        report.add(
            "10",
            &format!("documents of {characters} characters: µs of a core for a character"),
            Goal::None,
            &Figure::of([1e6 * cost]),
        );
    }
    let rounds = (0..scale.rounds()).map(|_| two_workers(scale)).collect::<Vec<_>>();
    report.add("10", "two workers of a core each ÷ two times one", Goal::AtLeast(0.95), &Figure::of(rounds));
}

/// The rate of two workers on one topic, each on a core of its own, over that of each alone on its core.
fn two_workers(scale: Scale) -> f64 {
    let documents = work::short(scale.of(300, 1500, 4000));
    let rate = |cores: &[&str]| {
        let topics = Topics::with(&[], 4);
        let start = |core: &&str| {
            let mut worker = Worker::start(&topics.yaml("models/tagbert-small"), &["--set", "model.sessions=1"]);
            let pinned = Command::new("taskset").args(["-a", "-p", "-c", core, &worker.id().to_string()]).output();
            assert!(pinned.expect("taskset is part of util-linux").status.success());
            worker.wait_for_log("assigned: ");
            worker
        };
        let workers: Vec<Worker> = cores.iter().map(start).collect();
        // The group settles.
        thread::sleep(Duration::from_secs(4));
        topics.write(&documents);
        let done = || workers.iter().filter_map(|worker| worker.metric("tagbert_records_out_total")).sum::<f64>();
        let ninth = |ninths: f64| {
            while done() < ninths / 9.0 * documents.len() as f64 {
                thread::sleep(Duration::from_millis(10));
            }
        };
        // Neither the first nor the last, when one of them may have nothing to do.
        ninth(1.0);
        let (started, before) = (Instant::now(), done());
        ninth(7.0);
        (done() - before) / started.elapsed().as_secs_f64()
    };
    rate(&["0", "1"]) / (rate(&["0"]) + rate(&["1"]))
}
