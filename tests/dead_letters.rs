//! `tagbert dead-letters`, against a real Apache Kafka.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::line::{Line, TINY, document};
use support::records::{a_minute_ago, header, header_that_is_not_utf8};
use support::tagbert::{Worker, command, tagbert};

/// A line whose dead-letter topic is ready to be looked at.
struct Desk {
    line: Line,
    config: PathBuf,
}

impl Desk {
    fn create(name: &'static str, partitions: i32, dead_partitions: i32) -> Self {
        let line = Line::create(name, partitions);
        let line = if dead_partitions == 1 { line } else { Line { dead: format!("{name}.letters"), ..line } };
        if dead_partitions != 1 {
            Kafka::shared().create_topic(&line.dead, dead_partitions);
        }
        let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yaml"));
        fs::write(&config, line.yaml(TINY)).unwrap();
        Self { line, config }
    }

    fn args<'a>(&'a self, what: &[&'a str]) -> Vec<&'a str> {
        let (what, options) = what.split_first().unwrap();
        let mut args = vec!["dead-letters", what, "--config", self.config.to_str().unwrap()];
        args.extend(options);
        args
    }

    fn run(&self, what: &[&str]) -> Output {
        tagbert(&self.args(what), b"")
    }

    /// The last line of a replay, with its exit code.
    fn replay(&self, options: &[&str]) -> (Option<i32>, String) {
        let output = self.run(&[&["replay"], options].concat());
        let said = stdout(&output);
        let closing = said.lines().last().unwrap_or_else(|| panic!("{output:?}"));
        (output.status.code(), closing.to_owned())
    }

    fn list(&self, options: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["list", "--json"], options].concat());
        assert!(output.status.success(), "{output:?}");
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn ids(&self, options: &[&str]) -> Vec<String> {
        self.list(options).iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
    }

    /// What came back to the input topic.
    fn input(&self) -> Vec<OwnedMessage> {
        Kafka::shared().read_committed(&self.line.input)
    }

    /// Writes dead letters with these keys, round the partitions.
    fn bury(&self, classes: &[&str], keys: std::ops::Range<usize>, partitions: i32) {
        let keys: Vec<_> = keys.map(|key| (key, key.to_string())).collect();
        Kafka::shared().produce(keys.iter().map(|(number, key)| {
            let reason = Reason { class: classes[number % classes.len()], ..self.reason() };
            BaseRecord::<[u8], [u8]>::to(&self.line.dead)
                .partition(i32::try_from(*number).unwrap() % partitions)
                .key(key.as_bytes())
                .payload(key.as_bytes())
                .headers(reason.headers(OwnedHeaders::new()))
        }));
    }

    fn reason(&self) -> Reason<'_> {
        Reason { topic: &self.line.input, partition: 0, offset: 7, stage: "decode", class: "NotJson" }
    }

    /// Each of these keys is there once, and nothing else.
    fn assert_each_once(&self, keys: std::ops::Range<usize>) {
        let mut times: HashMap<usize, usize> = HashMap::new();
        for record in self.input() {
            let key = std::str::from_utf8(record.key().unwrap()).unwrap().parse().unwrap();
            *times.entry(key).or_default() += 1;
        }
        let twice: Vec<_> = times.iter().filter(|&(_, &times)| times > 1).collect();
        assert!(twice.is_empty(), "sent more than once: {twice:?}");
        let missing: Vec<_> = keys.clone().filter(|key| !times.contains_key(key)).collect();
        assert!(missing.is_empty() && times.len() == keys.len(), "{} keys; missing: {missing:?}", times.len());
    }
}

/// Why a record is a dead letter.
struct Reason<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    stage: &'a str,
    class: &'a str,
}

