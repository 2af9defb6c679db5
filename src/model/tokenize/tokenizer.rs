//! The tokenizer's files: `tokenizer.json`, or the `vocab.txt` and `tokenizer_config.json` of older models.

use std::panic::catch_unwind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use super::Tokenizer;
use crate::model::files::json;

/// What `tokenizer_config.json` says that matters here; the defaults are those of `transformers`' `BertTokenizer`.
#[derive(Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
    unk_token: Token,
    sep_token: Token,
    cls_token: Token,
    pad_token: Token,
    mask_token: Token,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        let token = |text: &str| Token::Text(text.into());
        Self {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
            unk_token: token("[UNK]"),
            sep_token: token("[SEP]"),
            cls_token: token("[CLS]"),
            pad_token: token("[PAD]"),
            mask_token: token("[MASK]"),
        }
    }
}

/// A special token, as text or as the description of an added token.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Added { content: String },
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Added { content: text } => text,
        }
    }
}

/// Reads the directory's tokenizer.
///
/// # Errors
/// When there is none, or it is none.
pub fn load(directory: &Path) -> Result<Tokenizer> {
    let json = directory.join("tokenizer.json");
    let vocabulary = directory.join("vocab.txt");
    let inner = if json.exists() {
        read(&json).with_context(|| format!("{}: not a tokenizer", json.display()))?
    } else if vocabulary.exists() {
        word_piece(directory, &vocabulary).with_context(|| format!("{}: not a vocabulary", vocabulary.display()))?
    } else {
        bail!(
            "{}: there is no tokenizer: neither tokenizer.json nor vocab.txt. `AutoTokenizer.from_pretrained(…)\
             .save_pretrained(…)` writes it",
            directory.display()
        );
    };
    Tokenizer::new(inner).with_context(|| if json.exists() { &json } else { &vocabulary }.display().to_string())
}

/// Reads a `tokenizer.json`.
fn read(file: &Path) -> Result<HfTokenizer> {
    // The library panics on some files: on JSON that is broken in the middle, among others.
    let text = std::fs::read(file)?;
    serde_json::from_slice::<serde::de::IgnoredAny>(&text)?;
    catch_unwind(|| HfTokenizer::from_bytes(&text))
        .map_err(|_| anyhow!("the tokenizers library can't make sense of it"))?
        .map_err(|error| anyhow!(error))
}

/// BERT's tokenizer as `vocab.txt` and `tokenizer_config.json` describe it (Devlin et al. 2018).
fn word_piece(directory: &Path, vocabulary: &Path) -> Result<HfTokenizer> {
    let file = directory.join("tokenizer_config.json");
    let config: TokenizerConfig = if file.exists() { json::read(&file)? } else { TokenizerConfig::default() };
    let special = [&config.unk_token, &config.sep_token, &config.pad_token, &config.cls_token, &config.mask_token];
    let (unknown, cls, sep) = (config.unk_token.text(), config.cls_token.text(), config.sep_token.text());
    let path = vocabulary.to_str().context("its path is not UTF-8")?;
    let model = WordPiece::from_file(path).unk_token(unknown.into()).build().map_err(|error| anyhow!(error))?;
    let mut tokenizer = HfTokenizer::new(model);
    let id = |token: &str| tokenizer.token_to_id(token).with_context(|| format!("it has no `{token}`"));
    let ends = [(cls.to_owned(), id(cls)?), (sep.to_owned(), id(sep)?)];
    id(unknown)?;
    let template = TemplateProcessing::builder()
        .try_single(format!("{cls} $A {sep}"))
        .map_err(|error| anyhow!(error))?
        .special_tokens(ends.to_vec())
        .build()?;
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(
            true,
            config.tokenize_chinese_chars,
            config.strip_accents,
            config.do_lower_case,
        )))
        .map_err(|error| anyhow!(error))?
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(template));
    let present = special.iter().filter(|token| tokenizer.token_to_id(token.text()).is_some());
    let present: Vec<_> = present.map(|token| AddedToken::from(token.text(), true)).collect();
    tokenizer.add_special_tokens(present).map_err(|error| anyhow!(error))?;
    Ok(tokenizer)
}
