//! `tagbert bench` and `tagbert plan`, as their user meets them. How fast anything is, no test says.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::line::{Line, TINY, document};
use support::tagbert::tagbert;

/// A configuration and a file of documents of 1 to 60 words; two more lines are none.
fn files(folder: &Path) -> (String, String) {
    let config = folder.join("config.yaml");
    fs::write(&config, format!("model: {{path: {TINY}, device: cpu}}\nbatch: {{tokens: 256}}\n")).unwrap();
    let line = |n: usize| json!({ "id": n, "body": "Tony word ".repeat(n * 7919 % 30 + 1) }).to_string();
    let documents = folder.join("documents.jsonl");
    let lines: Vec<String> = (0..200).map(line).chain(["{broken".into(), "{\"id\": 1}".into()]).collect();
    fs::write(&documents, lines.join("\n\n")).unwrap();
    (config.display().to_string(), documents.display().to_string())
}

/// What a command that must go well prints.
fn printed(args: &[&str]) -> String {
    let output = tagbert(args, b"");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn parsed(args: &[&str]) -> Value {
    let text = printed(&[args, &["--json"]].concat());
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn assert_same(one: f64, other: f64) {
    assert!((one / other - 1.0).abs() < 1e-6, "{one} and {other}");
}

/// Every line has a name that others of the kind have, and columns are those of `tagbert run`'s summary.
fn assert_has_lines(text: &str, names: &[&str]) {
    for name in names {
        assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "no {name} in\n{text}");
    }
    let aligned = |line: &str| {
        let (name, value) = line.split_at(11);
        name.ends_with(' ') && !value.starts_with(' ')
    };
    assert!(text.lines().all(aligned), "columns are aligned:\n{text}");
}

#[test]
fn a_bench_prints_every_figure() {
    let folder = tempfile::tempdir().unwrap();
    let (config, documents) = files(folder.path());
    let text = printed(&["bench", "--config", &config, "--documents", &documents, "--seconds", "2"]);
    assert_has_lines(
        &text,
        &["documents", "length", "speed", "padding", "processor", "model", "line", "limit", "measured", "advice"],
    );
    assert!(text.contains("documents  200 of ") && text.contains("2 more can't be tagged: NotJson 1, TextMissing 1"));
    assert!(text.contains("in fp32") && text.contains("batch.tokens: "), "{text}");
}

#[test]
fn the_figures_of_a_bench_agree_with_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (config, documents) = files(folder.path());
    let bench = parsed(&["bench", "--config", &config, "--documents", &documents, "--seconds", "2", "--limit", "150"]);
    let (about, line) = (&bench["documents"], &bench["line"]);
    assert_eq!((about["count"].as_u64(), about["refused"].as_object().map(serde_json::Map::len)), (Some(150), Some(0)));
    assert!(number(&about["p50"]) <= number(&about["p90"]) && number(&about["p90"]) <= number(&about["p99"]));
    for figure in ["documents", "tokens", "computed_tokens"] {
        let rate = number(&line[format!("{figure}_per_second")]);
        assert_same(rate * number(&line["seconds"]), number(&line[figure]));
    }
    assert_same(number(&line["padding_waste"]), 1.0 - number(&line["tokens"]) / number(&line["computed_tokens"]));
    // The same documents as often as there was time for.
    let times = number(&line["documents"]) / 150.0;
    assert!(times < 1.0 || (times - times.round()).abs() < 1e-9, "{times}");
    assert!(times < 1.0 || (number(&line["tokens"]) / number(&about["tokens"]) - times).abs() < 1e-9);
    assert_eq!(line["failed"], 0);
    let alone = bench["alone"].as_array().unwrap();
    let budgets: Vec<_> = alone.iter().map(|of| of["batch_tokens"].as_u64().unwrap()).collect();
    assert!(budgets.contains(&256) && budgets.is_sorted(), "the configured one is among them: {budgets:?}");
    for of in alone.iter().chain([line]) {
        assert!((0.0..1.0).contains(&number(&of["padding_waste"])), "{of}");
    }
    assert!(budgets.contains(&bench["recommendation"]["batch_tokens"].as_u64().unwrap()));
    let share = number(&bench["limit"]["line"]) / number(&bench["limit"]["alone"]);
    assert!(share > 0.0 && number(&bench["line_to_alone"]) > 0.0, "{bench}");
}

