//! What is done with records that can't be tagged or delivered, on a real Apache Kafka.

use rdkafka::Message;

mod support;

use support::kafka::Kafka;
use support::line::{Line, document};

fn bad_and_good(bad: std::ops::Range<usize>, all: usize) -> Vec<Vec<u8>> {
    (0..all).map(|n| if bad.contains(&n) { b"{".to_vec() } else { document("a text") }).collect()
}

#[test]
fn a_flood_of_dead_letters_stops_the_worker_before_their_offsets_are_committed() {
    for delivery in ["at-least-once", "exactly-once"] {
        let name: &'static str = if delivery == "exactly-once" { "flood-once" } else { "flood" };
        let line = Line::create(name, 1);
        line.produce(bad_and_good(10..40, 40));
        let worker = line.worker().set("delivery", delivery).set("dead_letters.max_consecutive", "20");
        let mut worker = worker.until_end().start();
        assert_eq!(worker.wait().code(), Some(1));
        let log = worker.log();
        assert!(log.contains("20 records in a row could not be tagged (dead_letters.max_consecutive)"), "{log}");
        assert!(log.contains(&format!("the latest is {name}/0@29")), "{log}");
        let committed = line.committed()[0].unwrap_or(0);
        assert!(committed <= 29, "{committed}");
    }
}

/// A document behind what a serializer of a schema registry puts before it.
fn registered(text: &str) -> Vec<u8> {
    [&[0, 0, 0, 0, 0x2a][..], &document(text)].concat()
}

#[test]
fn a_flood_says_what_it_is_made_of() {
    let line = Line::create("flood-registered", 1);
    let records = (0..20).map(|n| if n == 13 { b"{".to_vec() } else { registered("a secret text") });
    line.produce(records);
    let mut worker = line.worker().set("dead_letters.max_consecutive", "20").until_end().start();
    assert_eq!(worker.wait().code(), Some(1));
    let log = worker.log();
    let last = log.lines().last().unwrap();
    assert!(last.contains("19 of 20 are SchemaRegistry") && last.contains("header (schema 42)"), "{log}");
    assert!(!log.contains("secret"), "{log}");

    let line = Line::create("registered", 1);
    line.produce([registered("one"), [&b"\xef\xbb\xbf"[..], &document("two")].concat(), document("three")]);
    line.worker().run_to_the_end();
    let (tagged, dead) = (line.tagged(), line.dead());
    let texts =
        tagged.iter().map(|record| serde_json::from_slice::<serde_json::Value>(record.payload().unwrap()).unwrap());
    let texts: Vec<_> = texts.map(|record| record["document"]["body"].clone()).collect();
    assert_eq!(texts, ["two", "three"], "a byte order mark before JSON is passed over");
    let said =
        tagbert::record::headers::last(dead[0].headers().unwrap(), "__connect.errors.exception.message").unwrap();
    assert!(String::from_utf8_lossy(said).contains("schema registry's header (schema 42)"));
}

#[test]
fn the_policy_skips_or_stops_instead() {
    let line = Line::create("skip", 1);
    line.produce(bad_and_good(3..5, 8));
    let worker = line.worker().set("dead_letters.policy", "skip").run_to_the_end();
    assert!(worker.stdout().contains("8 in = 6 out + 0 dead letters + 2 skipped"), "{}", worker.stdout());
    assert_eq!((line.tagged().len(), line.dead().len()), (6, 0));
    line.assert_committed_to_the_end();

    let line = Line::create("stop", 1);
    line.produce(bad_and_good(3..5, 8));
    let mut worker = line.worker().set("dead_letters.policy", "stop").until_end().start();
    assert_eq!(worker.wait().code(), Some(1));
    assert!(worker.log().contains("stop/0@3, decode: "), "{}", worker.log());
    assert!(line.committed()[0].unwrap_or(0) <= 3);
    assert!(line.dead().is_empty());
}

#[test]
fn a_missing_output_topic_is_waited_for_and_then_stops_the_worker() {
    let line = Line::create("missing", 1);
    line.produce([document("first")]);
    let mut worker = line.worker().start();
    worker.wait_until("the first is out", |_| line.tagged().len() == 1);
    Kafka::shared().delete_topic(&line.output);
    line.produce([document("second")]);
    worker.wait_for_log("trying again in");
    Kafka::shared().create_topic(&line.output, 1);
    worker.wait_until("the second is out", |_| line.tagged().len() == 1);
    assert!(line.tagged()[0].payload().is_some());
    worker.terminate();
    worker.wait_for_success();
    line.assert_committed_to_the_end();

    let mut worker = line.worker().set("retries.max", "2").start();
    worker.wait_for_log("assigned: missing/");
    Kafka::shared().delete_topic(&line.output);
    line.produce([document("one that waits in vain")]);
    assert_eq!(worker.wait().code(), Some(1));
    let log = worker.log();
    assert!(log.contains("(attempt 2 failed)") && !log.contains("(attempt 3 failed)"), "{log}");
    assert!(log.contains("tagbert: what came of missing/0@2 can't be delivered to `missing.tagged`: "), "{log}");
    assert_eq!(line.committed(), [Some(2)]);
    assert!(line.dead().is_empty());
}

#[test]
fn a_missing_output_topic_stops_the_worker_under_exactly_once_too() {
    for missing in ["output", "dead"] {
        let name: &'static str = if missing == "dead" { "missing-once-dead" } else { "missing-once" };
        let line = Line::create(name, 1);
        let worker = line.worker().exactly_once().property("transaction.timeout.ms", "4000").set("retries.max", "2");
        let mut worker = worker.start();
        worker.wait_for_log(&format!("assigned: {name}/"));
        let (topic, value) =
            if missing == "dead" { (&line.dead, b"{".to_vec()) } else { (&line.output, document("in vain")) };
        Kafka::shared().delete_topic(topic);
        line.produce([value]);
        assert_eq!(worker.wait().code(), Some(1));
        let log = worker.log();
        assert!(log.contains(&format!("tagbert: what came of {name}/0@0 can't be delivered to `{topic}`: ")), "{log}");
        assert_eq!(line.committed(), [None]);
    }
}

#[test]
fn a_missing_output_topic_that_comes_back_loses_and_repeats_nothing_under_exactly_once() {
    let line = Line::create("back-once", 1);
    let mut worker = line.worker().exactly_once().property("transaction.timeout.ms", "4000").start();
    worker.wait_for_log("assigned: back-once/");
    Kafka::shared().delete_topic(&line.output);
    line.produce([document("one that waits")]);
    worker.wait_for_log("trying again in");
    Kafka::shared().create_topic(&line.output, 1);
    worker.wait_until("it is out", |_| line.tagged().len() == 1);
    worker.terminate();
    worker.wait_for_success();
    line.assert_committed_to_the_end();
}
