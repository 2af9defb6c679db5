//! Where `tokenizer.json` says something else than what counts.

use serde::Serialize;
use serde_json::Value;
use tokenizers::{ModelWrapper, Tokenizer as HfTokenizer};

use super::class::Class;
use super::settings::{CONFIG, Files, JSON, short};

/// The settings that older releases of `transformers` take from `tokenizer_config.json`, too: where `tokenizer.json` has
/// them, and their names there and here.
const OF_CONFIG: [(&str, &str, &str); 6] = [
    ("BertNormalizer", "lowercase", "do_lower_case"),
    ("BertNormalizer", "strip_accents", "strip_accents"),
    ("BertNormalizer", "handle_chinese_chars", "tokenize_chinese_chars"),
    ("ByteLevel", "add_prefix_space", "add_prefix_space"),
    ("RobertaProcessing", "add_prefix_space", "add_prefix_space"),
    ("RobertaProcessing", "trim_offsets", "trim_offsets"),
];

/// A pre-tokenizer has it because a post-processor of the same kind does.
const WITHOUT_EFFECT: (&str, &str) = ("ByteLevel", "trim_offsets");

/// What `tokenizer.json` says in vain, one line for each.
pub(super) fn differences(class: &Class, files: &Files, built: &HfTokenizer) -> Vec<String> {
    let Some(file) = files.json.as_ref().map(|json| &json.tokenizer) else { return Vec::new() };
    let mut found = Vec::new();
    let mut compare = |part: &str, there: Value, here: Value| found.extend(parts(class, files, part, &there, &here));
    compare("normalizer", value(&file.get_normalizer()), value(&built.get_normalizer()));
    compare("pre_tokenizer", value(&file.get_pre_tokenizer()), value(&built.get_pre_tokenizer()));
    if value(&file.get_post_processor())["type"] == "RobertaProcessing" {
        compare("post_processor", value(&file.get_post_processor()), value(&built.get_post_processor()));
    } else if around(file) != around(built) {
        let (there, here) = (around(file), around(built));
        found.push(of_five(class, "post_processor", &there.join(" … "), &here.join(" … ")));
    }
    if let (ModelWrapper::WordPiece(there), ModelWrapper::WordPiece(here)) = (file.get_model(), built.get_model()) {
        let settings = [
            ("unk_token", &there.unk_token, &here.unk_token),
            ("continuing_subword_prefix", &there.continuing_subword_prefix, &here.continuing_subword_prefix),
        ];
        let other = settings.iter().filter(|(_, there, here)| there != here);
        found.extend(other.map(|(key, there, here)| of_five(class, key, there, here)));
        let [there, here] =
            [there.max_input_chars_per_word, here.max_input_chars_per_word].map(|most| most.to_string());
        found.extend((there != here).then(|| of_five(class, "max_input_chars_per_word", &there, &here)));
    }
    found
}

/// The tokens around a text.
fn around(tokenizer: &HfTokenizer) -> Vec<String> {
    let encoding = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tokenizer.encode("", true)));
    encoding.ok().and_then(Result::ok).map(|encoding| encoding.get_tokens().to_vec()).unwrap_or_default()
}

fn value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

fn parts(class: &Class, files: &Files, part: &str, there: &Value, here: &Value) -> Vec<String> {
    let (Some(old), Some(new)) = (there.as_object(), here.as_object()) else {
        let differ = there != here;
        return differ.then(|| of_five(class, part, &short(there), &short(here))).into_iter().collect();
    };
    if there["type"] != here["type"] {
        return vec![of_five(class, part, &short(there), &short(here))];
    }
    let kind = here["type"].as_str().unwrap_or_default();
    let other =
        new.iter().filter(|(key, value)| old.get(*key) != Some(*value) && (kind, key.as_str()) != WITHOUT_EFFECT);
    let line = |(key, value): (&String, &Value)| {
        let before = short(old.get(key).unwrap_or(&Value::Null));
        let own = OF_CONFIG.iter().find(|(of, name, _)| *of == kind && name == key);
        match own {
            None => of_five(class, &format!("{part}.{key}"), &before, &short(value)),
            Some((_, _, name)) if files.config.contains_key(*name) => {
                format!("{JSON} says {key}: {before}, and {CONFIG} {name}: {}, which counts", short(value))
            }
            Some((_, _, name)) => format!(
                "{JSON} says {key}: {before}, and {CONFIG} nothing, so that {name} is {} as {} has it, which counts",
                short(value),
                class.name
            ),
        }
    };
    other.map(line).collect()
}

fn of_five(class: &Class, what: &str, there: &str, here: &str) -> String {
    format!(
        "{JSON} has the {what} {there}, but {} makes it {here}, which counts (transformers 4 took the file's)",
        class.name
    )
}
