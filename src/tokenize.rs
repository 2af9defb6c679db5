//! From text to token ids, as the model's own `tokenizer.json` has it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use tokenizers::{Tokenizer as HfTokenizer, TruncationParams};

use crate::envelope::{Rejection, Stage};

/// What the model is fed for one document, and how it leads back to the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included: shape `[tokens]`.
    pub ids: Vec<u32>,
    /// For each token its word and its place in the text; `None` for special tokens.
    pub places: Vec<Option<Place>>,
    /// True when the text was longer than the model takes.
    pub truncated: bool,
}

/// Where a token stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the word (as the pre-tokenizer splits) that the token is part of.
    pub word: u32,
    /// First Unicode code point.
    pub start: u32,
    /// One past the last Unicode code point.
    pub end: u32,
}

/// The model's tokenizer, cutting at a number of tokens.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: HfTokenizer,
}

impl Tokenizer {
    /// Reads `tokenizer.json`; texts will be cut to `max_tokens`, special tokens included.
    ///
    /// # Errors
    /// When the file is missing or is no tokenizer.
    pub fn load(file: &Path, max_tokens: usize) -> Result<Self> {
        let mut inner = HfTokenizer::from_file(file)
            .map_err(|error| anyhow!(error))
            .with_context(|| format!("{}: not a tokenizer", file.display()))?;
        // Files often carry the padding and truncation of their training.
        inner.with_padding(None);
        inner
            .with_truncation(Some(TruncationParams { max_length: max_tokens, ..Default::default() }))
            .map_err(|error| anyhow!(error))?;
        Ok(Self { inner })
    }

    /// Tokenizes a text.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Encoded, Rejection> {
        // Someone else's tokenizer.json on someone else's text: a panic in there must not stop the stream.
        let encoding = catch_unwind(AssertUnwindSafe(|| self.inner.encode_char_offsets(text, true)));
        let encoding = encoding.unwrap_or_else(|_| Err("it panicked".into())).map_err(|error| Rejection {
            stage: Stage::Tokenize,
            class: "TokenizerError",
            message: format!("the tokenizer refused the text: {error}"),
        })?;
        let words = encoding.get_word_ids().iter().zip(encoding.get_special_tokens_mask());
        let places = words.zip(encoding.get_offsets()).map(|((word, special), &(start, end))| {
            word.filter(|_| *special == 0).map(|word| Place { word, start: start as u32, end: end as u32 })
        });
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            places: places.collect(),
            truncated: !encoding.get_overflowing().is_empty(),
        })
    }
}
