//! The tokens beside the vocabulary: special ones, and those that someone has added.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokenizers::AddedToken;

use super::class::Kind;
use super::settings::{ADDED, CONFIG, Files, JSON, SPECIAL};

/// The names of special tokens, in the order in which they are added.
pub(super) const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// `CamembertTokenizer`'s, where the files name no further ones.
const OF_CAMEMBERT: [&str; 3] = ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"];

pub(super) struct Added {
    /// By the number that the files give them, which decides about their order and nothing else.
    listed: BTreeMap<i64, AddedToken>,
    /// The special tokens that have a name; null is none, not even the class's own.
    named: BTreeMap<String, Value>,
    /// Special tokens without one; `None` where the files say nothing of such.
    extra: Option<Vec<Value>>,
    /// The files that they are of.
    pub sources: Vec<&'static str>,
}

/// Where `tokenizer_config.json` lists all tokens. Then no other file counts.
const DECODER: &str = "added_tokens_decoder";

pub(super) fn are_listed(files: &Files) -> bool {
    files.config.contains_key(DECODER)
}

impl Added {
    pub fn of(files: &Files) -> Result<Self> {
        let mut added = Self { listed: BTreeMap::new(), named: BTreeMap::new(), extra: None, sources: Vec::new() };
        let compared = added.take_special(files)?;
        if let Some(decoder) = files.config.get(DECODER) {
            added.sources.push("tokenizer_config.json: added_tokens_decoder");
            for (id, token) in decoder.as_object().with_context(|| format!("{CONFIG}: {DECODER} is no object"))? {
                let number = id.trim().parse().ok();
                let number = number.with_context(|| format!("{CONFIG}: {DECODER}: `{id}` is no number"))?;
                let Value::Object(_) = token else {
                    bail!("{CONFIG}: {DECODER}: {id} is {token}, and can be an object")
                };
                let token = token_of(token, false).with_context(|| format!("{CONFIG}: {DECODER}: {id}"))?;
                added.listed.insert(number, token);
            }
            return Ok(added);
        }
        if !files.added.is_empty() {
            added.sources.push(ADDED);
        }
        for (token, id) in &files.added {
            let number = id.as_i64().with_context(|| format!("{ADDED}: the number of `{token}` is {id}"))?;
            let is_special = compared.iter().any(|content| content == token);
            added.listed.insert(number, AddedToken::from(token.as_str(), is_special));
        }
        if let Some(json) = &files.json {
            added.sources.push(JSON);
            let own = json.tokenizer.get_added_tokens_decoder();
            added.listed.extend(own.into_iter().map(|(id, token)| (i64::from(id), token)));
        }
        Ok(added)
    }

    /// The special tokens of `tokenizer_config.json`, and of `special_tokens_map.json` where that counts. Gives those with
    /// which `transformers` compares `added_tokens.json`: by them it is told which of its tokens are special.
    fn take_special(&mut self, files: &Files) -> Result<Vec<String>> {
        let given = |value: &&Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
        let extra = files.config.get("extra_special_tokens").filter(given);
        self.take_extra(extra.or_else(|| files.config.get("additional_special_tokens")), CONFIG)?;
        self.named.extend(names(&files.config));
        if are_listed(files) {
            return Ok(Vec::new());
        }
        if !files.special.is_empty() {
            self.sources.push(SPECIAL);
        }
        self.named.extend(names(&files.special));
        self.take_extra(files.special.get("extra_special_tokens"), SPECIAL)?;
        let named = self.named.iter().filter(|(name, _)| NAMES.contains(&name.as_str())).map(|(_, value)| value);
        let compared = named.chain(self.extra.iter().flatten()).filter_map(content).map(str::to_owned).collect();
        if self.extra.is_none() {
            self.take_extra(files.special.get("additional_special_tokens"), SPECIAL)?;
        }
        Ok(compared)
    }

    fn take_extra(&mut self, value: Option<&Value>, file: &str) -> Result<()> {
        match value {
            None | Some(Value::Null) => {}
            Some(Value::Array(tokens)) => {
                let all = self.extra.get_or_insert_default();
                let new: Vec<_> = tokens.iter().filter(|token| !all.contains(token)).cloned().collect();
                all.extend(new);
            }
            Some(Value::Object(tokens)) => self.named.extend(tokens.clone()),
            Some(other) => bail!("{file}: the special tokens are {other}, and can be a list"),
        }
        Ok(())
    }

    /// The text of a special token: the files', else the class's own.
    pub fn special(&self, name: &str, kind: Kind) -> Result<&str> {
        let own = || kind.special().iter().find(|(known, _)| *known == name).map(|(_, content)| *content);
        match self.named.get(name) {
            Some(value) => content(value).with_context(|| format!("{name} is {value}, and can be a token")),
            None => own().with_context(|| format!("no file says what {name} is")),
        }
    }

    /// Whether a file lists the token as an added one.
    pub fn lists(&self, token: &str) -> bool {
        self.listed.values().any(|listed| listed.content == token)
    }

    /// All of them, in the order in which `transformers` adds them to a tokenizer that has `there` already.
    pub fn tokens(&self, kind: Kind, there: impl Iterator<Item = String>) -> Result<Vec<AddedToken>> {
        let mut tokens: Vec<AddedToken> = self.listed.values().cloned().collect();
        let mut known: Vec<String> = there.chain(tokens.iter().map(|token| token.content.clone())).collect();
        let mut special = |value: &Value| -> Result<()> {
            let token = AddedToken { special: true, ..token_of(value, true)? };
            if !known.contains(&token.content) {
                known.push(token.content.clone());
                tokens.push(token);
            }
            Ok(())
        };
        for name in NAMES {
            let own = kind.special().iter().find(|(known, _)| *known == name).map(|(_, content)| Value::from(*content));
            if let Some(value) = self.named.get(name).or(own.as_ref()).filter(|value| !value.is_null()) {
                special(value).with_context(|| name.to_owned())?;
            }
        }
        for (name, value) in self.named.iter().filter(|(name, _)| !NAMES.contains(&name.as_str())) {
            special(value).with_context(|| name.clone())?;
        }
        match &self.extra {
            Some(extra) => extra.iter().try_for_each(special)?,
            None if kind == Kind::Camembert => {
                OF_CAMEMBERT.iter().try_for_each(|token| special(&Value::from(*token)))?;
            }
            None => {}
        }
        Ok(tokens)
    }
}

/// The special tokens that a file names, those of its own names among them.
fn names(file: &serde_json::Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let is_token = |(name, value): &(&String, &Value)| {
        NAMES.contains(&name.as_str()) || (name.ends_with("_token") && content(value).is_some())
    };
    file.iter().filter(is_token).map(|(name, value)| (name.clone(), value.clone()))
}

fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// A token as text, or as the description of an added token.
fn token_of(value: &Value, special: bool) -> Result<AddedToken> {
    let text = content(value).filter(|content| !content.is_empty());
    let text = text.with_context(|| format!("{value} is no token: write its text"))?;
    let flag = |key: &str, usual: bool| match value.get(key) {
        None => Ok(usual),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => bail!("{key} of `{text}` is {other}, and can be true or false"),
    };
    let token = AddedToken::from(text, flag("special", special)?);
    Ok(AddedToken {
        single_word: flag("single_word", token.single_word)?,
        lstrip: flag("lstrip", token.lstrip)?,
        rstrip: flag("rstrip", token.rstrip)?,
        normalized: flag("normalized", token.normalized)?,
        ..token
    })
}
