//! What is fuzzed: everything that reads bytes of others. `cargo fuzz` and `tests/fuzz.rs` share it; a panic is a fault.
//!
//! (The HTTP port is not among it: no handler reads a request's body.)

use std::collections::HashMap;
use std::fs;
use std::sync::LazyLock;

use tagbert::codec::decode::{Decoded, Decoder};
use tagbert::config::Config;
use tagbert::model::files::manifest::Manifest;
use tagbert::model::graph::onnx::Graph;
use tagbert::model::tokenize::tokenizer;
use tagbert::record::envelope::Record;

/// Between the files, or parts, of one input.
const SEPARATOR: &str = "\n%%\n";

/// A function that reads foreign bytes.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("record", record),
    ("configuration", configuration),
    ("manifest", manifest),
    ("tokenizer", tokenizer_json),
    ("graph", graph),
];

/// A record's value becomes a document or a dead letter.
pub fn record(value: &[u8]) {
    static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
        let mut config = Config::default();
        config.input.text.push("/mail/parts/0/text".into());
        Decoder::new(&config)
    });
    let record = Record { key: None, value: Some(value.to_vec()), headers: None, timestamp: None };
    if let Ok(Decoded::Document(document)) = DECODER.decode(&record) {
        assert!(document.texts.iter().flatten().any(|text| !text.is_empty()), "a document without a text");
        assert!(
            value.windows(document.id.get().len()).any(|part| part == document.id.get().as_bytes())
                || document.id.get() == "null"
        );
    }
}

/// A configuration file, and after the separator lines of `--set`.
pub fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // Not to read files by chance names.
    if text.contains("_file") {
        return;
    }
    let (yaml, sets) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
    let sets: Vec<_> = sets.lines().map(ToOwned::to_owned).collect();
    match Config::parse(yaml, HashMap::new(), &sets) {
        Ok(config) => {
            assert!(!config.taggers().is_empty());
            assert!(serde_json::from_str::<serde_json::Value>(&config.masked()).is_ok());
            let _ = Decoder::new(&config);
            let _ = tagbert::kafka::clients::producer(&config);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// `config.json`, `heads.json` and `tokenizer_config.json`, as far as they are there.
pub fn manifest(input: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let text = String::from_utf8_lossy(input);
    for (name, text) in ["config.json", "heads.json", "tokenizer_config.json"].iter().zip(text.split(SEPARATOR)) {
        fs::write(directory.path().join(name), text).expect("a file");
    }
    if let Ok(manifest) = Manifest::load(directory.path(), "model".into()) {
        assert!(!manifest.heads.is_empty() && manifest.max_tokens >= 8);
        for head in &manifest.heads {
            let _ = head.names();
        }
    }
}

/// `tokenizer.json`, and after the separator a text to tokenize.
pub fn tokenizer_json(input: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let text = String::from_utf8_lossy(input);
    let (json, text) = text.split_once(SEPARATOR).unwrap_or((&text, "Ein café in Zürich, 日本語 👍🏽 a\u{301}"));
    fs::write(directory.path().join("tokenizer.json"), json).expect("a file");
    if let Ok(tokenizer) = tokenizer::load(directory.path()) {
        let _ = (tokenizer.frame(0), tokenizer.encode(text), tokenizer.encode(""));
    }
}

/// An ONNX file, of which all but the weights is read.
pub fn graph(bytes: &[u8]) {
    if let Ok(graph) = Graph::read(bytes) {
        let _ = graph.parameter_count();
    }
}
