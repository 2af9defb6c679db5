//! A stranger copies a recipe from `docs/FITS_IN.md`, and it works: with a real Apache Kafka, a real schema registry, and a serializer
//! and a deserializer that are not ours.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Message as _;
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::registry::{Registry, run_python};
use support::tagbert::{Worker, tagbert};

fn page() -> String {
    fs::read_to_string(support::root().join("docs/FITS_IN.md")).unwrap()
}

/// The recipes of the page, each with its heading. What is no configuration of ours is left out.
fn recipes(page: &str) -> Vec<(&str, &str)> {
    let sections = page.split("\n## ").skip(1).filter_map(|section| {
        let (_, yaml) = section.split_once("```yaml\n")?;
        Some((section.lines().next()?, yaml.split_once("\n```")?.0))
    });
    sections.filter(|(_, yaml)| !yaml.starts_with("apiVersion:")).collect()
}

#[test]
fn every_recipe_is_a_configuration_that_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("registry-password");
    fs::write(&secret, "secret").unwrap();
    let page = page();
    let recipes = recipes(&page);
    assert!(recipes.len() >= 9, "{recipes:?}");
    for (name, yaml) in recipes {
        let config = folder.path().join("mine.yaml");
        fs::write(&config, yaml.replace("/run/secrets/registry-password", secret.to_str().unwrap())).unwrap();
        let output = tagbert(&["config", "print", "--config", config.to_str().unwrap()], b"");
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

#[test]
fn avro_in_spam_into_quarantine_names_masked_and_everything_else_as_avro() {
    let name = "avro_in_spam_into_quarantine_names_masked_and_everything_else_as_avro";
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = Registry::start(name, &folder.path().join("registry.log")) else { return };
    let page = page();
    let (_, recipe) = recipes(&page)[0];
    // What a stranger has elsewhere, and nothing but that.
    let yaml =
        recipe.replace("localhost:9092", Kafka::shared().brokers()).replace("http://localhost:8081", &registry.url());
    for topic in ["mails", "mails.tagged", "mails.spam", "mails.dead"] {
        Kafka::shared().create_topic(topic, 4);
    }
    let mails = json!([
        { "id": "1", "subject": "Visit", "body": "Tony Blair will visit Washington to meet George Bush." },
        { "id": "2", "subject": "WIN a FREE prize!!!", "body": "Click here now to claim your cash bonus, act now!!! Tony Blair" },
        { "id": "3", "subject": "Lunch", "body": "Shall we have lunch on Friday at noon?" },
    ]);
    let written = run_python("write_strings.py", &[&registry.url(), "mails", &mails.to_string()]);
    let values: Vec<_> = written.lines().map(|line| STANDARD.decode(line).unwrap()).collect();
    let bad = b"no Avro, by Tony Blair".to_vec();
    let records = values.iter().chain([&bad]);
    Kafka::shared().produce(records.map(|value| BaseRecord::<[u8], [u8]>::to("mails").key(b"k").payload(value)));

    Worker::start(&yaml, &["--until-end", "--max-dead", "1"]).wait_for_success();

    let read = |topic: &str| -> Vec<Value> {
        let records = Kafka::shared().read_committed(topic);
        let values: Vec<_> = records.iter().map(|record| STANDARD.encode(record.payload().unwrap())).collect();
        let file = folder.path().join(topic);
        fs::write(&file, values.join("\n")).unwrap();
        let read = run_python("read_avro.py", &[&registry.url(), topic, file.to_str().unwrap()]);
        read.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (tagged, spam) = (read("mails.tagged"), read("mails.spam"));
    let ids = |records: &[Value]| records.iter().map(|record| record["id"].clone()).collect::<Vec<_>>();
    assert_eq!((ids(&tagged), ids(&spam)), (vec![json!("1"), json!("3")], vec![json!("2")]));
    assert!(spam[0]["tags"]["spam"]["score"].as_f64().unwrap() > 0.9);
    assert_eq!(tagged[0]["document"]["body"], "[PER] will visit Washington to meet [PER].");
    let people = tagged[0]["tags"]["entities"]["entities"].as_array().unwrap();
    assert!(people.iter().any(|entity| entity["type"] == "PER" && entity["text"] == "[PER]"), "{people:?}");
    let all = [tagged, spam].concat();
    assert!(!all.iter().any(|record| record.to_string().contains("Blair")), "{all:?}");

    let dead = Kafka::shared().read_committed("mails.dead");
    assert_eq!((dead.len(), dead[0].payload()), (1, Some(&b""[..])), "what can't be masked is left out");
    let subjects = run_python("subjects.py", &[&registry.url()]);
    let mut subjects: Vec<_> = subjects.lines().collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["mails-value", "mails.spam-value", "mails.tagged-value"], "each topic has its own");
}
