//! What tags: one model, or a list of taggers, each of which takes from `model` what it does not say itself.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::refuse;
use super::kinds::{Size, TimeOrOff};
use super::location::Location;
use super::mistakes::Mistakes;
use super::{Config, ConfigError, Device, TaggerSettings, layers, template};

/// The model. With `taggers`, what all of them share.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// A directory in Hugging Face layout, `hf://OWNER/NAME[@REVISION]`, `s3://BUCKET/PREFIX` or `https://HOST/PATH`.
    #[schemars(with = "String")]
    pub path: Location,
    /// Which of its ONNX files: `fp32`, `fp16`, `int8` or a file's name. Without it, `model.onnx`, or what there is.
    #[schemars(example = &"int8")]
    pub variant: Option<String>,
    /// `auto` (CUDA if it is there, else CPU), `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`.
    #[schemars(with = "String")]
    pub device: Device,
    /// How many batches it runs at once, each in a session of its own. Without it, one for each core, 4 at most; 1 on a
    /// GPU.
    #[schemars(example = 2)]
    pub sessions: Option<NonZeroUsize>,
    /// Cores for each session: more of them make one batch quicker, and all together slower. Without it, its share.
    #[schemars(example = 2)]
    pub threads: Option<NonZeroUsize>,
    /// The most memory of a GPU that a model takes beside its weights, such as `8GiB`; without it, as much as batches
    /// need. It is that of each session.
    #[schemars(with = "Option<Size>", example = &"8GiB")]
    pub gpu_memory: Option<ByteSize>,
    /// The most tokens that the model is fed at once, special ones included. Without it, as many as it has positions for.
    #[schemars(example = 256)]
    pub max_tokens: Option<NonZeroUsize>,
    /// Whether a document's tags must be the same whatever else is in its batch. It matters for graphs with dynamic int8
    /// alone, which are then run one row a batch, and slower: all others are so anyway.
    pub consistent: bool,
    /// What is done with documents that are longer.
    pub long_documents: LongDocuments,
    /// Tokens of a window, special ones included; without it, `max_tokens`.
    #[schemars(example = 256)]
    pub window: Option<NonZeroUsize>,
    /// Tokens that a window shares with the one before it; without it, an eighth of the window.
    #[schemars(example = 32)]
    pub stride: Option<usize>,
    /// How the windows' class scores become the document's.
    pub window_scores: WindowScores,
    /// How token labels become entities.
    pub aggregation: Aggregation,
    /// Least scores, by label or entity type: a class below its own becomes null, an entity is left out. They replace
    /// those that the model brings.
    #[schemars(example = serde_json::json!({"spam": 0.9}))]
    pub thresholds: BTreeMap<String, f32>,
    /// How often the files of models in directories are looked at: once changed, and then unchanged for as long, they
    /// are loaded. `off` leaves that to SIGHUP and `POST /models/reload`.
    #[serde(deserialize_with = "layers::interval", serialize_with = "humantime_serde::serialize")]
    #[schemars(with = "TimeOrOff")]
    pub watch: Duration,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            path: Location::Directory("models/tagbert-small".into()),
            variant: None,
            device: Device::Auto,
            sessions: None,
            threads: None,
            gpu_memory: None,
            max_tokens: None,
            consistent: false,
            long_documents: LongDocuments::default(),
            window: None,
            stride: None,
            window_scores: WindowScores::default(),
            aggregation: Aggregation::default(),
            thresholds: BTreeMap::new(),
            watch: Duration::from_secs(5),
        }
    }
}

/// A second model that is tried on the same documents, and publishes nothing.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// As `model.path`, in whose place it is. Where there are `taggers`, those are tried that use `model`.
    #[schemars(with = "String")]
    pub path: Location,
    /// As `model.variant`.
    #[serde(default)]
    #[schemars(example = &"int8")]
    pub variant: Option<String>,
    /// The share of the documents that it is tried on, up to 1. The same documents each time.
    #[serde(default = "Shadow::usual_sample")]
    pub sample: f64,
}

impl Shadow {
    fn usual_sample() -> f64 {
        0.1
    }
}

/// What is done with documents that are longer than `max_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LongDocuments {
    /// They are tagged in windows that overlap.
    #[default]
    Windows,
    /// Only their beginning is tagged.
    Truncate,
}

/// How class scores of several windows become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WindowScores {
    /// The mean of each label's scores.
    #[default]
    Mean,
    /// The highest of each label's scores (of exclusive labels: scaled to a sum of 1).
    Max,
    /// Those of the first window.
    First,
}

/// How token labels become entities: the `aggregation_strategy` of `transformers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Each token that is not `O` is an entity of its own.
    None,
    /// Neighbouring tokens of one type are an entity; it may begin or end within a word.
    Simple,
    /// A word has the label of its first token.
    #[default]
    First,
    /// A word has the best label by the mean of its tokens' scores.
    Average,
    /// A word has the label of its surest token.
    Max,
}

