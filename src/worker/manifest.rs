//! What a bounded run did, for who has to prove it later: `tagbert run --manifest FILE`, `tagbert manifest verify FILE`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::codec::account::Account;
use crate::config::{Config, Delivery};
use crate::kafka::tally::Part;
use crate::model::session::runtime;
use crate::record::answer::Identity;

/// What one worker did in a bounded run. Several that share a job write one each.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Manifest")]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form: 1.
    pub manifest: u32,
    /// What did it.
    pub software: Software,
    /// When the worker was started (RFC 3339, UTC).
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started: Timestamp,
    /// When it had ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished: Timestamp,
    /// Whether the whole job was done then, by whichever workers; else why not.
    pub failure: Option<String>,
    /// The consumer group.
    pub group: String,
    /// How results were delivered.
    pub delivery: Delivery,
    /// Where results went.
    pub output: String,
    /// Where dead letters went.
    pub dead_letters: String,
    /// The hash (SHA-256) of the configuration as `tagbert check` prints it, secrets masked.
    pub configuration: String,
    /// The models that were loaded at the start.
    pub models: Vec<Identity>,
    /// What the job was, when this worker began: what the group had left.
    pub job: Vec<Part>,
    /// What this worker did of it.
    pub done: Vec<Part>,
    /// How much came of what.
    pub records: Account,
}

/// What did it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// The version of tagbert.
    pub tagbert: String,
    /// The version of librdkafka.
    pub librdkafka: String,
    /// The version of ONNX Runtime.
    pub onnxruntime: String,
}

impl Manifest {
    /// Of a run that begins now.
    #[must_use]
    pub fn begin(config: &Config, models: Vec<Identity>, job: Vec<Part>) -> Self {
        let now = Timestamp::now();
        Self {
            manifest: 1,
            software: Software {
                tagbert: env!("CARGO_PKG_VERSION").into(),
                librdkafka: rdkafka::util::get_rdkafka_version().1,
                onnxruntime: runtime::version().unwrap_or_else(|_| "unknown".into()),
            },
            started: now,
            finished: now,
            failure: None,
            group: config.kafka.group.clone(),
            delivery: config.delivery,
            output: config.output.topic.clone(),
            dead_letters: config.output.dead_letters.clone(),
            configuration: hex::encode(Sha256::digest(config.masked())),
            models,
            job,
            done: Vec::new(),
            records: Account::default(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When there is none, or it is of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        let manifest: Self =
            serde_json::from_slice(&text).with_context(|| format!("{} is no manifest", path.display()))?;
        anyhow::ensure!(manifest.manifest == 1, "{}: a manifest of version {}", path.display(), manifest.manifest);
        Ok(manifest)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = Path::new(&name);
        let write = || {
            let mut file = File::create(part)?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            anyhow::Ok(fs::rename(part, path)?)
        };
        write().with_context(|| format!("the manifest can't be written to {}", path.display()))
    }
}
