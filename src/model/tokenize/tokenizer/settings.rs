//! The files themselves, and what they say of a setting.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::Tokenizer as HfTokenizer;

use crate::model::files::{json, layout};

// In short: all of them are the tokenizer's.
pub(super) const CONFIG: &str = layout::TOKENIZER_CONFIG;
pub(super) const SPECIAL: &str = layout::SPECIAL_TOKENS;
pub(super) const ADDED: &str = layout::ADDED_TOKENS;
pub(super) const JSON: &str = layout::TOKENIZER;
pub(super) const VOCABULARY: &str = layout::VOCABULARY;

/// All files that say how text becomes tokens. One that is not there says nothing.
pub(super) struct Files {
    pub directory: PathBuf,
    pub model: ModelConfig,
    /// `tokenizer_config.json`.
    pub config: Map<String, Value>,
    /// `special_tokens_map.json`.
    pub special: Map<String, Value>,
    /// `added_tokens.json`: numbers by token.
    pub added: Map<String, Value>,
    /// `tokenizer.json`, as the library reads it.
    pub json: Option<Json>,
}

/// What `config.json` says of the tokenizer.
#[derive(Default, Deserialize)]
pub(super) struct ModelConfig {
    pub model_type: Option<String>,
    pub tokenizer_class: Option<String>,
}

pub(super) struct Json {
    pub tokenizer: HfTokenizer,
    /// What the library's Unigram does not tell.
    pub unk_id: Option<usize>,
}

#[derive(Deserialize)]
struct Outline {
    model: OutlineOfModel,
}

#[derive(Deserialize)]
struct OutlineOfModel {
    unk_id: Option<usize>,
}

impl Files {
    pub fn read(directory: &Path) -> Result<Self> {
        let json = directory.join(JSON);
        let tokenizer =
            json.exists().then(|| Json::read(&json).with_context(|| format!("{}: not a tokenizer", json.display())));
        let files = Self { json: tokenizer.transpose()?, ..Self::read_settings(directory)? };
        ensure!(files.json.is_some() || directory.join(VOCABULARY).exists(), nothing(directory));
        Ok(files)
    }

    /// All but `tokenizer.json`.
    pub fn read_settings(directory: &Path) -> Result<Self> {
        let map = |name: &str| -> Result<Map<String, Value>> {
            let file = directory.join(name);
            if file.exists() { json::read(&file) } else { Ok(Map::new()) }
        };
        let model = directory.join(layout::CONFIG);
        Ok(Self {
            directory: directory.to_owned(),
            model: if model.exists() { json::read(&model)? } else { ModelConfig::default() },
            config: map(CONFIG)?,
            special: map(SPECIAL)?,
            added: map(ADDED)?,
            json: None,
        })
    }

    /// The file that has the words.
    pub fn vocabulary(&self) -> &'static str {
        if self.json.is_some() { JSON } else { VOCABULARY }
    }

    /// A switch of `tokenizer_config.json`.
    pub fn switch(&self, key: &str, default: bool) -> Result<bool> {
        match self.config.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => bail!("{CONFIG}: {key} is {other}, and can be true or false"),
        }
    }

    /// One that `transformers` itself asks, and not its library: what Python takes for true is true, and null is not.
    pub fn truth(&self, key: &str, default: bool) -> Result<bool> {
        match self.config.get(key) {
            Some(Value::Null) => Ok(false),
            Some(Value::Number(number)) => Ok(number.as_f64() != Some(0.0)),
            // So is any text; but who writes "false" means something else.
            _ => self.switch(key, default),
        }
    }

    /// One that may be null, which is as if it were not there.
    pub fn optional_switch(&self, key: &str) -> Result<Option<bool>> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.switch(key, false).map(Some),
        }
    }
}

impl Json {
    fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read(file)?;
        // The library panics on some files: on JSON that is broken in the middle, among others.
        let outline: Outline = serde_json::from_slice(&text)?;
        let mut tokenizer = catch_unwind(|| HfTokenizer::from_bytes(&text))
            .map_err(|_| anyhow!("the tokenizers library can't make sense of it"))?
            .map_err(|error| anyhow!(error))?;
        // What it was trained with, often.
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| anyhow!(error))?;
        Ok(Self { tokenizer, unk_id: outline.model.unk_id })
    }
}

/// What to do where there is no vocabulary that tagbert reads.
fn nothing(directory: &Path) -> String {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    found.sort();
    let path = directory.display();
    let quoted = format!("'{}'", path.to_string().replace('\'', r"\'"));
    format!(
        "{path}: there is no tokenizer: neither {JSON} nor {VOCABULARY}, but {}. transformers makes a {JSON} of the files \
         of slow tokenizers: python -c \"from transformers import AutoTokenizer as T; \
         T.from_pretrained({quoted}).save_pretrained({quoted})\"",
        if found.is_empty() { "nothing".into() } else { found.join(", ") },
    )
}

/// A value in few characters.
pub(super) fn short(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
