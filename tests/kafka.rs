//! The worker against a real Apache Kafka.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::line::{Line, TINY, document, number, value};
use support::records::{a_minute_ago, header, header_that_is_not_utf8};
use support::tagbert::{Worker, tagbert};

const SMALL: &str = "models/tagbert-small";

#[test]
fn two_workers_lose_nothing_keep_the_order_and_commit_to_the_end() {
    let line = Line::create("two-workers", 4);
    let texts: Vec<_> = support::corpus().take(3000).map(|document| document.text()).collect();
    let cut = texts.iter().map(|text| text.chars().take(200).collect::<String>());
    let values: Vec<_> = cut.map(|text| document(&text)).collect();
    line.produce(&values);
    // So little in flight that the work is not over before the second worker has its share.
    let worker = line.worker().model(SMALL).set("limits.in_flight", "2MiB");

    let mut first = worker.start();
    first.wait_until("the first has tagged something", |_| !line.tagged().is_empty());
    let mut second = worker.until_end().start();
    second.wait_for_log("assigned: two-workers/");
    first.terminate();
    first.wait_for_success();
    second.wait_for_success();

    let mut last_seen: HashMap<(i32, i64), i64> = HashMap::new();
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    for record in line.tagged() {
        let (number, tagged) = (number(&record), value(&record));
        assert_eq!(tagged["document"]["body"], texts[number].chars().take(200).collect::<String>());
        let (partition, offset) = (&tagged["source"]["partition"], &tagged["source"]["offset"]);
        let (partition, offset) = (partition.as_i64().unwrap(), offset.as_i64().unwrap());
        let previous = last_seen.insert((record.partition(), partition), offset);
        assert!(previous.is_none_or(|previous| previous < offset), "{partition}: {offset} after {previous:?}");
        *times.entry(number).or_default() += 1;
    }
    assert_eq!(times.len(), values.iter().filter(|value| !value.is_empty()).count() - line.dead().len());
    assert!(times.len() > 2900, "nearly all have a text");
    line.assert_committed_to_the_end();
}

