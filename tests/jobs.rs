//! Bounded runs over a part of the topics, and what they say of themselves, on a real Apache Kafka.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

#[path = "support/bucket.rs"]
mod bucket;
mod support;

use bucket::Bucket;

use support::kafka::Kafka;
use support::line::{Line, document};
use support::records::header;
use support::tagbert::{Worker, tagbert_with};

const PARTITIONS: i32 = 3;

const TIMEOUT: Duration = Duration::from_secs(30);

/// With so many documents in each partition.
fn line(name: &'static str, documents: usize) -> Line {
    let line = Line::create(name, PARTITIONS);
    write(&line, documents, None);
    line
}

/// More of them; of a time, if it is given.
fn write(line: &Line, documents: usize, timestamp: Option<i64>) {
    let value = document("Ann lives in Berlin");
    for partition in 0..PARTITIONS {
        Kafka::shared().produce((0..documents).map(|_| {
            let mut record = BaseRecord::<[u8], [u8]>::to(&line.input).partition(partition).payload(&value);
            record.timestamp = timestamp;
            record
        }));
    }
}

/// The ids of the records that have a result, each as often as it has one.
fn ids(line: &Line) -> Vec<String> {
    let tagged = line.tagged();
    let ids = tagged.iter().map(|record| header(record, "tagbert.record.id").unwrap());
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}

/// Those of these offsets of each partition.
fn of_offsets(line: &Line, offsets: std::ops::Range<usize>) -> Vec<String> {
    let id = |(partition, offset)| format!("{}-{partition}-{offset}", line.input);
    let all = (0..PARTITIONS).flat_map(|partition| offsets.clone().map(move |offset| (partition, offset)));
    let mut ids: Vec<_> = all.map(id).collect();
    ids.sort();
    ids
}

fn run(line: &Line, args: &[&str]) -> Worker {
    let mut worker = line.worker().with(args).start();
    worker.wait_for_success();
    worker
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_job_reads_from_here_to_there_and_leaves_the_group_of_others_alone() {
    let line = line("job-offsets", 10);
    run(&line, &["--from", "3", "--to", "7"]);
    assert_eq!(ids(&line), of_offsets(&line, 3..7));
    assert!(line.committed().iter().all(Option::is_none), "the group of the configuration is another's");
    let again = run(&line, &["--from", "3", "--to", "7"]);
    assert_eq!(ids(&line), of_offsets(&line, 3..7), "the same again is done already");
    assert!(again.stdout().contains("records    0 in"), "{}", again.stdout());
    run(&line, &["--to", "5", "--set", "delivery=exactly-once"]);
    assert_eq!(ids(&line).len(), of_offsets(&line, 3..7).len() + of_offsets(&line, 0..5).len(), "another job");
    run(&line, &["--from", "8", "--group", line.name]);
    assert_eq!(line.committed(), vec![Some(10); PARTITIONS as usize], "a group that is asked for");
}

#[test]
fn a_time_is_where_the_first_record_of_that_time_or_later_is() {
    let line = Line::create("job-times", PARTITIONS);
    let now = SystemTime::now();
    for hours in [5, 3, 1] {
        write(&line, 4, Some(millis(now - Duration::from_hours(hours))));
    }
    run(&line, &["--from", "4h", "--to", "2h"]);
    assert_eq!(ids(&line), of_offsets(&line, 4..8));
    let time = jiff::Timestamp::from_millisecond(millis(now - Duration::from_hours(2))).unwrap();
    run(&line, &["--from", &time.to_string()]);
    assert_eq!(ids(&line), of_offsets(&line, 4..12));
}

#[test]
fn workers_share_a_job_and_each_ends_when_all_of_it_is_done() {
    let line = line("job-shared", 400);
    let worker = line.worker().exactly_once().with(&["--from", "earliest", "--to", "300"]);
    let mut workers: Vec<_> = (0..3).map(|_| worker.start()).collect();
    workers.iter_mut().for_each(Worker::wait_for_success);
    assert_eq!(ids(&line), of_offsets(&line, 0..300));
}

#[test]
fn more_dead_letters_than_allowed_are_told_by_the_exit_code() {
    let line = line("job-dead", 3);
    Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to(&line.input).partition(0).payload(b"no document")]);
    let mut worker = line.worker().with(&["--from", "earliest"]).start();
    assert_eq!(worker.wait().code(), Some(3), "{}", worker.log());
    assert!(worker.log().contains("1 dead letters, and --max-dead is 0"), "{}", worker.log());
    run(&line, &["--from", "0", "--max-dead", "1"]);
}

