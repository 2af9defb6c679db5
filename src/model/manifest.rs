//! `config.json` (Hugging Face's) and `heads.json` (ours): what the model is, and what its outputs mean.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is known of a model before it is run.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its heads.
    pub heads: Vec<Head>,
    /// The longest input that it has positions for.
    pub max_position_embeddings: usize,
}

/// One output of the graph, and what it means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The tag's name in the enriched record.
    pub name: Arc<str>,
    /// What it classifies.
    pub kind: HeadKind,
    /// The name of the ONNX output.
    pub output: String,
    /// The labels, in the order of the logits.
    pub labels: Vec<Arc<str>>,
}

/// What a head classifies, in Hugging Face's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// The document as a whole: logits of shape `[batch, labels]`.
    TextClassification,
    /// Each token, in BIO form: logits of shape `[batch, tokens, labels]`.
    TokenClassification,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadsFile {
    name: String,
    heads: Vec<Head>,
}

#[derive(Deserialize)]
struct ConfigFile {
    model_type: String,
    max_position_embeddings: usize,
}

impl Manifest {
    /// Reads both files of the directory.
    ///
    /// # Errors
    /// When one is missing or makes no sense.
    pub fn load(directory: &Path) -> Result<Self> {
        let config: ConfigFile = read(&directory.join("config.json"))?;
        if config.model_type != "distilbert" {
            bail!("{}: model_type is `{}`; only `distilbert` is supported", directory.display(), config.model_type);
        }
        let heads: HeadsFile = read(&directory.join("heads.json"))?;
        ensure!(!heads.heads.is_empty(), "{}: heads.json names no head", directory.display());
        for (index, head) in heads.heads.iter().enumerate() {
            let name = &head.name;
            ensure!(!head.labels.is_empty(), "{}: heads.json: head `{name}` has no label", directory.display());
            let twice = heads.heads[..index].iter().any(|earlier| earlier.name == *name);
            ensure!(!twice, "{}: heads.json: two heads are named `{name}`", directory.display());
        }
        Ok(Self { name: heads.name, heads: heads.heads, max_position_embeddings: config.max_position_embeddings })
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}
