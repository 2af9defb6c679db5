//! What is said of mistakes.

use super::parse;

#[test]
fn every_mistake_is_answered_in_the_words_of_the_documentation() {
    for (yaml, expected) in [
        (
            "delivery: exactly_once",
            "line 1:11: `delivery` is `exactly_once`: did you mean `exactly-once`? It must be `at-least-once` or \
             `exactly-once`. What it is: what readers of the output may count on",
        ),
        (
            "http: {}\nbatch:\n  wait: 20",
            "line 3:9: `batch.wait` is `20`: did you mean `20ms`? It must be a time with its unit, such as `20ms`. \
             What it is: how long a document may wait for others that are on their way",
        ),
        (
            "batch:",
            "line 1:1: `batch` is empty: leave it out, or it must be a map, such as `batch: {tokens: 512}`. \
             What it is: how documents are batched for the model",
        ),
        (
            "batch: {tokens: 1e3}",
            "line 1:17: `batch.tokens` is `1e3`: did you mean `1000`? It must be a whole number from 0 on, such as `512`. \
             What it is: a batch's budget in tokens, padding included",
        ),
        (
            "taggers: [{head: spam}]",
            "line 1:11: `taggers[0].name` is missing: it must be a text, such as `people`. \
             What it is: its name, and its tag's",
        ),
    ] {
        assert_eq!(parse(yaml, &[], &[]).unwrap_err(), expected, "{yaml}");
    }
    for (yaml, expected) in [
        ("kafka:", "`kafka: {brokers: localhost:9092}`"),
        ("kafka: [a]", "`kafka` is a list: must be a map"),
        ("kafka: {brokers: [a, b]}", "`kafka.brokers` is a list: must be a text, such as `localhost:9092`"),
        ("kafka: {group: }", "`kafka.group` is empty"),
        ("kafka: {properties: {client.id: }}", "`kafka.properties.client.id` is empty"),
        ("kafka: {properties: {client.id: [a]}}", "`kafka.properties.client.id` is a list"),
        ("input: {topics: {a: b}}", "`input.topics` is a map: must be a list, such as `[documents]`"),
        ("input: {topics: [a, ]}\nbatch: {wait: 5 parsecs}", "`batch.wait` is `5 parsecs`"),
        ("input: {topics: [[a]]}", "`input.topics[0]` is a list"),
        ("output: {document: yes}", "must be `keep` or `drop`"),
        ("model: {consistent: maybe}", "must be `true` or `false`"),
        ("model: {sessions: 0}", "did you mean `1`?"),
        ("model: {sessions: two}", "a whole number from 1 on, such as `2`"),
        ("model: {aggregation: First}", "did you mean `first`?"),
        ("model: {thresholds: {spam: high}}", "`model.thresholds.spam` is `high`: must be a number"),
        ("model: {gpu_memory: 8 gigs}", "did you mean `8GiB`?"),
        ("model: {path: }", "`model.path` is empty"),
        ("model: {device: gpu}", "`model.device` is `gpu`, which is no device"),
        ("model: {path: 'gs://b/c'}", "`model.path` starts with gs://"),
        ("taggers: {name: a}", "`taggers` is a map: must be a list"),
        ("taggers: [{name: a, window: 8.5}]", "`taggers[0].window` is `8.5`: did you mean `9`?"),
        ("taggers: [{name: a, agregation: max}]", "unknown key `taggers[0].agregation`: did you mean"),
        ("dead_letters: {policy: dead_letter}", "did you mean `dead-letter`?"),
        ("dead_letters: {max_consecutive: 1e10}", "a whole number from 0 on, such as `1000`"),
        ("dead_letters: {max_ratio: half}", "a number, such as `0.5`"),
        ("limits: {in_flight: lots}", "a size in bytes"),
        ("limits: {in_flight: 64 megabytes}", "did you mean `64MiB`?"),
        ("http: {listen: 8080}", "an IP address and a port, such as `127.0.0.1:8080`"),
        ("shadow: {sample: 0.5}", "`shadow.path` is missing"),
        ("shutdown: {timeout: 30}", "did you mean `30s`?"),
        ("retries: {backoff: 100}", "did you mean `100ms`?"),
    ] {
        let error = parse(yaml, &[], &[]).unwrap_err();
        let is_ours =
            !["invalid type", "expected struct", "variant", "unit value"].iter().any(|word| error.contains(word));
        assert!(error.contains(expected) && is_ours, "{yaml}: {error}");
    }
}

