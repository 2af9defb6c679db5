//! Reads topics as a `read_committed` consumer sees them: after the faults, and during them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::support::cluster::Cluster;

/// How long reading a topic may take, transactions that hang included.
const TIMEOUT: Duration = Duration::from_secs(100);

/// Everything in a topic, in the order of each partition.
///
/// # Errors
/// When a transaction stays open, so that a reader never comes to the end.
pub fn read_all(cluster: &Cluster, topic: &str, partitions: i32) -> Result<Vec<OwnedMessage>, String> {
    let consumer = consumer(cluster.client(), topic, partitions);
    let deadline = Instant::now() + TIMEOUT;
    // A reader comes to the end of a partition only when no transaction is open.
    let ends = |isolation: &str| -> Option<Vec<i64>> {
        let consumer: BaseConsumer = cluster.client().set("isolation.level", isolation).create().unwrap();
        (0..partitions).map(|n| consumer.fetch_watermarks(topic, n, TIMEOUT).ok().map(|(_, end)| end)).collect()
    };
    while ends("read_committed").is_none_or(|stable| Some(stable) != ends("read_uncommitted")) {
        if Instant::now() > deadline {
            return Err(format!("{topic}: a transaction stays open"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut records = Vec::new();
    let mut open: HashSet<i32> = (0..partitions).collect();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(record)) => records.push(record.detach()),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            _ if Instant::now() > deadline => return Err(format!("{topic}: can't be read to its end")),
            // Nodes that are not there yet: the client goes on by itself.
            _ => {}
        }
    }
    records.sort_by_key(|record| (record.partition(), record.offset()));
    Ok(records)
}

/// A reader that runs during the faults.
pub struct Tail {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(i32, i64)>>,
}

impl Tail {
    /// Starts one.
    pub fn start(cluster: &Cluster, topic: &str, partitions: i32) -> Self {
        let consumer = consumer(cluster.client(), topic, partitions);
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            loop {
                match consumer.poll(Duration::from_millis(200)) {
                    Some(Ok(record)) => seen.push((record.partition(), record.offset())),
                    // It is asked to stop when there is nothing more to come.
                    None if asked.load(Ordering::Acquire) => return seen,
                    Some(Err(_)) | None => {}
                }
            }
        });
        Self { stop, thread }
    }

    /// Where each record that it saw is, in the order in which it saw them.
    pub fn finish(self) -> Vec<(i32, i64)> {
        // What is there already may still be on its way.
        std::thread::sleep(Duration::from_secs(2));
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

fn consumer(mut client: ClientConfig, topic: &str, partitions: i32) -> BaseConsumer<Silent> {
    let consumer: BaseConsumer<Silent> = client
        .set("group.id", "chaos-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create_with_context(Silent)
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for n in 0..partitions {
        assignment.add_partition_offset(topic, n, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    consumer
}

/// Errors are what it is there for.
struct Silent;

impl ClientContext for Silent {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Silent {}
