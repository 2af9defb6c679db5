//! What is done, beside the results: a job's own note, and one for each file.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::place::{Found, Place};
use crate::codec::account::{Account, Checksum};
use crate::record::answer::Identity;

/// The directory with the notes; with such a name, no reader takes it for data.
pub const DIRECTORY: &str = "_tagbert";

/// What makes the results what they are. Another job needs another output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The version of this form: 1.
    pub enrich: u32,
    /// The models.
    pub models: Vec<Identity>,
    /// The hash (SHA-256) of the settings that the tags depend on, and of how they are written.
    pub settings: String,
}

/// A file that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The hash (SHA-256) of the job that did it.
    pub job: String,
    /// The file that was read, and as it was then.
    pub input: Input,
    /// When it was done.
    pub finished: Timestamp,
    /// The size of the file that was written.
    pub bytes: u64,
    /// How much came of what.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its path below what was asked for.
    pub path: String,
    /// Where it is.
    pub source: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written.
    pub modified: Timestamp,
    /// What its store says of its content.
    pub e_tag: Option<String>,
}

/// How much came of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of the file.
    pub rows: u64,
    /// Those with tags.
    pub tagged: u64,
    /// Those without text, which have no tags.
    pub without_text: u64,
    /// Those that could not be tagged, and are in the file of rejected rows instead.
    pub rejected: u64,
    /// How often each label was given, by tag.
    pub labels: BTreeMap<String, BTreeMap<String, u64>>,
    /// As in the manifest of a bounded run: of the rows' numbers and their tags.
    pub checksum: Checksum,
}

impl Input {
    pub fn of(Found { relative, place, meta, .. }: &Found) -> Self {
        let modified = Timestamp::from_microsecond(meta.last_modified.timestamp_micros()).unwrap_or_default();
        // Some stores quote it in one answer and not in another.
        let e_tag = meta.e_tag.as_ref().map(|tag| tag.trim_matches('"').to_owned());
        Self { path: relative.clone(), source: place.source(), bytes: meta.size, modified, e_tag }
    }

    /// Whether nothing says that it has changed.
    fn is_as(&self, then: &Self) -> bool {
        let is_same = match (&self.e_tag, &then.e_tag) {
            (Some(now), Some(then)) => now == then,
            // A server that tells neither time nor content has told nothing.
            _ => self.modified == then.modified && self.modified != Timestamp::UNIX_EPOCH,
        };
        is_same && self.bytes == then.bytes
    }
}

impl Counts {
    /// Counts a row that was tagged.
    pub fn tagged(&mut self, row: u64, enriched: &[u8]) {
        let mut account =
            Account { labels: std::mem::take(&mut self.labels), checksum: self.checksum, ..Account::default() };
        account.enriched(&row.to_string(), enriched);
        (self.labels, self.checksum) = (account.labels, account.checksum);
        self.rows += 1;
        self.tagged += 1;
    }
}

impl Job {
    /// The hash by which files know their job.
    fn hash(&self) -> Result<String> {
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(self)?)))
    }
}

/// The notes of a job.
pub struct Book {
    output: Place,
    root: Place,
    job: String,
}

impl Book {
    /// Opens the notes of the job; the first process begins them.
    ///
    /// # Errors
    /// When they are those of another job.
    pub async fn open(output: &Place, job: &Job) -> Result<Self> {
        let root = output.below(DIRECTORY);
        let note = root.below("job.json");
        let book = Self { output: output.clone(), root: root.clone(), job: job.hash()? };
        if note.create(serde_json::to_vec_pretty(job)?).await? {
            return Ok(book);
        }
        let known = note.read().await?.context("a job's note that is gone")?;
        let known: Job = serde_json::from_slice(&known).with_context(|| format!("{note} is no job's note"))?;
        if known != *job && root.below("done").list().await?.is_empty() {
            // Of a job that has come to nothing, there is nothing that could be mixed up.
            note.write(serde_json::to_vec_pretty(job)?).await?;
            return Ok(book);
        }
        if known.models != job.models {
            let models = |job: &Job| job.models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bail!(
                "{output} has results of {}, and this would be {}: give another --output",
                models(&known),
                models(job)
            );
        }
        if known != *job {
            bail!("{output} has results with other settings (texts, taggers or columns): give another --output");
        }
        Ok(book)
    }

