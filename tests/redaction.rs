//! What `redact` masks stands nowhere in what a worker writes, against a real Apache Kafka.

use std::fs;
use std::path::Path;

use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use serde_json::{Value, json};

mod support;

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
    headers.chain([String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned()]).collect()
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
