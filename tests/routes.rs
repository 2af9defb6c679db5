//! Routes against a real Apache Kafka: where documents go, and that what holds of one topic holds of all.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::line::{Line, document, number, value};
use support::records::header;
use support::tagbert::{Worker, tagbert};

/// A model that knows spam, topics and names, and is quick.
const MODEL: &str = "models/tagbert-tiny";

/// What it makes of them: spam, no topic, business, no topic, names and no topic, tech, politics.
const DOCUMENTS: [&str; 7] = [
    "WIN a FREE prize!!! Click here now to claim your $1000 cash bonus, limited offer, act now!!!",
    "Hi, shall we have lunch at noon?",
    "Shares in the bank fell after the company reported lower profits and the economy slowed.",
    "ok see you",
    "Angela Merkel met Barack Obama in Berlin to talk about Siemens.",
    "The new phone runs a faster operating system and the software is free for developers and computer users.",
    "The prime minister said the government would call an election and the opposition party criticised the law.",
];

fn topic(name: &str) -> String {
    Kafka::shared().create_topic(name, 1);
    name.to_owned()
}

/// Which of the documents are on a topic.
fn on(topic: &str) -> Vec<usize> {
    Kafka::shared().read_committed(topic).iter().map(number).collect()
}

/// The line with these settings, written as YAML.
fn start(line: &Line, settings: &str, args: &[&str]) -> Worker {
    let yaml = line.yaml(MODEL) + settings;
    let mut all = vec!["--until-end", "--max-dead", "1000000"];
    all.extend(args);
    Worker::start(&yaml, &all)
}

fn run(line: &Line, settings: &str, args: &[&str]) -> Worker {
    let mut worker = start(line, settings, args);
    worker.wait_for_success();
    worker
}

