//! A configuration as `tagbert check` shows it.

use std::fs;

use serde_json::Value;

mod support;

use support::tagbert::tagbert_with;

const TINY: &str = "tests/fixtures/tiny-distilbert";

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
