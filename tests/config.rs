//! Configurations as their user meets them: what is said of mistakes, where a value came from, and the cases that one is tried
//! with.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

mod support;

use support::tagbert::{tagbert, tagbert_with};

const TINY: &str = "tests/fixtures/tiny-distilbert";

/// A configuration of these lines, with the tiny model, in a folder of its own.
fn written(folder: &Path, name: &str, yaml: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, yaml).unwrap();
    path.to_str().unwrap().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn check_reports_all_mistakes_at_once_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "kafka:\n  brokers: embedded\n  grup: a\nbatch:\n  wait: 20\nhttp: {listen: 8080}\n";
    let config = written(folder.path(), "c.yaml", yaml);
    let output = tagbert_with(&["check", "--config", &config], b"", &[("TAGBERT__DELIVERY", "exactly_once")]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("tagbert: 4 mistakes in the configuration\n"), "{said}");
    for part in [
        format!("{config}:3:3: unknown key `kafka.grup`: did you mean `kafka.group`?\n  3 |   grup: …\n    |   ^^^^\n"),
        format!("{config}:5:9: `batch.wait` is `20`: did you mean `20ms`?"),
        "\n  5 |   wait: 20\n    |         ^^\n".into(),
        format!("{config}:6:16: `http.listen` is `8080`"),
        "TAGBERT__DELIVERY: `delivery` is `exactly_once`: did you mean `exactly-once`?".into(),
    ] {
        assert!(said.contains(&part), "{part}\n{said}");
    }
}

#[test]
fn what_config_print_says_is_a_configuration_with_the_origin_of_each_value() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "kafka:\n  group: ${GROUP:-mine}\n  properties: {sasl.password: '${PASSWORD}', client.id: 007}\n";
    let config = written(folder.path(), "c.yaml", yaml);
    let environment = [("PASSWORD", "hunter2: #1"), ("TAGBERT__BATCH__TOKENS", "64")];
    let args = ["config", "print", "--config", &config, "--set", "input.id=/key"];
    let output = tagbert_with(&args, b"", &environment);
    let page = printed(&output);
    assert!(output.status.success() && !page.contains("hunter2"), "{output:?}");
    for line in [
        format!("  group: mine  # {config}:2"),
        format!("    client.id: \"007\"  # {config}:3"),
        format!("    sasl.password: \"********\"  # {config}:3"),
        "  tokens: 64  # TAGBERT__BATCH__TOKENS".into(),
        "  id: /key  # --set".into(),
        "  brokers: \"localhost:9092\"  # default".into(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let again = written(folder.path(), "again.yaml", &page);
    let once_more = printed(&tagbert(&["config", "print", "--config", &again], b""));
    let values =
        |page: &str| page.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(&once_more), values(&page));
    let missing = tagbert(&["config", "print", "--config", &config], b"");
    assert_eq!(missing.status.code(), Some(2));
    let place =
        format!("{config}:3:31: `kafka.properties.sasl.password` needs the variable PASSWORD, which is not set");
    assert!(said(&missing).contains(&place), "{}", said(&missing));
}

#[test]
fn the_shipped_configurations_do_what_their_cases_say() {
    let mut names = Vec::new();
    for folder in ["configs", "configs/examples"] {
        let entries = fs::read_dir(support::root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        names.extend(files.map(|path| format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap())));
    }
    let (cases, configs): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.ends_with(".test.yaml"));
    assert_eq!(cases.len(), configs.len(), "each has its cases: {configs:?}");
    let args: Vec<_> = ["test"].into_iter().chain(configs.iter().map(String::as_str)).collect();
    let output = tagbert(&args, b"");
    assert!(output.status.success(), "{}{}", printed(&output), said(&output));
    assert!(printed(&output).trim_end().ends_with(" cases, 0 failed"), "{}", printed(&output));
}

/// The head of a configuration with cases, without Kafka.
fn with_cases(cases: &str) -> String {
    format!("kafka: {{brokers: 'no.such.broker:1'}}\nmodel: {{path: {TINY}}}\ntests:\n{cases}")
}

