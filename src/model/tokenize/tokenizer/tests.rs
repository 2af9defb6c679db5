use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A copy of a fixture's side files, with other values in some of them.
fn changed(fixture: &str, changes: &[(&str, &str, Value)]) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in Path::new("tests/fixtures/parity").join(fixture).read_dir().unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() && file.extension().is_some_and(|extension| extension != "onnx") {
            fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    for (file, path, value) in changes {
        let file = copy.path().join(file);
        let text = fs::read(&file).unwrap_or_else(|_| b"{}".to_vec());
        let mut whole: Value = serde_json::from_slice(&text).unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        match whole.pointer_mut(parent).unwrap() {
            Value::Array(list) => list.push(value.clone()),
            other => other[key] = value.clone(),
        }
        fs::write(file, whole.to_string()).unwrap();
    }
    copy
}

fn refusal(directory: &Path) -> String {
    format!("{:#}", load(directory).unwrap_err())
}

fn unheeded(changes: &[(&str, &str, Value)]) -> Vec<String> {
    load_with_notes(changed("distilbert-single-label", changes).path()).unwrap().1.unheeded
}

const OWN: &str = "tokenizer_config.json";

#[test]
fn a_class_that_is_not_here_is_refused_by_name_and_not_replaced() {
    for name in ["BertJapaneseTokenizer", "DebertaV2TokenizerFast", "HerbertTokenizer", "MyTokenizer"] {
        for file in [OWN, "config.json"] {
            let own = (OWN, "/tokenizer_class", Value::Null);
            let copy = changed("distilbert-single-label", &[own, (file, "/tokenizer_class", name.into())]);
            let error = refusal(copy.path());
            assert!(error.contains(&format!("{file}: tokenizer_class is `{name}`")), "{error}");
            assert!(error.contains("PreTrainedTokenizerFast"), "{error}");
        }
    }
    let copy = changed("distilbert-single-label", &[(OWN, "/tokenizer_class", "RobertaTokenizer".into())]);
    assert!(refusal(copy.path()).contains("is RobertaTokenizer, whose words are a BPE's"), "{}", refusal(copy.path()));
    let copy = changed("distilbert-uncased-vocab", &[(OWN, "/tokenizer_class", "PreTrainedTokenizerFast".into())]);
    assert!(refusal(copy.path()).contains("needs a tokenizer.json"), "{}", refusal(copy.path()));
}

#[test]
fn a_directory_without_a_tokenizer_is_refused_with_its_files_and_a_command_to_paste() {
    let copy = changed("distilbert-single-label", &[("vocab.json", "/a", 0.into())]);
    for file in ["tokenizer.json", "vocab.txt"] {
        fs::remove_file(copy.path().join(file)).unwrap();
    }
    let (error, path) = (refusal(copy.path()), copy.path().display());
    assert!(error.contains("config.json, expected.json, special_tokens_map.json"), "{error}");
    let command = format!(
        "python -c \"from transformers import AutoTokenizer as T; T.from_pretrained('{path}').save_pretrained('{path}')\""
    );
    assert!(error.ends_with(&command), "{error}");
}

#[test]
fn settings_that_make_no_sense_are_refused_with_file_and_key() {
    for (path, value, expected) in [
        ("/do_lower_case", json!("false"), "do_lower_case is \"false\", and can be true or false"),
        ("/do_lower_case", Value::Null, "do_lower_case is null, and can be true or false"),
        ("/cls_token", Value::Null, "cls_token is null, and can be a token"),
        ("/unk_token", Value::Null, "unk_token is null, and can be a token"),
        ("/tokenizer_class", json!(7), "tokenizer_class is 7"),
        ("/added_tokens_decoder", json!([]), "added_tokens_decoder is no object"),
        ("/added_tokens_decoder/x", json!({"content": "y"}), "`x` is no number"),
        ("/added_tokens_decoder/700", json!("covid19x"), "700 is \"covid19x\""),
        ("/added_tokens_decoder/700", json!({"content": "y", "lstrip": 1}), "700: lstrip of `y` is 1, and can be true"),
        ("/cls_token", json!("[NONE]"), "it has no `[NONE]`"),
        ("/unk_token", json!("[NONE]"), "it has no `[NONE]`"),
        ("/additional_special_tokens", json!("x"), "can be a list"),
        ("/additional_special_tokens", json!([""]), "is no token"),
    ] {
        let error = refusal(changed("distilbert-single-label", &[(OWN, path, value)]).path());
        assert!(error.contains(expected), "{path}: {error}");
    }
}

