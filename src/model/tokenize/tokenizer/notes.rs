//! What was taken from which file, and what is said in vain.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tokenizers::Tokenizer as HfTokenizer;

use super::added::{Added, NAMES, are_listed};
use super::class::{Class, Kind};
use super::compare::differences;
use super::settings::{ADDED, CONFIG, Files, JSON, SPECIAL, short};

/// How the files were read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Notes {
    /// The file that has the words.
    pub vocabulary: &'static str,
    /// A line for all that decides about tokens: what, and the file that says so.
    pub taken: Vec<String>,
    /// A line for all that a file says and that is not so.
    pub unheeded: Vec<String>,
}

/// Keys of `tokenizer_config.json` that are read here or by the manifest.
const READ: [&str; 9] = [
    "tokenizer_class",
    "added_tokens_decoder",
    "extra_special_tokens",
    "additional_special_tokens",
    "split_special_tokens",
    "model_max_length",
    "max_len",
    // Rows are padded at their end, with a mask: the side changes no answer.
    "padding_side",
    "pad_to_multiple_of",
];

/// Those that change no token in `transformers` either: for decoding, chats, slow tokenizers and bookkeeping.
const WITHOUT_EFFECT: [&str; 26] = [
    "add_bos_token",
    "add_eos_token",
    "backend",
    "chat_template",
    "clean_up_tokenization_spaces",
    "device_map",
    "do_basic_tokenize",
    "errors",
    "files_loaded",
    "init_inputs",
    "is_local",
    "legacy",
    "local_files_only",
    "max_length",
    "model_input_names",
    "name_or_path",
    "never_split",
    "pad_token_type_id",
    "processor_class",
    "sp_model_kwargs",
    "special_tokens_map_file",
    "stride",
    "tokenizer_file",
    "truncation_strategy",
    "verbose",
    "vocab_file",
];

/// Switches of classes: in `tokenizer.json` another name of them, where that decides instead.
const SWITCHES: [&str; 6] =
    ["do_lower_case", "strip_accents", "tokenize_chinese_chars", "keep_accents", "add_prefix_space", "trim_offsets"];

impl Notes {
    pub(super) fn of(class: &Class, files: &Files, added: &Added, built: &HfTokenizer) -> Self {
        let mut taken = vec![format!("{}: {}", class.name, class.source), format!("words: {}", files.vocabulary())];
        let switch = |(key, own): &(&str, Option<bool>)| match files.config.get(*key) {
            Some(value) => format!("{key} {value}: {CONFIG}"),
            None => format!("{key} {}: the class", Value::from(*own)),
        };
        match class.kind {
            Kind::AsItIs => taken.push(format!("normalizer, words' ends, special tokens around: {JSON}")),
            kind => taken.extend(kind.switches().iter().map(switch)),
        }
        let count = built.get_added_tokens_decoder().len();
        let sources = if added.sources.is_empty() { "the class".into() } else { added.sources.join(", ") };
        taken.push(format!("{count} tokens beside the words: {sources}"));
        let mut unheeded = differences(class, files, built);
        // Some settings stand in two places of a file.
        unheeded.dedup();
        unheeded.extend(of_config(class, files, built));
        unheeded.extend(of_added(files, built));
        Self { vocabulary: files.vocabulary(), taken, unheeded }
    }
}

/// The keys of `tokenizer_config.json` without effect.
fn of_config(class: &Class, files: &Files, built: &HfTokenizer) -> Vec<String> {
    let parts = [
        serde_json::to_value(built.get_normalizer()),
        serde_json::to_value(built.get_pre_tokenizer()),
        serde_json::to_value(built.get_post_processor()),
    ];
    let line = |(key, value): (&String, &Value)| {
        let key = key.as_str();
        let is_read = READ.contains(&key) || WITHOUT_EFFECT.contains(&key) || NAMES.contains(&key);
        let is_switch = class.kind.switches().iter().any(|(switch, _)| *switch == key);
        // Further special tokens.
        if is_read || is_switch || value.is_null() || (key.ends_with("_token") && value.is_string()) {
            return None;
        }
        match key {
            "truncation_side" if value == "right" => None,
            "truncation_side" => Some(format!(
                "{CONFIG} says {key}: {}, which tagbert does not heed: it truncates at the end, if at all",
                short(value)
            )),
            "auto_map" => Some(format!("{CONFIG} names code of its own in {key}, which tagbert does not run")),
            _ if SWITCHES.contains(&key) => {
                let name = match key {
                    "do_lower_case" => "lowercase",
                    "tokenize_chinese_chars" => "handle_chinese_chars",
                    _ => key,
                };
                let same = parts.iter().flatten().any(|part| part.get(name) == Some(value));
                let why = format!("{} does not heed, in transformers either", class.name);
                (!same).then(|| format!("{CONFIG} says {key}: {}, which {why}", short(value)))
            }
            _ => Some(format!("{CONFIG} says {key}: {}, which tagbert does not heed", short(value))),
        }
    };
    files.config.iter().filter_map(line).collect()
}

/// The added and special tokens that a file names in vain, or describes otherwise than one that counts more.
fn of_added(files: &Files, built: &HfTokenizer) -> Vec<String> {
    if !are_listed(files) {
        return Vec::new();
    }
    let decoder = built.get_added_tokens_decoder();
    let known = |content: &str| decoder.values().find(|token| token.content == content);
    let mut lines = Vec::new();
    let mut in_vain = |file: &str, content: &str, other: &str| {
        lines.push(format!("{file} has {content}, which has no effect beside {CONFIG}'s added_tokens_decoder{other}"));
    };
    for token in files.added.keys().filter(|token| known(token).is_none()) {
        in_vain(ADDED, &format!("the token `{token}`"), "");
    }
    for (name, value) in &files.special {
        let content = value.as_str().or_else(|| value.get("content")?.as_str());
        if content.is_some() && files.config.get(name).is_some_and(|own| own.is_string() && own.as_str() != content) {
            in_vain(SPECIAL, &format!("{name}: {}", short(value)), "");
        }
    }
    let own = files.json.iter().flat_map(|json| json.tokenizer.get_added_tokens_decoder());
    for token in own.collect::<BTreeMap<_, _>>().into_values() {
        match known(&token.content) {
            None => in_vain(JSON, &format!("the added token `{}`", token.content), " (transformers 4 took it)"),
            Some(other) if *other != token => in_vain(JSON, &format!("its own description of `{}`", token.content), ""),
            Some(_) => {}
        }
    }
    lines
}