/// One of several taggers. What it leaves out is as in `model` and `input`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tagger {
    /// Its name, and its tag's. (Those of a model with several heads have the heads' names, unless `head` picks one.)
    #[schemars(example = &"people")]
    pub name: String,
    /// Its model, if it is not `model`. Taggers of the same model and texts run it once.
    #[serde(default)]
    pub model: TaggerModel,
    /// The one head to use of a model that has several.
    #[serde(default)]
    #[schemars(example = &"spam")]
    pub head: Option<String>,
    /// JSON pointers to the texts that it reads, or templates, instead of `input.text`.
    #[serde(default, deserialize_with = "template::some_list")]
    #[schemars(example = ["/title"])]
    pub text: Option<Vec<String>>,
    /// The labels (or entity types) to keep; without it, all. A best label that is not kept becomes null.
    #[serde(default, deserialize_with = "layers::some_list")]
    #[schemars(example = ["PER", "ORG"])]
    pub labels: Option<Vec<String>>,
    /// As in `model`.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f32>,
    /// As in `model`.
    #[serde(default)]
    pub aggregation: Option<Aggregation>,
    /// As in `model`.
    #[serde(default)]
    pub long_documents: Option<LongDocuments>,
    /// As in `model`.
    #[serde(default)]
    #[schemars(example = 256)]
    pub window: Option<NonZeroUsize>,
    /// As in `model`.
    #[serde(default)]
    #[schemars(example = 32)]
    pub stride: Option<usize>,
    /// As in `model`.
    #[serde(default)]
    pub window_scores: Option<WindowScores>,
}

/// Which model a tagger uses.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaggerModel {
    /// As in `model`.
    #[schemars(with = "Option<String>")]
    pub path: Option<Location>,
    /// As in `model`, but that of `model` is for its path alone.
    #[schemars(example = &"int8")]
    pub variant: Option<String>,
    /// As in `model`.
    #[schemars(with = "Option<String>")]
    pub device: Option<Device>,
    /// As in `model`.
    #[schemars(example = 256)]
    pub max_tokens: Option<NonZeroUsize>,
    /// As in `model`.
    pub consistent: Option<bool>,
}

impl Config {
    pub(super) fn validate_shadow(&self) -> Result<(), ConfigError> {
        let (Some(shadow), Some(config)) = (&self.shadow, self.of_shadow()) else { return Ok(()) };
        if !(shadow.sample > 0.0 && shadow.sample <= 1.0) {
            return refuse("shadow.sample", "must be more than 0, and 1 at most");
        }
        if config.taggers.is_empty() && !self.taggers.is_empty() {
            return refuse("shadow.path", "is to replace `model.path`, which no tagger uses");
        }
        Ok(())
    }

    pub(super) fn validate_taggers(&self, mistakes: &mut Mistakes) {
        for (n, tagger) in self.taggers.iter().enumerate() {
            mistakes.check(&["taggers"], self.validate_tagger(n, tagger));
        }
        if !self.model.watch.is_zero() && self.model.watch < Duration::from_millis(100) {
            mistakes.check(&["model.watch"], refuse("model.watch", "must be 100ms or more, or `off`"));
        }
        if self.model.gpu_memory.is_some_and(|memory| memory.as_u64() == 0) {
            let why = "must be more than 0; without it, there is no limit";
            mistakes.check(&["model.gpu_memory"], refuse("model.gpu_memory", why));
        }
        for (n, settings) in self.taggers().iter().enumerate() {
            let key = settings.name.as_ref().map_or("model".into(), |_| format!("taggers[{n}]"));
            mistakes.check(&["model", "taggers"], settings.validate(&key));
        }
    }

    fn validate_tagger(&self, n: usize, tagger: &Tagger) -> Result<(), ConfigError> {
        let name = &tagger.name;
        if name.is_empty() {
            return refuse(&format!("taggers[{n}].name"), "is empty");
        }
        if self.taggers[..n].iter().any(|earlier| earlier.name == *name) {
            return refuse(&format!("taggers[{n}].name"), format!("is `{name}` again: no two taggers have one name"));
        }
        if tagger.text.as_ref().is_some_and(Vec::is_empty) {
            return refuse(&format!("taggers[{n}].text"), "names no field");
        }
        Ok(())
    }
}

impl TaggerSettings {
    /// What is wrong with the settings of the tagger at this key.
    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        let of = self.name.as_ref().map(|name| format!(" (of `{name}`)")).unwrap_or_default();
        let length = self.windows.window.or(self.model.max_tokens);
        if length.is_some_and(|length| length.get() < 8) {
            return refuse(key, format!("has a `window` or `max_tokens` under 8{of}"));
        }
        if let (Some(window), Some(most)) = (self.windows.window, self.model.max_tokens)
            && window > most
        {
            return refuse(key, format!("has a `window` of {window}, longer than its `max_tokens`, {most}{of}"));
        }
        let wrong = self.thresholds.iter().find(|(_, score)| !(0.0..=1.0).contains(*score));
        if let Some((label, score)) = wrong {
            return refuse(key, format!("has a threshold of {score} for `{label}`; scores are 0 to 1{of}"));
        }
        if self.labels.as_ref().is_some_and(Vec::is_empty) {
            return refuse(key, format!("has `labels` that keep nothing{of}"));
        }
        Ok(())
    }
}
