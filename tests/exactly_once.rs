//! `delivery: exactly-once` on a real Apache Kafka.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

mod support;

use support::kafka::Kafka;
use support::line::{Line, Start, document, number, value};
use support::records::header;

/// Workers whose group notices quickly that a member is gone, and which have little in flight.
fn quick(line: &Line) -> Start {
    let worker = line.worker().exactly_once().property("session.timeout.ms", "3000");
    worker.set("limits.in_flight", "1MiB").set("batch.tokens", "256")
}

/// As a static member, with a session longer than the test: no other member could go on.
fn pod(worker: Start) -> Start {
    worker.property("group.instance.id", "pod-0").property("session.timeout.ms", "40000")
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
        let source = |key: &str| tagged["source"][key].as_i64().unwrap();
        let (partition, offset) = (source("partition"), source("offset"));
        let id = format!("{}-{partition}-{offset}", line.input);
        assert_eq!(header(&record, "tagbert.record.id"), Some(id));
        let before = last.insert((record.partition(), partition), offset);
        assert!(before.is_none_or(|before| before < offset), "{partition}: {offset} after {before:?}");
        times[number(&record)] += 1;
    }
    let wrong: Vec<_> = times.iter().enumerate().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "not once: {wrong:?}");
    line.assert_committed_to_the_end();
}

#[test]
fn each_result_is_seen_once_though_workers_are_killed_and_come_and_go() {
    let line = Line::create("killed", 4);
    line.produce((0..4000).map(|n| document(&format!("document {n} of Angela Merkel"))));
    let worker = quick(&line);
    for round in 1..=4 {
        let mut killed = worker.start();
        let mut other = worker.start();
        killed.wait_until("some are done", |worker| worker.log().contains("assigned: killed/"));
        std::thread::sleep(Duration::from_millis(150 * round));
        killed.signal("KILL");
        other.wait_until("the other goes on", |worker| worker.log().contains("assigned: killed/"));
        if round % 2 == 0 {
            other.terminate();
            other.wait_for_success();
        }
    }
    worker.run_to_the_end();
    assert_each_once_in_order(&line, 4000);
}

#[test]
fn a_refused_result_becomes_a_dead_letter_in_the_next_transaction_and_the_others_go_on() {
    let line = Line::create("refusing", 1).with_output(&[("max.message.bytes", "20000")]);
    let documents: Vec<_> = (0..300)
        .map(|n| if n % 100 == 50 { document(&"word ".repeat(10_000)) } else { document(&format!("document {n}")) })
        .collect();
    line.produce(&documents);
    line.worker().exactly_once().run_to_the_end();
    let tagged: Vec<_> = line.tagged().iter().map(number).collect();
    let expected: Vec<_> = (0..300).filter(|n| n % 100 != 50).collect();
    assert_eq!(tagged, expected, "once each, in order");
    let dead = line.dead();
    assert_eq!(dead.iter().map(number).collect::<Vec<_>>(), [50, 150, 250]);
    for letter in &dead {
        assert_eq!(letter.payload(), Some(documents[50].as_slice()));
        assert_eq!(header(letter, "__connect.errors.exception.class.name").as_deref(), Some("RecordTooLarge"));
    }
    line.assert_committed_to_the_end();
}

#[test]
fn a_paused_worker_whose_partitions_went_to_another_writes_nothing_twice() {
    let line = Line::create("zombie", 2);
    line.produce((0..3000).map(|n| document(&format!("document {n}"))));
    let worker = quick(&line);
    let mut zombie = worker.start();
    zombie.wait_for_log("assigned: zombie/");
    zombie.wait_until("something is done", |_| !line.tagged().is_empty());
    zombie.signal("STOP");
    worker.run_to_the_end();
    zombie.signal("CONT");
    zombie.wait_until("it is a member again", |worker| worker.log().matches("assigned: zombie/").count() > 1);
    zombie.terminate();
    zombie.wait_for_success();
    assert_each_once_in_order(&line, 3000);
}

#[test]
fn a_static_member_that_was_killed_takes_its_partitions_and_its_transaction_over() {
    let line = Line::create("static", 2);
    line.produce((0..900).map(|n| document(&format!("{n} {}", "word ".repeat(200)))));
    let worker = pod(line.worker()).exactly_once().set("batch.tokens", "256");
    for _ in 0..2 {
        let mut killed = worker.start();
        killed.wait_for_log("assigned: static/");
        std::thread::sleep(Duration::from_millis(700));
        killed.signal("KILL");
        killed.wait();
    }
    worker.run_to_the_end();
    assert_each_once_in_order(&line, 900);
}