#[test]
fn what_a_file_says_in_vain_is_told_by_file_and_key() {
    let token = json!({"id": 700, "content": "norvik", "lstrip": false, "rstrip": false, "normalized": true,
        "single_word": false, "special": false});
    for (change, expected) in [
        (
            (OWN, "/do_lower_case", json!(false)),
            "tokenizer.json says lowercase: true, and tokenizer_config.json do_lower_case: false, which counts",
        ),
        (
            ("tokenizer.json", "/normalizer/strip_accents", json!(false)),
            "tokenizer.json says strip_accents: false, and tokenizer_config.json strip_accents: null",
        ),
        (
            ("tokenizer.json", "/normalizer/clean_text", json!(false)),
            "normalizer.clean_text false, but DistilBertTokenizer makes it true",
        ),
        (("tokenizer.json", "/pre_tokenizer/type", json!("Whitespace")), "pre_tokenizer {\"type\":\"Whitespace\"}"),
        (
            ("tokenizer.json", "/post_processor", Value::Null),
            "post_processor , but DistilBertTokenizer makes it [CLS] … [SEP]",
        ),
        (("tokenizer.json", "/model/max_input_chars_per_word", json!(3)), "max_input_chars_per_word 3, but"),
        (
            ("tokenizer.json", "/added_tokens/-", token),
            "tokenizer.json has the added token `norvik`, which has no effect",
        ),
        (
            ("added_tokens.json", "/covid19x", json!(700)),
            "added_tokens.json has the token `covid19x`, which has no effect",
        ),
        (
            ("special_tokens_map.json", "/cls_token", json!("[MASK]")),
            "special_tokens_map.json has cls_token: \"[MASK]\", which has no effect",
        ),
        (
            (OWN, "/truncation_side", json!("left")),
            "tokenizer_config.json says truncation_side: \"left\", which tagbert does not heed",
        ),
        (
            (OWN, "/add_prefix_space", json!(true)),
            "add_prefix_space: true, which DistilBertTokenizer does not heed, in transformers either",
        ),
        (
            (OWN, "/soft_hyphens", json!("keep")),
            "tokenizer_config.json says soft_hyphens: \"keep\", which tagbert does not heed",
        ),
    ] {
        let lines = unheeded(&[change]);
        assert!(lines.len() == 1 && lines[0].contains(expected), "{expected}: {lines:?}");
    }
    assert_eq!(unheeded(&[]), [""; 0]);
}

#[test]
fn what_stands_in_two_places_of_a_file_is_told_once() {
    let copy = changed("roberta-bio", &[(OWN, "/add_prefix_space", true.into())]);
    let (tokenizer, notes) = load_with_notes(copy.path()).unwrap();
    assert_eq!(notes.unheeded.len(), 1, "{:?}", notes.unheeded);
    // As transformers has it: with the word's own token at the beginning.
    assert_eq!(tokenizer.token(tokenizer.encode("Paris").unwrap().ids[0]).unwrap(), "\u{120}Paris");
}

#[test]
fn the_shipped_models_and_all_fixtures_say_nothing_in_vain() {
    let fixtures = Path::new("tests/fixtures/parity").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let shipped = ["models/tagbert-small", "models/tagbert-tiny"].map(Into::into);
    for directory in fixtures.filter(|path| path.is_dir()).chain(shipped) {
        let (_, notes) = load_with_notes(&directory).unwrap();
        assert_eq!(notes.unheeded, [""; 0], "{}", directory.display());
        assert!(notes.taken.len() >= 3, "{:?}", notes.taken);
    }
}
