//! Errors that a real broker can't be asked for, from librdkafka's mock cluster: one worker outlives them all.
//!
//! The mock cluster keeps what an aborted transaction has written, and no offsets of transactions. So here results may be
//! there twice, under either delivery; that nothing is twice is for the tests on real brokers.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaApiKey::{self as Api, *};
use rdkafka::types::RDKafkaRespErr::{self as Code, *};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

mod support;

use support::line::{TINY, document};
use support::records::header;
use support::tagbert::Worker;

const PARTITIONS: i32 = 4;
const BROKERS: i32 = 3;
const DOCUMENTS: usize = 8000;
const GROUP: &str = "mocked";

/// So many results must have come out since, for a fault to be behind.
const PROGRESS: usize = 25;

/// How long they may take: backoffs, and an election of the group.
const PATIENCE: Duration = Duration::from_mins(1);

/// So often in a row a request is met by an error.
const AGAIN: usize = 2;

/// Within this, each request that is made regularly has been made so often: commits, once a second.
const REGULARLY: Duration = Duration::from_millis(2200);

/// Errors for everyone's requests.
const COMMON: &[(Api, &[Code])] = &[
    (
        Produce,
        &[
            RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
            RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_INVALID_MSG,
            RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    ),
    (
        Fetch,
        &[
            RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
            RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
            RD_KAFKA_RESP_ERR_UNKNOWN,
            RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    ),
    (
        Heartbeat,
        &[
            RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
            RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
            RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    ),
    (Metadata, &[RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT]),
    (OffsetFetch, &[RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR]),
    (FindCoordinator, &[RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE]),
    (JoinGroup, &[RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR]),
    (SyncGroup, &[RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]),
];

const COMMITS: &[(Api, &[Code])] = &[(
    OffsetCommit,
    &[
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RD_KAFKA_RESP_ERR__TRANSPORT,
    ],
)];

const TRANSACTIONS: &[(Api, &[Code])] = &[
    (
        AddPartitionsToTxn,
        &[
            RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
            RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
            RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
            RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
            RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    ),
    (
        AddOffsetsToTxn,
        &[
            RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
            RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
            RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
            RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
            RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    ),
    (
        TxnOffsetCommit,
        &[
            RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
            RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
            RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    ),
    (
        EndTxn,
        &[
            RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
            RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
            RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
            RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
            RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    ),
    // Asked for only when a producer is replaced: the error before each of these sees to that.
    (InitProducerId, &[RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS]),
];

/// One error for each kind of request, at once.
#[derive(Debug)]
struct Round(Vec<(Api, Code)>);

impl Round {
    /// The errors with this number.
    fn of(requests: &[(Api, &[Code])], number: usize) -> Self {
        let mut round: Vec<_> = requests.iter().filter_map(|(api, codes)| Some((*api, *codes.get(number)?))).collect();
        // Some requests are made only after another has failed.
        let provoke = |of: &[Api], (api, code)| round.iter().any(|(api, _)| of.contains(api)).then_some((api, code));
        let joins = provoke(&[JoinGroup, SyncGroup, OffsetFetch], (Heartbeat, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID));
        let finds = provoke(&[FindCoordinator], (Heartbeat, RD_KAFKA_RESP_ERR_NOT_COORDINATOR));
        let begins = provoke(&[InitProducerId], (EndTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE));
        round.extend(joins.into_iter().chain(finds).chain(begins));
        Self(round)
    }

    /// Whether the worker has to join its group anew.
    fn ends_membership(&self) -> bool {
        let of_old = [
            RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
            RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        ];
        self.0.iter().any(|(api, code)| *api == Heartbeat && of_old.contains(code))
    }
}

/// The cluster, a worker, and who reads what it writes.
struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    yaml: String,
    worker: Worker,
    reader: BaseConsumer,
    results: Vec<OwnedMessage>,
    seen: HashSet<usize>,
}

impl Mock {
    /// With all documents there already: whoever writes would meet the errors, too.
    fn start(delivery: &str) -> Self {
        let cluster = MockCluster::new(BROKERS).unwrap();
        for topic in ["in", "out", "dead"] {
            cluster.create_topic(topic, PARTITIONS, BROKERS).unwrap();
        }
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer: BaseProducer = client.create().unwrap();
        for n in 0..DOCUMENTS {
            let (key, value) = (n.to_string(), document(&format!("document {n}")));
            producer.send(BaseRecord::to("in").key(&key).payload(&value)).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();

        let reader: BaseConsumer =
            client.set("group.id", "reader").set("enable.auto.commit", "false").create().unwrap();
        let mut output = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            output.add_partition_offset("out", partition, Offset::Beginning).unwrap();
        }
        reader.assign(&output).unwrap();
        let yaml = format!(
            "delivery: {delivery}\n\
             kafka: {{brokers: '{}', group: {GROUP}, properties: {{session.timeout.ms: 6000, \
             heartbeat.interval.ms: 300, reconnect.backoff.max.ms: 500, linger.ms: 300}}}}\n\
             input: {{topics: [in]}}\n\
             output: {{topic: out, dead_letters: dead}}\n\
             model: {{path: {TINY}, watch: off}}\n",
            cluster.bootstrap_servers()
        );
        // Little is in flight, so that there is always something left to do.
        let worker = Worker::start(&yaml, &["--set", "limits.in_flight=64KiB", "--set", "limits.document=64KiB"]);
        Self { cluster, yaml, worker, reader, results: Vec::new(), seen: HashSet::new() }
    }

    /// Has the next requests fail, and waits until they have.
    fn fail(&mut self, round: &Round) {
        let joined = |worker: &Worker| worker.log().matches("assigned: ").count();
        let before = joined(&self.worker);
        for &(api, code) in &round.0 {
            self.cluster.request_errors(api, &[code; AGAIN]);
        }
        thread::sleep(REGULARLY);
        if round.ends_membership() {
            self.worker.wait_until(&format!("a member again after {round:?}"), |worker| joined(worker) > before);
        }
        for &(api, _) in &round.0 {
            self.cluster.clear_request_errors(api);
        }
    }

    /// Takes the next result, if one comes in time. (The reader meets errors as well; it goes on.)
    fn read(&mut self, timeout: Duration) -> bool {
        let Some(Ok(record)) = self.reader.poll(timeout) else { return false };
        self.seen.insert(std::str::from_utf8(record.key().unwrap()).unwrap().parse().unwrap());
        self.results.push(record.detach());
        true
    }

    /// Reads what is there, and then until there are so many results more, of documents that had none.
    fn read_on(&mut self, more: usize, after: &str) {
        while self.read(Duration::ZERO) {}
        let (wanted, deadline) = ((self.seen.len() + more).min(DOCUMENTS), Instant::now() + PATIENCE);
        while self.seen.len() < wanted {
            self.read(Duration::from_millis(100));
            let (ended, seen) = (self.worker.ended(), self.seen.len());
            let goes_on = ended.is_none() && Instant::now() < deadline;
            assert!(goes_on, "{after}: {seen} of {wanted}, {ended:?}\n{}", self.worker.log());
        }
    }

    /// The results of an input partition appear in its order, first appearances that is, and all is committed. (The mock
    /// cluster does not keep the offsets of transactions.)
    fn close(mut self, committed: bool) {
        self.worker.terminate();
        self.worker.wait_for_success();
        // Another does the rest, at full speed.
        self.worker = Worker::start(&self.yaml, &[]);
        self.read_on(DOCUMENTS, "in the end");
        self.worker.terminate();
        self.worker.wait_for_success();
        let mut last: HashMap<(i32, String), i64> = HashMap::new();
        let mut seen = HashSet::new();
        for result in &self.results {
            let id = header(result, "tagbert.record.id").unwrap();
            let (place, offset) = id.rsplit_once('-').unwrap();
            if seen.insert(id.clone()) {
                let offset = offset.parse().unwrap();
                let before = last.insert((result.partition(), place.to_owned()), offset);
                assert!(before.is_none_or(|before| before < offset), "{id} after {before:?}");
            }
        }
        if !committed {
            return;
        }
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("group.id", GROUP);
        let consumer: BaseConsumer = client.create().unwrap();
        let mut asked = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            asked.add_partition("in", partition);
        }
        for one in consumer.committed_offsets(asked, PATIENCE).unwrap().elements() {
            let (_, end) = consumer.fetch_watermarks("in", one.partition(), PATIENCE).unwrap();
            assert_eq!(one.offset(), Offset::Offset(end), "partition {}", one.partition());
        }
    }
}

fn outlives(delivery: &str, requests: &[&[(Api, &[Code])]]) {
    let mut mock = Mock::start(delivery);
    mock.read_on(1, "at the beginning");
    let requests = requests.concat();
    for number in 0..requests.iter().map(|(_, codes)| codes.len()).max().unwrap_or_default() {
        let (round, since) = (Round::of(&requests, number), Instant::now());
        mock.fail(&round);
        mock.read_on(PROGRESS, &format!("after {round:?}"));
        eprintln!("{delivery}: {} results after {:?}, {round:?}", mock.seen.len(), since.elapsed());
    }
    for broker in 1..=BROKERS {
        mock.cluster.broker_down(broker).unwrap();
        thread::sleep(Duration::from_millis(700));
        mock.cluster.broker_up(broker).unwrap();
        mock.read_on(PROGRESS, "a broker was down");
    }
    mock.cluster.broker_down(-1).unwrap();
    thread::sleep(Duration::from_secs(2));
    mock.cluster.broker_up(-1).unwrap();
    mock.read_on(PROGRESS, "all brokers were down");
    mock.cluster.broker_round_trip_time(-1, Duration::from_millis(400)).unwrap();
    mock.read_on(PROGRESS, "with a round trip of 400 ms");
    mock.cluster.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    for broker in [1, 2, 3] {
        mock.cluster.coordinator(MockCoordinator::Group(GROUP.into()), broker).unwrap();
        mock.read_on(PROGRESS, "the coordinator moved");
    }
    assert!(mock.seen.len() < DOCUMENTS, "the last faults met a worker without work");
    mock.close(delivery == "at-least-once");
}

#[test]
fn a_worker_outlives_each_error_of_each_request_at_least_once() {
    outlives("at-least-once", &[COMMON, COMMITS]);
}

#[test]
fn a_worker_outlives_each_error_of_each_request_exactly_once() {
    outlives("exactly-once", &[COMMON, TRANSACTIONS]);
}

/// The library asks again by itself, and that goes well; only the connection's end tells that something was lost.
#[test]
fn a_producer_that_lost_a_request_begins_no_other_transaction() {
    let mut mock = Mock::start("exactly-once");
    mock.read_on(PROGRESS, "before any fault");
    for api in [EndTxn, AddOffsetsToTxn, TxnOffsetCommit] {
        let renewed = |worker: &Worker| worker.log().matches("a new producer goes on").count();
        let before = renewed(&mock.worker);
        mock.cluster.request_errors(api, &[RD_KAFKA_RESP_ERR__TRANSPORT]);
        mock.worker.wait_until(&format!("a new producer after {api:?}"), |worker| renewed(worker) > before);
        mock.read_on(PROGRESS, &format!("after {api:?}"));
    }
    assert_eq!(mock.worker.ended(), None);
}
