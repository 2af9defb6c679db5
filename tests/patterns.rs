//! Input topics by patterns, and where a new group begins, on a real Apache Kafka.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::BaseRecord;

mod support;

use support::kafka::{Kafka, block_on};
use support::line::{Line, document, value};
use support::records::header;
use support::tagbert::tagbert;

/// Writes a document to a topic, with this age.
fn produce(topic: &str, text: &str, age: Duration) {
    let value = document(text);
    let time = (SystemTime::now() - age).duration_since(UNIX_EPOCH).unwrap();
    let record = BaseRecord::<[u8], [u8]>::to(topic).key(b"k").payload(&value).partition(0);
    Kafka::shared().produce([record.timestamp(time.as_millis() as i64)]);
}

/// The texts that came out, sorted.
fn texts(line: &Line) -> Vec<String> {
    let text = |record| value(record)["document"]["body"].as_str().unwrap().to_owned();
    let mut texts: Vec<_> = line.tagged().iter().map(text).collect();
    texts.sort();
    texts
}

const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_hours(1);

#[test]
fn topics_that_come_and_go_under_a_pattern_are_read_and_what_the_worker_writes_never_is() {
    // The pattern matches the topics of results and of dead letters, too.
    let line = Line::create("logs", 1);
    produce("logs", "one", NOW);
    Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to("logs").key(b"k").payload(b"{")]);
    let worker = line.worker().set("input.topics", "^logs").property("topic.metadata.refresh.interval.ms", "1000");
    let mut worker = worker.start();
    worker.wait_until("what is there is read", |_| texts(&line) == ["one"] && line.dead().len() == 1);
    Kafka::shared().create_topic("logs-new", 2);
    produce("logs-new", "two", HOUR);
    worker.wait_for_log("the topic `logs-new` is new, and is read from now on");
    worker.wait_until("the new topic is read from its beginning", |_| texts(&line) == ["one", "two"]);
    worker.wait_until("it is committed", |_| Kafka::shared().committed(line.name, "logs-new")[0] == Some(1));

    Kafka::shared().delete_topic("logs-new");
    worker.wait_for_log("the topic `logs-new` is there no more, and is no longer read");
    assert_eq!(worker.get("/readyz").0, 200, "that one went is no fault");
    produce("logs", "three", NOW);
    worker.wait_until("the rest goes on", |_| texts(&line) == ["one", "three", "two"]);
    Kafka::shared().create_topic("logs-new", 1);
    produce("logs-new", "four", NOW);
    worker.wait_until("one that comes back is read", |_| texts(&line) == ["four", "one", "three", "two"]);
    thread::sleep(Duration::from_secs(3));
    assert_eq!((texts(&line).len(), line.dead().len()), (4, 1), "nothing goes round");
    worker.terminate();
    worker.wait_for_success();

    let config = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("patterns.yaml");
    std::fs::write(&config, line.yaml("tests/fixtures/tiny-distilbert")).unwrap();
    let args = ["check", "--config", config.to_str().unwrap(), "--set", "input.topics=^logs"];
    let said = String::from_utf8(tagbert(&args, b"").stderr).unwrap();
    assert!(said.contains("topics that are read now: logs, logs-new\n"), "{said}");
}

#[test]
fn a_new_group_of_a_pattern_that_matches_nothing_yet_waits_for_a_topic() {
    let line = Line::create("nothing-yet", 1);
    let worker = line.worker().set("input.topics", "^comes-later").set("input.start", "2h ago");
    let mut worker = worker.property("topic.metadata.refresh.interval.ms", "1000").start();
    worker.wait_for_log("waiting until there is one");
    Kafka::shared().create_topic("comes-later", 1);
    produce("comes-later", "one", NOW);
    worker.wait_until("it is read when it comes", |_| texts(&line) == ["one"]);
    worker.terminate();
    worker.wait_for_success();
}

#[test]
fn a_job_reads_the_topics_that_its_pattern_matches_when_it_begins() {
    let line = Line::create("job-in", 1);
    Kafka::shared().create_topic("job-in-2", 1);
    produce("job-in", "one", NOW);
    produce("job-in-2", "two", NOW);
    line.worker().set("input.topics", "^job-in").run_to_the_end();
    assert_eq!(texts(&line), ["one", "two"]);
    let mut none = line.worker().set("input.topics", "^no-such-topic").until_end().start();
    assert_eq!(none.wait().code(), Some(1));
    assert!(none.log().contains("no topic matches ^no-such-topic"), "{}", none.log());
}

#[test]
fn documents_are_routed_by_the_topic_that_a_pattern_has_found() {
    let line = Line::create("routed", 1);
    // The pattern matches where the route leads, too.
    Kafka::shared().create_topic("routed-b", 1);
    Kafka::shared().create_topic("routed-to", 1);
    produce("routed", "one", NOW);
    produce("routed-b", "two", NOW);
    let worker = line.worker().set("input.topics", "^routed").set("routes[0].to", "routed-to");
    let worker =
        worker.set("routes[0].when", "source.topic.startsWith('routed-')").set("routes[0].key", "source.topic");
    for _ in 0..2 {
        worker.run_to_the_end();
        assert_eq!(texts(&line), ["one"]);
        let routed = Kafka::shared().read_committed("routed-to");
        let keys: Vec<_> = routed.iter().map(|record| record.key().unwrap()).collect();
        assert_eq!(keys, [b"routed-b"], "once, and what was routed is not read again");
        assert_eq!(header(&routed[0], "tagbert.record.id").as_deref(), Some("routed-b-0-0"));
    }
}

#[test]
fn a_new_group_begins_where_it_is_told_to_and_later_partitions_at_their_beginning() {
    for (name, start, expected) in [
        ("start-latest", "latest", &["new"][..]),
        ("start-ago", "30m ago", &["middle", "new"]),
        ("start-earliest", "earliest", &["middle", "new", "old"]),
    ] {
        let line = Line::create(name, 1);
        produce(name, "old", HOUR);
        produce(name, "middle", Duration::from_mins(10));
        let start = line.worker().set("input.start", start);
        let mut worker = start.start();
        worker.wait_for_log("is new: it begins at");
        worker.wait_until("it has joined", |worker| worker.get("/readyz").0 == 200);
        produce(name, "new", NOW);
        worker.wait_until("it has begun where it was told to", |_| texts(&line) == expected);
        worker.terminate();
        worker.wait_for_success();

        // A group that has committed goes on where it stands, whatever else is said, and a new partition is read whole.
        produce(name, "newer", NOW);
        let admin: AdminClient<DefaultClientContext> = Kafka::shared().client().create().unwrap();
        block_on(admin.create_partitions(&[NewPartitions::new(name, 2)], &AdminOptions::new())).unwrap();
        let value = document("of a new partition");
        let record = || BaseRecord::<[u8], [u8]>::to(name).key(b"k").payload(&value).partition(1);
        thread::sleep(Duration::from_secs(2));
        Kafka::shared().produce([record()]);
        let mut worker = line.worker().set("input.start", "latest").start();
        let mut all: Vec<_> = expected.iter().map(ToString::to_string).collect();
        all.extend(["newer".into(), "of a new partition".into()]);
        all.sort();
        worker.wait_until("nothing is passed over", |_| texts(&line) == all);
        worker.terminate();
        worker.wait_for_success();
    }
}
