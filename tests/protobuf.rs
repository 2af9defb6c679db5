//! Records in Protobuf behind a schema registry's header, as serializers write them that are not ours, with a real registry:
//! docs/FORMATS.md.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Message as _;
use serde_json::Value;

mod support;

use support::line::{Line, Start, number, value};
use support::records::header;
use support::registry::{Registry, run_python};
use support::root;

const TEXT: &str = "/subject,/text,/body";

fn worker(line: &Line, registry: &Registry) -> Start {
    let worker = line.worker().set("input.format", "protobuf").set("registry.url", &registry.url());
    worker.set("input.text", TEXT).set("limits.document", "4MiB")
}

/// The schemas of the test's messages and of enriched records, as programs of other languages have them.
fn descriptors(folder: &Path) -> PathBuf {
    let descriptors = folder.join("descriptors");
    let folders = ["tests/fixtures/protobuf", "schemas"].map(|folder| root().join(folder));
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler.include_imports(true).open_files(["mail.proto", "old.proto", "enriched.proto"]).unwrap();
    std::fs::write(&descriptors, compiler.encode_file_descriptor_set()).unwrap();
    descriptors
}

/// What a serializer has written that is not ours: a record's value, and what it says.
fn written(registry: &Registry, descriptors: &Path) -> Vec<(Vec<u8>, Value)> {
    let written = run_python("write_protobuf.py", &[&registry.url(), descriptors.to_str().unwrap()]);
    let pair = |line: &str| {
        let (value, says) = line.split_once(' ').unwrap();
        (STANDARD.decode(value).unwrap(), serde_json::from_str(says).unwrap())
    };
    written.lines().map(pair).collect()
}