impl Reason<'_> {
    fn headers(&self, own: OwnedHeaders) -> OwnedHeaders {
        let (partition, offset) = (self.partition.to_string(), self.offset.to_string());
        let headers = [
            ("__connect.errors.topic", self.topic),
            ("__connect.errors.partition", &partition),
            ("__connect.errors.offset", &offset),
            ("__connect.errors.connector.name", "tagbert"),
            ("__connect.errors.stage", self.stage),
            ("__connect.errors.exception.class.name", self.class),
            ("__connect.errors.exception.message", "what is wrong"),
            ("tagbert.record.id", "any-0-7"),
        ];
        let headers = headers.map(|(key, value)| Header { key, value: Some(value) });
        headers.into_iter().fold(own, OwnedHeaders::insert)
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn headers(record: &OwnedMessage) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let headers = record.headers().into_iter().flat_map(tagbert::record::headers::iter);
    headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

#[test]
fn what_was_refused_is_tagged_once_the_cause_is_gone_and_what_still_fails_is_not_tried_for_ever() {
    let desk = Desk::create("second-chance", 2, 1);
    let large = document(&"word ".repeat(5000));
    let timestamp = a_minute_ago();
    let own = || OwnedHeaders::new().insert(Header { key: "mine", value: Some("kept") });
    let record = |key, value| {
        BaseRecord::<[u8], [u8]>::to(&desk.line.input)
            .partition(1)
            .key(key)
            .payload(value)
            .timestamp(timestamp)
            .headers(own())
    };
    Kafka::shared().produce([
        record(&b"large"[..], large.as_slice()),
        record(b"broken", b"{not json"),
        record(b"good", &document("fine")),
    ]);
    let work = |set: &str| {
        Worker::start(&desk.line.yaml(TINY), &["--until-end", "--max-dead", "1000", "--set", set]).wait_for_success();
    };
    work("limits.document=16KiB");
    assert_eq!(desk.line.tagged().len(), 1);
    let listed = desk.list(&[]);
    assert_eq!((listed[0]["class"].as_str(), listed[1]["class"].as_str()), (Some("DocumentTooLarge"), Some("NotJson")));
    assert_eq!(listed[0]["source"], json!({ "topic": "second-chance", "partition": 1, "offset": 0 }));
    assert_eq!(listed[0]["bytes"], large.len());

    let (code, closing) = desk.replay(&[]);
    assert_eq!((code, closing.as_str()), (Some(0), "replayed 2 of 2 dead letters"));
    let back = &desk.input()[3..];
    let sent = [(&b"large"[..], large.as_slice()), (b"broken", b"{not json")];
    for (record, (key, value)) in back.iter().zip(sent) {
        assert_eq!((record.key(), record.payload(), record.partition()), (Some(key), Some(value), 1));
        assert_eq!(record.timestamp().to_millis(), Some(timestamp));
        let expected = [(&b"mine"[..], &b"kept"[..]), (b"tagbert.replay.attempt", b"1")];
        assert_eq!(headers(record), expected.map(|(name, value)| (name.to_vec(), Some(value.to_vec()))));
    }

    work("limits.document=1MiB");
    assert_eq!(desk.line.tagged().len(), 2);
    for attempt in 1..3 {
        let pending: Vec<_> = desk.list(&[]).into_iter().filter(|letter| letter["replayed"] == false).collect();
        assert_eq!(pending.len(), 1);
        assert_eq!((&pending[0]["class"], &pending[0]["attempt"]), (&json!("NotJson"), &json!(attempt)));
        assert_eq!(desk.replay(&[]).0, Some(0));
        work("limits.document=1MiB");
    }
    let (code, closing) = desk.replay(&[]);
    assert_eq!(code, Some(1));
    let expected =
        "replayed 0 of 5 dead letters; 4 replayed before; 1 left: replayed 3 times or more, look at them first";
    assert_eq!(closing, expected);
    assert_eq!(desk.replay(&["--max-attempts", "4"]).0, Some(0));
    let last = desk.input().pop().unwrap();
    assert_eq!(tagbert::record::headers::last(last.headers().unwrap(), "tagbert.replay.attempt"), Some(&b"4"[..]));
}

#[test]
fn bytes_go_back_as_they_were_whatever_they_are() {
    type Bytes = Option<&'static [u8]>;
    let desk = Desk::create("any-bytes", 2, 1);
    let timestamp = a_minute_ago();
    let cases: [(Bytes, Bytes); 7] = [
        (Some(b"key"), Some(b"value")),
        (None, Some(b"no key")),
        (Some(b""), Some(b"")),
        (Some(b"tombstone"), None),
        (Some(b"\xff\x00\xfe"), Some(b"\x00\xff\xc3\x28")),
        (None, None),
        (None, Some(b"")),
    ];
    let own = || {
        let odd =
            [("twice", Some("1")), ("twice", Some("2")), ("null", None), ("empty", Some("")), ("é", Some("\u{0}"))];
        let odd = odd.into_iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value }));
        header_that_is_not_utf8(odd)
    };
    Kafka::shared().produce(cases.iter().map(|&(key, value)| {
        let mut record = BaseRecord::<[u8], [u8]>::to(&desk.line.dead).timestamp(timestamp);
        (record.key, record.payload) = (key, value);
        record.headers(Reason { partition: 1, ..desk.reason() }.headers(own()))
    }));
    let (code, closing) = desk.replay(&[]);
    assert_eq!((code, closing.as_str()), (Some(0), "replayed 7 of 7 dead letters"));
    let back = desk.input();
    assert_eq!(back.len(), cases.len());
    let attempt = (b"tagbert.replay.attempt".to_vec(), Some(b"1".to_vec()));
    let mut expected: Vec<_> =
        tagbert::record::headers::iter(&own()).map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect();
    assert_eq!(expected.len(), 6);
    expected.push(attempt);
    for (record, case) in back.iter().zip(&cases) {
        assert_eq!((record.key(), record.payload()), *case);
        assert_eq!((record.partition(), record.timestamp().to_millis()), (1, Some(timestamp)));
        assert_eq!(headers(record), expected);
    }
}

