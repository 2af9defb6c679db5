//! What `redact` masks stands nowhere in what a worker writes, against a real Apache Kafka.

use std::fs;
use std::path::Path;

use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::line::{Line, value};
use support::records::header;
use support::tagbert::{Worker, tagbert};

const SMALL: &str = "models/tagbert-small";

const RULES: &str = "
redact:
- {entities: [PER, ORG], with: '[NAME]'}
- {patterns: [email, iban, credit-card, phone], with: mask}
- {words: [Falcon], with: '[PROJECT]'}
- {fields: [/user/login]}
dead_letters: {redact: true}
";

fn write(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Whatever of a record a reader can see.
fn all_of(record: &OwnedMessage) -> String {
    let headers = record.headers().into_iter().flat_map(tagbert::record::headers::iter);
    let headers = headers.map(|(_, value)| String::from_utf8_lossy(value.unwrap_or_default()).into_owned());
    let parts =
        [record.payload(), record.key()].map(|part| String::from_utf8_lossy(part.unwrap_or_default()).into_owned());
    headers.chain(parts).collect()
}

#[test]
fn what_is_masked_stands_in_no_record_log_or_metric() {
    let line = Line::create("redaction", 1);
    let body = "Angela Merkel met Tim Cook of Microsoft in Berlin. Mail angela@example.org, card 4111 1111 1111 1111.";
    let documents = [
        json!({ "id": "1", "subject": "Angela Merkel in Berlin", "body": body, "to": ["Angela Merkel", { "card": 4_111_111_111_111_111_u64 }],
            "user": { "login": "merkel54", "seen": "by merkel54" }, "about": "Project FALCON" }).to_string(),
        json!({ "id": "2", "subject": "Tim Cook", "body": 7, "note": "from tim@example.org" }).to_string(),
        "{\"body\": \"Angela Merkel".to_owned(),
        // The same text again comes from the cache.
        json!({ "id": "4", "subject": "Angela Merkel in Berlin", "body": body }).to_string(),
    ];
    line.produce(&documents);
    let yaml = line.yaml(SMALL).replace("cache: {size: 0}\n", "") + RULES;
    let mut worker = Worker::start_with(&yaml, &[], &[("RUST_LOG", "debug")]);
    worker.wait_until("all is written", |_| line.committed() == [Some(4)]);
    let said = worker.log() + &worker.stdout() + &worker.get("/metrics").1;
    worker.terminate();
    worker.wait_for_success();
    let (tagged, dead) = (line.tagged(), line.dead());
    assert_eq!((tagged.len(), dead.len()), (2, 2));

    let secrets = ["Angela", "Merkel", "Tim Cook", "Microsoft", "example.org", "1111", "merkel54", "FALCON"];
    for text in tagged.iter().chain(&dead).map(all_of).chain([said, worker.log()]) {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} stands in {text}");
        }
    }

    let first = value(&tagged[0]);
    assert_eq!(first["document"]["subject"], "[NAME] in Berlin");
    assert_eq!(first["document"]["to"], json!(["[NAME]", { "card": "****************" }]));
    assert_eq!(first["document"]["user"], json!({ "login": "[REDACTED]", "seen": "by [REDACTED]" }));
    assert_eq!(first["document"]["about"], "Project [PROJECT]");
    let text =
        format!("{}\n{}", first["document"]["subject"].as_str().unwrap(), first["document"]["body"].as_str().unwrap());
    let entities = first["tags"]["entities"].as_array().unwrap();
    assert!(entities.iter().any(|entity| entity["text"] == "Berlin" && entity["type"] == "LOC"), "{entities:?}");
    for entity in entities {
        let (start, end) = (entity["start"].as_u64().unwrap() as usize, entity["end"].as_u64().unwrap() as usize);
        let slice: String = text.chars().skip(start).take(end - start).collect();
        assert_eq!(entity["text"], slice, "a span is its slice of the masked text");
    }
    assert_eq!(value(&tagged[1])["document"]["body"], first["document"]["body"]);

    let refused = value(&dead[0]);
    assert_eq!(refused["body"], "[NAME]", "no tagger has read it");
    assert_eq!(refused["note"], format!("from {}", "*".repeat("tim@example.org".len())));
    assert_eq!(dead[1].payload(), Some(&b""[..]));
    let why = header(&dead[1], "__connect.errors.exception.message").unwrap();
    assert!(why.contains("left out, since what is not JSON"), "{why}");
}

