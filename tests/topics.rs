//! Input topics that go, come back as others, and grow, on a real Apache Kafka.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::BaseRecord;

mod support;

use support::kafka::{Kafka, block_on};
use support::line::{Line, document, value};
use support::tagbert::Worker;

/// How long a topic may be away, or a partition unnoticed.
const SOON: Duration = Duration::from_secs(20);

fn documents(range: std::ops::Range<usize>) -> impl Iterator<Item = Vec<u8>> {
    range.map(|n| document(&format!("document {n}")))
}

/// The texts that came out.
fn texts(line: &Line) -> BTreeSet<String> {
    line.tagged().iter().map(|record| value(record)["document"]["body"].as_str().unwrap().to_owned()).collect()
}

/// A line of this delivery, and its worker, which has read so many documents.
fn begun(name: &'static str, delivery: &str, count: usize) -> (Line, Worker) {
    let line = Line::create(name, 1);
    line.produce(documents(0..count));
    let mut worker = line.worker().set("delivery", delivery).start();
    worker.wait_until("what is there is read", |_| line.committed() == [Some(count as i64)]);
    (line, worker)
}

/// Makes a topic again as soon as the brokers let it be.
fn make_again(topic: &str) {
    Kafka::shared().delete_topic(topic);
    Kafka::shared().create_topic(topic, 1);
}

#[test]
fn a_topic_that_is_made_again_within_seconds_is_read_from_its_beginning() {
    for (name, delivery) in [("again", "at-least-once"), ("again-once", "exactly-once")] {
        let (line, mut worker) = begun(name, delivery, 10);
        make_again(&line.input);
        // The old offset fits the new topic, too.
        line.produce(documents(100..130));
        worker.wait_until("the new topic is read", |_| {
            texts(&line).iter().filter(|text| text.len() == "document 100".len()).count() == 30
        });
        worker.wait_until("the new topic is committed", |_| line.committed() == [Some(30)]);
        let log = worker.log();
        assert!(log.contains(&format!("the topic `{name}` was deleted and made again")), "{delivery}: {log}");
        worker.wait_until("no lag", |worker| worker.metric("tagbert_lag") == Some(0.0));
        worker.terminate();
        worker.wait_for_success();
    }
}

#[test]
fn a_topic_that_comes_back_after_a_while_is_read_and_its_absence_is_told() {
    for (name, delivery) in [("away", "at-least-once"), ("away-once", "exactly-once")] {
        let (line, mut worker) = begun(name, delivery, 10);
        Kafka::shared().delete_topic(&line.input);
        worker.wait_for_log(&format!("the topic `{name}` was deleted; waiting until it is there again"));
        worker.wait_until("it is not ready", |worker| worker.get("/readyz").0 == 503);
        assert!(worker.get("/readyz").1.contains(&format!("the input topic `{name}` was deleted")), "{delivery}");
        thread::sleep(Duration::from_secs(50));
        assert!(!worker.log().contains("has records"), "it is gone: {}", worker.log());
        Kafka::shared().create_topic(&line.input, 1);
        line.produce(documents(100..105));
        worker.wait_until("the new topic is read", |_| {
            texts(&line).iter().filter(|text| text.len() == "document 100".len()).count() == 5
        });
        worker.wait_until("it is ready", |worker| worker.get("/readyz").0 == 200);
        worker.wait_until("the new topic is committed", |_| line.committed() == [Some(5)]);
        worker.terminate();
        worker.wait_for_success();
        assert_eq!(line.tagged().len(), 15, "{delivery}: each once");
    }
}

#[test]
fn a_new_partition_is_read_within_seconds() {
    for (name, delivery) in [("grown", "at-least-once"), ("grown-once", "exactly-once")] {
        let (line, mut worker) = begun(name, delivery, 1);
        let admin: AdminClient<DefaultClientContext> = Kafka::shared().client().create().unwrap();
        let more = NewPartitions::new(&line.input, 2);
        let results = block_on(admin.create_partitions([&more], &AdminOptions::new())).unwrap();
        for result in results {
            result.unwrap();
        }
        let since = Instant::now();
        thread::sleep(Duration::from_millis(500));
        let text = document("in the new one");
        Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to(&line.input).partition(1).payload(&text)]);
        worker.wait_until("the new partition is read", |_| texts(&line).contains("in the new one"));
        assert!(since.elapsed() < SOON, "{delivery}: {:?}", since.elapsed());
        assert!(
            worker.log().contains(&format!("the topic `{name}` has 2 partitions now, 1 before")),
            "{}",
            worker.log()
        );
        worker.terminate();
        worker.wait_for_success();
    }
}