#[test]
fn a_timestamp_that_the_dead_letter_topic_refuses_comes_back_with_the_replay() {
    let any_time = [("message.timestamp.after.max.ms", "9223372036854775807")];
    let line =
        Line::create("ahead", 1).with_input(&any_time).with_dead(&[("message.timestamp.after.max.ms", "3600000")]);
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ahead.yaml");
    fs::write(&config, line.yaml(TINY)).unwrap();
    let desk = Desk { line, config };
    let in_a_month = a_minute_ago() + 30 * 24 * 3_600_000;
    let times = [a_minute_ago(), in_a_month];
    for timestamp in times {
        let bad = BaseRecord::<[u8], [u8]>::to(&desk.line.input).key(b"k").payload(b"{").timestamp(timestamp);
        Kafka::shared().produce([bad]);
    }
    desk.line.worker().run_to_the_end();
    let said: Vec<_> = desk.line.dead().iter().map(|letter| header(letter, "tagbert.timestamp")).collect();
    assert_eq!(said, [None, Some(in_a_month.to_string())]);
    assert_eq!(desk.line.dead()[1].payload(), Some(&b"{"[..]));
    assert_eq!(desk.list(&["--since", "2000-01-01T00:00:00Z"]).len(), 2);
    let (code, closing) = desk.replay(&[]);
    assert_eq!(code, Some(0), "{closing}");
    let replayed: Vec<_> = desk.input().iter().skip(2).map(|record| record.timestamp().to_millis()).collect();
    assert_eq!(replayed, times.map(Some));
    let own: Vec<_> = desk.input().iter().skip(2).map(|record| header(record, "tagbert.timestamp")).collect();
    assert_eq!(own, [None, None]);
}