#[test]
fn bad_input_goes_to_the_dead_letters_as_it_was_and_the_stream_goes_on() {
    let line = Line::create("bad-input", 1);
    let timestamp = a_minute_ago();
    let bad: [(&str, Vec<u8>); 7] = [
        ("NotJson", b"{not json".to_vec()),
        ("NotUtf8", b"{\"body\":\"\xff\xfe\"}".to_vec()),
        ("TextMissing", br#"{"id":"1","title":"x"}"#.to_vec()),
        ("TextNotAString", br#"{"id":"1","body":{"a":1}}"#.to_vec()),
        ("TextEmpty", br#"{"id":"1","body":"  "}"#.to_vec()),
        ("NotJson", br#"{"id":"1","body":"lone \ud800 surrogate"}"#.to_vec()),
        ("DocumentTooLarge", document(&"x".repeat(20_000))),
    ];
    let odd = [
        "x".repeat(15_000),
        "\u{0}\u{1}\u{7f}\u{feff}\u{200b}".into(),
        "שלום עולם مرحبا".into(),
        "👩‍👩‍👧‍👦🏳️‍🌈 e\u{301}\u{301}\u{301}".into(),
        "\r\n\t\u{2028}x".into(),
    ];
    let mut values: Vec<_> = bad.iter().map(|(_, value)| value.clone()).collect();
    values.extend(odd.iter().map(|text| document(text)));
    let headers = || OwnedHeaders::new().insert(Header { key: "mine", value: Some("kept") });
    let record = |value| {
        BaseRecord::<[u8], [u8]>::to(&line.input).key(b"key").payload(value).timestamp(timestamp).headers(headers())
    };
    Kafka::shared().produce(values.iter().map(|value| record(value)));
    Kafka::shared().produce([record(values[0].as_slice()).headers(header_that_is_not_utf8(OwnedHeaders::new()))]);
    let tombstone = BaseRecord::<[u8], [u8]>::to(&line.input).key(b"gone").headers(headers());
    Kafka::shared().produce([tombstone, record(document("the end").as_slice())]);

    let worker = line.worker().set("limits.document", "16KiB").run_to_the_end();

    let dead = line.dead();
    assert_eq!(dead.len(), bad.len() + 1);
    for (offset, ((class, bytes), letter)) in bad.iter().zip(&dead).enumerate() {
        assert_eq!((letter.key(), letter.payload()), (Some(&b"key"[..]), Some(bytes.as_slice())));
        assert_eq!(letter.timestamp().to_millis(), Some(timestamp));
        let header = |name| header(letter, name).unwrap();
        assert_eq!(header("mine"), "kept");
        assert_eq!(header("__connect.errors.topic"), line.input);
        assert_eq!(header("__connect.errors.partition"), "0");
        assert_eq!(header("__connect.errors.offset"), offset.to_string());
        assert_eq!(header("__connect.errors.stage"), "decode");
        assert_eq!(header("__connect.errors.exception.class.name"), *class);
        assert!(!header("__connect.errors.exception.message").is_empty());
    }
    let odd_header = dead.last().unwrap();
    assert_eq!(header(odd_header, "__connect.errors.exception.class.name").as_deref(), Some("InvalidHeaderName"));
    assert_eq!(tagbert::record::headers::first_name_not_utf8(odd_header.headers().unwrap()), Some(&b"bad\xff"[..]));

    let tagged = line.tagged();
    let texts: Vec<_> = tagged
        .iter()
        .filter(|record| record.payload().is_some())
        .map(|record| value(record)["document"]["body"].clone())
        .collect();
    let expected: Vec<Value> = odd.iter().map(|text| json!(text)).chain([json!("the end")]).collect();
    assert_eq!(texts, expected);
    let gone = tagged.iter().find(|record| record.payload().is_none()).expect("the tombstone");
    assert_eq!((gone.key(), header(gone, "mine").as_deref()), (Some(&b"gone"[..]), Some("kept")));
    assert_eq!(tagged[0].timestamp().to_millis(), Some(timestamp));
    assert!(worker.stdout().contains("15 in = 6 out + 8 dead letters + 1 tombstones"), "{}", worker.stdout());
    line.assert_committed_to_the_end();
}

#[test]
fn the_enriched_record_is_what_the_readme_says() {
    let line = Line::create("enriched", 1);
    let timestamp = a_minute_ago();
    let original = r#"{ "id": 7, "subject": "Hello",  "body": "Angela Merkel met Tim Cook in Berlin.", "n": 1.50 }"#;
    let record = BaseRecord::<[u8], [u8]>::to(&line.input).payload(original.as_bytes()).timestamp(timestamp);
    Kafka::shared().produce([record]);
    line.worker().model(SMALL).run_to_the_end();
    let tagged = line.tagged();
    let text = std::str::from_utf8(tagged[0].payload().unwrap()).unwrap();
    assert!(text.contains(original), "the document is kept byte for byte: {text}");
    let record = value(&tagged[0]);
    assert_eq!(record["id"], 7);
    assert_eq!(record["source"], json!({ "topic": line.input, "partition": 0, "offset": 0, "timestamp": timestamp }));
    assert_eq!(record["model"]["name"], "tagbert-small");
    assert_eq!(record["truncated"], false);
    for head in ["topic", "spam"] {
        let score = record["tags"][head]["score"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&score));
    }
    let full = "Hello\nAngela Merkel met Tim Cook in Berlin.";
    for entity in record["tags"]["entities"].as_array().unwrap() {
        let span = entity["start"].as_u64().unwrap() as usize..entity["end"].as_u64().unwrap() as usize;
        assert_eq!(entity["text"], full[span], "all of the text is ASCII, so code points are bytes");
    }
}

#[test]
fn a_bounded_run_ends_behind_transaction_markers_and_a_second_one_has_nothing_to_do() {
    let line = Line::create("bounded", 3);
    let producer: BaseProducer = Kafka::shared().client().set("transactional.id", "bounded").create().unwrap();
    let timeout = Duration::from_secs(30);
    producer.init_transactions(timeout).unwrap();
    for (partition, commit) in [(0, true), (1, false), (0, true)] {
        producer.begin_transaction().unwrap();
        let text = document(if commit { "committed" } else { "aborted" });
        producer.send(BaseRecord::<[u8], [u8]>::to(&line.input).partition(partition).payload(&text)).unwrap();
        if commit {
            producer.commit_transaction(timeout).unwrap();
        } else {
            producer.flush(timeout).unwrap();
            producer.abort_transaction(timeout).unwrap();
        }
    }
    let worker = line.worker().run_to_the_end();
    assert!(worker.stdout().starts_with("records    2 in = 2 out + 0 dead letters\n"), "{}", worker.stdout());
    assert_eq!(line.tagged().len(), 2, "what was aborted is no document");
    line.assert_committed_to_the_end();

    let again = line.worker().run_to_the_end();
    assert!(again.stdout().starts_with("records    0 in"), "{}", again.stdout());
    assert_eq!(line.tagged().len(), 2);
}

#[test]
fn a_bounded_run_ends_though_its_topic_is_written_on_and_on() {
    let line = Line::create("never-still", 2);
    let timeout = Duration::from_secs(30);
    let producer: BaseProducer = Kafka::shared().client().set("transactional.id", "never-still").create().unwrap();
    producer.init_transactions(timeout).unwrap();
    producer.begin_transaction().unwrap();
    // Nothing will ever be read of it: only a worker that looks can tell that its end is reached.
    let aborted = document("aborted");
    producer.send(BaseRecord::<[u8], [u8]>::to(&line.input).partition(1).payload(&aborted)).unwrap();
    producer.flush(timeout).unwrap();
    producer.abort_transaction(timeout).unwrap();
    let text = document("one of many");
    let write = || Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to(&line.input).partition(0).payload(&text)]);
    write();
    let mut worker = line.worker().until_end().start();
    let over = AtomicBool::new(false);
    let status = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                write();
                thread::sleep(Duration::from_millis(100));
            }
        });
        let status = catch_unwind(AssertUnwindSafe(|| worker.wait()));
        over.store(true, Ordering::Relaxed);
        status
    });
    assert!(status.is_ok_and(|status| status.success()), "{}", worker.log());
    assert!(!line.tagged().is_empty());
}

