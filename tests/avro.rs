//! Records behind a schema registry's header, as serializers write them that are not ours, with a real registry:
//! docs/FORMATS.md.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Message as _;
use serde_json::Value;

mod support;

use support::line::{Line, number, value};
use support::records::header;
use support::registry::{Registry, run_python};
use support::root;
use support::tagbert::tagbert;

/// Everything is tried with one registry, which takes seconds to start.
#[test]
fn what_other_serializers_write_is_read_and_what_does_not_fit_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let name = "what_other_serializers_write_is_read_and_what_does_not_fit_is_a_dead_letter";
    let Some(registry) = Registry::start(name, &folder.path().join("registry.log")) else { return };
    let schema = |name: &str| root().join("tests/fixtures/avro").join(name).display().to_string();
    let written = run_python("write_avro.py", &[&registry.url(), &schema("message.avsc"), &schema("person.avsc")]);
    let (json_schema, avro): (Vec<_>, Vec<_>) = written.lines().partition(|line| line.starts_with("json-schema"));
    let pair = |line: &str| {
        let (value, says) = line.split_once(' ').unwrap();
        (STANDARD.decode(value).unwrap(), serde_json::from_str::<Value>(says).unwrap())
    };
    let mut records: Vec<(Vec<u8>, Value)> = avro.into_iter().map(pair).collect();
    let good = records.len();
    let id = u32::from_be_bytes(records[0].0[1..5].try_into().unwrap());
    for wrong in [&b"{\"subject\":\"x\"}"[..], b"\0\0\0\x7f\x7fxx", &records[0].0.clone()[..40], b""] {
        records.push((wrong.to_vec(), Value::Null));
    }

    let line = Line::create("avro", 1);
    line.produce(records.iter().map(|(bytes, _)| bytes));
    let worker = line.worker().set("input.format", "avro").set("registry.url", &registry.url());
    let worker = worker.set("input.text", "/subject,/from/aliases,/reply_to/subject").set("limits.document", "4MiB");
    worker.run_to_the_end();

    let tagged = line.tagged();
    assert_eq!(tagged.len(), good);
    for record in &tagged {
        let (made, (_, says)) = (value(record), &records[number(record)]);
        assert_eq!(made["document"], *says);
        assert_eq!(made["id"], says["id"]);
    }
    assert_eq!(value(&tagged[0])["document"].to_string().matches("9223372036854775807").count(), 1);
    let dead = line.dead();
    let of = |place: usize, what: &str| header(&dead[place], &format!("__connect.errors.exception.{what}")).unwrap();
    let classes: Vec<_> = (0..dead.len()).map(|place| of(place, "class.name")).collect();
    assert_eq!(classes, ["NotFramed", "SchemaMissing", "NotAvro", "NotFramed"]);
    assert_eq!(of(1, "message"), "schema 32639 of the registry is not there");
    assert!(of(2, "message").contains(&format!("does not fit its schema, {id}: it ends too early")));
    for (place, letter) in dead.iter().enumerate() {
        assert_eq!(letter.payload(), Some(&records[good + place].0[..]), "as it was");
    }

    // As Avro again, the original stands within as what it was, whatever its schema, and another's deserializer reads it.
    let both = Line::create("avro-to-avro", 1);
    both.produce(records.iter().take(good).map(|(bytes, _)| bytes));
    let to_avro = |line: &Line| line.worker().set("output.format", "avro").set("registry.url", &registry.url());
    let worker =
        to_avro(&both).set("input.format", "avro").set("input.text", "/subject,/from/aliases,/reply_to/subject");
    worker.set("limits.document", "4MiB").run_to_the_end();
    let json = Line::create("json-to-avro", 1);
    json.produce([br#"{"id":7,"body":"Shares in Microsoft fell in New York."}"#]);
    to_avro(&json).run_to_the_end();
    for (line, expected) in [(&both, good), (&json, 1)] {
        let values: Vec<_> = line.tagged().iter().map(|record| STANDARD.encode(record.payload().unwrap())).collect();
        let file = folder.path().join(line.name);
        std::fs::write(&file, values.join("\n")).unwrap();
        let read = run_python("read_avro.py", &[&registry.url(), &line.output, file.to_str().unwrap()]);
        let read: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.len(), expected);
        for (record, source) in read.iter().zip(line.tagged()) {
            assert!(["ham", "spam"].contains(&record["tags"]["spam"]["label"].as_str().unwrap()));
            assert_eq!(record["source"]["topic"], line.input);
            assert!(record["tags"]["entities"]["entities"].is_array());
            if line.input == both.input {
                let original = &records[number(&source)].0[5..];
                let value = source.payload().unwrap();
                assert!(value.windows(original.len()).any(|bytes| bytes == original), "byte for byte");
                assert_eq!(record["document"]["subject"], records[number(&source)].1["subject"]);
                assert_eq!(record["id"], records[number(&source)].1["id"]);
            } else {
                assert_eq!((&record["id"], &record["document"]["id"]), (&"7".into(), &7.into()));
            }
        }
    }
    let strict = to_avro(&json).set("registry.auto_register", "false").set("registry.subjects", "record-name");
    let mut strict = strict.set("kafka.group", "strict").until_end().start();
    assert_eq!(strict.wait().code(), Some(1));
    let log = strict.log();
    assert!(log.contains("not registered under subject `tagbert.Enriched`"), "{log}");

    // The same bytes under another format say what to do.
    let line = Line::create("avro-as-json", 1);
    line.produce([&records[0].0]);
    line.worker().run_to_the_end();
    let said = header(&line.dead()[0], "__connect.errors.exception.message").unwrap();
    assert!(said.contains(&format!("schema registry's header (schema {id}): set `input.format: avro`")), "{said}");

    // JSON Schema's serializer writes JSON behind the same header.
    let (bytes, says) = pair(json_schema[0].split_once(' ').unwrap().1);
    let line = Line::create("json-schema", 1);
    line.produce([&bytes[..], &bytes[5..]]);
    line.worker().set("input.format", "json-schema").run_to_the_end();
    assert_eq!(value(&line.tagged()[0])["document"], says);
    assert_eq!(line.dead()[0].payload(), Some(&bytes[5..]));
}

#[test]
fn a_registry_that_does_not_answer_stops_the_worker_and_nothing_is_lost() {
    let line = Line::create("no-registry", 1);
    line.produce([b"\0\0\0\0\x01\x02\x04hi"]);
    let worker = line.worker().set("input.format", "avro").set("registry.url", "http://127.0.0.1:9");
    let mut worker = worker.until_end().start();
    assert_eq!(worker.wait().code(), Some(1));
    assert!(worker.log().contains("the schema registry, asked 5 times"), "{}", worker.log());
    assert!(line.tagged().is_empty() && line.dead().is_empty());
    assert_eq!(line.committed(), [None]);
}

#[test]
fn a_registry_that_is_not_named_or_named_twice_over_is_an_error_at_start() {
    let refused = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["check", "--config", "configs/local.yaml"].into_iter().chain(sets).collect();
        String::from_utf8(tagbert(&args, b"").stderr).unwrap()
    };
    assert!(refused(&["input.format=avro"]).contains("`registry.url` is missing"));
    let url = "registry.url=https://me:secret@host";
    let said = refused(&[url]);
    assert!(said.contains("has a password: set `registry.username`") && !said.contains("secret@"), "{said}");
    assert!(refused(&["registry.url=http://host", "registry.username=me"]).contains("each with the other"));
}
