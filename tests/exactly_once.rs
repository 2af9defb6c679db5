//! `delivery: exactly-once` on a real Apache Kafka.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::message::OwnedMessage;

mod support;

use support::kafka::Kafka;
use support::line::{Line, TINY, document, value};
use support::records::header;
use support::tagbert::Worker;

const EXACTLY_ONCE: [&str; 2] = ["--set", "delivery=exactly-once"];
const TO_THE_END: [&str; 3] = ["--set", "delivery=exactly-once", "--until-end"];

/// The configuration with a group that notices quickly that a member is gone.
fn quick(line: &Line) -> String {
    line.yaml(TINY).replacen("kafka: {", "kafka: {properties: {session.timeout.ms: 3000}, ", 1)
}

/// Each document came out once, what came of a partition is in order in each partition of the output, and all is committed.
fn assert_each_once_in_order(line: &Line, documents: usize) {
    let mut last: HashMap<(i32, i64), i64> = HashMap::new();
    let mut times = vec![0; documents];
    // Behind a killed worker's open transaction nothing is seen until the brokers close it: `transaction.timeout.ms`.
    let deadline = Instant::now() + Duration::from_mins(1);
    while line.tagged().len() < documents && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(500));
    }
    for record in line.tagged() {
        let tagged = value(&record);
        let number = |pointer: &str| tagged.pointer(pointer).unwrap().as_i64().unwrap();
        let (partition, offset) = (number("/source/partition"), number("/source/offset"));
        let id = format!("{}-{partition}-{offset}", line.input);
        assert_eq!(header(&record, "tagbert.record.id"), Some(id));
        let before = last.insert((record.partition(), partition), offset);
        assert!(before.is_none_or(|before| before < offset), "{partition}: {offset} after {before:?}");
        times[std::str::from_utf8(record.key().unwrap()).unwrap().parse::<usize>().unwrap()] += 1;
    }
    let wrong: Vec<_> = times.iter().enumerate().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "not once: {wrong:?}");
    line.assert_committed_to_the_end();
}

#[test]
fn each_result_is_seen_once_though_workers_are_killed_and_come_and_go() {
    let line = Line::create("killed", 4);
    let documents: Vec<_> = (0..4000).map(|n| document(&format!("document {n} of Angela Merkel"))).collect();
    line.produce(&documents);
    let yaml = quick(&line) + "limits: {in_flight: 1MiB}\nbatch: {tokens: 256}\n";
    for round in 1..=4 {
        let mut killed = Worker::start(&yaml, &EXACTLY_ONCE);
        let mut other = Worker::start(&yaml, &EXACTLY_ONCE);
        killed.wait_until("some are done", |worker| worker.log().contains("assigned: killed/"));
        std::thread::sleep(Duration::from_millis(150 * round));
        killed.signal("KILL");
        other.wait_until("the other goes on", |worker| worker.log().contains("assigned: killed/"));
        if round % 2 == 0 {
            other.terminate();
            other.wait_for_success();
        }
    }
    Worker::start(&yaml, &TO_THE_END).wait_for_success();
    assert_each_once_in_order(&line, documents.len());
}

#[test]
fn a_refused_result_becomes_a_dead_letter_in_the_next_transaction_and_the_others_go_on() {
    let line = Line { output: "refusing.small".into(), ..Line::create("refusing", 1) };
    Kafka::shared().create_topic_with(&line.output, 1, &[("max.message.bytes", "20000")]);
    let documents: Vec<_> = (0..300)
        .map(|n| if n % 100 == 50 { document(&"word ".repeat(10_000)) } else { document(&format!("document {n}")) })
        .collect();
    line.produce(&documents);
    Worker::start(&line.yaml(TINY), &TO_THE_END).wait_for_success();
    let key = |record: &OwnedMessage| std::str::from_utf8(record.key().unwrap()).unwrap().parse::<usize>().unwrap();
    let tagged: Vec<_> = line.tagged().iter().map(key).collect();
    let expected: Vec<_> = (0..300).filter(|n| n % 100 != 50).collect();
    assert_eq!(tagged, expected, "once each, in order");
    let dead = line.dead();
    assert_eq!(dead.iter().map(key).collect::<Vec<_>>(), [50, 150, 250]);
    for letter in &dead {
        assert_eq!(letter.payload(), Some(documents[50].as_slice()));
        assert_eq!(header(letter, "__connect.errors.exception.class.name").as_deref(), Some("RecordTooLarge"));
    }
    line.assert_committed_to_the_end();
}

#[test]
fn a_paused_worker_whose_partitions_went_to_another_writes_nothing_twice() {
    let line = Line::create("zombie", 2);
    let documents: Vec<_> = (0..3000).map(|n| document(&format!("document {n}"))).collect();
    line.produce(&documents);
    let yaml = quick(&line) + "limits: {in_flight: 1MiB}\nbatch: {tokens: 256}\n";
    let mut zombie = Worker::start(&yaml, &EXACTLY_ONCE);
    zombie.wait_for_log("assigned: zombie/");
    zombie.wait_until("something is done", |_| !line.tagged().is_empty());
    zombie.signal("STOP");
    Worker::start(&yaml, &TO_THE_END).wait_for_success();
    zombie.signal("CONT");
    zombie.wait_until("it is a member again", |worker| worker.log().matches("assigned: zombie/").count() > 1);
    zombie.terminate();
    zombie.wait_for_success();
    assert_each_once_in_order(&line, documents.len());
}

#[test]
fn a_static_member_that_was_killed_takes_its_partitions_and_its_transaction_over() {
    let line = Line::create("static", 2);
    let documents: Vec<_> = (0..900).map(|n| document(&format!("{n} {}", "word ".repeat(200)))).collect();
    line.produce(&documents);
    // A session longer than the test: no other member could go on.
    let member = "kafka: {properties: {session.timeout.ms: 40000, group.instance.id: pod-0}, ";
    let yaml = line.yaml(TINY).replacen("kafka: {", member, 1) + "batch: {tokens: 256}\n";
    for _ in 0..2 {
        let mut killed = Worker::start(&yaml, &EXACTLY_ONCE);
        killed.wait_for_log("assigned: static/");
        std::thread::sleep(Duration::from_millis(700));
        killed.signal("KILL");
        killed.wait();
    }
    Worker::start(&yaml, &TO_THE_END).wait_for_success();
    assert_each_once_in_order(&line, documents.len());
}

#[test]
fn partitions_move_under_each_group_protocol_and_nothing_is_seen_twice() {
    let protocols = ["partition.assignment.strategy: 'range,roundrobin'", "group.protocol: consumer"];
    for (name, protocol) in ["eager", "kip-848"].into_iter().zip(protocols) {
        let line = Line::create(name, 4);
        let documents: Vec<_> = (0..2000).map(|n| document(&format!("document {n}"))).collect();
        line.produce(&documents);
        let yaml = line.yaml(TINY).replacen("kafka: {", &format!("kafka: {{properties: {{{protocol}}}, "), 1);
        let yaml = yaml + "limits: {in_flight: 256KiB, document: 64KiB}\nbatch: {tokens: 256}\n";
        let mut first = Worker::start(&yaml, &EXACTLY_ONCE);
        first.wait_until("something is done", |_| !line.tagged().is_empty());
        let mut second = Worker::start(&yaml, &TO_THE_END);
        second.wait_for_log(&format!("assigned: {name}/"));
        first.terminate();
        first.wait_for_success();
        second.wait_for_success();
        assert_each_once_in_order(&line, documents.len());
    }
}