#[test]
fn a_partition_that_is_gone_leaves_it_to_the_key() {
    let desk = Desk::create("fewer-partitions", 4, 1);
    let reason = Reason { partition: 9, ..desk.reason() };
    let keys: Vec<_> = (0..40).map(|key| key.to_string()).collect();
    let records = |topic| keys.iter().map(move |key| BaseRecord::<[u8], [u8]>::to(topic).key(key.as_bytes()));
    Kafka::shared().produce(records(&desk.line.dead).map(|record| record.headers(reason.headers(OwnedHeaders::new()))));
    assert_eq!(desk.replay(&[]).0, Some(0));
    // Where a producer with the Java client's partitioner puts them.
    Kafka::shared().create_topic("fewer-partitions.java", 4);
    let java: BaseProducer = Kafka::shared().client().set("partitioner", "murmur2_random").create().unwrap();
    for record in records("fewer-partitions.java") {
        java.send(record).map_err(|(error, _)| error).unwrap();
    }
    java.flush(Duration::from_secs(30)).unwrap();
    let places = |records: Vec<OwnedMessage>| -> Vec<(i32, Vec<u8>)> {
        records.iter().map(|record| (record.partition(), record.key().unwrap().to_vec())).collect()
    };
    assert_eq!(places(desk.input()), places(Kafka::shared().read_committed("fewer-partitions.java")));
}

#[test]
fn nothing_is_sent_twice_whatever_the_filters() {
    let desk = Desk::create("filters", 2, 3);
    desk.bury(&["NotJson", "NotUtf8", "TextMissing", "TextEmpty"], 0..240, 3);
    let (code, closing) = desk.replay(&["--class", "NotUtf8", "--class", "TextEmpty"]);
    assert_eq!((code, closing.as_str()), (Some(0), "replayed 120 of 120 dead letters"));
    let (_, closing) = desk.replay(&["--partition", "1"]);
    assert_eq!(closing, "replayed 40 of 80 dead letters; 40 replayed before");
    let (_, closing) = desk.replay(&["--limit", "7"]);
    assert_eq!(closing, "replayed 7 of 240 dead letters; 160 replayed before; 73 beyond --limit");
    let (_, closing) = desk.replay(&["--partition", "2", "--offset", "0", "--offset", "1", "--offset", "2"]);
    assert_eq!(closing, "replayed 2 of 3 dead letters; 1 replayed before");
    let (_, closing) = desk.replay(&["--stage", "infer"]);
    assert_eq!(closing, "replayed 0 of 0 dead letters");
    let before = desk.input().len();
    let (code, closing) = desk.replay(&["--dry-run"]);
    assert_eq!((code, closing.as_str()), (Some(0), "would replay 71 of 240 dead letters; 169 replayed before"));
    assert_eq!(desk.input().len(), before);
    // What comes later is not held back by what was replayed before.
    desk.bury(&["NotJson"], 240..250, 3);
    assert_eq!(desk.replay(&[]).1, "replayed 81 of 250 dead letters; 169 replayed before");
    let (code, closing) = desk.replay(&[]);
    assert_eq!((code, closing.as_str()), (Some(0), "replayed 0 of 250 dead letters; 250 replayed before"));
    desk.assert_each_once(0..250);
}

/// Starts a replay that takes its time, and waits until it has sent something.
fn start_replay(desk: &Desk) -> Child {
    let slow = desk.args(&["replay", "--set", "kafka.properties.batch.num.messages=1"]);
    let mut child = command(&slow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !line.starts_with("replayed ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it began");
    }
    child.stderr = Some(stderr.into_inner());
    child
}

