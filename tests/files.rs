//! A model's files as people have them, from the command line: what is not as it should be costs as little as it can, and is
//! told by file and key.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tagbert::config::{Config, Device};
use tagbert::model::files::manifest::Manifest;
use tagbert::tagger::probe;
use tempfile::TempDir;

mod support;

use support::tagbert::tagbert;

/// A copy of a fixture whose file says something else.
fn changed(fixture: &str, file: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(&support::root().join("tests/fixtures/parity").join(fixture), copy.path());
    let file = copy.path().join(file);
    let mut content = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut content);
    fs::write(file, content.to_string()).unwrap();
    copy
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy_all(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// What `tag` writes of the texts, how it ends, and what it says.
fn tag(model: &Path, texts: &[&str]) -> (Vec<Value>, Option<i32>, String) {
    let input: Vec<String> = texts.iter().map(|text| json!({ "id": text, "text": text }).to_string()).collect();
    let output = tagbert(&["tag", "--model", model.to_str().unwrap()], input.join("\n").as_bytes());
    let records = String::from_utf8(output.stdout).unwrap();
    let records = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (records, output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_token_more_than_the_embedding_has_rows_costs_only_the_documents_with_it() {
    let model = changed("distilbert-single-label", "tokenizer_config.json", |config| {
        config["added_tokens_decoder"]["700"] = json!({ "content": "covid19x" });
    });
    let (records, code, said) = tag(model.path(), &["a case", "a covid19x case", "no case"]);
    let ids: Vec<_> = records.iter().map(|record| &record["id"]).collect();
    assert_eq!(ids, ["a case", "no case"], "{said}");
    assert_eq!(code, Some(1));
    assert!(said.contains("the tokenizer has 701 tokens, and the embedding 700 rows"), "{said}");
    assert!(said.contains("it has token 700, and the model's embedding only rows for 0 to 699"), "{said}");
    assert!(!said.contains("covid19x case"), "no text is quoted: {said}");
    // As it comes out of a tokenizer that was saved after its tokens were added.
    let model = changed("distilbert-plain", "config.json", |_| ());
    assert_eq!(tag(model.path(), &["Norvik Lines"]).1, Some(0), "these have rows");
}

#[test]
fn a_model_is_not_refused_for_a_token_of_our_own_probes_that_has_no_row() {
    // Words of the texts that models are warmed up and tried with; "fox" is a part of none, and so a token by itself.
    let words = ["brown", "fox", "lunch", "Apple"];
    let model = changed("distilbert-single-label", "tokenizer_config.json", |config| {
        for (id, word) in (700..).zip(words) {
            config["added_tokens_decoder"][id.to_string()] = json!({ "content": word, "normalized": false });
        }
    });
    let (records, code, said) = tag(model.path(), &["a case", "a fox"]);
    assert!(code == Some(1) && records.len() == 1 && records[0]["id"] == "a case", "{said}");

    let mut config = Config::default();
    config.model.path = model.path().to_str().unwrap().parse().unwrap();
    config.model.device = Device::Cpu;
    probe::load(&config).unwrap();

    let output = tagbert(&["model", "inspect", model.path().to_str().unwrap()], b"");
    let (shown, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && shown.contains("The quick jumps over the lazy dog."), "{shown}{said}");
}

#[test]
fn the_old_name_of_the_longest_input_counts_only_where_the_new_one_is_not_there() {
    for (length, old, expected) in [
        (Some(json!(48)), Some(json!(32)), 48),
        (None, Some(json!(32)), 32),
        (Some(Value::Null), Some(json!(32)), 64),
        (Some(Value::Null), None, 64),
        (None, Some(Value::Null), 64),
        (Some(json!(1e30)), Some(json!(32)), 64),
    ] {
        let model = changed("distilbert-single-label", "tokenizer_config.json", |config| {
            let config = config.as_object_mut().unwrap();
            config.remove("model_max_length");
            let all = [("model_max_length", &length), ("max_len", &old)];
            config.extend(all.into_iter().filter_map(|(key, value)| Some((key.into(), value.clone()?))));
        });
        let manifest = Manifest::load(model.path(), "model".into()).unwrap();
        assert_eq!(manifest.max_tokens, expected, "model_max_length {length:?}, max_len {old:?}");
    }
}

#[test]
fn architectures_that_are_null_are_told_like_none() {
    let model = changed("distilbert-single-label", "config.json", |config| config["architectures"] = Value::Null);
    let (_, code, said) = tag(model.path(), &["well"]);
    assert!(code == Some(1) && said.contains("architectures is []; a tagger is a"), "{said}");
}

#[test]
fn a_label_that_is_no_text_is_written_as_it_stands() {
    let model = changed("distilbert-sentiment-cased-vocab", "config.json", |config| {
        config["id2label"] = json!({"0": 0, "1": 1});
    });
    let (records, code, said) = tag(model.path(), &["well"]);
    assert_eq!(code, Some(0), "{said}");
    let tags = records[0]["tags"].as_object().unwrap().values().next().unwrap();
    assert!(["0", "1"].contains(&tags["label"].as_str().unwrap()), "{tags}");
}

#[test]
fn labels_that_are_missing_are_asked_for_with_the_key() {
    let model = changed("distilbert-single-label", "config.json", |config| config["id2label"] = Value::Null);
    let (_, code, said) = tag(model.path(), &["well"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("2 labels") && said.contains("3 logits") && said.contains(r#""id2label": {"0""#), "{said}");
}

#[test]
fn a_graph_of_another_precision_than_was_asked_for_is_refused() {
    let wrong = changed("distilbert-multi-label", "config.json", |_| ());
    let graph = |name: &str| wrong.path().join("onnx").join(name);
    fs::remove_file(graph("model.onnx")).unwrap();
    fs::rename(graph("model_quantized.onnx"), graph("model.onnx")).unwrap();
    let shipped = support::root().join("models/tagbert-small");
    for (model, variant, is) in [(shipped.as_path(), "fp32", "int8"), (wrong.path(), "fp32", "int8")] {
        for command in [&["model", "inspect"][..], &["tag", "--model"]] {
            let output =
                tagbert(&[command, &[model.to_str().unwrap(), "--variant", variant]].concat(), b"{\"text\":\"x\"}");
            let said = String::from_utf8(output.stderr).unwrap();
            let expected = format!("the variant {variant} is asked for, and this graph is {is}");
            assert!(output.status.code() == Some(1) && said.contains(&expected), "{said}");
        }
    }
    assert!(tagbert(&["tag", "--model", wrong.path().to_str().unwrap()], b"{\"text\":\"x\"}").status.success());
}

#[test]
fn an_inspection_shows_what_was_taken_from_where_and_what_is_said_in_vain() {
    let model = changed("distilbert-single-label", "tokenizer_config.json", |config| {
        config["do_lower_case"] = false.into();
        config["truncation_side"] = "left".into();
    });
    let output = tagbert(&["model", "inspect", model.path().to_str().unwrap()], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "taken         3 labels: config.json: id2label",
        "do_lower_case false: tokenizer_config.json",
        "words: tokenizer.json",
        "unheeded      tokenizer.json says lowercase: true, and tokenizer_config.json do_lower_case: false, which counts",
        "tokenizer_config.json says truncation_side: \"left\", which tagbert does not heed",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().filter(|line| line.contains("do_lower_case: false, which counts")).count(), 1, "{said}");
}
