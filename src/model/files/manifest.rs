//! What a model is and what its outputs mean: Hugging Face's `config.json`, and `heads.json` for several heads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::json::read;
use super::labels::{LabelKeys, Labels};
use super::layout::{CONFIG, HEADS, TOKENIZER_CONFIG};
use super::token_label::TokenLabel;

/// What is known of a model before it is run.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its name: that of `heads.json`, or of its directory.
    pub name: String,
    /// Its architecture, such as `distilbert`.
    pub model_type: String,
    /// The classes of `transformers` that it is of, such as `DistilBertForTokenClassification`.
    pub architectures: Vec<String>,
    /// Its heads.
    pub heads: Vec<Head>,
    /// The longest input that it has positions for, special tokens included.
    pub max_tokens: usize,
    /// The id of the padding token.
    pub pad: u32,
    /// How many tokens its embedding is said to have rows for.
    pub vocabulary: Option<usize>,
    /// A line for what was taken from where.
    pub taken: Vec<String>,
    /// A line for what a file says in vain.
    pub unheeded: Vec<String>,
}

/// One output of the graph, and what it means.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its name.
    pub name: Arc<str>,
    /// The name of the ONNX output; without it, the graph has only one, or one named `logits`.
    pub output: Option<String>,
    /// The labels, in the order of the logits.
    pub labels: Vec<Arc<str>>,
    /// What it says.
    pub task: Task,
    /// What logits are divided by before they become scores (Guo et al. 2017).
    pub temperature: f32,
    /// Least scores, by label or entity type.
    pub thresholds: BTreeMap<Arc<str>, f32>,
}

/// What a head says of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// One of its labels: logits of shape `[batch, labels]`, softmax.
    SingleLabel,
    /// Any number of them: shape `[batch, labels]`, sigmoid.
    MultiLabel,
    /// A number: shape `[batch, 1]`, as it is.
    Regression,
    /// The label of each token: shape `[batch, tokens, labels]`, softmax.
    Tokens(Vec<TokenLabel>),
}

impl Head {
    /// True when it labels each token, false when the document.
    #[must_use]
    pub fn is_by_token(&self) -> bool {
        matches!(self.task, Task::Tokens(_))
    }

    /// The entity type that a token label stands for.
    #[must_use]
    pub fn entity_type(&self, label: &str) -> Option<&Arc<str>> {
        let Task::Tokens(labels) = &self.task else { return None };
        let index = self.labels.iter().position(|known| **known == *label)?;
        labels[index].entity_type.as_ref()
    }

