//! The documents, and a worker that tags them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::producer::BaseRecord;
use serde_json::json;

use crate::support::kafka::Kafka;
use crate::support::tagbert::{Worker, resident_peak};
use crate::support::{self};

/// Kernel ticks a second: the unit of processor time in `/proc`.
const TICKS: f64 = 100.0;

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Quick,
    Usual,
    Full,
}

impl Scale {
    pub fn of_environment() -> Self {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "0");
        match (set("QUICK"), set("FULL")) {
            (true, _) => Self::Quick,
            (_, true) => Self::Full,
            _ => Self::Usual,
        }
    }

    pub fn of<T>(self, quick: T, usual: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Usual => usual,
            Self::Full => full,
        }
    }

    pub fn rounds(self) -> usize {
        self.of(1, 3, 3)
    }

    pub fn command(self) -> &'static str {
        self.of("make bench QUICK=1", "make bench", "make bench FULL=1")
    }
}

/// Workload W: a seeded sample of the real documents, as the values of records.
pub fn documents(count: usize) -> Vec<Vec<u8>> {
    sample(count).map(|text| value(&text)).collect()
}

/// W-short: the same, cut to the length of a message.
pub fn short(count: usize) -> Vec<Vec<u8>> {
    sample(count).map(|text| value(&cut(&text, 200))).collect()
}

/// W-mixed: every second document is short.
pub fn mixed(count: usize) -> Vec<Vec<u8>> {
    sample(count).enumerate().map(|(n, text)| value(&if n % 2 == 0 { text } else { cut(&text, 200) })).collect()
}

/// Texts of so many characters.
pub fn of_length(count: usize, characters: usize) -> Vec<Vec<u8>> {
    let long: String = sample(200).collect::<Vec<_>>().join("\n");
    let long: Vec<char> = long.chars().collect();
    let text = |n: usize| long.iter().cycle().skip(n * 997 % long.len()).take(characters).collect::<String>();
    (0..count).map(|n| value(&text(n))).collect()
}

fn sample(count: usize) -> impl Iterator<Item = String> {
    let mut texts: Vec<_> = support::corpus().map(|document| document.text()).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut texts);
    texts.into_iter().take(count)
}

