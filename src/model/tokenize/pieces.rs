//! Texts without a place to cut, such as 300,000 Chinese characters, by byte-level BPE: in pieces, with the tokens of the
//! whole.
//!
//! A sequence of tokens is what BPE makes of a text if that is true of each two neighbours (van Antwerpen & Neubeck 2024).
//! So two pieces may be put together where the last token of one and the first of the next stay the same side by side.

use tokenizers::{Model as _, ModelWrapper, PreTokenizerWrapper};

use super::cut::Cut;
use super::{Encoded, Tokenizer};
use crate::record::rejection::Rejection;

/// So many tokens at the end of a piece are made anew: they know nothing of what follows.
const ANEW: usize = 16;

/// Letters beside a border: contractions such as 're are taken apart before BPE sees them.
const LETTERS: usize = 4;

/// Borders that are tried, further and further to the left.
const ATTEMPTS: usize = 32;

impl Tokenizer {
    /// Whether texts can be put together of pieces: as `RoBERTa` does it, and nothing else.
    pub(super) fn has_pieces(&self) -> bool {
        let plain = match self.inner.get_model() {
            ModelWrapper::BPE(model) => model.dropout.is_none() && !model.ignore_merges,
            _ => false,
        };
        let prefixed = self.inner.get_pre_tokenizer().is_none_or(|splitter| match splitter {
            PreTokenizerWrapper::ByteLevel(words) => words.add_prefix_space,
            _ => true,
        });
        plain && !prefixed && self.cut == Some(Cut::BeforeSpaces { prefixed: false })
    }

    /// Tokenizes a text that has so many characters before it, in pieces of about so many bytes.
    pub(super) fn encode_pieces(&self, text: &str, before: u32, bytes: usize) -> Result<Encoded, Rejection> {
        let (mut all, mut rest, mut before) = (Encoded::default(), text, before);
        while rest.len() > 2 * bytes {
            let piece = &rest[..rest.ceil_char_boundary(bytes)];
            let mut encoded = self.encode_part(piece, before)?;
            self.join(&all, &mut encoded);
            let Some((tokens, length)) = self.border(rest, &encoded, before) else { break };
            before = encoded.places[tokens].start;
            rest = &rest[length..];
            encoded.ids.truncate(tokens);
            encoded.places.truncate(tokens);
            all.ids.append(&mut encoded.ids);
            all.places.append(&mut encoded.places);
        }
        let mut encoded = self.encode_part(rest, before)?;
        self.join(&all, &mut encoded);
        all.ids.append(&mut encoded.ids);
        all.places.append(&mut encoded.places);
        Ok(all)
    }

    /// A border stands between letters, so what is behind it goes on with the word before it: a character's first token, and
    /// those of its other bytes.
    fn join(&self, all: &Encoded, next: &mut Encoded) {
        let Some(start) = next.places.first().map(|place| place.start).filter(|_| !all.ids.is_empty()) else { return };
        for (id, place) in next.ids.iter().zip(&mut next.places).take_while(|(_, place)| place.start == start) {
            place.continues = Some(*id) != self.unknown;
        }
    }

    /// How many tokens of a piece stay whatever follows, and their bytes.
    pub(super) fn border(&self, text: &str, piece: &Encoded, before: u32) -> Option<(usize, usize)> {
        let places = &piece.places;
        let starts: Vec<usize> = text.char_indices().map(|(byte, _)| byte).take(last_end(piece, before)).collect();
        let whole = |tokens: &usize| places[*tokens].start >= places[*tokens - 1].end;
        let candidates = (1..places.len().saturating_sub(ANEW)).rev().filter(whole).take(ATTEMPTS);
        let mut bordered = candidates.filter_map(|tokens| {
            let byte = *starts.get((places[tokens].start - before) as usize)?;
            self.is_between_letters(text, byte).then_some((tokens, byte))
        });
        bordered.find(|(tokens, _)| self.stay_apart(piece.ids[*tokens - 1], piece.ids[*tokens]))
    }

    /// Whether only letters are near, and no added token stands across.
    fn is_between_letters(&self, text: &str, at: usize) -> bool {
        let (left, right) = text.split_at(at);
        let letters = |beside: &mut dyn Iterator<Item = char>| {
            let near: Vec<char> = beside.take(LETTERS).collect();
            near.len() == LETTERS && near.iter().all(|one| one.is_alphabetic())
        };
        let across = |token: &str| {
            let from = text.floor_char_boundary(at.saturating_sub(token.len()));
            let to = text.ceil_char_boundary(at + token.len());
            text[from..to].contains(token)
        };
        letters(&mut left.chars().rev())
            && letters(&mut right.chars())
            && !self.inner.get_added_tokens_decoder().values().any(|token| across(&token.content))
    }

    /// Whether BPE makes these two tokens of what they are made of.
    fn stay_apart(&self, one: u32, next: u32) -> bool {
        let (Some(left), Some(right)) = (self.token(one), self.token(next)) else { return false };
        let both = self.inner.get_model().tokenize(&(left + &right));
        both.is_ok_and(|tokens| tokens.iter().map(|token| token.id).eq([one, next]))
    }
}

/// Characters up to the end of a piece's last token.
fn last_end(piece: &Encoded, before: u32) -> usize {
    piece.places.last().map_or(0, |place| (place.end - before) as usize)
}
