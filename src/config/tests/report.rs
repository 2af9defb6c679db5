//! How mistakes are told: all of them, each with its line, and no secret.

use std::collections::HashMap;

use super::*;

fn report(yaml: &str, environment: &[(&str, &str)], sets: &[&str]) -> String {
    let environment: HashMap<_, _> = environment.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
    Config::parse(yaml, environment, &sets).unwrap_err().in_file("c.yaml").report()
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file_each_with_its_line() {
    let yaml = "kafka:\n  grup: mine\n  brokers: ''\nmodle: {}\nbatch:\n  wait: 20   # long enough\n  tokens: 0\n\
                taggers:\n- {head: spam}\n- {name: a, model: {path: 'gs://b/c'}}\n- {name: b, model: {device: gpu}}\n\
                - {name: b, window: 8.5}\n";
    let report = report(yaml, &[("TAGBERT__HTTP__LISTEN", "8080"), ("TAGBERT_DELIVERY", "x")], &["cache.size=64"]);
    let expected = [
        "c.yaml:2:3: unknown key `kafka.grup`: did you mean `kafka.group`?\n  2 |   grup: …\n    |   ^^^^\n",
        "c.yaml:3:12: `kafka.brokers` is empty\n  3 |   brokers: ''\n    |            ^^\n",
        "c.yaml:4:1: unknown key `modle`: did you mean `model`?\n  4 | modle: …\n    | ^^^^^\n",
        "c.yaml:6:9: `batch.wait` is `20`: did you mean `20ms`?",
        "\n  6 |   wait: 20\n    |         ^^\n",
        "c.yaml:7:11: `batch.tokens` must be 1 or more\n  7 |   tokens: 0\n    |           ^\n",
        "c.yaml:9:3: `taggers[0].name` is missing",
        "c.yaml:10:27: `taggers[1].model.path` starts with gs://",
        "c.yaml:11:29: `taggers[2].model.device` is `gpu`, which is no device",
        "c.yaml:12:21: `taggers[3].window` is `8.5`: did you mean `9`?",
        "TAGBERT__HTTP__LISTEN: `http.listen` is `8080`",
    ];
    assert!(report.starts_with("12 mistakes in the configuration\n"), "{report}");
    let mut rest = report.as_str();
    for part in expected {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missed in\n{report}"));
        rest = &rest[at..];
    }
    for part in ["--set: `cache.size` is 64 B", "TAGBERT_DELIVERY: `delivery` is TAGBERT__DELIVERY"] {
        assert!(report.contains(part), "{report}");
    }
}

#[test]
fn what_only_follows_from_a_mistake_is_not_told() {
    // Were the topics not misspelt, they would not be those of the output.
    let yaml = "input: {topcis: [mails]}\noutput: {topic: documents}";
    assert_eq!(report(yaml, &[], &[]).matches("c.yaml").count(), 1);
    let yaml = "limits: {document: 4 parsecs, in_flight: 1KiB}";
    assert_eq!(report(yaml, &[], &[]).matches("c.yaml").count(), 1);
    // The same mistake is not found twice.
    assert_eq!(report("kafka: {properties: {client.id: }}", &[], &[]).matches("c.yaml").count(), 1);
}

#[test]
fn a_line_is_shown_without_the_secrets_that_stand_in_it() {
    for yaml in [
        "kafka: {properties: {sasl.password: hunter2, group.id: a}}",
        "kafka: {grup: a, properties: {sasl: {password: 'hunter2'}}}",
        "kafka: {properties: {sasl.password:hunter2}, grup: a}",
        "http: {token: hunter2}  # hunter2\nkafka: {grup: a}  # hunter2",
        "http: {token: hunter2, listen: 8080}",
        "http:\n  tokn: hunter2\n  # hunter2\n",
        "http:\n  tokn: [hunter2]\n",
        "model: {path: 'https://me:hunter2@host/a', device: gpu}",
        "kafka:\n  properties:\n    ssl.key.pem: |\n      hunter2\n      hunter2\n    group.id: a",
        "kafka:\n  properties: 'sasl.password: hunter2'",
        "kafka:\n  properties:\n    sasl.password: @hunter2",
        "kafka:\n  properties:\n    sasl.password: \"hunter2\n",
        "kafka:\n  properties:\n    sasl.password: hunter2\n    sasl.password: hunter2",
        "http: {token: 'hunter 2'}",
        "http: {token: '${NONE:-hunter 2}'}",
    ] {
        let report = report(yaml, &[], &[]);
        assert!(!report.contains("hunter"), "{yaml}\n{report}");
        assert!(report.starts_with("c.yaml:") || report.contains("\nc.yaml:"), "{report}");
    }
}

#[test]
fn a_line_is_shown_in_part_if_it_is_long_or_odd() {
    let long = format!("input: {{topics: [{}], id: 5, id: 6}}", "topic, ".repeat(100));
    let report = report(&long, &[], &[]);
    assert!(report.lines().all(|line| line.chars().count() < 400), "{report}");
    let caret = |report: &str| {
        let lines: Vec<_> = report.lines().collect();
        let column = lines[2].chars().position(|c| c == '^').unwrap();
        lines[1].chars().skip(column).collect::<String>()
    };
    let caret = |yaml: &str| caret(&super::report::report(yaml, &[], &[]));
    assert_eq!(caret("batch: {\"é\u{1F600}\": 1}"), "\"é\u{1F600}\": …");
    assert_eq!(caret("\u{feff}batch: {wat: 1}\r\n"), "wat: …");
    assert_eq!(caret("batch: {wait: \u{1F600}1} # x\r\n"), "\u{1F600}1}");
}

#[test]
fn what_the_file_says_of_variables_and_files_is_put_in_place_and_is_no_yaml() {
    let secret = file(b"hunter2: #1\n");
    let yaml = format!(
        "kafka:\n  brokers: ${{BROKERS}}\n  group: ${{GROUP:-mine}}\n  properties:\n    sasl.password: ${{file:{}}}\n\
         input: {{topics: ['a${{N}}', b]}}\nbatch: {{tokens: '${{N}}'}}\nmodel: {{path: '$${{N}}'}}",
        secret.path().display()
    );
    let config = parse(&yaml, &[("BROKERS", "a: b # [c"), ("N", "0123")], &[]).unwrap();
    assert_eq!((config.kafka.brokers.as_str(), config.kafka.group.as_str()), ("a: b # [c", "mine"));
    assert_eq!(config.kafka.properties["sasl.password"], "hunter2: #1");
    assert_eq!((config.input.topics[0].as_str(), config.batch.tokens), ("a0123", 123));
    assert_eq!(config.model.path.to_string(), "${N}");
    // What is shown is a configuration again: the same, in the same surroundings.
    let masked = config.masked();
    assert!(!masked.contains("hunter") && masked.contains("$${N}"), "{masked}");
    assert_eq!(parse(&masked, &[], &[]).unwrap().masked(), masked);

    let error = parse("kafka:\n  group: ${NO_SUCH}", &[], &[]).unwrap_err();
    assert!(error.starts_with("line 2:10: `kafka.group` needs the variable NO_SUCH, which is not set"), "{error}");
    // In other layers, it is a text like any other.
    assert_eq!(parse("", &[], &["kafka.group=${NO_SUCH}"]).unwrap().kafka.group, "${NO_SUCH}");
    // What a file holds may be a secret, even under a key that is none.
    let yaml = format!("batch: {{wait: '${{file:{}}}'}}", secret.path().display());
    let error = parse(&yaml, &[], &[]).unwrap_err();
    assert!(error.contains("`batch.wait`") && !error.contains("hunter"), "{error}");
    let yaml = format!("kafka: {{group: '${{file:{}}}'}}", secret.path().display());
    assert!(!parse(&yaml, &[], &[]).unwrap().masked().contains("hunter"));
    assert!(parse(&yaml, &[], &["kafka.group=over"]).unwrap().masked().contains("\"over\""));
}

#[test]
fn each_value_is_printed_with_where_it_came_from_and_what_is_printed_is_a_configuration() {
    let yaml = "# mine\nkafka:\n  group: 'null'\n  properties:\n    sasl.password: hunter2\n    client.id: 007\n\
                taggers:\n- name: one\n  labels: [PER, 'no']\n- name: two\n  thresholds: {\"a: b\": 0.5}\n\
                batch: {wait: 1s}\n";
    let written = file(yaml.as_bytes());
    let path = written.path();
    let printed = Config::explained(path, &["batch.tokens=64".into()]).unwrap();
    let name = path.display();
    for line in [
        format!("  group: \"null\"  # {name}:3"),
        format!("    client.id: \"007\"  # {name}:6"),
        format!("    sasl.password: \"********\"  # {name}:5"),
        format!("  name: one  # {name}:8"),
        format!("  labels: [PER, \"no\"]  # {name}:9"),
        format!("    \"a: b\": 0.5  # {name}:11"),
        "  tokens: 64  # --set".into(),
        format!("  wait: \"1s\"  # {name}:12"),
        "  brokers: \"localhost:9092\"  # default".into(),
    ] {
        assert!(printed.lines().any(|found| found == line), "{line}\n{printed}");
    }
    assert!(!printed.contains("hunter2"), "{printed}");
    let (again, first) = (parse(&printed, &[], &[]).unwrap(), parse(yaml, &[], &["batch.tokens=64"]).unwrap());
    assert_eq!(again.masked(), first.masked());
}
