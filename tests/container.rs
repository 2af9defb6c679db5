//! A worker in a container that is smaller than the machine: it takes the cores that it is given, and says when the memory
//! can't suffice.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

mod support;

use support::container::Container;
use support::tagbert::{Place, Worker, command};

/// Needs no broker to be there: models are loaded before it is looked for.
const LINES: &str = "kafka: {brokers: '127.0.0.1:1', group: g}\ninput: {topics: [documents]}\n\
                     output: {topic: tagged, dead_letters: dead}\nmodel: {path: tests/fixtures/tiny-distilbert}\n";

/// One test enters a container with the whole process: the others are not to be in it.
static ALONE: Mutex<()> = Mutex::new(());

/// A `tagbert tag`.
fn tag() -> Command {
    command(&["tag", "--model", "tests/fixtures/tiny-distilbert"])
}

/// How many threads decode and infer in it while it waits for documents.
fn threads(mut command: Command) -> [usize; 2] {
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
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let container = Container::create(&format!("tagbert-{}", std::process::id()), Some(500), Some(150 << 20));
    let Some(container) = container.filter(Container::enter) else {
        return support::skip(name, "control groups can't be made here");
    };
    assert_eq!(threads(tag()), [1, 1], "half a core is one");
    Worker::start(LINES, &[]).wait_for_log("container (its control group) may have 150");
    drop(container);
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(threads(tag()), [cores, cores.min(4)]);
    let mut free = Worker::start(LINES, &[]);
    free.wait_for_log("loaded in");
    assert!(!free.log().contains("memory:"), "{}", free.log());
}

#[test]
fn a_worker_that_is_pinned_to_a_core_uses_one() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first = allowed.split([',', '-']).next().unwrap();
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", first]).arg(tag().get_program()).args(tag().get_args()).current_dir(support::root());
    assert_eq!(threads(pinned), [1, 1]);
}

#[test]
fn a_worker_takes_no_more_cores_than_it_is_told_to() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let told = |cpus: &str| {
        let mut tag = tag();
        tag.env("TAGBERT_CPUS", cpus);
        tag
    };
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(threads(told("1")), [1, 1]);
    assert_eq!(threads(told("1000")), [cores, cores.min(4)], "nor more than there are");
    let refused = told("1.5").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("`TAGBERT_CPUS` is `1.5`"), "{said}");
}

#[test]
fn a_model_on_trial_is_refused_before_the_container_has_no_memory_left() {
    let name = "a_model_on_trial_is_refused_before_the_container_has_no_memory_left";
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The weights alone have 35 and 21 MiB; 32 are kept free, and a process without a model takes few.
    let cases = [
        ("models/tagbert-small", 60, "to try it takes"),
        ("models/tagbert-tiny", 76, "loading and a first run took more memory than the container"),
    ];
    for (model, mebibytes, expected) in cases {
        let own = format!("tagbert-trial-{}-{mebibytes}", std::process::id());
        let Some(container) = Container::create(&own, None, Some(mebibytes << 20)) else {
            return support::skip(name, "control groups can't be made here");
        };
        let place = Place { groups: container.groups(), ..Place::default() };
        let done = place.command(&["model", "inspect", model]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.contains("raise its limit"), "{said}");
        assert_eq!(container.killed_for_memory(), 0);
    }
}
