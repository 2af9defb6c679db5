//! `tagbert tag` with a configuration, and what commands do when nobody reads what they write.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _, pipe};
use std::process::{Command, Stdio};

use serde_json::Value;

mod support;

use support::tagbert::{command, tagbert, tagbert_with};

const TINY: &str = "tests/fixtures/tiny-distilbert";

fn lines(stdout: &[u8]) -> Vec<Value> {
    std::str::from_utf8(stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ended_silently(command: &mut Command, what: &str) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{what}: {output:?}");
}

#[test]
fn a_reader_who_has_seen_enough_ends_a_command_silently() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, format!("kafka: {{brokers: embedded}}\nmodel: {{path: {TINY}}}\n")).unwrap();
    let input = folder.path().join("input");
    fs::write(&input, "{\"text\":\"a text\"}\n".repeat(50)).unwrap();
    for args in [
        &["--version"][..],
        &["--help"],
        &["schema", "config"],
        &["model", "inspect", TINY],
        &["tag", "--model", TINY, "--input", input.to_str().unwrap()],
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        ended_silently(command(args).stdout(writer), &args.join(" "));
    }
    // What a check finds does not depend on who reads it.
    for (set, code) in [("batch.tokens=512", 0), ("model.path=no/such/model", 1), ("batch.tokens=0", 2)] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let args = ["check", "--config", config.to_str().unwrap(), "--set", set];
        let output = command(&args).stdout(writer.try_clone().unwrap()).stderr(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{set}: {output:?}");
    }
}

#[test]
fn the_first_line_can_be_had_of_many() {
    let mut child = command(&["tag", "--model", TINY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // Until it is closed.
        while input.write_all(b"{\"id\":1,\"text\":\"a text\"}\n").is_ok() {}
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["id"], 1);
    drop(output);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    writer.join().unwrap();
}

#[test]
fn a_byte_order_mark_before_any_line_is_no_text() {
    let input = "\u{feff}{\"id\":1,\"text\":\"one\"}\n\u{feff}{\"id\":2,\"text\":\"two\"}\n\u{feff}\n";
    let output = tagbert(&["tag", "--model", TINY], input.as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let records = lines(&output.stdout);
    let ids: Vec<_> = records.iter().map(|record| record["document"]["id"].clone()).collect();
    assert_eq!(ids, [1, 2]);
    let output = tagbert(&["tag", "--model", TINY, "--format", "text"], "\u{feff}one\n\u{feff}two\n".as_bytes());
    assert_eq!(lines(&output.stdout)[1]["document"]["text"], "two");
}

#[test]
fn what_a_message_names_can_be_set() {
    let mail = format!("{{\"id\":1,\"text\":\"{}\"}}\n", "word ".repeat(300_000));
    let refused = tagbert(&["tag", "--model", TINY], mail.as_bytes());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("limits.document"), "{said}");
    let args = ["tag", "--model", TINY, "--set", "limits.document=2MiB", "--set", "model.long_documents=truncate"];
    let output = tagbert(&args, mail.as_bytes());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output.stdout)[0]["truncated"], true);
    let environment = [("TAGBERT__LIMITS__DOCUMENT", "2MiB"), ("TAGBERT__MODEL__LONG_DOCUMENTS", "truncate")];
    assert!(tagbert_with(&["tag", "--model", TINY], mail.as_bytes(), &environment).status.success());
    let wrong = tagbert(&["tag", "--set", "limits.document=2 megs"], b"");
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.status.code() == Some(2) && said.contains("did you mean `2MiB`?"), "{said}");
}

#[test]
fn a_line_is_tagged_as_a_worker_of_the_same_configuration_would() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let yaml = format!(
        "input: {{id: /mail/id, text: [/mail/body]}}\nmodel: {{path: {TINY}}}\n\
         taggers: [{{name: kind, head: spam}}, {{name: title, head: topic, text: [/mail/title]}}]\n"
    );
    fs::write(&config, yaml).unwrap();
    let config = config.to_str().unwrap();
    let input = br#"{"mail":{"id":7,"body":"a text","title":"a title"}}"#;
    let output = tagbert(&["tag", "--config", config], input);
    assert!(output.status.success(), "{output:?}");
    let record = &lines(&output.stdout)[0];
    assert_eq!(record["id"], 7);
    assert!(record["tags"]["kind"].is_object() && record["tags"]["title"].is_object(), "{record}");
    let output = tagbert(&["tag", "--config", config, "--format", "text"], b"a text");
    let record = &lines(&output.stdout)[0];
    assert!(record["id"] == "1" && record["tags"]["title"].is_object(), "{record}");
    let broken = tagbert(&["tag", "--config", config, "--set", "model.path=no/such/model"], b"");
    assert_eq!(broken.status.code(), Some(1));
    let other = tagbert(&["tag", "--config", config, "--set", "model.path=no/such/model", "--model", TINY], input);
    assert!(other.status.success(), "{other:?}");
}

#[test]
fn texts_of_a_configuration_are_those_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let yaml = format!(
        "kafka:\n  brokers: embedded\n  group: 0123\n  properties:\n    client.id: 007\n    client.rack: 1e3\n    \
         sasl.username: 12345678901234567890\nmodel: {{path: {TINY}}}\n"
    );
    fs::write(&config, yaml).unwrap();
    let args = ["check", "--config", config.to_str().unwrap(), "--set", "kafka.properties.ssl.ca.location=1.10"];
    let environment = [("TAGBERT__KAFKA__PROPERTIES__GROUP__INSTANCE__ID", "no")];
    let output = tagbert_with(&args, b"", &environment);
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let properties = &shown["kafka"]["properties"];
    for (key, text) in [
        ("client.id", "007"),
        ("client.rack", "1e3"),
        ("sasl.username", "12345678901234567890"),
        ("ssl.ca.location", "1.10"),
        ("group.instance.id", "no"),
    ] {
        assert_eq!(properties[key], text, "{properties}");
    }
    assert_eq!(shown["kafka"]["group"], "0123");
}