#[test]
fn a_replay_that_is_killed_and_run_again_sends_nothing_twice_and_leaves_nothing_out() {
    let desk = Desk::create("killed", 2, 2);
    let count = 30_000;
    desk.bury(&["NotJson"], 0..count, 2);
    for delay in [0, 35, 70, 105, 140] {
        let mut child = start_replay(&desk);
        thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = desk.run(&["replay"]);
    assert!(output.status.success(), "{output:?}");
    let closing = stdout(&output);
    println!("after the kills: {closing}");
    let before: usize = closing.split("; ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((5000..count).contains(&before), "the kills came midway: {closing}");
    assert_eq!(
        closing.trim(),
        format!("replayed {} of {count} dead letters; {before} replayed before", count - before)
    );
    assert!(said(&output).contains("(100 %)"), "progress is told: {output:?}");
    desk.assert_each_once(0..count);
}

#[test]
fn of_two_replays_the_second_takes_over_and_the_first_says_so() {
    let desk = Desk::create("two-replays", 2, 1);
    desk.bury(&["NotJson"], 0..20_000, 1);
    let signal = |child: &Child, name: &str| {
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    };
    let first = start_replay(&desk);
    signal(&first, "-STOP");
    let (code, closing) = desk.replay(&[]);
    assert_eq!(code, Some(0), "{closing}");
    signal(&first, "-CONT");
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(1));
    assert!(said(&first).contains("another replay of two-replays.dead has begun"), "{first:?}");
    desk.assert_each_once(0..20_000);
}

#[test]
fn an_interrupted_replay_ends_its_transaction_and_the_next_one_goes_on() {
    let desk = Desk::create("interrupted", 1, 1);
    desk.bury(&["NotJson"], 0..20_000, 1);
    let first = start_replay(&desk);
    assert!(Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap().success());
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(1), "{first:?}");
    assert!(stdout(&first).contains("not sent yet"), "{first:?}");
    assert_eq!(desk.replay(&[]).0, Some(0));
    desk.assert_each_once(0..20_000);
}

