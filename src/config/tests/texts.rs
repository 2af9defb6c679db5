//! What is a text stays as it was written.

use super::{file, parse};

#[test]
fn texts_are_taken_as_they_are_written_in_every_layer() {
    for text in ["007", "1e3", "12345678901234567890", "no", "0123", "1.10", "0x1F", "null", "True", "2026-11-28"] {
        // In YAML, what reads like nothing is quoted.
        let written = if text == "null" { "'null'" } else { text };
        let yaml = format!(
            "kafka: {{group: {written}, properties: {{client.id: {written}, sasl: {{username: {written}}}}}}}\n\
             input: {{topics: [{written}]}}\noutput: {{topic: {text}.out, dead_letters: {text}.dead}}\n\
             model: {{path: {written}, variant: {written}, thresholds: {{{written}: 0.5}}}}\n\
             taggers: [{{name: {written}, head: {written}, labels: [{written}]}}]\n"
        );
        let file = parse(&yaml, &[], &[]).unwrap();
        let variables = ["GROUP", "PROPERTIES__CLIENT__ID", "PROPERTIES__SASL__USERNAME"];
        let variables = variables.map(|name| format!("TAGBERT__KAFKA__{name}"));
        let environment: Vec<_> = variables.iter().map(|name| (name.as_str(), text)).collect();
        let environment = parse("", &environment, &[]).unwrap();
        let sets = ["group", "properties.client.id", "properties.sasl.username"];
        let sets = sets.map(|key| format!("kafka.{key}={text}"));
        let set = parse("", &[], &sets.each_ref().map(String::as_str)).unwrap();
        for config in [&file, &environment, &set] {
            assert_eq!(config.kafka.group, text);
            assert_eq!(config.kafka.properties["client.id"], text);
            assert_eq!(config.kafka.properties["sasl.username"], text);
        }
        assert_eq!((file.input.topics[0].as_str(), file.model.variant.as_deref()), (text, Some(text)));
        assert_eq!(file.model.path.to_string(), text);
        assert!(file.model.thresholds.contains_key(text));
        let tagger = &file.taggers()[0];
        assert_eq!((tagger.name.as_deref(), tagger.head.as_deref()), (Some(text), Some(text)));
        assert_eq!(tagger.labels.as_deref(), Some(&[text.to_owned()][..]));
    }
}

#[test]
fn properties_may_stand_at_the_top_of_a_file() {
    let flat = "kafka.group: g\nkafka.properties.security.protocol: SSL\nkafka.properties.client.id: 007\n";
    let nested = "kafka: {group: g, properties: {security.protocol: SSL, client: {id: 007}}}";
    let [flat, nested] = [flat, nested].map(|yaml| parse(yaml, &[], &[]).unwrap().kafka);
    assert_eq!((&flat.group, flat.properties.len()), (&nested.group, 2));
    assert_eq!(flat.properties, nested.properties);
    assert!(parse("kafka.properties.group.id: other", &[], &[]).is_err());
}

#[test]
fn what_stands_where_a_map_should_be_is_not_shown_for_it_may_hold_a_password() {
    let in_line = "kafka:\n  properties:\n    sasl.password:hunter2\n";
    let in_flow = "kafka: {properties: {sasl.password:hunter2}}";
    let variable = [("TAGBERT__KAFKA__PROPERTIES", "{\"sasl.password\":\"hunter2\"}")];
    for (yaml, environment) in [(in_line, &[][..]), (in_flow, &[]), ("", &variable)] {
        let error = parse(yaml, environment, &[]).unwrap_err();
        assert!(error.contains("kafka.properties") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_configuration_or_a_secret() {
    assert_eq!(parse("\u{feff}kafka: {group: a}", &[], &[]).unwrap().kafka.group, "a");
    let password = file("\u{feff}hunter2\r\n".as_bytes());
    let set = format!("kafka.properties.sasl.password_file={}", password.path().display());
    assert_eq!(parse("", &[], &[&set]).unwrap().kafka.properties["sasl.password"], "hunter2");
}

#[test]
fn a_bracket_of_a_pattern_is_no_lists() {
    for (written, expected) in [
        ("^logs-[ab]", &["^logs-[ab]"][..]),
        ("[^logs-[ab]]", &["^logs-[ab]"]),
        ("[a, ^b[0-9]]", &["a", "^b[0-9]"]),
        ("a, b", &["a", "b"]),
        ("[\"a\", 'b']", &["a", "b"]),
    ] {
        let set = format!("input.topics={written}");
        assert_eq!(parse("", &[], &[&set]).unwrap().input.topics, expected, "{written}");
        let variable = ("TAGBERT__INPUT__TOPICS", written);
        assert_eq!(parse("", &[variable], &[]).unwrap().input.topics, expected, "{written}");
    }
    assert_eq!(parse("input: {topics: '^logs-[ab]'}", &[], &[]).unwrap().input.topics, ["^logs-[ab]"]);
}

#[test]
fn of_two_spellings_of_a_key_none_is_passed_over() {
    let twice = "kafka: {properties: {sasl.password: one, sasl: {password: other}}}";
    let error = parse(twice, &[], &[]).unwrap_err();
    assert!(error.contains("`kafka.properties.sasl.password` is given twice, flat and nested"), "{error}");
    assert!(!error.contains("one,") && !error.contains("other}"), "{error}");
    for yaml in [
        "kafka.group: a\nkafka: {group: b}",
        "kafka: {group: b}\nkafka.group: a",
        "kafka.properties.sasl.username: a\nkafka: {properties: {sasl: {username: b}}}",
    ] {
        let error = parse(yaml, &[], &[]).unwrap_err();
        assert!(error.contains("is given twice, flat and nested") && error.starts_with("line "), "{yaml}: {error}");
    }
    assert_eq!(parse("kafka.group: a\nkafka: {brokers: 'b:1'}", &[], &[]).unwrap().kafka.group, "a");
    let both =
        parse("kafka: {properties: {sasl.username: file}}", &[], &["kafka.properties.sasl.username=set"]).unwrap();
    assert_eq!(both.kafka.properties["sasl.username"], "set", "of two layers, the upper one counts");
}

#[test]
fn a_variable_is_looked_for_in_values_alone_and_may_be_a_list() {
    // In comments and names others have had to set what nobody uses; quotes and `$` others have lost.
    let yaml = "# ${NOT_SET}\nkafka:\n  group: 'f*t4$Xqf' # ${NOT_SET}\n  properties:\n    sasl.password: \"${PASSWORD}\"\n\
                input: {topics: '${TOPICS}'}\n";
    let environment = [("PASSWORD", "a\"b'c$d${e"), ("TOPICS", "a, b")];
    let config = parse(yaml, &environment, &[]).unwrap();
    assert_eq!((config.kafka.group.as_str(), &*config.kafka.properties["sasl.password"]), ("f*t4$Xqf", "a\"b'c$d${e"));
    assert_eq!(config.input.topics, ["a", "b"]);
}
