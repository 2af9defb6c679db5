//! Records in Protobuf behind a schema registry's header, as serializers write them that are not ours, with a real registry:
//! docs/FORMATS.md.

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

/// What a serializer has written that is not ours: a record's value, and what it says.
fn written(registry: &Registry, folder: &std::path::Path) -> Vec<(Vec<u8>, Value)> {
    let descriptors = folder.join("descriptors");
    let mut compiler = protox::Compiler::new([root().join("tests/fixtures/protobuf")]).unwrap();
    compiler.include_imports(true).open_files(["mail.proto", "old.proto"]).unwrap();
    std::fs::write(&descriptors, compiler.encode_file_descriptor_set()).unwrap();
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
    let mut records = written(&registry, folder.path());
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
}