    /// The hash of the job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Where claims are.
    pub fn claims(&self) -> Place {
        self.root.below("claims")
    }

    /// Where files are until they are whole.
    pub fn scratch(&self) -> Place {
        self.root.below("scratch")
    }

    /// Where the rows are that could not be tagged.
    pub fn rejected(&self, relative: &str) -> Place {
        self.all_rejected().below(&format!("{relative}.jsonl"))
    }

    /// Where those of all files are.
    pub fn all_rejected(&self) -> Place {
        self.root.below("rejected")
    }

    fn note(&self, relative: &str) -> Place {
        self.root.below("done").below(&format!("{relative}.json"))
    }

    /// What was done of a file, if it is still the same.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn done(&self, input: &Input) -> Result<Option<Done>> {
        let note = self.note(&input.path);
        let Some(bytes) = note.read().await? else { return Ok(None) };
        let done = serde_json::from_slice(&bytes).inspect_err(|error| {
            tracing::warn!("{note} is no note of a file, which is done again: {error}");
        });
        let Ok(done) = done else { return Ok(None) };
        let done: Done = done;
        ensure!(done.job == self.job, "{note} is of another job: give another --output");
        if !input.is_as(&done.input) {
            let (one, other) = (&done.input.source, &input.source);
            ensure!(
                one == other,
                "{} is of {one}, and would be of {other}: give another --output",
                self.output.below(&input.path)
            );
            return Ok(None);
        }
        // Somebody may have removed it.
        let there = self.output.below(&input.path).find().await?;
        Ok(there.filter(|there| there.size == done.bytes).map(|_| done))
    }

    /// Writes down that a file is done, and as what.
    ///
    /// # Errors
    /// When that can't be written.
    pub async fn write(&self, done: &Done) -> Result<()> {
        self.note(&done.input.path).write(serde_json::to_vec_pretty(done)?).await
    }

    /// Writes the sum of all files down.
    ///
    /// # Errors
    /// When that can't be written.
    pub async fn close(&self, job: &Job, files: &[Done]) -> Result<()> {
        // Those that other runs of the job have done are a part of it.
        let known: HashSet<Path> = files.iter().map(|done| self.note(&done.input.path).path).collect();
        let mut files = files.to_vec();
        for note in self.root.below("done").list().await? {
            if !known.contains(&note.location)
                && let Some(bytes) = self.root.at(note.location).read().await?
                && let Ok(done) = serde_json::from_slice(&bytes)
            {
                files.push(done);
            }
        }
        files.sort_by(|one, other| one.input.path.cmp(&other.input.path));
        let files = &files[..];
        let manifest = serde_json::json!({ "job": job, "total": total(files), "files": files });
        self.root.below("manifest.json").write(serde_json::to_vec_pretty(&manifest)?).await?;
        let claims = self.claims();
        let is_done: HashSet<&str> = files.iter().map(|done| done.input.path.as_str()).collect();
        let mut others_work = false;
        for claim in claims.list().await? {
            let parts = claim.location.prefix_match(&claims.path).into_iter().flatten();
            let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
            let file = parts[..parts.len().saturating_sub(1)].join("/");
            if is_done.contains(file.as_str()) {
                let _ = claims.store.delete(&claim.location).await;
            } else {
                others_work = true;
            }
        }
        if others_work {
            return Ok(());
        }
        // What processes have left that were killed.
        let scratch = self.scratch();
        for left in scratch.list().await? {
            let _ = scratch.store.delete(&left.location).await;
        }
        Ok(())
    }
}

/// The sum of several.
pub fn total<'d>(files: impl IntoIterator<Item = &'d Done>) -> Counts {
    let mut total = Counts::default();
    for Done { counts, .. } in files {
        total.rows += counts.rows;
        total.tagged += counts.tagged;
        total.without_text += counts.without_text;
        total.rejected += counts.rejected;
        for (tag, labels) in &counts.labels {
            let all = total.labels.entry(tag.clone()).or_default();
            for (label, count) in labels {
                *all.entry(label.clone()).or_default() += count;
            }
        }
        total.checksum += counts.checksum;
    }
    total
}