/// So many documents in a partition, in a transaction that is still open.
fn transact(line: &Line, partition: i32, documents: usize) -> BaseProducer {
    let producer: BaseProducer = Kafka::shared().client().set("transactional.id", line.name).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    let value = document("Ann lives in Berlin");
    for _ in 0..documents {
        producer.send(BaseRecord::<[u8], [u8]>::to(&line.input).partition(partition).payload(&value)).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
    producer
}

/// Commits an offset of a group without members, in each partition.
fn commit(line: &Line, group: &str, offset: i64) {
    let consumer: BaseConsumer = Kafka::shared().client().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&line.input, partition, Offset::Offset(offset)).unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

#[test]
fn a_time_takes_in_what_an_open_transaction_holds_back() {
    let line = Line::create("job-time-open", PARTITIONS);
    write(&line, 4, Some(millis(SystemTime::now() - Duration::from_hours(5))));
    let producer = transact(&line, 0, 3);
    let mut worker = line.worker().with(&["--from", "1h"]).start();
    worker.wait_for_log("job-time-open/0: the offsets 4 to 7 wait for a transaction that is still open");
    producer.commit_transaction(TIMEOUT).unwrap();
    worker.wait_for_success();
    assert_eq!(ids(&line), (4..7).map(|offset| format!("job-time-open-0-{offset}")).collect::<Vec<_>>());
}

#[test]
fn a_job_reads_what_there_is_though_offsets_are_reset_to_the_latest() {
    let line = line("job-latest", 10);
    let latest = |args: &[&str]| {
        let worker = line.worker().property("auto.offset.reset", "latest").with(args);
        worker.start().wait_for_success();
    };
    latest(&["--to", "4"]);
    assert_eq!(ids(&line), of_offsets(&line, 0..4));
    latest(&["--until-end"]);
    assert_eq!(ids(&line).len(), of_offsets(&line, 0..4).len() + of_offsets(&line, 0..10).len());
    commit(&line, line.name, 50);
    latest(&["--until-end"]);
    assert_eq!(ids(&line).len(), of_offsets(&line, 0..4).len() + 2 * of_offsets(&line, 0..10).len());
}

#[test]
fn partitions_that_come_back_are_read_again_though_they_were_done() {
    let line = Line::create("job-back", 4);
    let value = document("Ann lives in Berlin");
    let write = |documents: usize| {
        for partition in 0..4 {
            let record = || BaseRecord::<[u8], [u8]>::to(&line.input).partition(partition).payload(&value);
            Kafka::shared().produce((0..documents).map(|_| record()));
        }
    };
    write(5);
    let producer = transact(&line, 3, 1);
    let mut worker = line.worker().with(&["--until-end"]).start();
    worker.wait_for_log("wait for a transaction that is still open");
    // What comes behind the end is not fetched any more.
    write(5);
    std::thread::sleep(Duration::from_secs(3));
    let mut other = Kafka::shared().client();
    other.set("group.id", line.name).set("partition.assignment.strategy", "cooperative-sticky");
    let other: BaseConsumer = other.set("enable.auto.commit", "false").create().unwrap();
    other.subscribe(&[&line.input]).unwrap();
    let mut assigned = TopicPartitionList::new();
    worker.wait_until("another has half of the partitions", |_| {
        drop(other.poll(Duration::from_millis(50)));
        assigned = other.assignment().unwrap();
        assigned.count() == 2
    });
    // As if it had been the worker's, which could not commit any more.
    assigned.set_all_offsets(Offset::Offset(0)).unwrap();
    other.commit(&assigned, CommitMode::Sync).unwrap();
    // It leaves the group at once; that the client library then ends may take longer than the test.
    std::thread::spawn(move || drop(other));
    producer.commit_transaction(TIMEOUT).unwrap();
    worker.wait_for_success();
    assert!(ids(&line).len() >= 4 * 5 + 1 + 2 * 5, "{:?}", ids(&line));
}

#[test]
fn dead_letters_of_a_job_are_counted_whoever_wrote_them_and_once() {
    let line = line("job-dead-before", 3);
    Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to(&line.input).partition(0).payload(b"no document")]);
    let job = ["--from", "earliest", "--group", line.name];
    let code = |args: &[&str]| {
        let mut worker = line.worker().with(&job).with(args).start();
        worker.wait().code()
    };
    assert_eq!(code(&[]), Some(3));
    assert_eq!(code(&[]), Some(3), "nothing is left to do, and one is dead all the same");
    commit(&line, line.name, 0);
    assert_eq!(code(&["--max-dead", "1"]), Some(0), "it is there twice");
    assert_eq!(code(&[]), Some(3));
}

