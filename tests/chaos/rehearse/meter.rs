//! Lag, as KEDA reads it from the brokers, and how much a reader sees of the results: twice a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::arena::Arena;

const INTERVAL: Duration = Duration::from_millis(500);

/// How long one request may take; brokers may be away.
const REQUEST: Duration = Duration::from_secs(2);

/// What was seen at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the beginning of the act.
    pub at: Duration,
    /// Records that are not committed.
    pub lag: i64,
    /// Results that a `read_committed` reader can see, markers of transactions included.
    pub visible: i64,
    /// Pods that run.
    pub pods: usize,
}

/// Looks, from a thread of its own.
pub struct Meter {
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<Sample>>,
}

/// A lag that is not known.
const UNKNOWN: i64 = -1;

struct Shared {
    over: AtomicBool,
    pods: AtomicUsize,
    /// So many times it was looked.
    looks: AtomicUsize,
    lag: AtomicI64,
}

impl Meter {
    /// Starts to look at an arena.
    pub fn start(arena: &Arena<'_>, started: Instant) -> Self {
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            pods: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            lag: AtomicI64::new(UNKNOWN),
        });
        let (theirs, client, partitions) = (Arc::clone(&shared), arena.cluster.client(), arena.partitions);
        let topics = [arena.name.clone(), arena.output.clone(), arena.dead.clone()];
        let thread = thread::spawn(move || {
            let (mut samples, mut reader) = (Vec::new(), Reader::new(&client, &topics));
            while !theirs.over.load(Ordering::Acquire) {
                let begun = Instant::now();
                let read = reader.read(&topics, partitions);
                theirs.lag.store(read.map_or(UNKNOWN, |(lag, _)| lag), Ordering::Release);
                theirs.looks.fetch_add(1, Ordering::AcqRel);
                if let Some((lag, visible)) = read {
                    let pods = theirs.pods.load(Ordering::Acquire);
                    samples.push(Sample { at: started.elapsed(), lag, visible, pods });
                } else {
                    // The old one would go on asking the node that is gone.
                    reader = Reader::new(&client, &topics);
                }
                thread::sleep(INTERVAL.saturating_sub(begun.elapsed()));
            }
            samples
        });
        Self { shared, thread }
    }

    /// So many pods run.
    pub fn set_pods(&self, count: usize) {
        self.shared.pods.store(count, Ordering::Release);
    }

    /// The latest lag; `None` while the brokers do not say.
    pub fn lag(&self) -> Option<i64> {
        Some(self.shared.lag.load(Ordering::Acquire)).filter(|&lag| lag != UNKNOWN)
    }

    /// So many looks it has taken. What is so now, is seen by the one after the next.
    pub fn looks(&self) -> usize {
        self.shared.looks.load(Ordering::Acquire)
    }

    /// All that was seen.
    pub fn finish(self) -> Vec<Sample> {
        self.shared.over.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

/// Clients that ask, and are no members.
struct Reader {
    /// Of the group; what is in an open transaction counts for it, as for KEDA.
    group: BaseConsumer,
    /// It sees what is committed.
    committed: BaseConsumer,
}

impl Reader {
    fn new(client: &ClientConfig, [group, ..]: &[String; 3]) -> Self {
        let sees =
            |isolation: &str| client.clone().set("group.id", group).set("isolation.level", isolation).create().unwrap();
        Self { group: sees("read_uncommitted"), committed: sees("read_committed") }
    }

    /// Lag, and results; `None` while the brokers do not say.
    fn read(&self, [input, output, dead]: &[String; 3], partitions: i32) -> Option<(i64, i64)> {
        let ends = |client: &BaseConsumer, topic: &str| -> Option<i64> {
            (0..partitions).map(|n| client.fetch_watermarks(topic, n, REQUEST).ok().map(|(_, end)| end)).sum()
        };
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(input, 0, partitions - 1);
        let offsets = self.group.committed_offsets(asked, REQUEST).ok()?;
        let offset = |one: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            one.error().is_ok().then(|| one.offset().to_raw().unwrap_or(0).max(0))
        };
        let committed: Option<i64> = offsets.elements().iter().map(offset).sum();
        let lag = ends(&self.group, input)? - committed?;
        Some((lag, ends(&self.committed, output)? + ends(&self.committed, dead)?))
    }
}