#[test]
fn a_plan_has_enough_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (config, documents) = files(folder.path());
    let of = |more: &[&str]| {
        let args = ["plan", "--config", &config, "--documents", &documents, "--seconds", "1"];
        [&args, more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let args = of(&["--rate", "1000000", "--price", "0.5", "--partitions", "1"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let text = printed(&args);
    assert_has_lines(
        &text,
        &[
            "documents",
            "length",
            "model",
            "host",
            "a worker",
            "workers",
            "cores",
            "GPUs",
            "partitions",
            "KEDA",
            "memory",
            "cost",
        ],
    );
    assert!(text.contains("there are 1: no more workers than that would work"), "{text}");

    let plan = parsed(&args);
    let (one, needs) = (&plan["prediction"], &plan["needs"]);
    let workers = number(&needs["workers"]);
    let enough = |workers: f64| 0.8 * workers * number(&one["documents_per_second"]) >= 1e6 * (1.0 - 1e-9);
    assert!(enough(workers) && !enough(workers - 1.0), "{plan}");
    assert_same(number(&needs["load"]), 1e6 / (workers * number(&one["documents_per_second"])));
    assert_same(number(&needs["cores"]), workers * number(&one["cores"]));
    assert_eq!((&needs["partitions"], &needs["gpus"]), (&needs["workers"], &json!(0)));
    assert_same(number(&needs["cost_per_million"]), workers * 0.5 / 3600.0);
    // What a worker does in half a minute.
    let threshold = 30.0 * number(&one["documents_per_second"]);
    assert!((number(&needs["lag_threshold"]) - threshold).abs() <= 1.0, "{plan}");
    assert!(number(&plan["memory"]) > f64::from(64 << 20), "limits.in_flight at least");

    let args = of(&["--rate", "0.001", "--partitions", "1025"]);
    let before = plan["memory"].clone();
    let plan = parsed(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(number(&plan["memory"]) > number(&before) + f64::from(1024 << 20), "each partition takes 2 MiB");
    assert_eq!((&plan["needs"]["workers"], &plan["needs"]["cost_per_million"]), (&json!(1), &Value::Null));
}

#[test]
fn a_topic_is_measured_by_its_last_records_and_nothing_is_committed_or_written() {
    let line = Line::create("bench", 3);
    // The first are none: only the last are read.
    line.produce(vec![b"{".to_vec(); 100]);
    let documents: Vec<_> = (0..300).map(|n| document(&"word ".repeat(n % 40 + 1))).collect();
    line.produce(&documents);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, line.yaml(TINY)).unwrap();
    let config = config.to_str().unwrap();
    let ends = Kafka::shared().end_offsets(&line.input);

    let bench = parsed(&["bench", "--config", config, "--seconds", "1", "--limit", "60"]);
    let about = &bench["documents"];
    assert_eq!((&about["source"], &about["count"]), (&json!("topic bench"), &json!(60)));
    let plan = parsed(&["plan", "--config", config, "--seconds", "1", "--rate", "1", "--documents", "bench"]);
    assert_eq!(plan["documents"]["refused"], json!({ "NotJson": 100 }), "all of them fit into 1,000");
    assert_eq!((&plan["documents"]["count"], &plan["needs"]["partitions_there"]), (&json!(300), &json!(3)));

    assert_eq!(Kafka::shared().committed(line.name, &line.input), [None; 3]);
    assert_eq!(Kafka::shared().end_offsets(&line.input), ends);
    assert!(line.tagged().is_empty() && line.dead().is_empty());

    let refused = |documents: &str, expected: &str| {
        let output = tagbert(&["bench", "--config", config, "--documents", documents], b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && output.stdout.is_empty(), "expected {expected:?}, got\n{said}");
    };
    refused("no-such-thing", "there is no file no-such-thing, so it is taken for a topic: there is no topic");
    refused(&line.output, "topic bench.tagged has no documents to measure with");
}

#[test]
fn what_can_not_be_measured_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let (config, documents) = files(folder.path());
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let (empty, broken) = (write("empty", "\n\n"), write("broken", "{\n[]\n{\"body\": \" \"}\n"));
    let refused = |args: &[&str], code: i32, expected: &str| {
        let output = tagbert(args, b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(expected) && output.stdout.is_empty(), "expected {expected:?}, got\n{said}");
    };
    let bench = |documents: &str, expected: &str| {
        refused(&["bench", "--config", &config, "--documents", documents], 1, expected);
        refused(&["plan", "--config", &config, "--rate", "1", "--documents", documents], 1, expected);
    };
    bench("no/such/file", "there is no file no/such/file");
    bench(&empty, "has no documents to measure with");
    bench(&broken, "none of the 3 documents can be tagged; of the first: ");
    refused(&["bench", "--config", &config, "--set", "kafka.brokers=embedded"], 2, "name a file by --documents");
    refused(&["bench", "--config", "no/such/file.yaml"], 2, "no/such/file.yaml");
    refused(&["bench", "--config", &config, "--documents", &documents, "--limit", "0"], 2, "--limit");
    refused(&["plan", "--config", &config, "--documents", &documents], 2, "--rate");
    refused(&["plan", "--config", &config, "--documents", &documents, "--rate", "-1"], 2, "rate");
}