fn value(text: &str) -> Vec<u8> {
    json!({ "id": "1", "subject": "", "body": text }).to_string().into_bytes()
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Topics of a run.
pub struct Topics {
    pub name: String,
    pub tagged: String,
}

impl Topics {
    /// With the documents in the input topic, which has so many partitions.
    pub fn with(documents: &[Vec<u8>], partitions: i32) -> Self {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let name = format!("bench-{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let topics = Self { tagged: format!("{name}.tagged"), name };
        for topic in [&topics.name, &topics.tagged] {
            Kafka::shared().create_topic(topic, partitions);
        }
        Kafka::shared().create_topic(&format!("{}.dead", topics.name), 1);
        // Brokers know of hundreds of partitions a little later.
        thread::sleep(Duration::from_millis(20) * partitions.unsigned_abs());
        topics.write(documents);
        topics
    }

    pub fn write(&self, documents: &[Vec<u8>]) {
        let keys: Vec<String> = (0..documents.len()).map(|number| number.to_string()).collect();
        let record = |(key, value)| BaseRecord::<[u8], [u8]>::to(&self.name).key(key).payload(value);
        Kafka::shared().produce(keys.iter().map(String::as_bytes).zip(documents.iter().map(Vec::as_slice)).map(record));
    }

    /// The configuration of a worker. Documents are cut at 512 tokens and none is answered from a cache, as by all that it
    /// is compared with.
    pub fn yaml(&self, model: &str) -> String {
        let (Self { name, tagged }, brokers) = (self, Kafka::shared().brokers());
        format!(
            "kafka: {{brokers: '{brokers}', group: {name}}}\ninput: {{topics: [{name}]}}\noutput: {{topic: {tagged}, \
             dead_letters: {name}.dead}}\nmodel: {{path: '{model}', device: cpu, long_documents: truncate}}\ncache: {{size: 0}}\n"
        )
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Documents a second, from the first fetched to the last acknowledged.
    pub rate: f64,
    /// Seconds of a core for a document.
    pub core_seconds: f64,
    /// The most that was resident, in bytes.
    pub resident: f64,
    /// Share of padding in the tokens that were computed.
    pub padding: f64,
    /// Shares of the processor time, by name of the threads.
    pub threads: BTreeMap<String, f64>,
}

/// `tagbert run --until-end` on documents that are there already.
pub fn tag(documents: &[Vec<u8>], model: &str, sets: &[&str]) -> Ran {
    run(&Topics::with(documents, 4), documents.len(), model, sets)
}

/// The same on topics that are there already.
pub fn run(topics: &Topics, documents: usize, model: &str, sets: &[&str]) -> Ran {
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).chain(["--until-end"]).collect();
    let mut worker = Worker::start(&topics.yaml(model), &sets);
    worker.wait_for_log_closely("assigned: ");
    let (before, mut after, mut resident) = (processor_time(worker.id()), 0.0_f64, 0);
    let (at_first, mut threads) = (by_thread(worker.id()), BTreeMap::new());
    for look in 0.. {
        // What has ended can still be asked, until it is waited for.
        let ended = has_ended(worker.id());
        after = processor_time(worker.id()).max(after);
        if ended {
            break;
        }
        resident = resident_peak(worker.id()).unwrap_or_default().max(resident);
        // That takes longer; and those that have ended are not told of any more.
        let now = if look % 10 == 0 { by_thread(worker.id()) } else { BTreeMap::new() };
        if now.values().sum::<f64>() >= threads.values().sum::<f64>() {
            threads = now;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let since = |(name, time): (String, f64)| (time - at_first.get(&name).copied().unwrap_or_default(), name);
    let times: Vec<_> = threads.into_iter().map(since).collect();
    let all: f64 = times.iter().map(|(time, _)| time).sum();
    let threads = times.into_iter().map(|(time, name)| (name, time / all.max(1e-9))).collect();
    worker.wait_for_success();
    let summary = worker.stdout();
    let number = |before: &str, after: &str| -> f64 {
        let (_, rest) = summary.split_once(before).unwrap_or_else(|| panic!("no `{before}` in\n{summary}"));
        rest.split_once(after).and_then(|(number, _)| number.trim().parse().ok()).expect("a number")
    };
    assert!(summary.starts_with(&format!("records    {documents} in = {documents} out")), "{summary}");
    Ran {
        rate: number("speed", " documents/s"),
        core_seconds: (after - before) / documents as f64,
        resident: resident as f64,
        padding: number("padding waste", " %") / 100.0,
        threads,
    }
}

/// Has all threads of a process run on these cores alone.
pub fn pin(process: u32, cores: &str) {
    let output = Command::new("taskset").args(["-a", "-p", "-c", cores, &process.to_string()]).output();
    assert!(output.expect("taskset is part of util-linux").status.success(), "{process} on {cores}");
}

/// Seconds of a core that a process has had.
pub fn processor_time(process: u32) -> f64 {
    time_of(&stat_of(process))
}

/// The same of its threads, by name.
fn by_thread(process: u32) -> BTreeMap<String, f64> {
    let mut times = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let Some((name, _)) = stat.split_once('(').and_then(|(_, name)| name.rsplit_once(')')) else { continue };
        // Each broker has one, and they are numbered.
        let name = if name.starts_with("rdk:") { "librdkafka" } else { name };
        *times.entry(name.to_owned()).or_default() += time_of(&stat);
    }
    times
}

/// Whether it is there only to be waited for.
fn has_ended(process: u32) -> bool {
    stat_of(process).rsplit_once(')').is_none_or(|(_, fields)| fields.trim_start().starts_with(['Z', 'X']))
}

fn stat_of(process: u32) -> String {
    fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default()
}

fn time_of(stat: &str) -> f64 {
    // After the name, which is in brackets: the 12th and 13th fields.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// How long something takes, in seconds.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}
