//! Events in, and events out, with the `CloudEvents` SDK for Python on the other side: docs/FORMATS.md.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Message as _;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::line::{Line, value};
use support::records::header;
use support::registry::run_python;

type Headers = BTreeMap<String, String>;

/// Records as the SDK writes them.
fn written() -> Vec<(Headers, Vec<u8>)> {
    let all = run_python("write_events.py", &[]);
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let headers = serde_json::from_value(record["headers"].clone()).unwrap();
        (headers, STANDARD.decode(record["value"].as_str().unwrap()).unwrap())
    };
    all.lines().map(record).collect()
}

/// What the SDK reads of records.
fn read(records: &[OwnedMessage], folder: &Path) -> Vec<Value> {
    let line = |record: &OwnedMessage| {
        let all = record.headers().into_iter().flat_map(tagbert::record::headers::iter);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers: Headers = all.map(|(name, value)| (text(name), text(value.unwrap_or_default()))).collect();
        json!({"headers": headers, "value": STANDARD.encode(record.payload().unwrap())}).to_string()
    };
    let file = folder.join("records");
    std::fs::write(&file, records.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let read = run_python("read_events.py", &[file.to_str().unwrap()]);
    read.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn produce(line: &Line, records: &[(Headers, Vec<u8>)]) {
    let record = |(headers, value)| {
        let insert =
            |all: OwnedHeaders, (key, value): (&String, &String)| all.insert(Header { key, value: Some(value) });
        let headers = Headers::iter(headers).fold(OwnedHeaders::new(), insert);
        BaseRecord::<[u8], [u8]>::to(&line.input).key(b"0").payload(Vec::as_slice(value)).headers(headers)
    };
    Kafka::shared().produce(records.iter().map(|(headers, value)| record((headers, value))));
}

#[test]
fn events_of_the_sdk_are_read_in_both_modes_and_it_reads_ours() {
    let folder = tempfile::tempdir().unwrap();
    let events = written();
    for mode in ["structured", "binary"] {
        let line = Line::create(if mode == "binary" { "events-to-binary" } else { "events-to-structured" }, 1);
        produce(&line, &events);
        let worker = line.worker().set("input.format", "cloudevents").set("input.text", "/data/body");
        let worker = worker.set("output.format", "cloudevents");
        worker.set("output.cloudevents.content_mode", mode).run_to_the_end();

        // Those whose data are a text have no `/data/body`.
        let tagged = line.tagged();
        assert_eq!(tagged.len(), 4, "{mode}");
        for (record, event) in tagged.iter().zip(read(&tagged, folder.path())) {
            let (attributes, data) = (&event["attributes"], &event["data"]);
            let id = header(record, "tagbert.record.id").unwrap();
            for (name, expected) in [
                ("id", id.as_str()),
                ("source", &format!("/tagbert/{}", line.name.replace('-', "%2D"))),
                ("type", "tagbert.document.enriched"),
                ("subject", "mail-0"),
                ("specversion", "1.0"),
                ("datacontenttype", "application/json"),
                ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ] {
                assert_eq!(attributes[name], expected, "{mode}: {name}");
            }
            assert!(attributes["time"].as_str().unwrap().starts_with("20"));
            assert_eq!(data["document"]["data"]["body"], "Tim Cook of Apple met Zoë in New York. 🎉");
            assert_eq!((&data["document"]["id"], &data["document"]["subject"]), (&json!("mail-0"), &json!("Grüße")));
            assert_eq!((&data["id"], &data["source"]["topic"]), (&json!("mail-0"), &json!(line.input)));
            assert!(data["tags"]["spam"]["label"].is_string());
        }
        let dead = line.dead();
        assert_eq!(dead.len(), events.len() - 4);
        for letter in &dead {
            assert_eq!(header(letter, "__connect.errors.exception.class.name").as_deref(), Some("TextMissing"));
        }
    }
}

#[test]
fn data_that_are_text_are_the_text_in_both_modes() {
    let line = Line::create("events-of-text", 1);
    let events: Vec<_> = written().into_iter().skip(4).collect();
    produce(&line, &events);
    line.worker().set("input.format", "cloudevents").set("input.text", "/data").run_to_the_end();
    let tagged = line.tagged();
    assert_eq!(tagged.len(), 5);
    for record in &tagged {
        assert_eq!(value(record)["document"]["data"], "Tim Cook of Apple met Zoë in New York. 🎉");
        // The value is an enriched record, and nothing says that it is the event that came.
        let all = record.headers().unwrap();
        let names: Vec<_> =
            tagbert::record::headers::iter(all).map(|(name, _)| String::from_utf8_lossy(name)).collect();
        assert!(names.iter().all(|name| !name.starts_with("ce_") && name != "content-type"), "{names:?}");
    }
}

#[test]
fn what_is_no_event_is_a_dead_letter_as_it_was() {
    let line = Line::create("no-events", 1);
    let of = |headers: &[(&str, &str)], value: &str| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        (headers.collect::<Headers>(), value.as_bytes().to_vec())
    };
    let attributes = [("ce_id", "7"), ("ce_source", "/s"), ("ce_type", "t")];
    let records = [
        of(&attributes, "{}"),
        of(&[&attributes[..], &[("ce_specversion", "0.3")]].concat(), "{}"),
        of(&[("content-type", "application/cloudevents-batch+json")], "[]"),
        of(&[("content-type", "application/cloudevents+json")], "{"),
        of(&[], r#"{"body": "x"}"#),
    ];
    produce(&line, &records);
    line.worker().set("input.format", "cloudevents").set("input.text", "/data/body").run_to_the_end();
    let dead = line.dead();
    let of = |what: &str| {
        let name = format!("__connect.errors.exception.{what}");
        dead.iter().map(|letter| header(letter, &name).unwrap()).collect::<Vec<_>>()
    };
    let expected = ["CloudEventInvalid", "CloudEventInvalid", "CloudEventBatch", "NotJson", "NotACloudEvent"];
    assert_eq!(of("class.name"), expected);
    assert!(of("message")[0].contains("`specversion` is missing"));
    for (letter, (headers, value)) in dead.iter().zip(&records) {
        assert_eq!(letter.payload(), Some(value.as_slice()));
        assert!(headers.iter().all(|(name, value)| header(letter, name).as_ref() == Some(value)));
    }
}
