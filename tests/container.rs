//! A worker in a container that is smaller than the machine: it takes the cores that it is given, and says when the memory
//! can't suffice.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

mod support;

use support::container::Container;
use support::tagbert::{Worker, command};

/// Needs no broker to be there: models are loaded before it is looked for.
const LINES: &str = "kafka: {brokers: '127.0.0.1:1', group: g}\ninput: {topics: [documents]}\n\
                     output: {topic: tagged, dead_letters: dead}\nmodel: {path: tests/fixtures/tiny-distilbert}\n";

/// How many threads decode and infer in a `tagbert tag` that waits for documents.
fn threads() -> [usize; 2] {
    let mut command = command(&["tag", "--model", "tests/fixtures/tiny-distilbert"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let count = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let names: Vec<_> = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect();
        ["prepare", "infer"].map(|wanted| names.iter().filter(|name| name.trim() == wanted).count())
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut counted = count();
    while counted.contains(&0) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        counted = count();
    }
    thread::sleep(Duration::from_millis(100));
    counted = count();
    child.kill().unwrap();
    child.wait().unwrap();
    counted
}

#[test]
fn a_small_container_is_heeded_and_told_of() {
    let name = "a_small_container_is_heeded_and_told_of";
    let container = Container::create(&format!("tagbert-{}", std::process::id()), Some(500), Some(150 << 20));
    let Some(container) = container.filter(Container::enter) else {
        return support::skip(name, "control groups can't be made here");
    };
    assert_eq!(threads(), [1, 1], "half a core is one");
    Worker::start(LINES, &[]).wait_for_log("container (its control group) may have 150");
    drop(container);
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(threads(), [cores, cores.min(4)]);
    let mut free = Worker::start(LINES, &[]);
    free.wait_for_log("loaded in");
    assert!(!free.log().contains("memory:"), "{}", free.log());
}