#[test]
fn a_case_that_fails_says_what_was_to_be_and_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let cases = "- name: right\n  input: {base64: 'eyJib2R5IjoiSGkifQ=='}\n  expect: {topic: documents.tagged}\n\
                 - name: wrong <topic>\n  input: {json: '{\"body\": \"Hi\"}', headers: {a: '1'}}\n  \
                 expect: {topic: elsewhere, headers: {a: '2'}, tags: {spma: {label: x}, spam: {score: '> 1'}}}\n\
                 - name: no dead letter\n  input: {text: '{'}\n  expect: {tags: {spam: {label: spam}}}\n\
                 - name: another class\n  input: {text: '{'}\n  expect: {dead_letter: TextMissing}\n\
                 - name: a dead letter\n  input: {json: '{\"body\": \"Hi\"}'}\n  expect: {dead_letter: NotJson}\n\
                 - name: a label is said to be none\n  input: {json: '{\"body\": \"Hi\"}'}\n  \
                 expect: {tags: {spam: {label: null}}}\n\
                 - name: another kind\n  input: {file: mail.json}\n  expect: {tags: {spam: {entities: []}}}\n";
    written(folder.path(), "mail.json", "{\"body\": \"Hi\"}");
    let config = written(folder.path(), "c.yaml", &with_cases(cases));
    let report = folder.path().join("junit.xml");
    let output = tagbert(&["test", &config, "--junit", report.to_str().unwrap()], b"");
    let page = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{page}{}", said(&output));
    for part in [
        "  ok      right\n",
        "  FAILED  wrong <topic>\n            topic\n              - elsewhere\n              + documents.tagged\n",
        "            headers.a\n              - 2\n              + 1\n",
        "tags.spma: there is no such tag; there are: ",
        "            tags.spam.score\n              - > 1\n              + 0.",
        "  FAILED  no dead letter\n            it is a dead letter: NotJson: ",
        "  FAILED  another class\n            dead_letter\n              - TextMissing\n              + NotJson: ",
        "  FAILED  a dead letter\n            dead_letter\n              - NotJson\n              + no dead letter\n",
        "  FAILED  a label is said to be none\n            tags.spam.label\n              - null\n",
        "tags.spam: it is a class, which has `label` and `score`",
        "\n7 cases, 6 failed\n",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let xml = fs::read_to_string(report).unwrap();
    assert!(xml.contains("tests=\"7\" failures=\"6\"") && xml.contains("name=\"wrong &lt;topic&gt;\""), "{xml}");
    assert_eq!((xml.matches("<failure ").count(), xml.matches("</testcase>").count()), (6, 6), "{xml}");
}

#[test]
fn a_case_that_would_check_nothing_is_a_mistake_and_not_a_success() {
    let folder = tempfile::tempdir().unwrap();
    let input = "input: {json: '{}'}";
    for (cases, expected) in [
        (format!("- {{name: a, {input}, expect: {{}}}}"), "says nothing"),
        (format!("- {{name: a, {input}}}"), "`tests[0].expect` is missing"),
        (format!("- {{name: a, {input}, expect: {{topic: x, topics: [x, y]}}}}"), "one of them says where"),
        (format!("- {{name: a, {input}, expect: {{topc: x}}}}"), "unknown key `tests[0].expect.topc`"),
        (format!("- {{name: a, {input}, expect: {{tags: {{spam: {{}}}}}}}}"), "must say what a class is"),
        (format!("- {{name: a, {input}, expect: {{tags: {{spam: {{lable: x}}}}}}}}"), "unknown key"),
        (format!("- {{name: a, {input}, expect: {{tags: {{spam: {{score: 0.9}}}}}}}}"), "a range of numbers"),
        (format!("- {{name: a, {input}, expect: {{tags: {{e: {{entities: }}}}}}}}"), "is empty"),
        (format!("- {{name: a, {input}, expect: {{tags: {{e: {{contains: []}}}}}}}}"), "`entities: []`"),
        (format!("- {{name: a, {input}, expect: {{tags: {{e: {{entities: [{{type: PER}}]}}}}}}}}"), "text` is missing"),
        (format!("- {{name: a, {input}, expect: {{dead_letter: }}}}"), "is empty"),
        (format!("- {{name: a, {input}, expect: {{dead_letter: X, tags: {{s: {{label: a}}}}}}}}"), "has none"),
        ("- {name: a, input: {}, expect: {topic: x}}".into(), "must have one of"),
        ("- {name: a, input: {json: '{', tombstone: true}, expect: {topic: x}}".into(), "must have one of"),
        ("- {name: a, input: {json: '{'}, expect: {topic: x}}".into(), "what is to be none is a `text`"),
        ("- {name: a, input: {base64: '%'}, expect: {topic: x}}".into(), "`base64` that is none"),
        ("- {name: a, input: {file: no.such}, expect: {topic: x}}".into(), "names the file no.such"),
        (
            format!("- {{name: a, {input}, expect: {{topic: x}}}}\n- {{name: a, {input}, expect: {{topic: x}}}}"),
            "is `a` again",
        ),
        ("  []".into(), "there is nothing to try"),
    ] {
        let config = written(folder.path(), "c.yaml", &with_cases(&cases));
        let output = tagbert(&["test", &config], b"");
        assert_eq!(output.status.code(), Some(2), "{cases}: {}{}", printed(&output), said(&output));
        assert!(said(&output).contains(expected), "{cases}: {}", said(&output));
    }
}