#[test]
fn what_can_not_be_replayed_is_left_and_counted_and_the_rest_goes() {
    let desk = Desk::create("left", 1, 1);
    Kafka::shared().create_topic_with("left.small", 1, &[("max.message.bytes", "10000")]);
    let small = |number| Reason { topic: "left.small", offset: number, ..desk.reason() };
    let large = "x".repeat(20_000);
    let fine = ["a", "b", "c", "d", "e"];
    let letter =
        |reason: Reason<'_>| BaseRecord::<[u8], [u8]>::to(&desk.line.dead).headers(reason.headers(OwnedHeaders::new()));
    let mut letters: Vec<_> = fine.iter().map(|value| letter(small(1)).payload(value.as_bytes())).collect();
    letters.insert(2, letter(small(2)).payload(large.as_bytes()));
    letters.push(letter(Reason { topic: "left.gone", ..desk.reason() }).payload(b"x"));
    // As the sink writes it when even the dead-letter topic refuses its bytes.
    letters.push(letter(desk.reason()));
    let tried = OwnedHeaders::new().insert(Header { key: "tagbert.replay.attempt", value: Some("3") });
    letters.push(letter(desk.reason()).payload(b"x").headers(desk.reason().headers(tried)));
    // Nobody's dead letter.
    letters.push(BaseRecord::<[u8], [u8]>::to(&desk.line.dead).payload(b"x"));
    Kafka::shared().produce(letters);

    let output = desk.run(&["replay"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "replayed 5 of 9 dead letters; 1 left: replayed 3 times or more, look at them first; \
                    1 left: nothing in them to replay; 1 left: the topic that they came from is not there; \
                    1 left: refused by the topic that they came from\n";
    assert_eq!(stdout(&output), expected, "{output:?}");
    assert!(said(&output).contains("0/2: left.small refused it: "), "{output:?}");
    let values: Vec<_> =
        Kafka::shared().read_committed("left.small").iter().map(|r| r.payload().unwrap().to_vec()).collect();
    assert_eq!(values, fine.map(|value| value.as_bytes().to_vec()));
    assert!(desk.input().is_empty());
    let dry = desk.run(&["replay", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(1));
    assert!(stdout(&dry).contains("0/2: to left.small/0, attempt 1\n"), "{dry:?}");
    assert!(stdout(&dry).contains("0/7: left: nothing in them to replay\n"), "{dry:?}");
}

#[test]
fn list_finds_and_counts_and_show_tells_everything() {
    let desk = Desk::create("look", 1, 2);
    let old = a_minute_ago() - 3_600_000;
    let secret = b"{\"body\": \"the secret text\", \xff\x00";
    let letter = |partition, reason: Reason<'_>, timestamp| {
        let own = OwnedHeaders::new().insert(Header { key: "mine", value: Some("own header") });
        BaseRecord::<[u8], [u8]>::to(&desk.line.dead)
            .partition(partition)
            .key(b"the key")
            .payload(&secret[..])
            .timestamp(timestamp)
            .headers(reason.headers(own))
    };
    let infer = Reason { stage: "infer", class: "ModelError", topic: "elsewhere", ..desk.reason() };
    Kafka::shared().produce([
        letter(0, desk.reason(), old),
        letter(1, Reason { class: "NotUtf8", ..desk.reason() }, a_minute_ago()),
        letter(1, infer, a_minute_ago()),
        BaseRecord::<[u8], [u8]>::to(&desk.line.dead).partition(0).payload(b"{\"body\": \"the secret text\"}"),
    ]);
    let producer: BaseProducer = Kafka::shared().client().set("transactional.id", "look").create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(letter(0, desk.reason(), old)).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    producer.abort_transaction(Duration::from_secs(30)).unwrap();

    assert_eq!(desk.ids(&[]), ["0/0", "1/0", "1/1"]);
    assert_eq!(desk.ids(&["--stage", "decode"]), ["0/0", "1/0"]);
    assert_eq!(desk.ids(&["--class", "ModelError", "--class", "NotUtf8"]), ["1/0", "1/1"]);
    assert_eq!(desk.ids(&["--topic", "elsewhere"]), ["1/1"]);
    assert_eq!(desk.ids(&["--since", "30m"]), ["1/0", "1/1"]);
    assert_eq!(desk.ids(&["--until", "30m"]), ["0/0"]);
    assert_eq!(desk.ids(&["--since", "2020-01-01T00:00:00Z", "--limit", "2"]), ["0/0", "1/0"]);
    assert_eq!(desk.ids(&["--partition", "1", "--offset", "1"]), ["1/1"]);
    let table = stdout(&desk.run(&["list"]));
    assert!(table.contains("1/1       elsewhere/0@7          infer    ModelError"), "{table}");
    let counts = "3 dead letters: decode NotJson 1, decode NotUtf8 1, infer ModelError 1; 0 of them replayed\n";
    assert!(table.ends_with(counts) && table.lines().count() == 6, "{table}");
    assert!(!table.contains("secret") && !table.contains("own header"), "{table}");
    assert_eq!(stdout(&desk.run(&["list", "--summary"])), counts);
    let counts: Value = serde_json::from_str(&stdout(&desk.run(&["list", "--summary", "--json"]))).unwrap();
    assert_eq!(counts["dead_letters"], 3);
    assert_eq!(counts["causes"][2], json!({ "stage": "infer", "class": "ModelError", "count": 1 }));

    let shown = stdout(&desk.run(&["show", "1/1"]));
    for part in ["elsewhere/0@7", "ModelError", "what is wrong", "mine: own header", "the key", &hex::encode(secret)] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    let raw = desk.run(&["show", "1/1", "--raw"]);
    assert_eq!((raw.status.code(), raw.stdout.as_slice()), (Some(0), &secret[..]));
    for (id, why) in [("0/1", "no dead letter 0/1"), ("0/99", "no dead letter 0/99"), ("7/0", "has no partition 7")] {
        let none = desk.run(&["show", id]);
        assert!(none.status.code() == Some(1) && said(&none).contains(why), "{none:?}");
    }
    let wrong = tagbert(&["dead-letters", "list", "--config", "configs/demo.yaml"], b"");
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert_eq!(desk.run(&["list", "--set", "output.dead_letters=no-such"]).status.code(), Some(1));
    assert_eq!(desk.run(&["list", "--since", "yesterday"]).status.code(), Some(2));
}

#[test]
fn reading_a_topic_to_its_end_is_nothing_to_warn_of() {
    let desk = Desk::create("quiet", 1, 3);
    desk.bury(&["NotJson"], 0..9, 3);
    for what in [&["list"][..], &["list", "--summary"], &["show", "0/0"], &["replay", "--dry-run"]] {
        let output = desk.run(what);
        assert!(output.stderr.is_empty(), "{what:?}: {output:?}");
    }
}
