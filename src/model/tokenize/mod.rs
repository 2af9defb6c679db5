//! From text to token ids, as the model's own tokenizer has it.

mod characters;
pub mod tokenizer;
mod word_piece;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;
use tokenizers::{
    ModelWrapper, NormalizedString, Normalizer as _, NormalizerWrapper, PreTokenizerWrapper, Tokenizer as HfTokenizer,
};

use self::word_piece::WordPiece;
use crate::record::rejection::{Rejection, Stage};

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
    /// Words that a space parts know nothing of each other.
    divisible: bool,
    /// The same in one pass, for BERT's own kind.
    fast: Option<Arc<WordPiece>>,
}

/// A longer text is tokenized in parts of about so many bytes: on the way, the library holds a hundred times the text.
const PART: usize = 32 * 1024;

/// How `transformers` tells whether a token goes on with a word (`TokenClassificationPipeline.gather_pre_entities`). The
/// unknown token never does.
#[derive(Clone, Debug)]
enum Words {
    /// Pieces within a word are marked, such as by `##`: then it is a token whose own length is not that of its text.
    Marked { marker: String, lengths: Vec<u32> },
    /// Else it is a token with no space on either side of its start.
    Spaced,
}

/// Real vocabularies have up to a quarter of a million tokens; tables are made of as many entries as the last id says.
const MOST_TOKENS: u32 = 1 << 24;

/// What a tokenizer is, in words.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// How it cuts words: `WordPiece`, `BPE`, `Unigram` or `WordLevel`.
    pub kind: &'static str,
    /// How many tokens it knows, added ones included.
    pub vocabulary: usize,
    /// True when it tells `A` from `a`.
    pub cased: bool,
    /// The special tokens, by id.
    pub special: BTreeMap<u32, String>,
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
        let last = inner.get_vocab(true).into_values().max().unwrap_or_default();
        ensure!(last < MOST_TOKENS, "it has a token of the number {last}: a vocabulary has {MOST_TOKENS} at most");
        let words = match marker.filter(|marker| !marker.is_empty()) {
            None => Words::Spaced,
            Some(marker) => {
                let mut lengths = vec![0; last as usize + 1];
                for (token, id) in inner.get_vocab(true) {
                    lengths[id as usize] = token.chars().count() as u32;
                }
                Words::Marked { marker, lengths }
            }
        };
        // Where the model names none, one of the usual names.
        let unknown =
            unknown.as_deref().into_iter().chain(["<unk>", "[UNK]"]).find_map(|token| inner.token_to_id(token));
        let divisible = is_divisible(&inner);
        let mut tokenizer = Self { inner, words, unknown, divisible, fast: None };
        if let Words::Marked { lengths, .. } = &tokenizer.words {
            let fast = WordPiece::new(&tokenizer.inner, lengths, unknown);
            // A template of special tokens can have the text twice, or not at all.
            let same = |fast: &WordPiece| fast.encode("a", 0) == tokenizer.encode_by_library("a", 0).ok();
            tokenizer.fast = fast.filter(same).map(Arc::new);
        }
        Ok(tokenizer)
    }

    /// The highest id that it gives.
    #[must_use]
    pub fn last_id(&self) -> u32 {
        self.inner.get_vocab(true).into_values().max().unwrap_or_default()
    }

    /// What it is.
    #[must_use]
    pub fn about(&self) -> About {
        let kind = match self.inner.get_model() {
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::Unigram(_) => "Unigram",
            ModelWrapper::WordLevel(_) => "WordLevel",
        };
        let mut letter = NormalizedString::from("A");
        let normalized = self.inner.get_normalizer().is_none_or(|normalizer| normalizer.normalize(&mut letter).is_ok());
        let added = self.inner.get_added_tokens_decoder().into_iter();
        let special = added.filter(|(_, token)| token.special).map(|(id, token)| (id, token.content));
        About {
            kind,
            vocabulary: self.inner.get_vocab_size(true),
            cased: normalized && letter.get().contains('A'),
            special: special.collect(),
        }
    }

    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The special tokens around a text, padded with token `pad`.
    ///
    /// # Errors
    /// When not even a plain text can be tokenized.
    pub fn frame(&self, pad: u32) -> Result<Frame> {
        // The library panics where the template of special tokens names one that is not there.
        let encoding = catch_unwind(AssertUnwindSafe(|| self.inner.encode("a", true)));
        let encoding = encoding.unwrap_or_else(|_| Err("it panicked".into())).map_err(|error| anyhow!(error))?;
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
        self.encode_in_parts(text, if self.divisible { PART } else { usize::MAX })
    }

    fn encode_in_parts(&self, text: &str, bytes: usize) -> Result<Encoded, Rejection> {
        let Some(mut end) = first_cut(text, bytes) else { return self.encode_part(text, 0) };
        let (mut encoded, mut rest, mut before) = (Encoded::default(), text, 0);
        loop {
            let (part, behind) = rest.split_at(end);
            let Encoded { ids, places } = self.encode_part(part, before)?;
            encoded.ids.extend(ids);
            encoded.places.extend(places);
            if behind.is_empty() {
                return Ok(encoded);
            }
            before += part.chars().count() as u32;
            rest = behind;
            end = first_cut(rest, bytes).unwrap_or(rest.len());
        }
    }

    /// Tokenizes a part of a text that has so many code points before it.
    fn encode_part(&self, text: &str, before: u32) -> Result<Encoded, Rejection> {
        // It asks the library, too, what becomes of characters.
        let fast = self
            .fast
            .as_ref()
            .and_then(|fast| catch_unwind(AssertUnwindSafe(|| fast.encode(text, before))).unwrap_or_default());
        fast.map_or_else(|| self.encode_by_library(text, before), Ok)
    }

    fn encode_by_library(&self, text: &str, before: u32) -> Result<Encoded, Rejection> {
        // Someone else's tokenizer on someone else's text: a panic in there must not stop the stream.
        let encoding = catch_unwind(AssertUnwindSafe(|| self.inner.encode_char_offsets(text, false)));
        let encoding = encoding.unwrap_or_else(|_| Err("it panicked".into())).map_err(|error| {
            Rejection::new(Stage::Tokenize, "TokenizerError", format!("the tokenizer refused the text: {error}"))
        })?;
        let ids = encoding.get_ids();
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
            start: before + start,
            end: before + end,
            continues: continues && known,
        });
        Ok(Encoded { places: places.collect(), ids: ids.to_vec() })
    }
}

/// BERT's own way: normalized character by character, then cut at each space and punctuation mark.
fn is_divisible(tokenizer: &HfTokenizer) -> bool {
    let spaced = |token: &str| token.contains(char::is_whitespace);
    matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_))
        && matches!(tokenizer.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(_)))
        && matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)))
        && !tokenizer
            .get_added_tokens_decoder()
            .values()
            .any(|token| token.lstrip || token.rstrip || spaced(&token.content))
}

/// Behind the first space or end of line, from so many bytes on, that stands before a letter or digit.
fn first_cut(text: &str, bytes: usize) -> Option<usize> {
    let from = text.ceil_char_boundary(bytes);
    let behind = &text[from..];
    let mut pairs = behind.char_indices().zip(behind.chars().skip(1));
    pairs.find(|((_, one), next)| matches!(one, ' ' | '\n') && next.is_alphanumeric()).map(|((at, _), _)| from + at + 1)
}

#[cfg(test)]
mod tests;
