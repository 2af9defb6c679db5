//! Where a long text may be cut, so that its parts have the tokens of the whole.

use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{
    ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer as HfTokenizer,
};

/// Where words begin that know nothing of what stands before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Behind a space, or the end of a line, which are part of no word.
    BehindWhitespace,
    /// Behind a space: what stands behind the end of a line goes on with the word before it.
    BehindSpaces,
    /// Before a space, which is part of the word behind it. `prefixed`: the library takes the first of a text for one
    /// that it has added itself.
    BeforeSpaces { prefixed: bool },
}

impl Cut {
    /// Those of BERT, `XLM-RoBERTa` and `RoBERTa`; `None` for others.
    pub fn of(tokenizer: &HfTokenizer) -> Option<Self> {
        let spaced = |token: &str| token.contains(char::is_whitespace);
        let added = tokenizer.get_added_tokens_decoder();
        // Such a token takes spaces, and so what is behind a cut.
        let greedy = added.values().any(|token| {
            spaced(&token.content) || token.rstrip || (token.lstrip && token.content.starts_with(char::is_alphanumeric))
        });
        if greedy {
            return None;
        }
        let (normalizer, splitter) = (tokenizer.get_normalizer(), tokenizer.get_pre_tokenizer());
        match (tokenizer.get_model(), normalizer, splitter) {
            (
                ModelWrapper::WordPiece(_),
                Some(NormalizerWrapper::BertNormalizer(_)),
                Some(PreTokenizerWrapper::BertPreTokenizer(_)),
            ) => Some(Self::BehindWhitespace),
            (
                ModelWrapper::Unigram(_),
                None | Some(NormalizerWrapper::Precompiled(_)),
                Some(PreTokenizerWrapper::Sequence(steps)),
            ) => is_by_words(steps.as_ref()).then_some(Self::BehindSpaces),
            (ModelWrapper::BPE(_), None, Some(PreTokenizerWrapper::ByteLevel(words))) if words.use_regex => {
                let prefixed = match tokenizer.get_post_processor() {
                    None | Some(PostProcessorWrapper::Template(_) | PostProcessorWrapper::Bert(_)) => false,
                    Some(PostProcessorWrapper::Roberta(ends)) => ends.trim_offsets && ends.add_prefix_space,
                    Some(_) => return None,
                };
                Some(Self::BeforeSpaces { prefixed })
            }
            _ => None,
        }
    }

    /// The first place from so many bytes on.
    pub fn first(self, text: &str, bytes: usize) -> Option<usize> {
        let from = text.ceil_char_boundary(bytes.max(1));
        let behind = &text[from..];
        let mut places =
            behind.char_indices().zip(behind.chars().skip(1)).map(|((at, one), next)| (from + at, one, next));
        match self {
            Self::BehindWhitespace | Self::BehindSpaces => {
                let parts = |one: char| one == ' ' || (one == '\n' && self == Self::BehindWhitespace);
                places.find(|(_, one, next)| parts(*one) && next.is_alphanumeric()).map(|(at, ..)| at + 1)
            }
            Self::BeforeSpaces { .. } => {
                let is_word = |at: usize| text[..at].ends_with(char::is_alphanumeric);
                places.find(|(at, one, next)| *one == ' ' && next.is_alphanumeric() && is_word(*at)).map(|(at, ..)| at)
            }
        }
    }
}

/// Whether spaces part words first, and each then begins with the mark of a word, or none does.
fn is_by_words(steps: &[PreTokenizerWrapper]) -> bool {
    let [PreTokenizerWrapper::WhitespaceSplit(_), PreTokenizerWrapper::Metaspace(words)] = steps else { return false };
    words.prepend_scheme != PrependScheme::First
}