/// Everything is tried with one registry, which takes seconds to start.
#[test]
fn what_other_serializers_write_in_protobuf_is_read_and_what_does_not_fit_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let name = "what_other_serializers_write_in_protobuf_is_read_and_what_does_not_fit_is_a_dead_letter";
    let Some(registry) = Registry::start(name, &folder.path().join("registry.log")) else { return };
    let descriptors = descriptors(folder.path());
    let mut records = written(&registry, &descriptors);
    let good = records.len();
    let first = records[0].0.clone();
    assert_eq!(first[5..8], [4, 2, 4], "the third message of the second, as long as that is said");
    let of = |place: &[u8], message: &[u8]| [&first[..5], place, message].concat();
    for wrong in [
        &b"{\"subject\":\"x\"}"[..],
        b"\0\0\0\x7f\x7f\0x",
        &first[..40],
        &first[..5],
        &of(&[4, 2, 0], &first[8..]),
        &of(&[2, 60], &first[8..]),
        &of(&[1, 0], &first[8..]),
        &of(&[4, 2, 4], &[0x62].repeat(100_000)),
        b"",
    ] {
        records.push((wrong.to_vec(), Value::Null));
    }

    let line = Line::create("protobuf", 1);
    line.produce(records.iter().map(|(bytes, _)| bytes));
    worker(&line, &registry).run_to_the_end();

    let (tagged, dead) = (line.tagged(), line.dead());
    let of = |place: usize, what: &str| header(&dead[place], &format!("__connect.errors.exception.{what}")).unwrap();
    assert_eq!(tagged.len(), good, "{}", of(0, "message"));
    for record in &tagged {
        let (made, (_, says)) = (value(record), &records[number(record)]);
        assert_eq!(made["document"], *says);
        assert_eq!(made["id"], says["id"]);
    }
    let classes: Vec<_> = (0..dead.len()).map(|place| of(place, "class.name")).collect();
    let misfits = ["NotProtobuf"; 6];
    assert_eq!(classes, [&["NotFramed", "SchemaMissing"][..], &misfits, &["NotFramed"]].concat());
    assert_eq!(of(1, "message"), "schema 32639 of the registry is not there");
    for (place, expected) in [
        (2, "buffer underflow"),
        (3, "the place of its message in the schema is not there"),
        (4, "its schema has no message at [1, 0]"),
        (5, "its schema has no message at [30]"),
        (6, "can't have a -1"),
        (7, "failed to decode"),
    ] {
        let said = of(place, "message");
        assert!(said.contains("the value does not fit its schema") && said.contains(expected), "{said}");
    }
    for (place, letter) in dead.iter().enumerate() {
        assert_eq!(letter.payload(), Some(&records[good + place].0[..]), "as it was");
    }

    // As Protobuf again, the original stands within as what it was, and another's deserializer reads it.
    let url = registry.url();
    let sets = [("output.format", "protobuf"), ("registry.url", &*url)];
    let with =
        |worker: Start, sets: &[(&str, &str)]| sets.iter().fold(worker, |worker, (key, value)| worker.set(key, value));
    let both = Line::create("protobuf-to-protobuf", 1);
    both.produce(records.iter().take(good).map(|(bytes, _)| bytes));
    with(worker(&both, &registry), &sets).run_to_the_end();
    let json = Line::create("json-to-protobuf", 1);
    json.produce([br#"{"id":7,"body":"Shares in Microsoft fell in New York."}"#]);
    with(json.worker(), &sets).run_to_the_end();
    let masked = Line::create("masked-to-protobuf", 1);
    masked.produce([&records[0].0]);
    with(worker(&masked, &registry), &sets).set("redact[0].fields", "[/subject]").run_to_the_end();
    for (line, expected) in [(&both, good), (&json, 1), (&masked, 1)] {
        let file = values(line, folder.path());
        let said = read("read_protobuf.py", &registry, &line.output, &[descriptors.to_str().unwrap(), &file]);
        assert_eq!(said.len(), expected);
        for (record, source) in said.iter().zip(line.tagged()) {
            assert!(["ham", "spam"].contains(&record["tags"]["spam"]["label"].as_str().unwrap()));
            assert_eq!(record["source"]["topic"], line.input);
            assert!(record["tags"]["entities"]["entities"].is_array());
            let within = |bytes: &[u8]| source.payload().unwrap().windows(bytes.len()).any(|all| all == bytes);
            if line.input == both.input {
                let (value, says) = &records[number(&source)];
                let message = &value[if value[5] == 0 { 6 } else { 6 + usize::from(value[5] / 2) }..];
                assert!(within(message), "byte for byte");
                let mut document = record["document"]["message"].clone();
                document.as_object_mut().unwrap().remove("@type").expect("a type");
                assert_eq!(document, *says);
            } else {
                let document: Value = serde_json::from_str(record["document"]["json"].as_str().unwrap()).unwrap();
                assert_eq!(record["id"], if line.input == json.input { "7" } else { "12345678-1234" });
                assert!(
                    line.input == json.input || document["subject"] == "[REDACTED]" && !within("Cook".as_bytes()),
                    "{document}"
                );
            }
        }
    }

    to_json_schema(&records[..good], &registry, folder.path());
    ask_first(&registry);
}

/// JSON Schema's deserializer holds what it reads against the schema.
fn to_json_schema(records: &[(Vec<u8>, Value)], registry: &Registry, folder: &Path) {
    let line = Line::create("protobuf-to-json-schema", 1);
    line.produce(records.iter().map(|(bytes, _)| bytes));
    worker(&line, registry).set("output.format", "json-schema").run_to_the_end();
    let said = read("read_json_schema.py", registry, &line.output, &[&values(&line, folder)]);
    for (record, source) in said.iter().zip(line.tagged()) {
        assert_eq!(record["document"], records[number(&source)].1);
        assert_eq!(*record, serde_json::from_slice::<Value>(&source.payload().unwrap()[5..]).unwrap());
    }
    assert_eq!(said.len(), records.len());
}

/// Before a record is read, the registry is asked whether records can be written.
fn ask_first(registry: &Registry) {
    let worker =
        |line: &Line| line.worker().set("output.format", "protobuf").set("registry.url", &registry.url()).until_end();
    let ours = std::fs::read_to_string(root().join("schemas/enriched.proto")).unwrap();
    let other = ours.replace("int64 tokens", "string tokens");
    registry.register("clash.tagged-value", "PROTOBUF", &other);
    let clash = Line::create("clash", 1);
    let mut clash = worker(&clash).start();
    assert_eq!(clash.wait().code(), Some(1));
    assert!(
        clash.log().contains("does not go with those registered under subject `clash.tagged-value`"),
        "{}",
        clash.log()
    );
    let strict = Line::create("strict-protobuf", 1);
    let mut strict = worker(&strict).set("registry.auto_register", "false").start();
    assert_eq!(strict.wait().code(), Some(1));
    assert!(strict.log().contains("not registered under subject `strict-protobuf.tagged-value`"), "{}", strict.log());
}

/// The values of a line's enriched records, in a file.
fn values(line: &Line, folder: &Path) -> String {
    let values: Vec<_> = line.tagged().iter().map(|record| STANDARD.encode(record.payload().unwrap())).collect();
    let file = folder.join(line.name);
    std::fs::write(&file, values.join("\n")).unwrap();
    file.display().to_string()
}

/// What a program of ours reads by a deserializer that is not.
fn read(script: &str, registry: &Registry, topic: &str, rest: &[&str]) -> Vec<Value> {
    let read = run_python(script, &[&[&*registry.url(), topic], rest].concat());
    read.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