#[test]
fn a_static_member_that_was_replaced_while_it_slept_ends_and_says_so() {
    let line = Line::create("replaced", 2);
    line.produce((0..3000).map(|n| document(&format!("document {n}"))));
    let worker = pod(quick(&line));
    let mut sleeper = worker.start();
    sleeper.wait_until("something is done", |_| !line.tagged().is_empty());
    sleeper.signal("STOP");
    let mut successor = worker.start();
    successor.wait_for_log("assigned: replaced/");
    sleeper.signal("CONT");
    assert_eq!(sleeper.wait().code(), Some(1));
    assert!(sleeper.log().contains("group.instance.id"), "{}", sleeper.log());
    successor.terminate();
    successor.wait_for_success();
    worker.run_to_the_end();
    assert_each_once_in_order(&line, 3000);
}

#[test]
fn a_static_member_whose_transaction_the_brokers_gave_up_goes_on() {
    let line = Line::create("overslept", 2);
    line.produce((0..100).map(|n| document(&format!("document {n}"))));
    let worker = pod(line.worker()).exactly_once().property("transaction.timeout.ms", "4000");
    let mut worker = worker.set("transaction.interval", "2s").start();
    worker.wait_for_log_closely("assigned: overslept/");
    worker.wait_until_closely(|worker| worker.metric("tagbert_batch_rows_count") > Some(0.0));
    // Its transaction is open for two seconds from about now on.
    std::thread::sleep(Duration::from_millis(500));
    worker.signal("STOP");
    // The brokers look each ten seconds for what has been open for too long.
    std::thread::sleep(Duration::from_secs(16));
    worker.signal("CONT");
    worker.wait_until("all is done", |_| line.tagged().len() == 100);
    assert!(worker.log().contains("the producer can't go on, and is replaced"), "{}", worker.log());
    worker.terminate();
    worker.wait_for_success();
    assert_each_once_in_order(&line, 100);
}

#[test]
fn partitions_move_under_each_group_protocol_and_nothing_is_seen_twice() {
    for (name, property, value) in
        [("eager", "partition.assignment.strategy", "range,roundrobin"), ("kip-848", "group.protocol", "consumer")]
    {
        let line = Line::create(name, 4);
        line.produce((0..2000).map(|n| document(&format!("document {n}"))));
        let worker = line.worker().exactly_once().property(property, value).set("batch.tokens", "256");
        let worker = worker.set("limits.in_flight", "256KiB").set("limits.document", "64KiB");
        let mut first = worker.start();
        first.wait_until("something is done", |_| !line.tagged().is_empty());
        let mut second = worker.until_end().start();
        second.wait_for_log(&format!("assigned: {name}/"));
        first.terminate();
        first.wait_for_success();
        second.wait_for_success();
        assert_each_once_in_order(&line, 2000);
    }
}

/// The client library takes an offset that it still waits for as none at all when partitions come or go meanwhile.
#[test]
fn an_offset_that_a_transaction_holds_back_is_waited_for_though_partitions_come_and_go() {
    let line = Line::create("held-back", 4);
    line.produce((0..40).map(|n| document(&format!("document {n}"))));
    quick(&line).run_to_the_end();
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in line.committed().into_iter().enumerate() {
        offsets.add_partition_offset(&line.input, partition as i32, Offset::Offset(offset.unwrap())).unwrap();
    }
    // A worker that is no more has left its last transaction open.
    let (second, mut client) = (Duration::from_secs(1), Kafka::shared().client());
    let consumer: BaseConsumer = client.clone().set("group.id", line.name).create().unwrap();
    client.set("transactional.id", "held-back").set("transaction.timeout.ms", "8000");
    let dead: BaseProducer = client.create().unwrap();
    dead.init_transactions(10 * second).unwrap();
    dead.begin_transaction().unwrap();
    dead.send_offsets_to_transaction(&offsets, &consumer.group_metadata().unwrap(), 10 * second).unwrap();

    let worker = quick(&line).property("heartbeat.interval.ms", "300");
    let mut first = worker.start();
    first.wait_for_log("assigned: held-back/0 held-back/1 held-back/2 held-back/3");
    let mut other = worker.start();
    other.wait_for_log("assigned: held-back/");
    line.produce((40..80).map(|n| document(&format!("document {n}"))));
    let deadline = Instant::now() + 60 * second;
    while line.tagged().len() < 80 && Instant::now() < deadline {
        std::thread::sleep(second / 2);
    }
    first.terminate();
    other.terminate();
    first.wait_for_success();
    other.wait_for_success();
    line.assert_committed_to_the_end();
    let mut ids: Vec<_> = line.tagged().iter().map(|record| header(record, "tagbert.record.id")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((line.tagged().len(), ids.len()), (80, 80));
}
