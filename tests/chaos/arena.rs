//! Where a row of the table takes place: topics of its own, workers, and documents that keep coming.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::documents::{Corpus, Writer};
use crate::fleet::{Fleet, last_words};
use crate::ledger::{Account, Topics, compare};
use crate::options::{Delivery, Options};
use crate::reader::{Tail, read_all};
use crate::support::cluster::Cluster;
use crate::support::line::TINY;

/// After so long without a heartbeat, a worker is taken for dead.
pub const SESSION: Duration = Duration::from_secs(6);

/// How long the lag may stay what it is, once the faults are over.
const DRAIN: Duration = Duration::from_secs(90);

/// How the workers share the partitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// `partition.assignment.strategy`.
    Classic(&'static str),
    /// `group.protocol: consumer` (KIP-848).
    Consumer,
}

/// Where it takes place.
pub struct Arena<'a> {
    /// The brokers, and the network in front of them.
    pub cluster: &'a mut Cluster,
    /// The workers.
    pub fleet: Fleet,
    /// Every choice comes from it.
    pub rng: Rng,
    /// The name of the input topic and of the group.
    pub name: String,
    /// The output topic.
    pub output: String,
    /// The dead-letter topic.
    pub dead: String,
    /// Partitions of each topic.
    pub partitions: i32,
    /// What they promise.
    pub delivery: Delivery,
    /// Workers, when none is missing.
    pub size: usize,
    /// The model fails on some records, each time.
    pub poisoned: bool,
    corpus: &'a Corpus,
    writer: Arc<Mutex<Writer<'a>>>,
    /// What was on the output topic when it was deleted.
    earlier: Vec<rdkafka::message::OwnedMessage>,
    tail: Option<Tail>,
    /// What did not go on, or did not stop.
    pub stalled: Vec<String>,
}

/// What a row came to.
pub struct Outcome {
    /// Lost, duplicated, and so on.
    pub account: Account,
    /// Workers that ended by themselves or not well.
    pub exits: Vec<String>,
    /// What did not go on, or did not stop.
    pub stalled: Vec<String>,
}

impl<'a> Arena<'a> {
    /// Creates the topics, and starts the workers.
    pub fn open(
        cluster: &'a mut Cluster,
        corpus: &'a Corpus,
        options: &Options,
        name: &str,
        partitions: i32,
        size: usize,
        protocol: Protocol,
    ) -> Self {
        let (output, dead) = (format!("{name}.tagged"), format!("{name}.dead"));
        for topic in [name, &output, &dead] {
            cluster.create_topic(topic, partitions);
        }
        let brokers = cluster.brokers_for_workers();
        let group = match protocol {
            Protocol::Classic(strategy) => format!(
                "session.timeout.ms: {}, heartbeat.interval.ms: 1000, partition.assignment.strategy: {strategy}",
                SESSION.as_millis()
            ),
            Protocol::Consumer => "group.protocol: consumer".into(),
        };
        // Little is in flight, so that there is always something left to do; and each document is tagged, though the same
        // texts come again and again (`--set cache.size=1MiB` has them cached).
        let yaml = format!(
            "kafka: {{brokers: '{brokers}', group: {name}, properties: {{{group}, reconnect.backoff.max.ms: 1000}}}}\n\
             input: {{topics: [{name}]}}\n\
             output: {{topic: {output}, dead_letters: {dead}}}\n\
             model: {{path: {TINY}, watch: off}}\n\
             batch: {{tokens: 512}}\n\
             cache: {{size: 0}}\n\
             limits: {{in_flight: 64KiB, document: 64KiB}}\n\
             shutdown: {{timeout: 10s}}\n{}",
            options.delivery.yaml()
        );
        let rng = Rng::with_seed(options.seed ^ hash(name));
        let fleet = Fleet::start(yaml, options, size);
        let writer = Arc::new(Mutex::new(Writer::new(corpus, cluster, name)));
        let name = name.into();
        let (poisoned, earlier, tail, stalled) = <_>::default();
        Self {
            cluster,
            fleet,
            rng,
            name,
            output,
            dead,
            partitions,
            delivery: options.delivery,
            size,
            poisoned,
            corpus,
            writer,
            earlier,
            tail,
            stalled,
        }
    }

    /// Lets a consumer read the output while it is written.
    pub fn read_along(&mut self) {
        self.tail = Some(Tail::start(self.cluster, &self.output, self.partitions));
    }

