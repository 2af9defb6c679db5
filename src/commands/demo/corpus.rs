//! The documents of the demo: mails, news and messages with their true labels.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::config::installed;

/// Of each of the demo's topics.
pub(super) const PARTITIONS: usize = 4;

/// Documents in the order in which they are streamed.
pub(super) struct Corpus {
    pub documents: Vec<Document>,
}

/// A document and what is known of it.
pub(super) struct Document {
    /// The record's value.
    pub json: String,
    pub truth: Truth,
}

/// The corpus' own labels. The model does not see them.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Truth {
    source: Option<String>,
    pub topic: Option<String>,
    pub spam: Option<String>,
    split: Option<String>,
}

impl Truth {
    /// True for what is no document, but a short message.
    pub(super) fn is_message(&self) -> bool {
        self.source.as_deref() == Some("messages")
    }

    /// True when neither the document nor a near-duplicate of it was in the training data.
    pub(super) fn is_held_out(&self) -> bool {
        self.split.as_deref() == Some("test")
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    corpus: Truth,
}

/// The corpus that `make demo` fetches; without it, the messages that a release has.
pub(super) fn at_hand() -> PathBuf {
    const FETCHED: &str = ".cache/corpus/demo.jsonl";
    let of_the_release = installed::find(Path::new("corpus/demo.jsonl"));
    if of_the_release.exists() && !Path::new(FETCHED).exists() { of_the_release } else { FETCHED.into() }
}

impl Corpus {
    /// Reads the first `limit` lines.
    pub(super) fn read(path: &Path, limit: usize) -> Result<Self> {
        let file =
            File::open(path).with_context(|| format!("{}: run `make demo`, which fetches it", path.display()))?;
        let mut documents = Vec::new();
        for (number, json) in BufReader::new(file).lines().take(limit).enumerate() {
            let json = json.with_context(|| path.display().to_string())?;
            let line: Line =
                serde_json::from_str(&json).with_context(|| format!("{}: line {}", path.display(), number + 1))?;
            documents.push(Document { json, truth: line.corpus });
        }
        ensure!(!documents.is_empty(), "{} holds no document", path.display());
        Ok(Self { documents })
    }
}

/// The partition of the document with this number.
pub(super) fn partition_of(number: usize) -> usize {
    number % PARTITIONS
}
