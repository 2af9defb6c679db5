//! What a tagger comes to when nothing is left open: what it says itself, and what it takes from `model`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::location::Location;
use super::taggers::{Aggregation, LongDocuments, Model, Shadow, Tagger, TaggerModel, WindowScores};
use super::template::{self, Piece};
use super::{Batch, Config, Device, GpuSettings, Scores};

/// A tagger with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggerSettings {
    /// Its name; the only tagger of a configuration without `taggers` has none.
    pub name: Option<String>,
    /// Its model.
    pub model: ModelSettings,
    /// How it reads long documents.
    pub windows: WindowSettings,
    /// The texts that it reads.
    pub text: Vec<String>,
    /// The head that it uses, or all.
    pub head: Option<String>,
    /// The labels that it keeps, or all.
    pub labels: Option<Vec<String>>,
    /// The least scores that differ from the model's own.
    pub thresholds: BTreeMap<String, f32>,
    /// How it makes entities.
    pub aggregation: Aggregation,
    /// How it makes one class of several windows.
    pub window_scores: WindowScores,
    /// Which scores it gives beside the best.
    pub scores: Scores,
}

/// What must be the same for two taggers to share a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Where it is.
    pub path: Location,
    /// Which of its ONNX files.
    pub variant: Option<String>,
    /// What it runs on.
    pub device: Device,
    /// How many batches at once, if that is said.
    pub sessions: Option<NonZeroUsize>,
    /// How many cores for each, if that is said.
    pub threads: Option<NonZeroUsize>,
    /// What it is prepared for, if that is a GPU.
    pub gpu: GpuSettings,
    /// The most tokens at once.
    pub max_tokens: Option<NonZeroUsize>,
    /// Whether rows run alone if they would change each other's scores.
    pub consistent: bool,
}

/// How long documents are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// In windows, or not.
    pub long_documents: LongDocuments,
    /// Tokens of a window, special ones included.
    pub window: Option<NonZeroUsize>,
    /// Tokens that neighbouring windows share.
    pub stride: Option<usize>,
}

impl Model {
    /// The settings of the tagger that has this model for its own and reads `text`.
    #[must_use]
    pub fn tagger(&self, text: &[String]) -> TaggerSettings {
        TaggerSettings {
            name: None,
            model: ModelSettings {
                path: self.path.clone(),
                variant: self.variant.clone(),
                device: self.device,
                sessions: self.sessions,
                threads: self.threads,
                gpu: GpuSettings { memory: self.gpu_memory, batch_tokens: Batch::default().tokens },
                max_tokens: self.max_tokens,
                consistent: self.consistent,
            },
            windows: WindowSettings { long_documents: self.long_documents, window: self.window, stride: self.stride },
            text: text.to_vec(),
            head: None,
            labels: None,
            thresholds: self.thresholds.clone(),
            aggregation: self.aggregation,
            window_scores: self.window_scores,
            scores: Scores::default(),
        }
    }
}

impl Config {
    /// All taggers: those of `taggers`, or the one that `model` is.
    #[must_use]
    pub fn taggers(&self) -> Vec<TaggerSettings> {
        let mut usual = self.model.tagger(&self.input.texts());
        usual.model.gpu.batch_tokens = self.batch.tokens;
        usual.scores = self.output.scores;
        if self.taggers.is_empty() {
            return vec![usual];
        }
        self.taggers.iter().map(|tagger| tagger.over(&usual)).collect()
    }

    /// The texts that taggers read, each once: JSON pointers and templates of the values of which it is joined.
    #[must_use]
    pub fn texts(&self) -> Vec<Vec<String>> {
        let mut texts: Vec<Vec<String>> = Vec::new();
        for tagger in self.taggers() {
            if !texts.contains(&tagger.text) {
                texts.push(tagger.text);
            }
        }
        texts
    }

    /// JSON pointers to the fields that the texts are joined of.
    #[must_use]
    pub fn text_fields(&self) -> Vec<String> {
        let pieces = |text: &String| template::pieces(text).unwrap_or_default();
        let texts = self.texts();
        let fields = texts.iter().flatten().flat_map(pieces).filter_map(|piece| match piece {
            Piece::Field(pointer) => Some(pointer),
            Piece::Between(_) => None,
        });
        fields.collect()
    }

    /// The configuration with the shadow's model in the place of `model`, and of the taggers those that use it; `None`
    /// without a shadow.
    #[must_use]
    pub fn of_shadow(&self) -> Option<Self> {
        let Shadow { path, variant, .. } = self.shadow.clone()?;
        // It writes nothing, so it need not find what is masked.
        let mut config = Self { shadow: None, redact: Vec::new(), ..self.clone() };
        // What a label is called for readers is no affair of a model that has none.
        config.output.labels.clear();
        let usual = &self.model;
        config.taggers.retain(|tagger| {
            let other = |of: &TaggerModel| {
                of.path.as_ref().is_some_and(|path| *path != usual.path)
                    || (of.variant.is_some() && of.variant != usual.variant)
            };
            !other(&tagger.model)
        });
        for tagger in &mut config.taggers {
            (tagger.model.path, tagger.model.variant) = (None, None);
        }
        (config.model.path, config.model.variant, config.model.max_tokens) = (path, variant, None);
        // It runs a document at a time.
        config.model.sessions = Some(NonZeroUsize::MIN);
        Some(config)
    }
}

impl Tagger {
    fn over(&self, usual: &TaggerSettings) -> TaggerSettings {
        let model = &self.model;
        let own_path = model.path.as_ref().is_some_and(|path| *path != usual.model.path);
        let usual_variant = usual.model.variant.clone().filter(|_| !own_path);
        let mut thresholds = if own_path { BTreeMap::new() } else { usual.thresholds.clone() };
        thresholds.extend(self.thresholds.clone());
        TaggerSettings {
            name: Some(self.name.clone()),
            model: ModelSettings {
                path: model.path.clone().unwrap_or_else(|| usual.model.path.clone()),
                variant: model.variant.clone().or(usual_variant),
                device: model.device.unwrap_or(usual.model.device),
                sessions: usual.model.sessions,
                threads: usual.model.threads,
                gpu: usual.model.gpu,
                max_tokens: model.max_tokens.or(usual.model.max_tokens.filter(|_| !own_path)),
                consistent: model.consistent.unwrap_or(usual.model.consistent),
            },
            windows: WindowSettings {
                long_documents: self.long_documents.unwrap_or(usual.windows.long_documents),
                window: self.window.or(usual.windows.window),
                stride: self.stride.or(usual.windows.stride),
            },
            text: self.text.clone().unwrap_or_else(|| usual.text.clone()),
            head: self.head.clone(),
            labels: self.labels.clone(),
            thresholds,
            aggregation: self.aggregation.unwrap_or(usual.aggregation),
            window_scores: self.window_scores.unwrap_or(usual.window_scores),
            scores: usual.scores,
        }
    }
}