#[test]
fn cases_may_stand_beside_a_configuration_and_nothing_else_may_stand_there() {
    let folder = tempfile::tempdir().unwrap();
    let case = "{name: b, input: {json: '{\"body\": \"Hi\"}'}, expect: {topic: documents.tagged}}";
    let config = written(folder.path(), "c.yaml", &format!("model: {{path: {TINY}}}\n"));
    let beside = |yaml: &str| {
        written(folder.path(), "c.test.yaml", yaml);
        tagbert(&["test", &config], b"")
    };
    let good = beside(&format!("tests: [{case}]"));
    assert!(good.status.success() && printed(&good).contains("1 cases, 0 failed"), "{good:?}");
    for (yaml, expected) in [
        (format!("tests: [{case}]\nbatch: {{tokens: 1}}"), "there is only `tests`"),
        (format!("test: [{case}]"), "did you mean `tests`?"),
        ("# nothing".into(), "there is nothing to try"),
    ] {
        let output = beside(&yaml);
        assert!(output.status.code() == Some(2) && said(&output).contains("c.test.yaml"), "{yaml}: {output:?}");
        assert!(said(&output).contains(expected), "{yaml}: {}", said(&output));
    }
}

#[test]
fn cases_may_come_from_several_topics_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let case = |name: &str, topic: &str, to: &str| {
        format!(
            "- {{name: {name}, input: {{topic: {topic}, json: '{{\"body\": \"Hi\"}}'}}, expect: {{topic: {to}}}}}\n"
        )
    };
    let cases = [case("a", "mails", "m"), case("b", "chats", "c"), case("c", "mails", "m"), case("d", "chats", "c")];
    let routes = "routes: [{when: source.topic == 'mails', to: m}, {when: source.topic == 'chats', to: c}]\n\
                  input: {topics: [mails, chats]}\n";
    let config = written(folder.path(), "c.yaml", &(with_cases(&cases.concat()) + routes));
    let output = tagbert(&["test", &config], b"");
    assert!(output.status.success(), "{}{}", printed(&output), said(&output));
    assert!(printed(&output).ends_with("4 cases, 0 failed\n"), "{}", printed(&output));
}

#[test]
fn tags_are_compared_whatever_the_shape_that_they_are_written_in() {
    let folder = tempfile::tempdir().unwrap();
    let case = "- name: a\n  input: {json: '{\"body\": \"Hi\"}'}\n  expect:\n    topic: documents.tagged\n    \
                headers: HEADERS\n    tags: {spam: {score: '0 .. 1'}}\n";
    for shape in ["nested", "flat", "tags-only", "headers"] {
        let headers = if shape == "headers" { "{a: b}" } else { "{}" };
        let yaml = with_cases(&case.replace("HEADERS", headers)) + &format!("output: {{shape: {shape}}}\n");
        let config = written(folder.path(), "c.yaml", &yaml);
        let output = tagbert(&["test", &config], b"");
        let page = printed(&output);
        assert!(!page.contains("tags.spam"), "{shape}: {page}{}", said(&output));
        assert_eq!(output.status.code(), Some(i32::from(shape == "headers")), "{shape}: {page}{}", said(&output));
    }
}

