//! From text to token ids, as the model's own tokenizer has it.

mod characters;
mod cut;
mod pieces;
pub mod tokenizer;
mod word_piece;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;
use tokenizers::normalizer::Range;
use tokenizers::{ModelWrapper, NormalizedString, Normalizer as _, Tokenizer as HfTokenizer};

use self::cut::Cut;
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
    /// Where a text may be cut.
    cut: Option<Cut>,
    /// What can't be cut is tokenized one by one, since the library holds so much of it.
    whole: Arc<Mutex<()>>,
    /// The same in one pass, for BERT's own kind.
    fast: Option<Arc<WordPiece>>,
}

/// A longer text is tokenized in parts of about so many bytes: on the way, the library holds hundreds of times the text.
const PART: usize = 32 * 1024;

/// How `transformers` tells whether a token goes on with a word (`TokenClassificationPipeline.gather_pre_entities`), but
/// for characters that the tokenizer drops: those count for nothing here. The unknown token never goes on.
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
        let cut = Cut::of(&inner);
        let mut tokenizer = Self { inner, words, unknown, cut, whole: Arc::default(), fast: None };
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

    /// How many words have a number from `first` on, and how many words there are; tokens that were added count for none.
    #[must_use]
    pub fn words_from(&self, first: usize) -> (usize, usize) {
        let (words, added) = (self.inner.get_vocab(false), self.inner.get_added_tokens_decoder());
        let missing = words.values().filter(|id| **id as usize >= first && !added.contains_key(*id));
        (missing.count(), words.len())
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
        self.encode_in_parts(text, PART)
    }

    fn encode_in_parts(&self, text: &str, bytes: usize) -> Result<Encoded, Rejection> {
        let next = |rest: &str| self.cut.as_ref().and_then(|cut| cut.first(rest, bytes));
        let (mut encoded, mut rest, mut before) = (Encoded::default(), text, 0);
        loop {
            let (part, behind) = rest.split_at(next(rest).unwrap_or(rest.len()));
            let encoded_part = if part.len() > 2 * PART && self.has_pieces() {
                self.encode_pieces(part, before, PART)
            } else {
                self.encode_part(part, before)
            };
            let Encoded { ids, mut places } = encoded_part?;
            // Here it is no prefix that the tokenizer has added.
            if let (Some(Cut::BeforeSpaces { prefixed: true }), Some(first)) = (&self.cut, places.first_mut())
                && before > 0
                && first.start == before
            {
                first.start += 1;
                first.end = first.end.max(first.start);
            }
            if behind.is_empty() && before == 0 {
                return Ok(Encoded { ids, places });
            }
            encoded.ids.extend(ids);
            encoded.places.extend(places);
            if behind.is_empty() {
                return Ok(encoded);
            }
            before += part.chars().count() as u32;
            rest = behind;
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
        let _alone = (text.len() > 2 * PART).then(|| self.whole.lock().unwrap_or_else(PoisonError::into_inner));
        // Someone else's tokenizer on someone else's text: a panic in there must not stop the stream.
        let encoding = catch_unwind(AssertUnwindSafe(|| self.inner.encode_char_offsets(text, false)));
        let encoding = encoding.unwrap_or_else(|_| Err("it panicked".into())).map_err(|error| {
            Rejection::new(Stage::Tokenize, "TokenizerError", format!("the tokenizer refused the text: {error}"))
        })?;
        let ids = encoding.get_ids();
        let offsets = encoding.get_offsets().iter().map(|&(start, end)| (start as u32, end as u32));
        let continues: Vec<bool> = match &self.words {
            Words::Marked { marker, lengths } => {
                let mut starts = text.char_indices().map(|(byte, _)| byte).collect::<Vec<_>>();
                starts.push(text.len());
                let tokens = ids.iter().zip(encoding.get_tokens()).zip(offsets.clone());
                let continues = tokens.map(|((id, token), (start, end))| {
                    let length = lengths.get(*id as usize).copied().unwrap_or_default();
                    let slice = || &text[starts[start as usize]..starts[end as usize]];
                    // A marked piece always does, even where it happens to be as long as its text.
                    token.starts_with(marker.as_str()) || (length != end - start && length != self.kept(slice()))
                });
                continues.collect()
            }
            Words::Spaced => {
                let characters: Vec<char> = text.chars().collect();
                let is_space = |at: u32| characters.get(at as usize) == Some(&' ');
                let ends = [0].into_iter().chain(offsets.clone().map(|(_, end)| end));
                let continues = offsets.clone().zip(ends).map(|((start, _), before)| {
                    // What stands between two tokens and is no space was dropped.
                    let gap = characters.get(before as usize..start as usize).unwrap_or_default();
                    let dropped = gap.iter().rev().take_while(|character| !character.is_whitespace()).count() as u32;
                    let begin = start - dropped;
                    begin > 0 && !is_space(begin - 1) && !is_space(start)
                });
                continues.collect()
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

impl Tokenizer {
    /// How many characters of a token's text the normalizer keeps.
    fn kept(&self, text: &str) -> u32 {
        let mut normalized = NormalizedString::from(text);
        let done = self.inner.get_normalizer().is_none_or(|normalizer| normalizer.normalize(&mut normalized).is_ok());
        let length = normalized.get().len();
        let places = (0..length).filter_map(|at| normalized.convert_offsets(Range::Normalized(at..=at)));
        let mut starts: Vec<usize> = places.map(|place| place.start).collect();
        starts.dedup();
        if done { starts.len() as u32 } else { 0 }
    }
}

#[cfg(test)]
mod tests;
