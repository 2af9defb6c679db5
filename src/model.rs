//! The model: a directory in Hugging Face layout, a tokenizer, and a session of ONNX Runtime.
//!
//! It knows nothing of Kafka.

pub mod fetch;
pub mod layout;
pub mod location;
mod manifest;
pub mod runtime;
mod session;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use manifest::{Head, HeadKind, Manifest};
pub use session::Session;

use crate::config;
use crate::tokenize::Tokenizer;

/// What one head gives for one document: shape `[labels]` for a text head, `[tokens, labels]` for a token head, row by
/// row.
pub type Logits = Vec<f32>;

/// Something that turns token ids into logits. It is the seam between the pipeline and ONNX Runtime.
pub trait Infer: Send {
    /// Runs a batch; gives for each document the logits of each head, in the order of the manifest.
    ///
    /// # Errors
    /// When the batch can't be run. None of its documents is tagged then.
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>>;
}

/// Which model made the tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Its name, from the manifest.
    pub name: Arc<str>,
    /// A hash of its files: SHA-256, the first 16 hexadecimal digits.
    pub version: Arc<str>,
}

/// A loaded model, but for its session: what may be shared by all threads.
#[derive(Debug)]
pub struct Model {
    /// Name and version.
    pub identity: Identity,
    /// Its heads.
    pub heads: Vec<Head>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

impl Model {
    /// Loads the directory, checks that its parts fit together, and warms the session up.
    ///
    /// # Errors
    /// When a file is missing, broken, or does not fit the others.
    pub fn load(config: &config::Model) -> Result<(Arc<Self>, Session)> {
        let directory = &config.path;
        ensure!(directory.is_dir(), "model.path: {} is not a directory", directory.display());
        let manifest = Manifest::load(directory)?;
        let positions = manifest.max_position_embeddings;
        ensure!(
            config.max_tokens <= positions,
            "model.max_tokens is {}, but {} has only {positions} positions",
            config.max_tokens,
            manifest.name
        );
        let tokenizer = Tokenizer::load(&directory.join("tokenizer.json"), config.max_tokens)?;
        let file = directory.join("model.onnx");
        let mut session = Session::open(&file, &manifest.heads, config.device)
            .with_context(|| format!("{}: can't be used", file.display()))?;
        let probe = tokenizer.encode("warm-up").map_err(|rejection| anyhow::anyhow!(rejection.message))?;
        session.infer(&[&probe.ids]).with_context(|| format!("{}: the warm-up failed", file.display()))?;
        let identity = Identity { name: manifest.name.into(), version: version(directory)?.into() };
        Ok((Arc::new(Self { identity, heads: manifest.heads, tokenizer }), session))
    }
}

/// The hash of the files that decide what the tags are.
fn version(directory: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for name in ["config.json", "heads.json", "model.onnx", "tokenizer.json"] {
        let file = directory.join(name);
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        hash.update(name);
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}