#[test]
fn little_memory_in_flight_pauses_the_stream_and_loses_nothing() {
    let line = Line::create("backpressure", 2);
    line.produce((0..100).map(|n| document(&format!("{n} {}", "word ".repeat(1000)))));
    line.worker().set("limits.in_flight", "64KiB").set("limits.document", "64KiB").run_to_the_end();
    let tagged = line.tagged();
    let keys: HashSet<_> = tagged.iter().map(|record| record.key().unwrap().to_vec()).collect();
    assert_eq!((tagged.len(), keys.len()), (100, 100));
    line.assert_committed_to_the_end();
}

#[test]
fn a_result_that_the_output_topic_refuses_for_its_size_becomes_a_dead_letter() {
    let line = Line::create("too-large", 1).with_output(&[("max.message.bytes", "20000")]);
    let large = document(&"word ".repeat(10_000));
    line.produce([document("small"), large.clone(), document("small again")]);
    line.worker().run_to_the_end();
    assert_eq!(line.tagged().len(), 2);
    let dead = line.dead();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].payload(), Some(large.as_slice()));
    assert_eq!(header(&dead[0], "__connect.errors.stage").as_deref(), Some("sink"));
    assert_eq!(header(&dead[0], "__connect.errors.exception.class.name").as_deref(), Some("RecordTooLarge"));
    line.assert_committed_to_the_end();
}

#[test]
fn probes_and_metrics_tell_how_the_worker_is() {
    let line = Line::create("probes", 2);
    line.produce((0..50).map(|n| document(&format!("document {n}"))));
    line.produce([b"broken"]);
    let mut worker = line.worker().start();
    worker.wait_for_log("http: listening on ");
    worker.wait_until("ready", |worker| worker.get("/readyz").0 == 200);
    assert_eq!(worker.get("/livez"), (200, "ok\n".into()));
    assert_eq!(worker.get("/").0, 404);
    worker.wait_until("all is done", |worker| worker.metric("tagbert_records_out_total") == Some(50.0));
    worker.wait_until("the dead letter", |worker| worker.metric("tagbert_dead_letters_total") == Some(1.0));
    worker.wait_until("nothing is left", |worker| worker.metric("tagbert_lag") == Some(0.0));
    assert_eq!(worker.metric("tagbert_records_in_total"), Some(51.0));
    assert_eq!(worker.metric("tagbert_in_flight_bytes"), Some(0.0));
    let (_, metrics) = worker.get("/metrics");
    for series in [
        r#"tagbert_dead_letters_total{stage="decode""#,
        "tagbert_lag{",
        r#"topic="probes""#,
        "tagbert_batch_rows_bucket",
        "tagbert_tokens_total",
        "tagbert_tokens_computed_total",
        "tagbert_padding_waste",
        "tagbert_stage_duration_seconds_count{",
        r#"stage="infer""#,
        r#"stage="total""#,
    ] {
        assert!(metrics.contains(series), "no {series} in\n{metrics}");
    }
    worker.terminate();
    worker.wait_for_success();
    assert!(!worker.log().contains("document 1"), "no text of a document is logged");
}

