//! What is committed, and what a bounded run calls done, on a real Apache Kafka whose groups wait for members as long as
//! they do by default: three seconds.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

mod support;

use support::kafka::{Extra, Kafka, block_on};
use support::line::{Line, Start, document, number};
use support::records::header;
use support::tagbert::Worker;

const TIMEOUT: Duration = Duration::from_secs(30);

fn line(name: &'static str, partitions: i32) -> Line {
    let properties = "group.initial.rebalance.delay.ms=3000\n".into();
    Kafka::shared_with(|| Extra { properties, ..Extra::default() });
    Line::create(name, partitions)
}

/// Writes so many documents in one transaction; with `end`, it is committed or aborted.
fn transact(line: &Line, id: &str, documents: usize, end: Option<bool>) -> BaseProducer {
    let producer: BaseProducer = Kafka::shared().client().set("transactional.id", id).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    for n in 0..documents {
        let (key, text) = (n.to_string(), document(&format!("document {n}")));
        producer.send(BaseRecord::to(&line.input).partition(0).key(&key).payload(&text)).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
    match end {
        Some(true) => producer.commit_transaction(TIMEOUT).unwrap(),
        Some(false) => producer.abort_transaction(TIMEOUT).unwrap(),
        None => {}
    }
    producer
}

/// Commits an offset of the group, which must have no member.
fn commit(line: &Line, offset: i64) {
    let consumer: BaseConsumer = Kafka::shared().client().set("group.id", line.name).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&line.input, 0, Offset::Offset(offset)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

/// Deletes all that is there.
fn purge(line: &Line) {
    let admin: AdminClient<DefaultClientContext> = Kafka::shared().client().create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&line.input, 0, Offset::End).unwrap();
    block_on(admin.delete_records(&list, &AdminOptions::new().operation_timeout(Some(TIMEOUT)))).unwrap();
}

fn is_committed_to_the_end(line: &Line) -> bool {
    let ends: Vec<_> = Kafka::shared().end_offsets(&line.input).into_iter().map(Some).collect();
    line.committed() == ends
}

/// The worker in both deliveries, by name.
fn both(line: &Line) -> [(&'static str, Start); 2] {
    [("at-least-once", line.worker()), ("exactly-once", line.worker().exactly_once())]
}

fn assert_nothing_is_left(line: &Line, worker: &mut Worker) {
    worker.wait_until("the end is committed", |_| is_committed_to_the_end(line));
    worker.wait_until("no lag", |worker| worker.metric("tagbert_lag") == Some(0.0));
}

#[test]
fn the_committed_offset_is_past_markers_and_aborted_records() {
    let line = line("markers", 1);
    for (n, (delivery, worker)) in both(&line).into_iter().enumerate() {
        transact(&line, delivery, 3, Some(true));
        transact(&line, delivery, 5, Some(false));
        let mut worker = worker.start();
        assert_nothing_is_left(&line, &mut worker);
        assert_eq!(line.tagged().len(), 3 * (2 * n + 1), "what was aborted is no document");
        // Nothing but what is aborted.
        transact(&line, delivery, 2, Some(false));
        assert_nothing_is_left(&line, &mut worker);
        // A record is under way again, and then a marker.
        transact(&line, delivery, 3, Some(true));
        assert_nothing_is_left(&line, &mut worker);
        worker.terminate();
        worker.wait_for_success();
        assert!(is_committed_to_the_end(&line), "{delivery}: {:?}", line.committed());
    }
}

#[test]
fn a_bounded_run_commits_past_markers_and_aborted_records() {
    let line = line("markers-bounded", 1);
    for (delivery, worker) in both(&line) {
        transact(&line, delivery, 3, Some(true));
        transact(&line, delivery, 5, Some(false));
        worker.run_to_the_end();
        assert!(is_committed_to_the_end(&line), "{delivery}: {:?}", line.committed());
    }
}

#[test]
fn a_line_behind_an_exactly_once_line_has_no_lag_left() {
    let line = line("first-of-two", 1);
    line.produce((0..30).map(|n| document(&format!("document {n}"))));
    line.worker().exactly_once().run_to_the_end();
    for (name, worker) in
        [("second-at-least-once", line.worker()), ("second-exactly-once", line.worker().exactly_once())]
    {
        let second =
            Line { name, input: line.output.clone(), output: format!("{name}.tagged"), dead: line.dead.clone() };
        Kafka::shared().create_topic(&second.output, 1);
        let worker =
            worker.set("kafka.group", name).set("input.topics", &second.input).set("output.topic", &second.output);
        let mut worker = worker.set("input.text", "/document/body").start();
        assert_nothing_is_left(&second, &mut worker);
    }
}

#[test]
fn lag_falls_under_exactly_once_and_a_quiet_line_makes_no_transactions() {
    let line = line("lag", 2);
    line.produce((0..20).map(|n| document(&format!("document {n}"))));
    let mut worker = line.worker().exactly_once().start();
    worker.wait_for_log("http: listening on ");
    worker.wait_until("all is done", |worker| worker.metric("tagbert_records_out_total") == Some(20.0));
    assert_nothing_is_left(&line, &mut worker);
    line.produce((0..7).map(|n| document(&format!("document {n}"))));
    worker.wait_until("all is done", |worker| worker.metric("tagbert_records_out_total") == Some(27.0));
    assert_nothing_is_left(&line, &mut worker);
    let transactions = worker.metric("tagbert_transactions_total");
    thread::sleep(Duration::from_secs(4));
    assert_eq!(worker.metric("tagbert_transactions_total"), transactions);
    assert_eq!(worker.metric("tagbert_lag"), Some(0.0));
}

#[test]
fn what_was_deleted_before_it_was_read_is_no_lag() {
    let line = line("purged", 1);
    for (delivery, worker) in both(&line) {
        line.produce((0..10).map(|n| document(&format!("document {n}"))));
        purge(&line);
        let mut worker = worker.start();
        assert_nothing_is_left(&line, &mut worker);
        assert!(line.tagged().is_empty(), "{delivery}");
        worker.terminate();
        worker.wait_for_success();
    }
}

#[test]
fn where_a_latest_worker_began_is_committed_so_that_the_next_one_goes_on_there() {
    let line = line("latest", 1);
    line.produce([document("before")]);
    for (delivery, worker) in both(&line) {
        let worker = worker.property("auto.offset.reset", "latest");
        let mut first = worker.start();
        first.wait_until("it has a beginning", |_| is_committed_to_the_end(&line));
        first.signal("KILL");
        first.wait();
        line.produce([document("between")]);
        let before = line.tagged().len();
        worker.run_to_the_end();
        assert_eq!(line.tagged().len(), before + 1, "{delivery}");
    }
}

#[test]
fn a_bounded_run_reads_a_topic_whose_log_ends_before_the_committed_offset() {
    let line = line("beyond", 1);
    line.produce((0..30).map(|n| document(&format!("document {n}"))));
    for (n, (delivery, worker)) in both(&line).into_iter().enumerate() {
        commit(&line, 50);
        let worker = worker.run_to_the_end();
        let log = worker.log();
        assert_eq!(line.tagged().len(), 30 * (n + 1), "{delivery}: {log}");
        assert!(log.contains("beyond/0: the committed offset 50 is not in the log, which has 0 to 30"), "{log}");
        assert!(is_committed_to_the_end(&line), "{delivery}: {:?}", line.committed());
    }
}

#[test]
fn a_bounded_run_leaves_nothing_out_though_the_log_grows_past_a_committed_offset_beyond_it() {
    let line = line("beyond-growing", 1);
    line.produce((0..30).map(|n| document(&format!("document {n}"))));
    commit(&line, 50);
    let mut worker = line.worker().until_end().start();
    worker.wait_for_log("the committed offset 50 is not in the log, which has 0 to 30");
    line.produce((30..60).map(|n| document(&format!("document {n}"))));
    worker.wait_for_success();
    let mut tagged: Vec<_> = line.tagged().iter().map(|record| header(record, "tagbert.record.id").unwrap()).collect();
    tagged.sort();
    let mut all: Vec<_> = (0..30).map(|offset| format!("beyond-growing-0-{offset}")).collect();
    all.sort();
    assert_eq!(tagged, all);
}

#[test]
fn a_worker_whose_group_stands_where_the_log_is_not_begins_where_it_is_told_to_and_says_so() {
    let line = line("elsewhere", 1);
    line.produce((0..10).map(|n| document(&format!("document {n}"))));
    for (delivery, worker) in both(&line) {
        commit(&line, 50);
        let before = line.tagged().len();
        let mut worker = worker.start();
        worker.wait_until("all are done", |_| is_committed_to_the_end(&line));
        worker.terminate();
        worker.wait_for_success();
        let said =
            "elsewhere/0: the log does not have offset 50: it is read from where `auto.offset.reset: earliest` says";
        assert_eq!(worker.log().matches(said).count(), 1, "{delivery}: {}", worker.log());
        assert_eq!(line.tagged().len(), before + 10, "{delivery}");
    }
}

#[test]
fn a_bounded_run_of_an_empty_log_brings_an_offset_beyond_it_back() {
    let line = line("beyond-nothing", 1);
    for (delivery, worker) in both(&line) {
        commit(&line, 50);
        worker.run_to_the_end();
        assert_eq!(line.committed(), [Some(0)], "{delivery}");
    }
}

#[test]
fn an_offset_that_the_log_does_not_have_ends_the_run_with_its_place_if_resets_are_forbidden() {
    let line = line("forbidden", 1);
    line.produce((0..30).map(|n| document(&format!("document {n}"))));
    for (committed, expected) in [
        (None, "forbidden/0: the group has committed no offset"),
        (Some(50), "forbidden/0: the committed offset 50 is not in the log, which has 0 to 30"),
    ] {
        if let Some(offset) = committed {
            commit(&line, offset);
        }
        for worker in [line.worker(), line.worker().until_end(), line.worker().exactly_once()] {
            let since = Instant::now();
            let mut worker = worker.property("auto.offset.reset", "error").start();
            assert_eq!(worker.wait().code(), Some(1), "{}", worker.log());
            assert!(worker.log().contains(expected), "{}", worker.log());
            assert!(since.elapsed() < TIMEOUT, "at once: {}", worker.log());
        }
        assert_eq!(line.committed(), [committed]);
    }
    assert!(line.tagged().is_empty());
}

#[test]
fn a_bounded_run_waits_for_an_open_transaction_and_says_so() {
    let line = line("open", 1);
    line.produce((0..20).map(|n| document(&format!("document {n}"))));
    let producer = transact(&line, "open", 1, None);
    let mut worker = line.worker().until_end().start();
    worker.wait_for_log("open/0: the offsets 20 to 21 wait for a transaction that is still open");
    assert_eq!(line.tagged().len(), 20);
    producer.commit_transaction(TIMEOUT).unwrap();
    worker.wait_for_success();
    assert_eq!(line.tagged().iter().map(number).filter(|&n| n == 0).count(), 2);
    assert!(is_committed_to_the_end(&line), "{:?}", line.committed());
}