    /// Writes documents, in the background.
    pub fn write(&mut self, count: usize) {
        self.writer.lock().unwrap().write(count);
    }

    /// Lets time pass: between none and so many milliseconds.
    pub fn pass(&mut self, milliseconds: u64) {
        let time = Duration::from_millis(self.rng.u64(0..=milliseconds));
        self.fleet.sleep(time);
    }

    /// Any of the workers.
    pub fn any_worker(&mut self) -> usize {
        self.rng.usize(0..self.size)
    }

    /// Waits until the group has committed everything. Notes it when it does not come to that.
    pub fn drain(&mut self) {
        self.writer.lock().unwrap().flush();
        if self.drains() {
            return;
        }
        let said: Vec<_> = self.fleet.workers().iter().map(last_words).collect();
        let behind = self.progress();
        // Is it the workers, or what they left behind?
        self.fleet.terminate_all();
        self.fleet.grow(self.size);
        let then = if self.drains() { "new workers went on" } else { "new workers did not go on either" };
        self.stalled.push(format!(
            "{} without progress for {DRAIN:?}: {behind}; {then}; {}",
            self.name,
            said.join("; ")
        ));
    }

    fn drains(&mut self) -> bool {
        let (mut deadline, mut least) = (Instant::now() + DRAIN, i64::MAX);
        loop {
            self.fleet.sleep(Duration::from_millis(200));
            match self.lag() {
                Some(0) => return true,
                Some(lag) if lag < least => (deadline, least) = (Instant::now() + DRAIN, lag),
                _ if Instant::now() > deadline => return false,
                _ => {}
            }
        }
    }

    /// Records that are not committed yet; `None` where that can't be told now.
    pub fn lag(&self) -> Option<i64> {
        let ends = self.cluster.end_offsets(&self.name, self.partitions)?;
        let committed = self.cluster.committed(&self.name, &self.name, self.partitions)?;
        Some(ends.iter().zip(&committed).map(|(end, committed)| end - committed).sum())
    }

    fn progress(&self) -> String {
        let ends = self.cluster.end_offsets(&self.name, self.partitions);
        let committed = self.cluster.committed(&self.name, &self.name, self.partitions);
        format!("committed {committed:?} of {ends:?}")
    }

    /// Takes note of what is on the output topic, which is about to be deleted. All must be drained.
    pub fn remember_output(&mut self) {
        match read_all(self.cluster, &self.output, self.partitions) {
            Ok(records) => self.earlier.extend(records),
            Err(why) => self.stalled.push(why),
        }
    }

    /// How many documents were written.
    pub fn written(&self) -> usize {
        self.writer.lock().unwrap().written()
    }

    /// For one who writes meanwhile.
    pub fn writer(&self) -> Arc<Mutex<Writer<'a>>> {
        Arc::clone(&self.writer)
    }

    /// Lets the workers come to the end, stops them, and draws up the account.
    pub fn close(mut self) -> Outcome {
        self.drain();
        self.fleet.terminate_all();
        let mut read = |topic: &str| {
            read_all(self.cluster, topic, self.partitions).unwrap_or_else(|why| {
                self.stalled.push(why);
                Vec::new()
            })
        };
        let (input, output, dead) = (read(&self.name), read(&self.output), read(&self.dead));
        let along = self.tail.map(Tail::finish);
        let places: Vec<_> = output.iter().map(record_place).collect();
        let output = self.earlier.into_iter().chain(output).collect();
        let mut account = compare(self.corpus, &Topics { input, output, dead, poisoned: self.poisoned });
        let written = self.writer.lock().unwrap().written();
        if account.records != written {
            account.wrong(format!("{written} records were written, {} are there", account.records));
        }
        if let Some(mut along) = along {
            // Stable: within a partition, it stays the order in which they were seen.
            along.sort_by_key(|(partition, _)| *partition);
            if along != places {
                account.wrong(format!("a reader saw {} results meanwhile, {} are there", along.len(), places.len()));
            }
        }
        let (exits, mut stalled) = (self.fleet.exits.clone(), self.stalled);
        stalled.extend(self.fleet.hung.iter().cloned());
        if exits.is_empty() && stalled.is_empty() && account.keeps(self.delivery) {
            self.fleet.forget();
        }
        Outcome { account, exits, stalled }
    }
}

fn record_place(record: &rdkafka::message::OwnedMessage) -> (i32, i64) {
    use rdkafka::Message as _;
    (record.partition(), record.offset())
}

/// FNV-1a: each row has a seed of its own, the same in every run.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