#[test]
fn a_mistake_names_the_line_the_variable_or_the_option() {
    let variable = [("TAGBERT__BATCH__WAIT", "20")];
    assert!(parse("", &variable, &[]).unwrap_err().starts_with("TAGBERT__BATCH__WAIT: `batch.wait` is `20`"));
    assert!(parse("", &[], &["batch.wait=20"]).unwrap_err().starts_with("--set: `batch.wait` is `20`"));
    assert!(parse("kafka: {}\nmodle: {}", &[], &[]).unwrap_err().starts_with("line 2:1: unknown key `modle`"));
    let yaml = "kafka:\n  group: a\n  properties: {security.protocol: SASL_SSL}";
    assert!(parse(yaml, &[], &[]).unwrap_err().starts_with("line 3:3: `kafka.properties.sasl.mechanism` is missing"));
    let yaml = "# one\nbatch:\n  tokens: 512\n\n  wait: 2h";
    assert!(parse(yaml, &[], &[]).unwrap_err().starts_with("line 5:9: `batch.wait` must be an hour"));
    let yaml = "kafka:\n  properties:\n    group.id: a";
    assert!(parse(yaml, &[], &[]).unwrap_err().starts_with("line 3:15: `kafka.properties.group.id` can't be set"));
    let yaml = "kafka:\n  properties:\n    sasl:\n      password: {a: }";
    assert!(parse(yaml, &[], &[]).unwrap_err().starts_with("line 4:"), "{}", parse(yaml, &[], &[]).unwrap_err());
}

#[test]
fn a_login_that_cannot_work_is_refused_at_once_with_what_is_missing() {
    let refused = |properties: &[&str], expected: &str| {
        let sets: Vec<_> = properties.iter().map(|property| format!("kafka.properties.{property}")).collect();
        let error = parse("", &[], &sets.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err();
        assert!(error.contains(expected), "{properties:?}: {error}");
    };
    refused(&["sasl.mechanism=OAUTHBEARER"], "set `security.protocol: SASL_SSL` too");
    refused(&["sasl.mechanisms=PLAIN", "security.protocol=SSL"], "no login is made over SSL");
    refused(&["security.protocol=SASL_SSL"], "`kafka.properties.sasl.mechanism` is missing");
    refused(&["security.protocol=sasl_plaintext"], "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER");
    refused(&["security.protocol=SASL-SSL"], "did you mean `SASL_SSL`?");
    refused(&["security.protocol=TLS"], "must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL");
    let sasl = "security.protocol=SASL_SSL";
    refused(&[sasl, "sasl.mechanism=GSSAPI"], "Kerberos is not built in");
    refused(&[sasl, "sasl.mechanism=scram-sha-512"], "did you mean `SCRAM-SHA-512`?");
    refused(&[sasl, "sasl.mechanism=PLAIN"], "`kafka.properties.sasl.username` is missing");
    refused(&[sasl, "sasl.mechanism=PLAIN", "sasl.username=me"], "`kafka.properties.sasl.password` is missing");
    refused(&[sasl, "sasl.mechanism=OAUTHBEARER"], "`kafka.properties.sasl.oauthbearer.method` is missing");
    let works = [sasl, "sasl.mechanism=PLAIN", "sasl.username=me", "sasl.password=hunter2"];
    let works = works.map(|property| format!("kafka.properties.{property}"));
    parse("", &[], &works.each_ref().map(String::as_str)).unwrap();
}

#[test]
fn a_pattern_of_topics_is_told_from_a_name() {
    for (set, expected) in [
        ("input.topics=^docs-(", "`input.topics` has `^docs-(`, a pattern that can't be used"),
        ("input.topics=docs*", "a pattern without the `^`"),
        ("output.topic=^docs.*", "a pattern: the topic is named"),
        ("input.topics=my docs", "no topic's name"),
        ("output.topic=out/tagged", "no topic's name"),
        ("output.dead_letters=..", "no topic's name"),
    ] {
        let error = parse("", &[], &[set]).unwrap_err();
        assert!(error.contains(expected), "{set}: {error}");
    }
}
