//! The command line, as its user meets it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

mod support;

use support::tagbert::{tagbert, tagbert_with};

const TINY: &str = "tests/fixtures/tiny-distilbert";

/// The same, with its activations quantised batch by batch.
const DYNAMIC: &str = "tests/fixtures/tiny-dynamic";

fn lines(stdout: &[u8]) -> Vec<Value> {
    std::str::from_utf8(stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn obvious_spam_is_spam_and_names_have_exact_spans() {
    let input = concat!(
        r#"{"id":"1","text":"WIN a FREE prize!!! Click here now"}"#,
        "\n",
        r#"{"id":"2","text":"Tony Blair will visit Washington to meet George Bush."}"#,
        "\n"
    );
    let output = tagbert(&["tag"], input.as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let records = lines(&output.stdout);
    assert_eq!(records[0]["id"], "1");
    assert_eq!(records[0]["tags"]["spam"]["label"], "spam");
    assert_eq!(records[1]["tags"]["spam"]["label"], "ham");
    let entities: Vec<_> = records[1]["tags"]["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entity| {
            (
                entity["type"].as_str().unwrap(),
                entity["text"].as_str().unwrap(),
                entity["start"].as_u64().unwrap(),
                entity["end"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [("PER", "Tony Blair", 0, 10), ("LOC", "Washington", 22, 32), ("PER", "George Bush", 41, 52)];
    assert_eq!(entities, expected);
}

#[test]
fn a_bad_line_is_reported_by_number_and_passed_over() {
    let input = b"{\"id\":1,\"text\":\"one\"}\n{broken\n\n{\"id\":3,\"text\":\"\xff\"}\n{\"id\":5,\"text\":\"five\"}";
    let output = tagbert(&["tag", "--model", TINY], input);
    assert_eq!(output.status.code(), Some(1));
    let ids: Vec<_> = lines(&output.stdout).into_iter().map(|record| record["id"].clone()).collect();
    assert_eq!(ids, [1, 5]);
    let said = String::from_utf8(output.stderr).unwrap();
    let reports: Vec<_> = said.lines().collect();
    assert_eq!(reports.len(), 2, "{said}");
    assert!(reports[0].starts_with("line 2: ") && reports[1].starts_with("line 4: "), "{said}");
}

#[test]
fn many_lines_come_out_in_the_order_they_went_in() {
    let text: String =
        (0..2000).map(|n| format!("{{\"id\":{n},\"text\":\"{}\"}}\n", "word ".repeat(n * 7919 % 97 + 1))).collect();
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::write(&input, text).unwrap();
    let (from, to) = (input.to_str().unwrap(), output.to_str().unwrap());
    assert!(tagbert(&["tag", "--model", TINY, "--input", from, "--output", to], b"").status.success());
    let ids: Vec<_> = lines(&fs::read(output).unwrap()).iter().map(|record| record["id"].as_u64().unwrap()).collect();
    assert!(ids.into_iter().eq(0..2000));
}

/// 100,000 words take as many windows at a time as 10,000 do; only their tokens and logits are more.
#[test]
fn a_book_is_tagged_whole_in_bounded_memory() {
    let peak_of = |words: usize| {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        fs::write(&input, format!("{{\"text\":\"{}\"}}\n", "Tony word ".repeat(words / 2))).unwrap();
        let (from, to) = (input.to_str().unwrap(), output.to_str().unwrap());
        let peak = support::tagbert::peak_memory(&["tag", "--model", TINY, "--input", from, "--output", to]);
        let record = lines(&fs::read(output).unwrap()).remove(0);
        assert!(record["tokens"].as_u64().unwrap() as usize > words && record["truncated"] == false);
        peak
    };
    let (chapter, book) = (peak_of(10_000), peak_of(100_000));
    println!("peak memory: a chapter {} MiB, a book {} MiB", chapter >> 20, book >> 20);
    assert!(book < chapter + (128 << 20), "{} MiB, and a chapter {}", book >> 20, chapter >> 20);
}

#[test]
fn plain_text_is_a_document_a_line() {
    let output = tagbert(&["tag", "--model", TINY, "--format", "text"], "He said \"hi\"\r\n\nZoë 🎉\n".as_bytes());
    assert!(output.status.success(), "{output:?}");
    let records = lines(&output.stdout);
    assert_eq!(records.len(), 2);
    assert_eq!((&records[0]["id"], &records[0]["document"]["text"]), (&"1".into(), &"He said \"hi\"".into()));
    assert_eq!((&records[1]["id"], &records[1]["document"]["text"]), (&"3".into(), &"Zoë 🎉".into()));
}

#[test]
fn a_text_that_is_utf_16_is_refused_and_not_tagged_as_what_it_looks_like() {
    let little: Vec<u8> = "well\nbad".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for text in [[&[0xff, 0xfe], &*little].concat(), little] {
        let output = tagbert(&["tag", "--model", TINY, "--format", "text"], &text);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
        assert!(said.contains("iconv"), "{said}");
    }
}

#[test]
fn a_filter_of_the_log_that_makes_no_sense_is_told() {
    let output = tagbert_with(&["tag", "--model", TINY], b"{\"text\":\"x\"}", &[("RUST_LOG", "tagbert=debgu")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("RUST_LOG is no filter"), "{said}");
}

#[test]
fn a_file_is_not_emptied_by_tagging_it_into_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("documents");
    fs::write(&file, "\u{feff}{\"id\":1,\"text\":\"one\"}\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(tagbert(&["tag", "--model", TINY, "--input", file, "--output", file], b"").status.code(), Some(1));
    let output = tagbert(&["tag", "--model", TINY, "--input", file], b"");
    assert!(output.status.success() && lines(&output.stdout).len() == 1, "a byte order mark is no text: {output:?}");
}

#[test]
fn usage_mistakes_exit_with_2_and_others_with_1() {
    let code = |args: &[&str]| tagbert(args, b"").status.code();
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["run"]), Some(2));
    assert_eq!(code(&["tag", "--no-such-flag"]), Some(2));
    assert_eq!(code(&["run", "--config", "no/such/file.yaml"]), Some(2));
    assert_eq!(code(&["demo", "--documents", "none"]), Some(2));
    assert_eq!(code(&["tag", "--input", "no/such/file"]), Some(1));
    assert_eq!(code(&["demo", "--corpus", "no/such/file"]), Some(1));
    assert_eq!(code(&["--help"]), Some(0));
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let names =
        ["ORT_DYLIB_PATH", "RUST_LOG", "SSL_CERT_FILE", "SSL_CERT_DIR", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER"];
    let mut empty = names.map(|name| (name, "")).to_vec();
    let output = tagbert_with(&["tag", "--model", DYNAMIC], b"{\"text\":\"x\"}", &empty);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && log.contains("WARN"), "{log}");

    // The broker's name can't be found, so this is the usual one.
    empty.push(("KAFKA_BOOTSTRAP_SERVERS", ""));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, format!("model: {{path: {TINY}}}\nkafka: {{brokers: 'broker.invalid:9'}}\n")).unwrap();
    let args = ["check", "--config", config.to_str().unwrap()];
    let said = String::from_utf8(tagbert_with(&args, b"", &empty).stderr).unwrap();
    assert!(said.contains("broker.invalid:9"), "{said}");

    // Here an empty text is what somebody has written.
    let token = tagbert_with(&args, b"", &[("TAGBERT__HTTP__TOKEN", "")]);
    let said = String::from_utf8(token.stderr).unwrap();
    assert!(said.contains("TAGBERT__HTTP__TOKEN") && said.contains("http.token"), "{said}");
}

#[test]
fn version_names_the_parts() {
    let printed = String::from_utf8(tagbert(&["--version"], b"").stdout).unwrap();
    assert!(printed.starts_with("tagbert 0."), "{printed}");
    assert!(printed.contains("\nlibrdkafka 2.") && printed.contains("\nonnxruntime 1."), "{printed}");
}

#[test]
fn the_committed_schemas_are_those_of_the_code() {
    for name in ["config", "document", "record", "dead-letter", "manifest"] {
        let generated = String::from_utf8(tagbert(&["schema", name], b"").stdout).unwrap();
        let file = support::root().join(format!("schemas/{name}.json"));
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(generated, committed, "run: target/release/tagbert schema {name} > schemas/{name}.json");
    }
}

/// A copy of the tiny model with one file replaced.
fn broken_model(folder: &Path, file: &str, with: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> PathBuf {
    let copy = folder.join(file.replace('.', "-"));
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(support::root().join(TINY)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    match with(fs::read(copy.join(file)).unwrap()) {
        Some(bytes) => fs::write(copy.join(file), bytes).unwrap(),
        None => fs::remove_file(copy.join(file)).unwrap(),
    }
    copy
}

#[test]
fn a_broken_model_is_one_clear_error() {
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| Some(String::from_utf8(bytes).unwrap().replacen(from, to, 1).into_bytes())
    };
    let refused = |model: &Path, expected: &str| {
        let output = tagbert(&["tag", "--model", model.to_str().unwrap()], b"{\"text\":\"x\"}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "expected {expected:?}, got\n{said}");
        assert!(output.stdout.is_empty());
    };
    let temp = || tempfile::tempdir().unwrap();
    let folder = temp();
    refused(&broken_model(folder.path(), "model.onnx", |bytes| Some(bytes[..bytes.len() / 2].to_vec())), "model.onnx");
    refused(&broken_model(folder.path(), "tokenizer.json", |_| None), "tokenizer.json");
    refused(
        &broken_model(folder.path(), "heads.json", replace("\"ham\",", "")),
        "labels, but output `spam` has 2 logits",
    );
    refused(&broken_model(folder.path(), "config.json", replace("distilbert", "t5")), "model_type is `t5`");
    let folder = temp();
    refused(
        &broken_model(folder.path(), "heads.json", replace("\"output\": \"spam\"", "\"output\": \"nope\"")),
        "no output `nope`",
    );
    refused(&broken_model(folder.path(), "tokenizer.json", |_| Some(b"{}".to_vec())), "tokenizer.json");
    refused(&broken_model(folder.path(), "model.onnx", |_| Some(Vec::new())), "model.onnx");
    refused(Path::new("no/such/model"), "no/such/model");
    let folder = temp();
    refused(
        &broken_model(folder.path(), "heads.json", replace("text-classification", "token-classification")),
        "rank 2",
    );
    for (from, to, expected) in [
        ("\"ham\"", "\"spam\"", "the label `spam` twice"),
        ("\"name\": \"spam\"", "\"name\": \"\"", "empty name"),
        ("\"name\": \"tiny-distilbert\"", "\"name\": \"\"", "`name` is empty"),
    ] {
        refused(&broken_model(temp().path(), "heads.json", replace(from, to)), expected);
    }
}

fn inspected(model: &str, more: &[&str]) -> String {
    let output = tagbert(&[&["model", "inspect", model], more].concat(), b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.lines().all(|line| line.contains("dynamic int8")), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn inspected_json(model: &str, more: &[&str]) -> Value {
    let text = inspected(model, &[&["--json"], more].concat());
    assert_eq!(text.lines().count(), 1);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn an_inspection_tells_what_a_model_is_and_what_it_is_fed() {
    let text = inspected(TINY, &[]);
    let has = |name: &str, value: &str| {
        let of = |line: &&str| line.starts_with(&format!("{name} "));
        let line = text.lines().find(of).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        assert!(line.contains(value), "{value} in {line}");
    };
    has("architecture", "distilbert (");
    has("graph", "model.onnx, 218");
    has("opsets", "ai.onnx 1");
    has("precision", "float32 ");
    has("precision", "; not quantized");
    has("inputs", "input_ids int64 [batch");
    has("heads", "topic: single-label classification, 5 labels: ");
    assert!(text.contains("entities: token classification (BIO), 9 labels: O, "), "{text}");
    has("tokenizer", "WordPiece, ");
    has("tokens", "[CLS] ");
    has("fed", "input_ids int64 [1, ");
    has("tags", "entities: ");
    let width = |line: &str| line.char_indices().nth(14).is_none_or(|(at, _)| line.as_bytes()[at - 1] == b' ');
    assert!(text.lines().all(width), "columns are aligned:\n{text}");
}

#[test]
fn an_inspection_is_one_json_object_if_wanted() {
    let model = inspected_json(TINY, &[]);
    assert_eq!(model["name"], "tiny-distilbert");
    assert_eq!(model["model_type"], "distilbert");
    assert_eq!((&model["graph"]["file"], &model["graph"]["quantized"]), (&"model.onnx".into(), &false.into()));
    assert_eq!(model["graph"]["bytes"], 223_602);
    assert!(model["graph"]["parameter_count"].as_u64().unwrap() > 10_000);
    assert_eq!(model["heads"][2]["scheme"], "BIO");
    assert_eq!(model["tokenizer"]["cased"], false);
    let fed = &model["fed"];
    assert_eq!(fed["tokens"][0], "[CLS]");
    let tokens = fed["ids"].as_array().unwrap().len();
    assert_eq!(fed["tensors"][0], serde_json::json!({"name": "input_ids", "type": "int64", "shape": [1, tokens]}));
    assert!(fed["tags"]["spam"]["score"].as_f64().unwrap() > 0.0);
}

#[test]
fn models_of_other_kinds_are_inspected_too() {
    let parity = |name: &str| format!("tests/fixtures/parity/{name}");
    let model = inspected_json(&parity("roberta-bio"), &[]);
    assert_eq!((&model["tokenizer"]["kind"], &model["tokenizer"]["cased"]), (&"BPE".into(), &true.into()));
    assert_eq!(
        (&model["heads"][0]["task"], &model["heads"][0]["scheme"]),
        (&"token classification".into(), &"BIO".into())
    );
    assert_eq!(model["fed"]["tokens"][0], "<s>");
    let model = inspected_json(&parity("xlm-roberta-multi-label"), &[]);
    assert_eq!(model["tokenizer"]["kind"], "Unigram");
    assert_eq!(model["heads"][0]["task"], "multi-label classification");
    for (name, scheme) in [("distilbert-bilou", "BILOU"), ("distilbert-iobes", "IOBES"), ("distilbert-plain", "plain")]
    {
        assert_eq!(inspected_json(&parity(name), &[])["heads"][0]["scheme"], scheme, "{name}");
    }
    let model = inspected_json(&parity("bert-default-labels"), &[]);
    assert_eq!(model["heads"][0]["labels"], serde_json::json!(["LABEL_0", "LABEL_1"]));
    assert_eq!(inspected_json(&parity("distilbert-regression"), &[])["heads"][0]["task"], "regression");
}

#[test]
fn an_inspection_is_of_the_variant_that_was_asked_for() {
    let model = "tests/fixtures/parity/distilbert-multi-label";
    let of = |variant| inspected_json(model, &["--variant", variant])["graph"].clone();
    let (full, half, int) = (of("fp32"), of("fp16"), of("int8"));
    let variants = ["onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx"];
    assert_eq!(full["variants"], serde_json::json!(variants));
    for (graph, file, kind, quantized) in [
        (&full, variants[0], "float32", false),
        (&half, variants[1], "float16", false),
        (&int, variants[2], "uint8", true),
    ] {
        assert_eq!((&graph["file"], &graph["quantized"]), (&file.into(), &quantized.into()));
        assert!(graph["parameters"][kind].as_u64() > Some(1000), "{graph}");
    }
    assert_eq!(tagbert(&["model", "inspect", model, "--variant", "int4"], b"").status.code(), Some(1));
}

#[test]
fn a_dynamic_graph_is_told_of_in_one_line_with_the_remedy() {
    let remedies = ["quantise.py DIR --calibrate FILE", "`model.consistent: true`"];
    let output = tagbert(&["tag", "--model", DYNAMIC], b"{\"text\":\"x\"}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && log.lines().count() == 1, "{log}");
    assert!(remedies.iter().all(|remedy| log.contains(remedy)), "{log}");
    let text = inspected(DYNAMIC, &[]);
    let line = text.lines().find(|line| line.starts_with("consistent ")).unwrap();
    assert!(line.contains(" no: ") && remedies.iter().all(|remedy| line.contains(remedy)), "{line}");
    assert_eq!(inspected_json(DYNAMIC, &[])["graph"]["consistent"], false);
    for model in [TINY, "models/tagbert-small", "models/tagbert-tiny"] {
        assert_eq!(inspected_json(model, &[])["graph"]["consistent"], true, "{model}");
    }
}

#[test]
fn one_line_of_the_log_says_what_the_model_runs_on_and_why() {
    let args = ["tag", "--model", TINY];
    let output = tagbert_with(&args, b"{\"text\":\"x\"}", &[("RUST_LOG", "tagbert=info")]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let said: Vec<_> = log.lines().filter(|line| line.contains("device: ")).collect();
    assert!(said.len() == 1 && (said[0].contains("cuda:0") || said[0].contains("device: cpu (")), "{log}");
}