    /// The labels as users know them: entity types, for a token head.
    #[must_use]
    pub fn names(&self) -> Vec<&Arc<str>> {
        match &self.task {
            Task::Tokens(labels) => {
                let mut types: Vec<_> = labels.iter().filter_map(|label| label.entity_type.as_ref()).collect();
                types.sort_unstable();
                types.dedup();
                types
            }
            _ => self.labels.iter().collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadsFile {
    name: String,
    heads: Vec<HeadEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadEntry {
    name: Arc<str>,
    kind: HeadKind,
    output: String,
    labels: Vec<Arc<str>>,
    problem_type: Option<ProblemType>,
    temperature: Option<f32>,
    #[serde(default)]
    thresholds: BTreeMap<Arc<str>, f32>,
}

/// What a head classifies, in Hugging Face's words.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HeadKind {
    TextClassification,
    TokenClassification,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProblemType {
    SingleLabelClassification,
    MultiLabelClassification,
    Regression,
}

#[derive(Deserialize)]
struct ConfigFile {
    model_type: String,
    architectures: Option<Vec<String>>,
    max_position_embeddings: Option<usize>,
    pad_token_id: Option<u32>,
    problem_type: Option<serde_json::Value>,
    vocab_size: Option<usize>,
    #[serde(flatten)]
    labels: LabelKeys,
}

/// The encoders whose exports take the inputs that tagbert feeds. Those of the second kind count positions from the
/// padding token's on (`RoBERTa`'s `create_position_ids_from_input_ids`), so the first ones are never used.
const FROM_ZERO: [&str; 4] = ["distilbert", "bert", "electra", "albert"];
const FROM_PADDING: [&str; 3] = ["roberta", "xlm-roberta", "camembert"];

/// More than any of these encoders has. (The warm-up runs on as many.)
const MOST_POSITIONS: usize = 1 << 16;

impl Manifest {
    /// Reads what describes the directory's model, which is called `name` unless it says another name.
    ///
    /// # Errors
    /// When a file is missing or makes no sense, or the model is none that tagbert can run.
    pub fn load(directory: &Path, name: String) -> Result<Self> {
        let file = directory.join(CONFIG);
        ensure!(file.exists(), "{}: it is not there; `save_pretrained` of `transformers` writes it", file.display());
        let config: ConfigFile = read(&file)?;
        let model_type = config.model_type.clone();
        let (pad, unused) = if FROM_PADDING.contains(&model_type.as_str()) {
            let pad = config.pad_token_id.unwrap_or(1);
            (pad, pad as usize + 1)
        } else if FROM_ZERO.contains(&model_type.as_str()) {
            (config.pad_token_id.unwrap_or(0), 0)
        } else {
            let known = [&FROM_ZERO[..], &FROM_PADDING].concat().join(", ");
            bail!("{}: model_type is `{model_type}`; supported are {known}", file.display());
        };
        let positions = config.max_position_embeddings.unwrap_or(512).saturating_sub(unused);
        ensure!(
            positions <= MOST_POSITIONS,
            "{}: max_position_embeddings is {positions}; supported are {MOST_POSITIONS} at most",
            file.display()
        );
        let heads = directory.join(HEADS);
        let mut notes = Notes::default();
        let (name, heads) = if heads.exists() {
            let entries: HeadsFile = read(&heads)?;
            let checked = checked(entries.heads).with_context(|| heads.display().to_string())?;
            ensure!(!entries.name.is_empty(), "{}: `name` is empty", heads.display());
            notes.taken.push("labels: heads.json".into());
            (entries.name, checked)
        } else {
            let head = config.head(&name, &mut notes).with_context(|| file.display().to_string())?;
            (name, vec![head])
        };
        let limit = tokenizer_limit(directory)?;
        let max_tokens = positions.min(limit);
        ensure!(max_tokens >= 8, "{}: it has positions for only {max_tokens} tokens", file.display());
        notes.taken.push(format!(
            "at most {max_tokens} tokens: {}",
            if limit < positions {
                "tokenizer_config.json: model_max_length"
            } else {
                "config.json: max_position_embeddings"
            }
        ));
        let Notes { taken, unheeded } = notes;
        let (architectures, vocabulary) = (config.architectures.unwrap_or_default(), config.vocab_size);
        Ok(Self { name, model_type, architectures, heads, max_tokens, pad, vocabulary, taken, unheeded })
    }
}

/// What was taken from where, and what is said in vain.
#[derive(Default)]
struct Notes {
    taken: Vec<String>,
    unheeded: Vec<String>,
}

impl ConfigFile {
    /// The one head that an export of `transformers` has.
    fn head(&self, name: &str, notes: &mut Notes) -> Result<Head> {
        let architectures = self.architectures.as_deref().unwrap_or_default();
        let ends_with = |end: &str| architectures.iter().any(|architecture| architecture.ends_with(end));
        let tokens = ends_with("ForTokenClassification");
        if !tokens && !ends_with("ForSequenceClassification") {
            let found = architectures.join(", ");
            bail!(
                "architectures is [{found}]; a tagger is a …ForSequenceClassification or a …ForTokenClassification (or \
                 has a heads.json)"
            );
        }
        let Labels { names: labels, source, unheeded } = self.labels.read()?;
        notes.taken.push(format!("{} labels: config.json: {source}", labels.len()));
        notes.unheeded.extend(unheeded);
        // As `TextClassificationPipeline` chooses: one logit is a yes or no unless it says that it is a number.
        let task = match self.problem_type(notes) {
            _ if tokens => Task::Tokens(TokenLabel::all(&labels)),
            Some(ProblemType::Regression) => Task::Regression,
            Some(ProblemType::MultiLabelClassification) => Task::MultiLabel,
            _ if labels.len() == 1 => Task::MultiLabel,
            _ => Task::SingleLabel,
        };
        let one = labels.len() == 1;
        ensure!(task != Task::Regression || one, "a regression has one label, and id2label has {}", labels.len());
        Ok(Head { name: name.into(), output: None, labels, task, temperature: 1.0, thresholds: BTreeMap::new() })
    }

    /// `transformers` takes one that it does not know for none.
    fn problem_type(&self, notes: &mut Notes) -> Option<ProblemType> {
        let value = self.problem_type.as_ref().filter(|value| !value.is_null())?;
        let known = ProblemType::deserialize(value).ok();
        if known.is_none() {
            notes.unheeded.push(format!(
                "config.json says problem_type: {value}, which is none: it can be single_label_classification, \
                 multi_label_classification or regression"
            ));
        }
        known
    }
}

fn checked(entries: Vec<HeadEntry>) -> Result<Vec<Head>> {
    ensure!(!entries.is_empty(), "it names no head");
    let mut heads: Vec<Head> = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = entry.name;
        ensure!(!name.is_empty(), "it has a head with an empty name");
        ensure!(!entry.labels.is_empty(), "head `{name}` has no label");
        let twice = entry.labels.iter().enumerate().find(|(index, label)| entry.labels[..*index].contains(label));
        if let Some((_, label)) = twice {
            bail!("head `{name}` has the label `{label}` twice");
        }
        ensure!(heads.iter().all(|earlier| earlier.name != name), "two heads are named `{name}`");
        let task = match (entry.kind, entry.problem_type) {
            (HeadKind::TokenClassification, None) => Task::Tokens(TokenLabel::all(&entry.labels)),
            (HeadKind::TokenClassification, Some(_)) => bail!("head `{name}` labels tokens, so it has no problem_type"),
            (_, Some(ProblemType::Regression)) => {
                let labels = entry.labels.len();
                ensure!(labels == 1, "head `{name}` is a regression, which has one label, and it has {labels}");
                Task::Regression
            }
            // As for one logit in `config.json`: a yes or no.
            (_, None) if entry.labels.len() == 1 => Task::MultiLabel,
            (_, None | Some(ProblemType::SingleLabelClassification)) => Task::SingleLabel,
            (_, Some(ProblemType::MultiLabelClassification)) => Task::MultiLabel,
        };
        let temperature = entry.temperature.unwrap_or(1.0);
        ensure!(temperature > 0.0 && temperature.is_finite(), "head `{name}` has a temperature of {temperature}");
        let (output, thresholds) = (Some(entry.output), entry.thresholds);
        let head = Head { name, output, labels: entry.labels, task, temperature, thresholds };
        let wrong = head.thresholds.iter().find(|(_, score)| !(0.0..=1.0).contains(*score));
        if let Some((label, score)) = wrong {
            bail!("head `{}` has a threshold of {score} for `{label}`; scores are 0 to 1", head.name);
        }
        let unknown = head.thresholds.keys().find(|label| !head.names().contains(label));
        if let Some(label) = unknown {
            bail!("head `{}` has a threshold for `{label}`, which is none of its labels", head.name);
        }
        heads.push(head);
    }
    Ok(heads)
}

/// `model_max_length` of `tokenizer_config.json`; where it is not known, `transformers` writes 10³⁰.
fn tokenizer_limit(directory: &Path) -> Result<usize> {
    let file = directory.join(TOKENIZER_CONFIG);
    if !file.exists() {
        return Ok(usize::MAX);
    }
    let config: serde_json::Map<String, serde_json::Value> = read(&file)?;
    // Its name of old counts only where the new one is not there at all, be it null.
    let named = ["model_max_length", "max_len"].into_iter().find_map(|name| Some((name, config.get(name)?)));
    let Some((name, length)) = named.filter(|(_, length)| !length.is_null()) else { return Ok(usize::MAX) };
    let length = length.as_f64();
    let length = length.with_context(|| format!("{}: {name} is no number", file.display()))?;
    #[expect(clippy::cast_sign_loss, reason = "it is at least 1")]
    Ok(if (1.0..1e9).contains(&length) { length as usize } else { usize::MAX })
}
