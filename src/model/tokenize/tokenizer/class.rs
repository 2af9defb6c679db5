//! Which class of `transformers` a tokenizer is of, as `AutoTokenizer` chooses it.

use anyhow::{Result, bail};
use serde_json::Value;

use super::settings::{CONFIG, Files, JSON};

/// A class of tokenizer, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub kind: Kind,
    pub name: String,
    /// The file and key that name it.
    pub source: &'static str,
}

/// How a class builds its tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bert,
    Roberta,
    XlmRoberta,
    Camembert,
    Albert,
    /// As `tokenizer.json` says.
    AsItIs,
}

/// Without the `Fast` that names of old files end with. Several are only other names (transformers 5.23).
const CLASSES: [(&str, Kind); 16] = [
    ("BertTokenizer", Kind::Bert),
    ("DistilBertTokenizer", Kind::Bert),
    ("ElectraTokenizer", Kind::Bert),
    ("LayoutLMTokenizer", Kind::Bert),
    ("LxmertTokenizer", Kind::Bert),
    ("MobileBertTokenizer", Kind::Bert),
    ("SqueezeBertTokenizer", Kind::Bert),
    ("RobertaTokenizer", Kind::Roberta),
    ("BartTokenizer", Kind::Roberta),
    ("LongformerTokenizer", Kind::Roberta),
    ("LEDTokenizer", Kind::Roberta),
    ("XLMRobertaTokenizer", Kind::XlmRoberta),
    ("CamembertTokenizer", Kind::Camembert),
    ("AlbertTokenizer", Kind::Albert),
    ("PreTrainedTokenizer", Kind::AsItIs),
    ("TokenizersBackend", Kind::AsItIs),
];

/// The classes of models whose files name none.
const OF_MODELS: [(&str, &str); 7] = [
    ("albert", "AlbertTokenizer"),
    ("bert", "BertTokenizer"),
    ("camembert", "CamembertTokenizer"),
    ("distilbert", "BertTokenizer"),
    ("electra", "BertTokenizer"),
    ("roberta", "RobertaTokenizer"),
    ("xlm-roberta", "XLMRobertaTokenizer"),
];

impl Class {
    pub fn of(files: &Files) -> Result<Self> {
        let (name, source) = match (files.config.get("tokenizer_class"), &files.model.tokenizer_class) {
            (Some(Value::String(name)), _) => (name.as_str(), "tokenizer_config.json: tokenizer_class"),
            (None | Some(Value::Null), Some(name)) => (name.as_str(), "config.json: tokenizer_class"),
            (None | Some(Value::Null), None) => {
                let of = OF_MODELS.iter().find(|(model, _)| files.model.model_type.as_deref() == Some(model));
                (of.map_or("TokenizersBackend", |(_, name)| name), "config.json: model_type")
            }
            (Some(other), _) => bail!("{CONFIG}: tokenizer_class is {other}, and can be the name of a class"),
        };
        let known = CLASSES.iter().find(|(known, _)| *known == name.strip_suffix("Fast").unwrap_or(name));
        let Some((_, kind)) = known else {
            bail!(
                "{}: {source} is `{name}`, which tagbert does not have. It has {}. If {JSON} says all, as after \
                 `save_pretrained` of a PreTrainedTokenizerFast, write PreTrainedTokenizerFast there",
                files.directory.display(),
                CLASSES.map(|(name, _)| name).join(", ")
            );
        };
        Ok(Self { kind: *kind, name: name.into(), source })
    }
}

impl Kind {
    /// The switches of `tokenizer_config.json` that it heeds, and what they are when it does not say.
    pub fn switches(self) -> &'static [(&'static str, Option<bool>)] {
        match self {
            Self::Bert => {
                &[("do_lower_case", Some(true)), ("strip_accents", None), ("tokenize_chinese_chars", Some(true))]
            }
            Self::Roberta => &[("add_prefix_space", Some(false)), ("trim_offsets", Some(true))],
            Self::XlmRoberta | Self::Camembert => &[("add_prefix_space", Some(true))],
            Self::Albert => {
                &[("do_lower_case", Some(true)), ("keep_accents", Some(false)), ("add_prefix_space", Some(true))]
            }
            Self::AsItIs => &[],
        }
    }

    /// The special tokens that it has unless the files name others, in the order in which they are added.
    pub fn special(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bert => &[
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Albert => &[
                ("bos_token", "[CLS]"),
                ("eos_token", "[SEP]"),
                ("unk_token", "<unk>"),
                ("sep_token", "[SEP]"),
                ("pad_token", "<pad>"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Roberta | Self::XlmRoberta | Self::Camembert => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Self::AsItIs => &[],
        }
    }
}