#[test]
fn what_cannot_work_is_said_in_one_line_before_the_first_record() {
    let line = Line::create("refused", 1);
    let expect = |yaml: &str, set: &str, code: i32, expected: &str| {
        let mut worker = Worker::start(yaml, &["--set", set]);
        let status = worker.wait();
        let log = worker.log();
        assert_eq!(status.code(), Some(code), "{set}: {log}");
        let said: Vec<_> = log.lines().filter(|line| line.starts_with("tagbert: ")).collect();
        assert!(said.len() == 1 && said[0].contains(expected), "{set}: expected {expected}, got\n{log}");
    };
    let yaml = line.yaml(TINY);
    expect(&yaml, "input.topics=no-such-topic", 1, "there is no topic `no-such-topic`");
    expect(&yaml, "output.topic=no-such-topic", 1, "output.topic");
    expect(&yaml, "output.dead_letters=no-such-topic", 1, "output.dead_letters");
    expect(&yaml, "kafka.brokers=embedded", 2, "tagbert demo");
    expect(&yaml, "kafka.properties.no.such.property=1", 2, "no.such.property");
    expect(&yaml, "model.path=no/such/model", 1, "no/such/model");
    expect(&yaml, "model.device=cuda", 1, "this ONNX Runtime library has no CUDA provider; `make ort-gpu`");
    expect(
        &yaml,
        "model.device=tensorrt:1",
        1,
        "tensorrt:1 can't be used: this ONNX Runtime library has no CUDA provider",
    );
    expect(&yaml, "batch.tokenz=1", 2, "did you mean `batch.tokens`?");
    expect("kafka: [", "batch.tokens=1", 2, "config.yaml");
    assert!(line.tagged().is_empty() && line.dead().is_empty());
}

#[test]
fn check_connects_and_masks_secrets() {
    let line = Line::create("check", 1);
    let config = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("check.yaml");
    std::fs::write(&config, line.yaml(TINY)).unwrap();
    let check = |set: &str| tagbert(&["check", "--config", config.to_str().unwrap(), "--set", set], b"");
    let good = check("kafka.properties.sasl.password=hunter2");
    assert!(good.status.success(), "{good:?}");
    let printed = String::from_utf8(good.stdout).unwrap();
    assert!(printed.contains("********") && !printed.contains("hunter2"), "{printed}");
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["kafka"]["group"], "check");
    let missing = check("input.topics=nowhere");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no topic `nowhere`"));
}

