//! Models of the Hugging Face hub, in the cache that all of its tools share.

mod watch;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use hf_hub::repository::HFRepository;
use hf_hub::{HFClient, HFError, RepoTypeModel, split_id};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tracing::{info, warn};
use url::Url;

use self::watch::Watch;
use super::route::Route;
use super::{Fetched, Settings, quietly, redact};
use crate::model::files::layout::{CONFIG, SIDE_FILES, find_graph, graphs, no_graph, weights};
use crate::model::files::version::add_content;

/// How often a file is tried whose transfer broke off, or brought something else (G-55).
const ATTEMPTS: u32 = 3;

/// What may be wrong when the hub does not answer.
const ALSO: &str = ", or HF_ENDPOINT";

/// Fetches a model of the hub.
pub async fn fetch(settings: &Settings, repo: &str, revision: Option<&str>, variant: Option<&str>) -> Result<Fetched> {
    graphs(variant)?;
    let hub = Hub::new(settings, repo, revision.unwrap_or("main"))?;
    if settings.hub.offline {
        return hub.cached(variant, "HF_HUB_OFFLINE is set");
    }
    // A commit never changes, so a whole copy of it needs no question.
    if is_commit(&hub.revision)
        && let Some(commit) = hub.remembered()
        && let Ok(fetched) = hub.copy(&commit, variant)
    {
        return Ok(fetched);
    }
    let (commit, files) = match hub.files().await {
        Ok(found) => found,
        Err(Failure::Unreachable(why)) => return hub.cached(variant, &why),
        Err(Failure::Final(error)) => return Err(error),
    };
    for file in wanted(&files, variant).with_context(|| format!("revision {commit}"))? {
        hub.download(&commit, &file).await?;
    }
    if let Err(error) = hub.remember(&commit) {
        // All files are here, perhaps in an image or a volume that nobody may write to.
        warn!("{error:#}; without the network, this revision will not be found");
    }
    Ok(Fetched { directory: hub.snapshot(&commit), revision: Some(commit) })
}

/// The files to fetch, of those that the repository has. The graph is the last: where it is, all is.
fn wanted(there: &[String], variant: Option<&str>) -> Result<Vec<String>> {
    let is_there = |name: &str| there.iter().any(|file| file == name);
    ensure!(is_there(CONFIG), "it has no {CONFIG}, so it is no model");
    let candidates = graphs(variant)?;
    let graph = candidates.iter().find(|name| is_there(name));
    let graph = graph.ok_or_else(|| no_graph("the repository", variant, &candidates, there.iter().cloned()))?;
    let sides = SIDE_FILES.map(ToOwned::to_owned).into_iter().chain(weights(graph));
    Ok(sides.filter(|name| is_there(name)).chain([graph.clone()]).collect())
}

/// Why the hub has not answered as it should.
enum Failure {
    /// It can't be reached, or is out of order: a copy may do instead.
    Unreachable(String),
    /// It has answered, so a copy would hide the answer.
    Final(anyhow::Error),
}

struct Hub {
    client: HFClient,
    model: HFRepository<RepoTypeModel>,
    /// The directory of this model in the cache.
    folder: PathBuf,
    revision: String,
    /// For messages.
    host: String,
    route: Route,
    patience: Duration,
}

impl Hub {
    fn new(settings: &Settings, repo: &str, revision: &str) -> Result<Self> {
        let given = &settings.hub;
        ensure!(given.has_place, "there is no place for a copy: set HF_HOME to a directory (HOME is not set)");
        let mut builder = HFClient::builder().user_agent(concat!("tagbert/", env!("CARGO_PKG_VERSION")));
        if let Some(endpoint) = &given.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(token) = &given.token {
            builder = builder.token(token);
        }
        if let Some(cache) = &given.cache {
            builder = builder.cache_dir(cache);
        }
        let client = builder.build().map_err(|error| anyhow!("HF_ENDPOINT: {}", redact::cause(&error)))?;
        let host = Url::parse(client.endpoint()).ok().and_then(|url| url.host_str().map(str::to_owned));
        let (owner, name) = split_id(repo);
        Ok(Self {
            model: client.model(owner, name),
            folder: client.cache_dir().join(format!("models--{}", repo.replace('/', "--"))),
            revision: revision.into(),
            patience: settings.patience,
            host: host.context("HF_ENDPOINT names no host")?,
            route: Route::to(client.endpoint()),
            client,
        })
    }

    /// The commit of the revision, and its files.
    async fn files(&self) -> Result<(String, Vec<String>), Failure> {
        let request = self.model.info().revision(&*self.revision).send();
        let answer = timeout(self.patience, quietly(request)).await;
        let info = answer.map_err(|_| Failure::Unreachable(self.silent()))?.map_err(|error| self.explain(error))?;
        let files = info.siblings.unwrap_or_default().into_iter().map(|file| file.rfilename).collect();
        // It becomes a path below the cache.
        let commit = info.sha.filter(|commit| is_commit(commit));
        let commit = commit.ok_or_else(|| Failure::Final(anyhow!("{} gave no commit: is it a hub?", self.host)))?;
        Ok((commit, files))
    }

    /// Puts one file into the cache, unless it is there.
    async fn download(&self, commit: &str, name: &str) -> Result<()> {
        let place = self.snapshot(commit).join(name);
        let mut attempt = 1;
        while !place.exists() {
            match self.try_download(commit, name, &place).await {
                Err(Failure::Unreachable(why)) if attempt < ATTEMPTS => warn!("{name}: {why}; trying again"),
                Err(Failure::Unreachable(why)) => bail!("{name}: {why}"),
                Err(Failure::Final(error)) => return Err(error.context(name.to_owned())),
                Ok(()) => {}
            }
            attempt += 1;
        }
        Ok(())
    }