fn verify(line: &Line, manifests: &[&Path]) -> Output {
    let config = manifests[0].with_file_name("config.yaml");
    fs::write(&config, line.yaml(support::line::TINY)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tagbert"));
    command.current_dir(support::root()).args(["manifest", "verify", "--config"]).arg(&config).args(manifests);
    command.output().unwrap()
}

#[test]
fn a_manifest_is_proven_by_the_topics_and_a_false_one_refuted() {
    let line = line("job-manifest", 50);
    let extra = [Some(&b"no document"[..]), None];
    for value in extra {
        let mut record = BaseRecord::<[u8], [u8]>::to(&line.input).partition(1).key(b"k");
        record.payload = value;
        Kafka::shared().produce([record]);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    run(&line, &["--from", "10", "--max-dead", "1", "--manifest", path.to_str().unwrap()]);
    let text = fs::read_to_string(&path).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["records"]["in"], 122, "{text}");
    assert_eq!(manifest["records"]["out"], 120, "{text}");
    assert_eq!(manifest["records"]["dead_letters"], 1, "{text}");
    assert_eq!(manifest["records"]["tombstones"], 1, "{text}");
    assert_eq!(manifest["job"], manifest["done"], "{text}");
    let proven = verify(&line, &[&path]);
    let said = String::from_utf8_lossy(&proven.stdout).into_owned();
    assert!(proven.status.success() && said.contains("proven: 122 records"), "{said}{proven:?}");

    let falsify = |what: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        let path = folder.path().join("false.json");
        fs::write(&path, manifest.to_string()).unwrap();
        let refuted = verify(&line, &[&path]);
        let said = String::from_utf8_lossy(&refuted.stdout).into_owned();
        assert_eq!(refuted.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains("refuted"), "{what}: {said}");
    };
    falsify("a count", &|manifest| manifest["records"]["out"] = 121.into());
    falsify("a checksum", &|manifest| manifest["records"]["checksum"] = "0".repeat(32).into());
    falsify("a part left out", &|manifest| drop(manifest["done"].as_array_mut().unwrap().pop()));
    falsify("more than there is", &|manifest| manifest["done"][0]["from"] = 5.into());
}

#[test]
fn a_job_that_was_stopped_and_run_again_is_proven_by_both_manifests() {
    let line = line("job-twice", 1500);
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.json"), folder.path().join("second.json"));
    let worker =
        |manifest: &Path| line.worker().exactly_once().with(&["--from", "0", "--manifest", manifest.to_str().unwrap()]);
    // With little in flight it has not got far when it is stopped.
    let slow = worker(&first).set("limits.in_flight", "64KiB").set("limits.document", "64KiB");
    let mut stopped = slow.start();
    stopped.wait_for_log("assigned: ");
    stopped.wait_until("some are tagged", |worker| {
        worker.metric("tagbert_records_out_total").is_some_and(|tagged| tagged > 0.0)
    });
    stopped.terminate();
    assert_eq!(stopped.wait().code(), Some(1), "it is not done: {}", stopped.log());
    let alone = verify(&line, &[&first]);
    assert_eq!(alone.status.code(), Some(1), "{alone:?}");
    worker(&second).start().wait_for_success();
    let both = verify(&line, &[&first, &second]);
    assert!(both.status.success(), "{both:?}");
    assert_eq!(ids(&line), of_offsets(&line, 0..1500));
}