#[test]
fn keys_and_headers_tell_nobody_and_what_belongs_together_stays_together() {
    let line = Line::create("redaction-keys", 1).with_output(&[("max.message.bytes", "4000")]);
    let key_file = write("redaction.key", "0123456789abcdef");
    let headers = || {
        let from = Header { key: "from", value: Some("Angela Merkel <angela@example.org>") };
        OwnedHeaders::new().insert(from).insert(Header { key: "n", value: Some("1") })
    };
    let text = "Angela Merkel met Tim Cook in Berlin.";
    let long = json!({ "body": text, "more": "word ".repeat(2000) }).to_string();
    let values = [Some(json!({ "body": text }).to_string()), None, Some("{broken".into()), Some(long.clone())];
    let record = |value: &Option<String>| {
        let record = BaseRecord::<[u8], [u8]>::to(&line.input).key(b"angela@example.org").headers(headers());
        Kafka::shared().produce([match value {
            Some(value) => record.payload(value.as_bytes()),
            None => record,
        }]);
    };
    values.iter().for_each(record);
    let rules = format!(
        "redact: [{{entities: [PER]}}, {{patterns: [email], with: hash, key_file: {key_file}}}]\noutput.key: hash\n"
    );
    let start = |dead: &str, group: &str| {
        let yaml = line.yaml(SMALL) + &rules + dead;
        let group = format!("kafka.group={group}");
        let args = ["--until-end", "--max-dead", "9", "--set", &group];
        Worker::start(&yaml, &args).wait_for_success();
    };
    start("dead_letters: {redact: true}\n", "masked");
    let (tagged, dead) = (line.tagged(), line.dead());
    assert_eq!((tagged.len(), dead.len()), (2, 2), "a document and a tombstone; what is no JSON, and what is too long");
    let keys: Vec<_> = tagged.iter().chain(&dead).map(|record| record.key().unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32), "{keys:?}");
    for text in tagged.iter().chain(&dead).map(all_of) {
        assert!(!text.contains("example.org"), "{text}");
    }
    // Names are known of what a tagger has read: the document, and the one that is too long to be written.
    for text in [&tagged[0], &dead[1]].map(all_of) {
        assert!(!text.contains("Angela") && !text.contains("Merkel") && !text.contains("Tim Cook"), "{text}");
    }
    let from = header(&tagged[0], "from").unwrap();
    assert!(from.starts_with("[PER] <") && from.len() == "[PER] <>".len() + 16, "{from}");
    assert_eq!((tagged[1].payload(), header(&tagged[0], "n").as_deref()), (None, Some("1")));

    // Dead letters that are not to be masked are the records as they came, whoever has refused them.
    start("", "plain");
    let dead = line.dead().split_off(2);
    assert_eq!(dead.len(), 2);
    for (letter, value) in dead.iter().zip(["{broken", &long]) {
        assert_eq!((letter.key(), letter.payload()), (Some(&b"angela@example.org"[..]), Some(value.as_bytes())));
        assert_eq!(header(letter, "from").as_deref(), Some("Angela Merkel <angela@example.org>"));
    }
    assert!(line.tagged().iter().all(|record| !all_of(record).contains("example.org")));
}

fn tag(rules: &str, line: &str) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, format!("model: {{path: {SMALL}}}\ninput: {{text: [/text]}}\n{rules}")).unwrap();
    let output = tagbert(&["tag", "--config", config.to_str().unwrap()], line.as_bytes());
    let record = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), record, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn rules_that_can_not_be_kept_are_refused_at_the_start() {
    let text = r#"{"text":"Angela Merkel was in Paris."}"#;
    let (code, _, said) = tag("redact: [{entities: [PERSON]}]", text);
    assert!(code != Some(0) && said.contains("a type that no tagger finds; there are: LOC, MISC, ORG, PER"), "{said}");
    let (code, _, said) = tag("redact: [{entities: [PER]}]\nmodel.long_documents: truncate", text);
    assert!(code != Some(0) && said.contains("reads only the beginning"), "{said}");
    let config = write("redaction-enrich.yaml", &format!("model: {{path: {SMALL}}}\nredact: [{{entities: [PER]}}]\n"));
    let rows = write("redaction.csv", "body\nAngela Merkel\n");
    let output = tagbert(
        &["enrich", "--config", &config, "--input", &rows, "--output", &(rows.clone() + ".out"), "--text", "body"],
        b"",
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("`redact`"), "{output:?}");
}

#[test]
fn a_score_below_the_models_own_threshold_masks_more_than_is_tagged() {
    let text = r#"{"text":"Angela Merkel was in Paris."}"#;
    let strict = "model.thresholds: {PER: 1}\n";
    let (_, plain, _) = tag(&format!("{strict}redact: [{{entities: [PER]}}]"), text);
    assert_eq!(plain["document"]["text"], "Angela Merkel was in Paris.", "what is not tagged is not masked");
    let (_, low, said) = tag(&format!("{strict}redact: [{{entities: [PER], min_score: 0.3}}]"), text);
    assert_eq!(low["document"]["text"], "[PER] was in Paris.", "{said}");
    let people = low["tags"]["entities"].as_array().unwrap().iter().filter(|entity| entity["type"] == "PER").count();
    assert_eq!(people, 0);
}