    async fn try_download(&self, commit: &str, name: &str, place: &Path) -> Result<(), Failure> {
        info!("fetching {name} from {}", self.host);
        let watch = Arc::new(Watch::default());
        let transfer = self.model.download_file().filename(name).revision(commit).progress(Arc::clone(&watch)).send();
        let ended = watch.until_it_stalls(self.patience, quietly(transfer)).await;
        ended.ok_or_else(|| Failure::Unreachable(self.silent()))?.map_err(|error| self.explain(error))?;
        check(place, watch.expected()).or_else(|wrong| {
            // Else it would be taken for the file from now on, by other tools, too.
            discard(place).map_err(|error| Failure::Final(anyhow!("{}: {error}", place.display())))?;
            Err(Failure::Unreachable(wrong.to_string()))
        })
    }

    /// The copy that the cache has, where the hub can't be asked.
    fn cached(&self, variant: Option<&str>, why: &str) -> Result<Fetched> {
        // Other tools note no commit as such.
        let commit = self.remembered().or_else(|| is_commit(&self.revision).then(|| self.revision.clone()));
        let none = || format!("{why}, and {} has no copy of revision `{}`", self.folder.display(), self.revision);
        let fetched = self.copy(&commit.with_context(none)?, variant).with_context(none)?;
        info!("{why}: taking the copy in {}", fetched.directory.display());
        Ok(fetched)
    }

    fn copy(&self, commit: &str, variant: Option<&str>) -> Result<Fetched> {
        let directory = self.snapshot(commit);
        ensure!(directory.join(CONFIG).is_file(), "{}: no {CONFIG}", directory.display());
        find_graph(&directory, variant)?;
        Ok(Fetched { directory, revision: Some(commit.into()) })
    }

    /// The commit that the revision was when last asked.
    fn remembered(&self) -> Option<String> {
        let commit = fs::read_to_string(self.reference()).ok()?.trim().to_owned();
        is_commit(&commit).then_some(commit)
    }

    /// Notes which commit the revision is, once all of its files are here.
    fn remember(&self, commit: &str) -> Result<()> {
        if self.remembered().as_deref() == Some(commit) {
            return Ok(());
        }
        let file = self.reference();
        let write = || {
            fs::create_dir_all(file.parent().unwrap_or(&self.folder))?;
            fs::write(&file, commit)
        };
        write().with_context(|| format!("{}: can't be written", file.display()))
    }

    fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(&self.revision)
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    fn silent(&self) -> String {
        let (host, seconds) = (&self.host, self.patience.as_secs());
        format!("{host} was silent for {seconds} s; {}", self.route.advice("", ALSO))
    }

    /// The library's errors in our words: its own have whole URLs.
    fn explain(&self, error: HFError) -> Failure {
        let host = &self.host;
        let (cache, revision) = (self.client.cache_dir().display(), &self.revision);
        Failure::Final(match error {
            HFError::Request { source, .. } => {
                let cause = redact::cause(&source);
                let advice = self.route.advice(&cause, ALSO);
                return Failure::Unreachable(format!("{host}: {cause}; {advice}"));
            }
            HFError::Http { context } if context.status.is_server_error() => {
                return Failure::Unreachable(format!("{host} answers {}", context.status));
            }
            HFError::RateLimited { .. } => {
                return Failure::Unreachable(format!("{host} allows no more requests now; HF_TOKEN raises its limit"));
            }
            HFError::Http { context } => anyhow!("{host} answers {}", context.status),
            HFError::AuthRequired { context } | HFError::Forbidden { context } => anyhow!(
                "{host} answers {}: there is no such model, or it needs a token: set HF_TOKEN to one that may read it",
                context.status
            ),
            HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => {
                anyhow!("{host} has no such model, or it has no revision `{revision}`")
            }
            HFError::EntryNotFound { .. } => anyhow!("{host} lists the file, but does not have it"),
            HFError::CacheLockTimeout { path } => {
                anyhow!("{}: another process holds this lock, fetching the same file", path.display())
            }
            HFError::Io(error) => {
                anyhow!("{cache}: {error}: set HF_HOME to a directory that can be written, and has room")
            }
            HFError::MalformedResponse { what, .. } => anyhow!("{host} is no hub, as it seems: {what}"),
            HFError::Xet { operation, source } => {
                let cause = redact::cause(&*source);
                return Failure::Unreachable(format!("{host}: {operation} by Xet failed: {cause}"));
            }
            other => anyhow!("{host}: {}", redact::cause(&other)),
        })
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Whether a file is what the hub said it would be: the library would keep an error page, too.
fn check(file: &Path, size: u64) -> Result<()> {
    let blob = file.canonicalize()?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    // Large files are named by their SHA-256; small ones by git's hash, for which the size has to stand in.
    if name.len() == 64 {
        ensure!(sha256(&blob)? == name.to_ascii_lowercase(), "what came does not have its hash");
    } else {
        let is = blob.metadata()?.len();
        ensure!(size == 0 || is == size, "{is} bytes came instead of {size}");
    }
    Ok(())
}

fn sha256(file: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    add_content(&mut hash, fs::File::open(file)?)?;
    Ok(hex::encode(hash.finalize()))
}

fn discard(file: &Path) -> io::Result<()> {
    fs::remove_file(file.canonicalize()?)?;
    fs::remove_file(file)
}