#[test]
fn a_refused_result_falsifies_no_manifest() {
    let line = Line::create("job-refused", PARTITIONS).with_output(&[("max.message.bytes", "20000")]);
    let small = document("Ann lives in Berlin");
    let big = document(&"Ann lives in Berlin. ".repeat(1000));
    let values = (0..100).map(|n| if n == 50 { &big } else { &small });
    Kafka::shared()
        .produce(values.map(|value| BaseRecord::<[u8], [u8]>::to(&line.input).partition(0).payload(value.as_slice())));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    run(&line, &["--from", "0", "--max-dead", "1", "--manifest", path.to_str().unwrap()]);
    let text = fs::read_to_string(&path).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["records"]["dead_letters"], 1, "{text}");
    assert_eq!(manifest["job"], manifest["done"], "{text}");
    let proven = verify(&line, &[&path]);
    assert!(proven.status.success(), "{proven:?}");
}

#[test]
fn records_that_were_done_twice_are_proven_by_both_manifests() {
    let line = line("job-repeated", 20);
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.json"), folder.path().join("second.json"));
    let job = |manifest: &Path| {
        run(&line, &["--from", "0", "--group", line.name, "--manifest", manifest.to_str().unwrap()]);
    };
    job(&first);
    // As if the first had been killed before it could commit.
    commit(&line, line.name, 10);
    job(&second);
    assert_eq!(ids(&line).len(), of_offsets(&line, 0..20).len() + of_offsets(&line, 10..20).len());
    let both = verify(&line, &[&first, &second]);
    assert!(both.status.success(), "{both:?}");
}

#[test]
fn a_manifest_in_a_bucket_is_one_as_well() {
    let line = line("job-bucket", 20);
    let bucket = Bucket::start(true);
    let environment = bucket.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let url = "s3://lake/manifests/job.json";
    let start =
        || Worker::start_with(&line.yaml(support::line::TINY), &["--from", "0", "--manifest", url], &environment);
    start().wait_for_success();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(bucket.root.join("manifests/job.json")).unwrap()).unwrap();
    assert_eq!((&manifest["records"]["in"], &manifest["state"]), (&60.into(), &"ended".into()));
    let config = bucket.root.join("config.yaml");
    fs::write(&config, line.yaml(support::line::TINY)).unwrap();
    let proven = tagbert_with(&["manifest", "verify", "--config", config.to_str().unwrap(), url], b"", &environment);
    assert!(proven.status.success(), "{proven:?}");
    let mut again = start();
    assert_eq!(again.wait().code(), Some(2), "{}", again.log());
    assert!(again.log().contains("s3://lake/manifests/job.json is there already"), "{}", again.log());
    assert_eq!(bucket.stumbled.load(Ordering::Relaxed), 0);
}

#[test]
fn a_manifest_that_could_not_be_written_ends_a_run_before_it_begins() {
    let line = line("job-unwritten", 3);
    let folder = tempfile::tempdir().unwrap();
    let (earlier, nowhere) = (folder.path().join("earlier.json"), folder.path().join("no folder/manifest.json"));
    fs::write(&earlier, "of an earlier run").unwrap();
    for (path, expected) in [
        (earlier.to_str().unwrap(), "name another"),
        (nowhere.to_str().unwrap(), "No such file or directory"),
        ("ftp://host/manifest.json", "ftp:// is not supported"),
    ] {
        let mut worker = line.worker().with(&["--from", "0", "--manifest", path]).start();
        assert_eq!(worker.wait().code(), Some(2), "{}", worker.log());
        assert!(worker.log().contains("--manifest") && worker.log().contains(expected), "{}", worker.log());
    }
    assert_eq!(fs::read_to_string(&earlier).unwrap(), "of an earlier run");
    assert!(ids(&line).is_empty());
}