const SMALL: &str = "models/tagbert-small";

#[test]
fn cases_see_keys_partitions_headers_and_what_is_masked() {
    let folder = tempfile::tempdir().unwrap();
    let head = format!(
        "model: {{path: {SMALL}}}\nredact: [{{entities: [PER]}}, {{patterns: [email]}}]\ndead_letters: {{redact: true}}\n\
         routes:\n- when: tags.spam.label == 'spam'\n  to: spam\n  key: \"'s'\"\n  partition: '2'\n  headers: {{topic: tags.topic.label}}\n\
         tests:\n"
    );
    let spam = "input: {key: k, headers: {topic: forged, from: a@x.org}, json: '{\"n\": 7, \"body\": \"WIN a FREE prize!!! Click here now, Tony Blair\"}'}";
    let dead = "input: {key: k, headers: {from: a@x.org}, text: '{\"subject\": \"Tony Blair\", \"n\": NaN}'}";
    let good = [
        format!(
            "- name: a\n  {spam}\n  expect: {{topic: spam, key: s, partition: 2, headers: {{topic: null, from: '[EMAIL]'}}, \
                 document: {{/n: 7, /none: null, /body: 'WIN a FREE prize!!! Click here now, [PER]'}}, without: [Tony, a@x.org]}}\n"
        ),
        format!("- name: b\n  {dead}\n  expect: {{dead_letter: NotJson, key: k, without: [Tony, 'a@x']}}\n"),
    ];
    let config = written(folder.path(), "good.yaml", &(head.clone() + &good.concat()));
    let output = tagbert(&["test", &config], b"");
    assert!(
        output.status.success() && printed(&output).contains("2 cases, 0 failed"),
        "{}{}",
        printed(&output),
        said(&output)
    );

    let wrong = [
        ("key: k", "            key\n              - k\n              + s\n"),
        ("key: null", "            key\n              - none\n              + s\n"),
        ("partition: 1", "            partition\n              - 1\n              + 2\n"),
        ("headers: {topic: forged}", "            headers.topic\n              - forged\n              + none\n"),
        ("headers: {from: null}", "            headers.from\n              - none\n              + [EMAIL]\n"),
        ("document: {/n: 8}", "            document./n\n              - 8\n              + 7\n"),
        ("document: {/n: null}", "            document./n\n              - none\n              + 7\n"),
        ("without: [prize, 'Click \"here']", "            without\n              - nowhere\n              + prize\n"),
    ];
    let cases: String = wrong
        .iter()
        .enumerate()
        .map(|(n, (expect, _))| format!("- name: w{n}\n  {spam}\n  expect: {{{expect}}}\n"))
        .collect();
    let config = written(folder.path(), "wrong.yaml", &(head.clone() + &cases));
    let output = tagbert(&["test", &config], b"");
    let page = printed(&output);
    for (_, expected) in wrong {
        assert!(page.contains(expected), "{expected}\n{page}{}", said(&output));
    }
    assert!(page.contains("8 cases, 8 failed"), "{page}");

    for (expect, expected) in [
        ("{document: {n: 7}}", "is no JSON pointer"),
        ("{without: ['']}", "stands everywhere"),
        ("{partition: -1}", "a whole number from 0 on"),
        ("{documents: {/n: 7}}", "unknown key `tests[0].expect.documents`"),
    ] {
        let config = written(folder.path(), "c.yaml", &format!("{head}- name: a\n  {spam}\n  expect: {expect}\n"));
        let output = tagbert(&["test", &config], b"");
        assert!(output.status.code() == Some(2) && said(&output).contains(expected), "{expect}: {}", said(&output));
    }
}

