//! What BERT's normalizer and pre-tokenizer make of each character.
//!
//! Nothing of their rules is repeated here: the library itself is asked, for a page of characters when the first of them
//! is seen. So each table is as the tokenizer's settings and the library's version of Unicode have it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokenizers::normalizer::Range;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
};

const PAGE: usize = 256;

/// A character, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Character {
    pub kind: Kind,
    length: u8,
    form: [u8; LONGEST],
}

/// Bytes of the longest form that is kept: three Hangul letters of a syllable take nine.
const LONGEST: usize = 10;

/// What a character does to the word that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A letter, a digit, …: its form goes on with the word.
    Inner,
    /// A space ends the word.
    Space,
    /// A punctuation mark or a Chinese character is a word of its own.
    Alone,
    /// A control character or an accent is removed.
    Gone,
    /// What becomes of it depends on those beside it.
    Entangled,
}

impl Character {
    const ENTANGLED: Self = Self::new(Kind::Entangled);

    const fn new(kind: Kind) -> Self {
        Self { kind, length: 0, form: [0; LONGEST] }
    }

    fn with_form(kind: Kind, form: &str) -> Option<Self> {
        let mut character = Self { length: form.len() as u8, ..Self::new(kind) };
        character.form.get_mut(..form.len())?.copy_from_slice(form.as_bytes());
        Some(character)
    }

    /// How it is spelt in the word, UTF-8.
    pub fn form(&self) -> &[u8] {
        &self.form[..self.length.into()]
    }
}

/// All characters of Unicode, as far as they have been asked for.
#[derive(Debug)]
pub(super) struct Characters {
    normalizer: BertNormalizer,
    pages: Box<[OnceLock<Box<[Character]>>]>,
}

impl Characters {
    /// Those of a normalizer. All tokenizers with its settings share them, those of a reload too: they ask for nothing anew.
    pub fn of_normalizer(normalizer: BertNormalizer) -> Arc<Self> {
        static ALL: Mutex<Vec<Arc<Characters>>> = Mutex::new(Vec::new());
        let settings = |of: &BertNormalizer| (of.clean_text, of.handle_chinese_chars, of.strip_accents, of.lowercase);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().find(|known| settings(&known.normalizer) == settings(&normalizer));
        known.cloned().unwrap_or_else(|| {
            let pages = (0..=char::MAX as usize / PAGE).map(|_| OnceLock::new()).collect();
            // There are two dozen settings at most.
            all.push(Arc::new(Self { normalizer, pages }));
            Arc::clone(&all[all.len() - 1])
        })
    }

    pub fn of(&self, character: char) -> &Character {
        let number = character as usize;
        let ask = |number| char::from_u32(number as u32).map_or(Character::ENTANGLED, |character| self.ask(character));
        let page = number / PAGE;
        &self.pages[page].get_or_init(|| (page * PAGE..(page + 1) * PAGE).map(ask).collect())[number % PAGE]
    }

    fn ask(&self, character: char) -> Character {
        // Decomposed marks are put in the order of their combining classes. Most are removed then. One that stays trades
        // places with a mark of the highest class before it, or of the lowest behind it.
        let decomposes = self.normalizer.strip_accents.unwrap_or(self.normalizer.lowercase);
        let beside = if decomposes { [("\u{345}", ""), ("", "\u{334}")] } else { [("", ""), ("", "")] };
        let [one, other] = beside.map(|(before, behind)| self.ask_between(before, character, behind));
        one.filter(|_| one == other).unwrap_or(Character::ENTANGLED)
    }

    /// What becomes of the character between two words, if that can be told apart from what becomes of them.
    fn ask_between(&self, before: &str, character: char, behind: &str) -> Option<Character> {
        let mut normalized = NormalizedString::from(format!("a{before}{character}{behind}a"));
        self.normalizer.normalize(&mut normalized).ok()?;
        let mut words = PreTokenizedString::from(normalized.clone());
        BertPreTokenizer.pre_tokenize(&mut words).ok()?;
        let from = 1 + before.len();
        let own = from..from + character.len_utf8();
        match *words.get_splits(OffsetReferential::Original, OffsetType::Byte).as_slice() {
            [("aa", ..)] => Some(Character::new(Kind::Gone)),
            [("a", ..), ("a", ..)] => Some(Character::new(Kind::Space)),
            [("a", ..), (form, place, _), ("a", ..)] if place == (own.start, own.end) => {
                Character::with_form(Kind::Alone, form)
            }
            [(word, ..)] => {
                let form = word.strip_prefix('a')?.strip_suffix('a')?;
                let place = |at| normalized.convert_offsets(Range::Normalized(at..=at));
                let is_own = (1..=form.len()).all(|at| place(at).as_ref() == Some(&own));
                is_own.then(|| Character::with_form(Kind::Inner, form))?
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokenizers_with_the_same_settings_share_what_they_have_asked_for() {
        let normalizer = |lowercase| BertNormalizer::new(true, true, None, lowercase);
        let [one, same, other] = [true, true, false].map(|lowercase| Characters::of_normalizer(normalizer(lowercase)));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert_eq!([one.of('A').form(), same.of('A').form(), other.of('A').form()], [b"a", b"a", b"A"]);
    }
}
