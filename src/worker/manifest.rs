//! What a bounded run did, for who has to prove it later: `tagbert run --manifest FILE`, `tagbert manifest verify FILE`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::codec::account::Account;
use crate::config::{Config, Delivery};
use crate::kafka::tally::Part;
use crate::lake::place::Place;
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
    /// Whether it still ran when this was written, the last time. Of a worker that was killed, this stays.
    pub state: State,
    /// When this was written: at its end, if it has ended.
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
    /// Where they went if there were `routes`: all topics that they could go to.
    #[serde(default)]
    pub routes: Vec<String>,
    /// Where dead letters went.
    pub dead_letters: String,
    /// The hash (SHA-256) of the configuration as `tagbert check` prints it, secrets masked.
    pub configuration: String,
    /// The models that were loaded at the start.
    pub models: Vec<Identity>,
    /// What was asked for, whatever was done of it before.
    pub range: Range,
    /// What the job was, when this worker began: what the group had left.
    pub job: Vec<Part>,
    /// What this worker did of it.
    pub done: Vec<Part>,
    /// How much came of what.
    pub records: Account,
}

/// How far a worker was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It had not ended.
    Running,
    /// It had.
    Ended,
}

/// What a job was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// What `--from` said.
    pub from: Option<String>,
    /// What `--to` said.
    pub to: Option<String>,
    /// Which offsets those are; without `--from`, those that the group had left.
    pub parts: Vec<Part>,
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

/// The topics that results may go to, where not all go to `output.topic`.
fn routes(config: &Config) -> Vec<String> {
    let all = if config.routes.is_empty() { Vec::new() } else { config.output_topics() };
    all.into_iter().map(ToOwned::to_owned).collect()
}

impl Manifest {
    /// The topics that results may have gone to.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        if self.routes.is_empty() { std::slice::from_ref(&self.output) } else { &self.routes }
    }

    /// Of a run that begins now.
    #[must_use]
    pub fn begin(config: &Config, models: Vec<Identity>, range: Range, job: Vec<Part>) -> Self {
        let now = Timestamp::now();
        Self {
            manifest: 1,
            software: Software {
                tagbert: env!("CARGO_PKG_VERSION").into(),
                librdkafka: rdkafka::util::get_rdkafka_version().1,
                onnxruntime: runtime::version().unwrap_or_else(|_| "unknown".into()),
            },
            started: now,
            state: State::Running,
            finished: now,
            failure: None,
            group: config.kafka.group.clone(),
            delivery: config.delivery,
            output: config.output.topic.clone(),
            routes: routes(config),
            dead_letters: config.output.dead_letters.clone(),
            configuration: hex::encode(Sha256::digest(config.masked())),
            models,
            range,
            job,
            done: Vec::new(),
            records: Account::default(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When there is none, or it is of another form.
    pub fn read(place: &Place) -> Result<Self> {
        let text = place.wait(place.read())?.with_context(|| format!("{place}: there is none"))?;
        let manifest: Self = serde_json::from_slice(&text).with_context(|| format!("{place} is no manifest"))?;
        anyhow::ensure!(manifest.manifest == 1, "{place}: a manifest of version {}", manifest.manifest);
        Ok(manifest)
    }

    /// Writes it for the first time, where there is nothing yet.
    ///
    /// # Errors
    /// When there is something, or the file can't be written.
    pub fn create(&self, place: &Place) -> io::Result<()> {
        let Some(path) = place.on_disk() else {
            let is_new = place.wait(place.create(self.text().into())).map_err(io::Error::other)?;
            return if is_new { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) };
        };
        File::create_new(path)?;
        self.write(place)
    }

    /// Writes it over what is there, whole or not at all.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, place: &Place) -> io::Result<()> {
        let Some(path) = place.on_disk() else {
            return place.wait(place.write(self.text().into())).map_err(io::Error::other);
        };
        let mut name = path.clone().into_os_string();
        name.push(".part");
        let part = Path::new(&name);
        let mut file = File::create(part)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(part, path)
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