#[test]
fn the_configuration_for_clusters_takes_each_group_protocol() {
    let line = Line::create("check-protocol", 1);
    let brokers = format!("kafka.brokers={}", Kafka::shared().brokers());
    for protocol in ["classic", "consumer"] {
        let protocol = format!("kafka.properties.group.protocol={protocol}");
        let topics = [format!("input.topics={}", line.input), format!("output.topic={}", line.output)];
        let dead = format!("output.dead_letters={}", line.dead);
        let model = format!("model.path={TINY}");
        let sets = [&brokers, &protocol, &topics[0], &topics[1], &dead, &model];
        let sets = sets.into_iter().flat_map(|set| ["--set", set]);
        let args: Vec<_> = ["check", "--config", "configs/production.yaml"].into_iter().chain(sets).collect();
        let checked = tagbert(&args, b"");
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once_and_loses_nothing() {
    let line = Line::create("second-signal", 1);
    // Minutes of work.
    line.produce(vec![document(&"word ".repeat(600)); 3000]);
    let mut worker = line.worker().model(SMALL).start();
    worker.wait_until("something is done", |_| !line.tagged().is_empty());
    worker.terminate();
    worker.wait_for_log("draining");
    worker.terminate();
    assert_eq!(worker.wait().code(), Some(143));
    let committed = line.committed()[0].unwrap_or(0);
    assert!(committed <= line.tagged().len() as i64, "nothing is committed that is not written");
}

#[test]
fn a_drain_ends_in_time_and_gives_up_the_rest() {
    let line = Line::create("drain", 1);
    line.produce(vec![document(&"word ".repeat(600)); 3000]);
    let mut worker = line.worker().model(SMALL).set("shutdown.timeout", "1s").start();
    worker.wait_until("something is done", |_| !line.tagged().is_empty());
    worker.terminate();
    worker.wait_for_success();
    assert!(worker.log().contains("shutdown.timeout is over"), "{}", worker.log());
    let committed = line.committed()[0].unwrap();
    // What is given up on its way to the broker, a batch at most, may be written all the same, and is read again.
    let written = line.tagged().len() as i64;
    assert!((written - 2..=written).contains(&committed), "{committed} are committed, and {written} written");
}

#[test]
fn a_bounded_run_takes_the_time_it_needs_and_says_so_when_it_was_cut_short() {
    let line = Line::create("bounded-backlog", 2);
    line.produce(vec![document(&"word ".repeat(300)); 200]);
    let worker = line.worker().model(SMALL).set("shutdown.timeout", "100ms").until_end();
    let mut cut_short = worker.start();
    cut_short.wait_until("something is done", |_| !line.tagged().is_empty());
    cut_short.terminate();
    assert_eq!(cut_short.wait().code(), Some(1));
    assert!(cut_short.log().contains("stopped before the end"), "{}", cut_short.log());

    worker.start().wait_for_success();
    let keys: HashSet<_> = line.tagged().iter().map(|record| record.key().unwrap().to_vec()).collect();
    assert_eq!(keys.len(), 200);
    line.assert_committed_to_the_end();
}

#[test]
fn a_record_that_even_the_dead_letter_topic_refuses_leaves_its_coordinates_there() {
    let line = Line::create("poison", 1).with_dead(&[("max.message.bytes", "2000")]);
    line.produce([document("before"), vec![b'x'; 5000], document("after")]);
    line.worker().run_to_the_end();
    assert_eq!(line.tagged().len(), 2);
    let dead = line.dead();
    assert_eq!((dead.len(), dead[0].key(), dead[0].payload()), (1, None, None));
    assert_eq!(header(&dead[0], "__connect.errors.offset").as_deref(), Some("1"));
    let message = header(&dead[0], "__connect.errors.exception.message").unwrap();
    assert!(message.contains("not JSON") && message.contains("left out"), "{message}");
    line.assert_committed_to_the_end();
}

#[test]
fn a_result_that_a_compacted_topic_refuses_becomes_a_dead_letter() {
    let line = Line::create("compacted", 1).with_output(&[("cleanup.policy", "compact")]);
    let text = document("no key");
    line.produce(vec![document("with a key"); 100]);
    Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to(&line.input).payload(&text)]);
    line.produce(vec![document("with a key"); 100]);
    line.worker().run_to_the_end();
    assert_eq!(line.tagged().len(), 200, "its neighbours are none the worse for it");
    let dead = line.dead();
    assert_eq!((dead.len(), dead[0].payload()), (1, Some(text.as_slice())));
    assert_eq!(header(&dead[0], "__connect.errors.exception.class.name").as_deref(), Some("RecordRefused"));
    line.assert_committed_to_the_end();
}

#[test]
fn a_timestamp_that_the_output_refuses_costs_no_neighbour_and_no_bytes() {
    let line = Line::create("future", 1).with_input(&[("message.timestamp.after.max.ms", "9223372036854775807")]);
    let texts: Vec<_> = (0..20).map(|n| document(&format!("number {n}"))).collect();
    let in_a_month = a_minute_ago() + 30 * 24 * 3_600_000;
    Kafka::shared().produce(texts.iter().enumerate().map(|(n, text)| {
        let timestamp = if n == 5 { in_a_month } else { a_minute_ago() };
        BaseRecord::<[u8], [u8]>::to(&line.input).key(b"k").payload(text).timestamp(timestamp)
    }));
    line.worker().run_to_the_end();
    assert_eq!(line.tagged().len(), 19);
    let dead = line.dead();
    assert_eq!((dead.len(), dead[0].payload()), (1, Some(texts[5].as_slice())));
}

#[test]
fn two_bounded_workers_share_the_job_and_both_end_well() {
    let line = Line::create("bounded-two", 4);
    line.produce((0..300).map(|n| document(&format!("{n} {}", "word ".repeat(100)))));
    let worker = line.worker().model(SMALL).until_end();
    let mut first = worker.start();
    first.wait_for_log("assigned: bounded-two/");
    let mut second = worker.start();
    first.wait_for_success();
    second.wait_for_success();
    let keys: HashSet<_> = line.tagged().iter().map(|record| record.key().unwrap().to_vec()).collect();
    assert_eq!(keys.len(), 300);
    line.assert_committed_to_the_end();
}