#[test]
fn a_manifest_is_there_while_the_run_goes_on_and_proves_no_more_than_it_says() {
    let line = line("job-running", 20);
    let producer = transact(&line, 0, 1);
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.json"), folder.path().join("second.json"));
    let job = |path: &Path| {
        let worker = line.worker().property("session.timeout.ms", "6000");
        worker.with(&["--from", "0", "--manifest", path.to_str().unwrap()]).start()
    };
    // For a moment it is empty.
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap_or_default()).unwrap_or_default()
    };
    let mut killed = job(&first);
    killed.wait_until("what was done is written down", |_| read(&first)["records"]["in"] == 60);
    assert_eq!(read(&first)["state"], "running");
    assert_eq!(read(&first)["range"]["from"], "0");
    killed.signal("KILL");
    killed.wait();
    producer.commit_transaction(TIMEOUT).unwrap();
    assert_eq!(verify(&line, &[&first]).status.code(), Some(1), "a record is in no manifest");
    job(&second).wait_for_success();
    assert_eq!(read(&second)["state"], "ended");
    let both = verify(&line, &[&first, &second]);
    assert!(both.status.success(), "{both:?}");
    let third = folder.path().join("third.json");
    job(&third).wait_for_success();
    assert_eq!(read(&third)["job"], serde_json::json!([]), "nothing was left");
    assert_eq!(verify(&line, &[&third]).status.code(), Some(1), "others did it, and it proves nothing of them");
}

#[test]
fn bounds_that_make_no_sense_are_refused_and_others_are_told_of() {
    let line = line("job-bounds", 5);
    for (args, code, expected) in [
        (["--from", "4", "--to", "3"], 2, "`--from` 4 is behind --to, which is 3"),
        (["--from", "1h", "--to", "2h"], 2, "is behind --to"),
        (["--from", "2026-11-02T00:00:00Z", "--to", "2026-11-01T00:00:00Z"], 2, "is behind --to"),
        (["--from", "40", "--to", "latest"], 1, "the offset 40 is in no partition: job-bounds/0 has 0 to 5"),
    ] {
        let mut worker = line.worker().with(&args).start();
        assert_eq!(worker.wait().code(), Some(code), "{}", worker.log());
        assert!(worker.log().contains(expected), "{}", worker.log());
    }
    Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to(&line.input).partition(1).payload(&document("Ann"))]);
    let some = run(&line, &["--from", "6"]);
    let told =
        "the offset 6 is not in each partition, and the nearest one counts: job-bounds/0 has 0 to 5, job-bounds/2";
    assert!(some.log().contains(told), "{}", some.log());
    assert!(ids(&line).is_empty());
}

#[test]
fn a_job_with_another_model_or_output_is_another_job() {
    let line = line("job-another", 5);
    let job = ["--from", "earliest"];
    run(&line, &job);
    let again = run(&line, &job);
    assert!(again.log().contains("15 of 15 offsets are done"), "{}", again.log());
    let other = ["--set", "model.path=tests/fixtures/tiny-dynamic"];
    let another = run(&line, &[job, other].concat());
    assert!(another.stdout().contains("records    15 in"), "{}", another.stdout());
    Kafka::shared().create_topic("job-another.letters", 1);
    let another = run(&line, &[job, ["--set", "output.dead_letters=job-another.letters"]].concat());
    assert!(another.stdout().contains("records    15 in"), "{}", another.stdout());
}

#[test]
fn a_group_that_stands_elsewhere_goes_on_there_and_says_so() {
    let line = line("job-elsewhere", 10);
    commit(&line, line.name, 2);
    let worker = run(&line, &["--from", "6", "--group", line.name]);
    assert_eq!(ids(&line), of_offsets(&line, 2..10));
    let told = "the group `job-elsewhere` has committed 2 before, and goes on there";
    assert!(worker.log().contains(told), "{}", worker.log());
}
