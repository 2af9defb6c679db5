//! From text to token ids, as the model's own tokenizer has it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};
use tokenizers::{ModelWrapper, Tokenizer as HfTokenizer};

use crate::envelope::{Rejection, Stage};

/// A text as tokens, without special ones, and how they lead back to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids: shape `[tokens]`.
    pub ids: Vec<u32>,
    /// The place of each token in the text.
    pub places: Vec<Place>,
}

/// Where a token stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First Unicode code point.
    pub start: u32,
    /// One past the last Unicode code point.
    pub end: u32,
    /// True when it goes on with the word of the token before it.
    pub continues: bool,
}

/// The special tokens that the model expects around a text, and the one that fills rows up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Before the text, such as `[CLS]`.
    pub prefix: Vec<u32>,
    /// After it, such as `[SEP]`.
    pub suffix: Vec<u32>,
    /// Beyond it, such as `[PAD]`.
    pub pad: u32,
}

impl Frame {
    /// How many special tokens each row has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The model's tokenizer. It neither cuts nor pads.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: HfTokenizer,
    words: Words,
    unknown: Option<u32>,
}

/// How `transformers` tells whether a token goes on with a word (`TokenClassificationPipeline.gather_pre_entities`). The
/// unknown token never does.
#[derive(Clone, Debug)]
enum Words {
    /// Pieces within a word are marked, such as by `##`: then it is a token whose own length is not that of its text.
    Marked { marker: String, lengths: Vec<u32> },
    /// Else it is a token with no space on either side of its start.
    Spaced,
}

impl Tokenizer {
    /// A tokenizer for texts as they are.
    ///
    /// # Errors
    /// When it can't be freed of its truncation.
    pub fn new(mut inner: HfTokenizer) -> Result<Self> {
        // Files often carry the padding and truncation of their training.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| anyhow!(error))?;
        let (marker, unknown) = match inner.get_model() {
            ModelWrapper::WordPiece(model) => {
                (Some(model.continuing_subword_prefix.clone()), Some(model.unk_token.clone()))
            }
            ModelWrapper::BPE(model) => (model.continuing_subword_prefix.clone(), model.unk_token.clone()),
            _ => (None, None),
        };
        let words = match marker.filter(|marker| !marker.is_empty()) {
            None => Words::Spaced,
            Some(marker) => {
                let mut lengths = vec![0; inner.get_vocab_size(true)];
                for (token, id) in inner.get_vocab(true) {
                    let id = id as usize;
                    // Ids may have gaps.
                    if id >= lengths.len() {
                        lengths.resize(id + 1, 0);
                    }
                    lengths[id] = token.chars().count() as u32;
                }
                Words::Marked { marker, lengths }
            }
        };
        // Where the model names none, one of the usual names.
        let unknown =
            unknown.as_deref().into_iter().chain(["<unk>", "[UNK]"]).find_map(|token| inner.token_to_id(token));
        Ok(Self { inner, words, unknown })
    }

    /// The highest id that it gives.
    #[must_use]
    pub fn last_id(&self) -> u32 {
        self.inner.get_vocab(true).into_values().max().unwrap_or_default()
    }

    /// The special tokens around a text, padded with token `pad`.
    ///
    /// # Errors
    /// When not even a plain text can be tokenized.
    pub fn frame(&self, pad: u32) -> Result<Frame> {
        let encoding = self.inner.encode("a", true).map_err(|error| anyhow!(error))?;
        let special = encoding.get_special_tokens_mask().iter().map(|special| *special == 1);
        let special: Vec<bool> = special.collect();
        let prefix = special.iter().take_while(|special| **special).count();
        let suffix = special[prefix..].iter().rev().take_while(|special| **special).count();
        let ids = encoding.get_ids();
        Ok(Frame { prefix: ids[..prefix].to_vec(), suffix: ids[ids.len() - suffix..].to_vec(), pad })
    }

    /// Tokenizes a text.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Encoded, Rejection> {
        // Someone else's tokenizer on someone else's text: a panic in there must not stop the stream.
        let encoding = catch_unwind(AssertUnwindSafe(|| self.inner.encode_char_offsets(text, false)));
        let encoding = encoding.unwrap_or_else(|_| Err("it panicked".into())).map_err(|error| Rejection {
            stage: Stage::Tokenize,
            class: "TokenizerError",
            message: format!("the tokenizer refused the text: {error}"),
        })?;
        let ids = encoding.get_ids().to_vec();
        let offsets = encoding.get_offsets().iter().map(|&(start, end)| (start as u32, end as u32));
        let continues: Vec<bool> = match &self.words {
            Words::Marked { marker, lengths } => {
                let tokens = ids.iter().zip(encoding.get_tokens()).zip(offsets.clone());
                let continues = tokens.map(|((id, token), (start, end))| {
                    let length = lengths.get(*id as usize).copied().unwrap_or_default();
                    // A marked piece always does, even where it happens to be as long as its text.
                    token.starts_with(marker.as_str()) || length != end - start
                });
                continues.collect()
            }
            Words::Spaced => {
                let spaces: Vec<bool> = text.chars().map(|character| character == ' ').collect();
                let is_space = |at: u32| spaces.get(at as usize).copied().unwrap_or_default();
                offsets.clone().map(|(start, _)| start > 0 && !is_space(start - 1) && !is_space(start)).collect()
            }
        };
        let known = ids.iter().map(|id| Some(*id) != self.unknown);
        let places = offsets.zip(continues).zip(known).map(|(((start, end), continues), known)| Place {
            start,
            end,
            continues: continues && known,
        });
        let places = places.collect();
        Ok(Encoded { ids, places })
    }
}