#[test]
fn what_is_dropped_has_nothing_that_could_be_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let case =
        |expect: &str| format!("- name: '{expect}'\n  input: {{json: '{{\"body\": \"Hi\"}}'}}\n  expect: {expect}\n");
    let cases = [case("{topics: [], without: [nobody]}"), case("{topics: [a], without: [nobody]}")].concat();
    for (routes, failed) in [("[{drop: true}]", "{topics: [a]"), ("[{to: a}]", "{topics: []")] {
        let yaml = format!("model: {{path: {TINY}}}\nroutes: {routes}\ntests:\n{cases}");
        let output = tagbert(&["test", &written(folder.path(), "c.yaml", &yaml)], b"");
        let page = printed(&output);
        assert!(
            page.contains("2 cases, 1 failed") && page.contains(&format!("FAILED  {failed}")),
            "{page}{}",
            said(&output)
        );
    }
    let yaml = format!(
        "model: {{path: {TINY}}}\nroutes: [{{drop: true}}]\ntests:\n- name: a\n  input: {{json: '{{\"body\": \"Hi\"}}'}}\n  \
                        expect: {{key: null, headers: {{a: null}}, document: {{/a: null}}}}\n"
    );
    let output = tagbert(&["test", &written(folder.path(), "c.yaml", &yaml)], b"");
    assert_eq!(printed(&output).matches("+ nothing is written").count(), 3, "{}{}", printed(&output), said(&output));
}

#[test]
fn a_file_of_cases_is_never_taken_for_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = written(folder.path(), "c.yaml", &format!("model: {{path: {TINY}}}\noutput: {{topic: mine}}\n"));
    let cases = "tests: [{name: a, input: {json: '{\"body\": \"Hi\"}'}, expect: {topic: mine}}]";
    let beside = written(folder.path(), "c.test.yaml", cases);
    for named in [&[&beside][..], &[&config, &beside]] {
        let args: Vec<&str> = ["test"].into_iter().chain(named.iter().map(|name| name.as_str())).collect();
        let output = tagbert(&args, b"");
        assert!(output.status.success(), "{}{}", printed(&output), said(&output));
        assert!(
            printed(&output).contains(&format!("{config}\n")) && printed(&output).ends_with("1 cases, 0 failed\n"),
            "once"
        );
    }
    let alone = written(folder.path(), "d.test.yaml", cases);
    let output = tagbert(&["test", &alone], b"");
    assert!(output.status.code() == Some(2) && said(&output).contains("d.yaml, which is not there"), "{output:?}");
}

#[test]
fn a_slip_in_a_route_is_told_with_its_line_beside_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "kafka: {{brokers: embedded}}\nmodel: {{path: {SMALL}}}\nroutes:\n- when: tags.spam.label == 'Spam'\n  to: a\n- to: b\n  key: keys\n"
    );
    let config = written(folder.path(), "c.yaml", &yaml);
    let output = tagbert(&["check", "--config", &config], b"");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("tagbert: 2 mistakes in the configuration\n"), "{said}");
    let first = format!(
        "{config}:4:9: `routes[0].when` has `Spam`, which `tags.spam.label` never is; there are ham, spam\n    tags.spam.label == 'Spam'\n                       ^\n"
    );
    assert!(said.contains(&first) && said.contains(&format!("{config}:7:8: `routes[1].key` names `keys`")), "{said}");
}

/// The keys below a part of the schema, dotted; `[]` stands for each element of a list.
fn keys(schema: &Value, part: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(name) = part["$ref"].as_str().and_then(|place| place.strip_prefix("#/$defs/")) {
        keys(schema, &schema["$defs"][name], path, found);
    }
    for (key, below) in part["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if found.insert(path.clone()) {
            keys(schema, below, &path, found);
        }
    }
    for either in ["anyOf", "oneOf", "allOf"].iter().filter_map(|name| part[*name].as_array()).flatten() {
        keys(schema, either, path, found);
    }
    if part["items"].is_object() {
        keys(schema, &part["items"], &format!("{path}.[]"), found);
    }
}

#[test]
fn each_key_of_the_last_release_is_still_one() {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(support::root().join("schemas/config.json")).unwrap()).unwrap();
    let mut now = BTreeSet::new();
    keys(&schema, &schema, "", &mut now);
    let released = fs::read_to_string(support::root().join("tests/fixtures/released/0.2.0.keys")).unwrap();
    let gone: Vec<_> = released.lines().filter(|key| !now.contains(*key)).collect();
    assert!(released.lines().count() > 70, "{released}");
    assert!(gone.is_empty(), "{gone:?}: take both names for one minor version, and warn (docs/UPGRADING.md)");
}