/// An example as it is in the repository, on topics of the test's own; but for those that its routes name.
fn example(name: &'static str, targets: &[&str]) -> (Line, Worker) {
    let line = Line::create(name, 1);
    for target in targets {
        topic(target);
    }
    line.produce(DOCUMENTS.map(document));
    let yaml = fs::read_to_string(support::root().join(format!("configs/examples/{name}.yaml"))).unwrap();
    let sets = [
        format!("kafka.brokers={}", Kafka::shared().brokers()),
        format!("input.topics={}", line.input),
        format!("output.topic={}", line.output),
        format!("output.dead_letters={}", line.dead),
        format!("model.path={MODEL}"),
    ];
    let mut args = vec!["--until-end"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    let mut worker = Worker::start(&yaml, &args);
    worker.wait_for_success();
    line.assert_committed_to_the_end();
    (line, worker)
}

#[test]
fn spam_is_put_into_quarantine() {
    let (line, worker) = example("spam-quarantine", &["documents.spam"]);
    let spam = Kafka::shared().read_committed("documents.spam");
    assert_eq!(spam.iter().map(number).collect::<Vec<_>>(), [0]);
    let score = value(&spam[0])["tags"]["spam"]["score"].to_string();
    assert_eq!(header(&spam[0], "spam-score"), Some(score), "as the value has it");
    assert_eq!(header(&spam[0], "tagbert.record.id").as_deref(), Some("spam-quarantine-0-0"));
    assert_eq!(on(&line.output), [1, 2, 3, 4, 5, 6]);
    assert!(worker.stdout().contains("7 in = 7 out + 0 dead letters\n"), "{}", worker.stdout());
}

#[test]
fn what_the_model_is_not_sure_of_goes_to_people_too() {
    let (line, _) = example("review-queue", &["documents.review"]);
    let review = Kafka::shared().read_committed("documents.review");
    assert_eq!(review.iter().map(number).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert!(review.iter().all(|record| header(record, "reason").as_deref() == Some("no topic")));
    let all = line.tagged();
    assert_eq!(all.iter().map(number).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(review[1].payload(), all[1].payload(), "a copy is a copy");
    assert_eq!(header(&all[1], "reason"), None);
}

#[test]
fn each_topic_has_a_topic_and_what_is_dropped_is_counted() {
    let topics = ["news.business", "news.entertainment", "news.politics", "news.sport", "news.tech"];
    let (line, worker) = example("topic-fan-out", &topics);
    assert_eq!(topics.map(on), [vec![2], vec![], vec![6], vec![], vec![5]]);
    assert_eq!(on(&line.output), [1, 3, 4]);
    assert!(worker.stdout().contains("7 in = 6 out + 0 dead letters + 1 filtered\n"), "{}", worker.stdout());
}

#[test]
fn documents_with_names_are_locked_away() {
    let (line, _) = example("names-locked-away", &["documents.personal"]);
    assert_eq!(on("documents.personal"), [4]);
    assert_eq!(on(&line.output), [0, 1, 2, 3, 5, 6]);
}

/// Half of the documents are copied to a second topic, with a key of the document's own.
fn copying(line: &Line, second: &str) -> String {
    line.yaml(MODEL)
        + &format!("routes: [{{when: 'document.n % 2 == 1', to: {second}, key: string(document.n), copy: true}}]\n")
}

fn numbered(n: usize) -> Vec<u8> {
    json!({ "n": n, "body": format!("the text of number {n}") }).to_string().into_bytes()
}

fn numbers(records: &[OwnedMessage]) -> Vec<usize> {
    records.iter().map(|record| value(record)["document"]["n"].as_u64().unwrap() as usize).collect()
}

#[test]
fn a_worker_that_is_killed_leaves_each_copy_once_under_exactly_once() {
    let line = Line::create("routes-exactly-once", 1);
    let second = topic("routes-exactly-once.copies");
    line.produce((0..400).map(numbered));
    let yaml = copying(&line, &second);
    let args = ["--until-end", "--set", "delivery=exactly-once", "--set", "transaction.records=50"];
    for _ in 0..2 {
        let seen = line.tagged().len();
        let mut worker = Worker::start(&yaml, &args);
        worker.wait_until_closely(|worker| line.tagged().len() > seen || worker.stdout().contains("records"));
        worker.signal("KILL");
        worker.wait();
    }
    Worker::start(&yaml, &args).wait_for_success();
    assert_eq!(numbers(&line.tagged()), (0..400).collect::<Vec<_>>());
    let copies = Kafka::shared().read_committed(&second);
    assert_eq!(numbers(&copies), (0..400).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    assert!(copies.iter().all(|copy| copy.key().unwrap() == value(copy)["document"]["n"].to_string().as_bytes()));
    line.assert_committed_to_the_end();
}

#[test]
fn a_worker_that_is_killed_loses_no_copy_under_at_least_once() {
    let line = Line::create("routes-at-least-once", 1);
    let second = topic("routes-at-least-once.copies");
    line.produce((0..400).map(numbered));
    let yaml = copying(&line, &second);
    for _ in 0..2 {
        let seen = line.tagged().len();
        let mut worker = Worker::start(&yaml, &["--until-end"]);
        worker.wait_until_closely(|worker| line.tagged().len() > seen || worker.stdout().contains("records"));
        worker.signal("KILL");
        worker.wait();
    }
    Worker::start(&yaml, &["--until-end"]).wait_for_success();
    let once = |records: Vec<OwnedMessage>| {
        let mut seen = Vec::new();
        for n in numbers(&records) {
            if !seen.contains(&n) {
                seen.push(n);
            }
        }
        seen
    };
    assert_eq!(once(line.tagged()), (0..400).collect::<Vec<_>>());
    let copies = once(Kafka::shared().read_committed(&second));
    assert_eq!(copies, (0..400).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    line.assert_committed_to_the_end();
}

#[test]
fn what_one_topic_refuses_is_a_dead_letter_that_names_it_and_under_exactly_once_nothing_else() {
    for (name, delivery) in [("routes-refused-1", "at-least-once"), ("routes-refused-2", "exactly-once")] {
        let line = Line::create(name, 1);
        let narrow = format!("{name}.narrow");
        Kafka::shared().create_topic_with(&narrow, 1, &[("max.message.bytes", "2000")]);
        let long = "word ".repeat(1000);
        line.produce(["short", &long, "short too"].map(document));
        let routes = format!("delivery: {delivery}\nroutes: [{{to: {narrow}, copy: true}}]\n");
        let worker = run(&line, &routes, &[]);
        assert_eq!(on(&narrow), [0, 2], "{delivery}");
        let dead = line.dead();
        assert_eq!(dead.iter().map(number).collect::<Vec<_>>(), [1], "{delivery}");
        assert_eq!(dead[0].payload(), Some(&document(&long)[..]), "as it came");
        assert_eq!(header(&dead[0], "__connect.errors.exception.class.name").as_deref(), Some("RecordTooLarge"));
        let why = header(&dead[0], "__connect.errors.exception.message").unwrap();
        assert!(why.contains(&format!("topic `{narrow}` refused")), "{why}");
        if delivery == "exactly-once" {
            assert_eq!(on(&line.output), [0, 2], "together or not at all");
        }
        assert!(worker.stdout().contains("3 in = 2 out + 1 dead letters\n"), "{}", worker.stdout());
        line.assert_committed_to_the_end();
    }
}

#[test]
fn a_partition_that_is_not_there_is_the_records_fault_and_stops_nothing() {
    for (name, delivery) in [("routes-partition-1", "at-least-once"), ("routes-partition-2", "exactly-once")] {
        let line = Line::create(name, 1);
        let parts = format!("{name}.parts");
        Kafka::shared().create_topic(&parts, 3);
        line.produce((0..6).map(numbered));
        let routes = format!("delivery: {delivery}\nroutes: [{{to: {parts}, partition: document.n % 4}}]\n");
        run(&line, &routes, &[]);
        let mut found: Vec<_> = Kafka::shared().read_committed(&parts);
        found.sort_by_key(number);
        let places: Vec<_> = found.iter().map(|record| (number(record), record.partition())).collect();
        assert_eq!(places, [(0, 0), (1, 1), (2, 2), (4, 0), (5, 1)], "{delivery}");
        assert_eq!(line.dead().iter().map(number).collect::<Vec<_>>(), [3], "{delivery}");
        line.assert_committed_to_the_end();
    }
}

#[test]
fn what_an_expression_fails_on_is_a_dead_letter_and_comes_through_by_a_replay() {
    let line = Line::create("routes-error", 1);
    let german = topic("routes-error.german");
    let values = [
        json!({ "body": "eins", "lang": "de" }).to_string(),
        json!({ "body": "secret words" }).to_string(),
        json!({ "body": "two", "lang": "en" }).to_string(),
    ];
    line.produce(&values);
    run(&line, &format!("routes: [{{when: document.lang == 'de', to: {german}}}]\n"), &[]);
    assert_eq!((on(&german), on(&line.output)), (vec![0], vec![2]));
    let dead = line.dead();
    assert_eq!((number(&dead[0]), dead[0].payload()), (1, Some(values[1].as_bytes())));
    let of = |name: &str| header(&dead[0], &format!("__connect.errors.{name}")).unwrap();
    assert_eq!((of("stage"), of("exception.class.name")), ("route".into(), "RouteError".into()));
    assert!(
        of("exception.message").starts_with("routes[0].when (`document.lang == 'de'`) asks for `lang`"),
        "{dead:?}"
    );
    assert!(!of("exception.message").contains("secret"), "{dead:?}");

    let mended = format!("routes: [{{when: \"has(document.lang) && document.lang == 'de'\", to: {german}}}]\n");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, line.yaml(MODEL) + &mended).unwrap();
    let replayed = tagbert(&["dead-letters", "replay", "--config", config.to_str().unwrap()], b"");
    assert!(replayed.status.success(), "{replayed:?}");
    run(&line, &mended, &[]);
    assert_eq!(on(&line.output), [2, 1]);
}

#[test]
fn a_tombstone_deletes_wherever_the_document_may_be() {
    let line = Line::create("routes-tombstone", 1);
    let (one, other) = (topic("routes-tombstone.one"), topic("routes-tombstone.other"));
    Kafka::shared().produce([BaseRecord::<[u8], [u8]>::to(&line.input).key(b"7")]);
    line.produce([document("a text")]);
    let routes = format!(
        "routes: [{{when: 'false', to: {one}}}, {{when: 'true', to: {other}, key: '\"x\"'}}, {{when: 'false', drop: true}}]\n"
    );
    let worker = run(&line, &routes, &[]);
    let keys = |topic: &str| {
        let all = Kafka::shared().read_committed(topic);
        all.iter().map(|it| (it.key().map(<[u8]>::to_vec), it.payload().is_none())).collect::<Vec<_>>()
    };
    assert_eq!(keys(&one), [(Some(b"7".to_vec()), true)]);
    assert_eq!(keys(&line.output), [(Some(b"7".to_vec()), true)]);
    assert_eq!(keys(&other), [(Some(b"x".to_vec()), false)], "under a key of its own, it is not known which to delete");
    assert!(worker.stdout().contains("2 in = 1 out + 0 dead letters + 1 tombstones\n"), "{}", worker.stdout());
}

#[test]
fn a_start_is_refused_for_a_slip_in_an_expression_or_a_topic_that_is_not_there() {
    let line = Line::create("routes-refusals", 1);
    let there = topic("routes-refusals.there");
    for (routes, code, expected) in [
        (
            format!("routes: [{{to: {there}, copy: true}}, {{when: \"tags.spam.label == 'Spam'\", to: {there}}}]\n"),
            2,
            "`routes[1].when` has `Spam`, which `tags.spam.label` never is; there are ham, spam\n    \
             tags.spam.label == 'Spam'\n                       ^",
        ),
        ("routes: [{to: routes-refusals.gone}]\n".into(), 1, "there is no topic `routes-refusals.gone`"),
        (format!("routes: [{{to: {}}}]\n", line.input), 2, "its records would go round for ever"),
    ] {
        let mut worker = start(&line, &routes, &[]);
        assert_eq!(worker.wait().code(), Some(code), "{}", worker.log());
        assert!(worker.log().contains(expected), "{}", worker.log());
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        fs::write(&config, line.yaml(MODEL) + &routes).unwrap();
        let checked = tagbert(&["check", "--config", config.to_str().unwrap()], b"");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.code() == Some(code) && said.contains(expected), "{said}");
    }
    assert!(line.committed().iter().all(Option::is_none), "nothing was read");
    // Where all is routed, the usual topic may be missing.
    line.produce([document("a text")]);
    let routes = format!("routes: [{{to: {there}}}]\n");
    run(&line, &routes, &["--set", "output.topic=routes-refusals.never"]);
    assert_eq!(on(&there), [0]);
}

fn verify(line: &Line, routes: &str, manifest: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, line.yaml(MODEL) + routes).unwrap();
    tagbert(&["manifest", "verify", "--config", config.to_str().unwrap(), manifest], b"")
}

#[test]
fn a_manifest_counts_copies_and_what_was_filtered_and_the_topics_prove_it() {
    let line = Line::create("routes-manifest", 1);
    let (even, three) = (topic("routes-manifest.even"), topic("routes-manifest.three"));
    line.produce((0..30).map(numbered).chain([b"no document".to_vec()]));
    let routes = format!(
        "delivery: exactly-once\n\
         routes: [{{when: document.n % 2 == 0, to: {even}, copy: true}}, {{when: document.n % 3 == 0, to: {three}}}, \
         {{when: document.n % 5 == 0, drop: true}}]\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    run(&line, &routes, &["--from", "0", "--manifest", path.to_str().unwrap()]);
    let text = fs::read_to_string(&path).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    // Dropped, and not copied before: 5 and 25.
    let records = &manifest["records"];
    let counts = ["in", "out", "dead_letters", "filtered"].map(|name| records[name].as_u64().unwrap());
    assert_eq!(counts, [31, 28, 1, 2], "{text}");
    let topics: BTreeMap<String, u64> = serde_json::from_value(records["topics"].clone()).unwrap();
    // To the usual one: neither of threes nor of fives.
    let expected = [(even.clone(), 15), (three.clone(), 10), (line.output.clone(), 16)];
    assert_eq!(topics, expected.into(), "{text}");
    let proven = verify(&line, &routes, path.to_str().unwrap());
    assert!(proven.status.success(), "{proven:?}");

    let lies = [("\"filtered\": 2", "\"filtered\": 1"), (&*format!("\"{even}\": 15"), &*format!("\"{even}\": 14"))];
    for (truth, lie) in lies {
        assert!(text.contains(truth), "{text}");
        let path = folder.path().join("false.json");
        fs::write(&path, text.replace(truth, lie)).unwrap();
        let refuted = verify(&line, &routes, path.to_str().unwrap());
        assert_eq!(refuted.status.code(), Some(1), "{refuted:?}");
    }
}

#[test]
fn what_is_filtered_is_a_metric() {
    let line = Line::create("routes-metrics", 1);
    line.produce((0..4).map(numbered));
    let routes = "routes: [{when: document.n < 3, drop: true}]\n";
    let worker = &mut Worker::start(&(line.yaml(MODEL) + routes), &[]);
    worker.wait_until("all is done", |_| line.tagged().len() == 1 && line.committed() == [Some(4)]);
    let (_, metrics) = worker.get("/metrics");
    assert!(
        metrics.lines().any(|line| line.starts_with("tagbert_filtered_total") && line.ends_with(" 3")),
        "{metrics}"
    );
    worker.terminate();
    worker.wait_for_success();
}

#[test]
fn commands_with_one_output_pass_over_routes() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let yaml = format!("model: {{path: {MODEL}}}\nroutes: [{{when: document.lang == 'de', drop: true}}]\n");
    fs::write(&config, yaml).unwrap();
    let tagged = tagbert(&["tag", "--config", config.to_str().unwrap()], &document("a text without a language"));
    let lines = String::from_utf8_lossy(&tagged.stdout);
    assert!(tagged.status.success() && lines.contains("a text without a language"), "{tagged:?}");
}
