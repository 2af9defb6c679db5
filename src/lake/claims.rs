//! Who works on which file, without anybody to ask: a claim is a file that only one can create.
//!
//! Its owner renews it for as long as it works. One that is not renewed any more, or whose owner on this machine is gone, counts
//! for nothing: whoever sees that makes the next claim, with the next number. Should the owner wake up after all, both write the
//! same file, whole, and the last one stays.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::place::Place;

/// A claim that has not been renewed for so long is nobody's.
pub const LEASE: Duration = Duration::from_secs(30);

/// The claims of this process.
pub struct Claims {
    root: Place,
    owner: Owner,
    held: Arc<Mutex<HashSet<Path>>>,
    /// Others' claims as they were when they were seen to change last.
    seen: HashMap<Path, (Stamp, Instant)>,
    renewing: JoinHandle<()>,
}

/// What changes when a claim is renewed.
type Stamp = (Option<String>, i64);

/// Who has made a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Owner {
    id: Uuid,
    /// The start of this machine, and the process as it is called there.
    machine: Option<String>,
    process: u32,
    /// When the process was started, in the kernel's ticks: numbers come again.
    since: Option<String>,
    /// How often it was renewed.
    renewed: u64,
}

impl Claims {
    /// Claims below a directory, which are renewed on the runtime.
    pub fn new(root: Place, runtime: &Handle) -> Self {
        let owner = Owner {
            id: Uuid::new_v4(),
            machine: machine(),
            process: std::process::id(),
            since: started(std::process::id()),
            renewed: 0,
        };
        let held = Arc::<Mutex<HashSet<Path>>>::default();
        let (mut mine, held_here, place) = (owner.clone(), Arc::clone(&held), root.clone());
        let renewing = runtime.spawn(async move {
            loop {
                tokio::time::sleep(LEASE / 4).await;
                mine.renewed += 1;
                let held: Vec<_> = held_here.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
                // One that takes long must not hold up the others.
                let renew = |path| {
                    let (claim, bytes) = (place.at(path), mine.bytes());
                    async move { tokio::time::timeout(LEASE / 4, claim.write(bytes)).await }
                };
                for renewed in join_all(held.into_iter().map(renew)).await {
                    match renewed {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::warn!("a claim can't be renewed: {error:#}"),
                        Err(_) => tracing::warn!("a claim can't be renewed: no answer"),
                    }
                }
            }
        });
        Self { root, owner, held, seen: HashMap::new(), renewing }
    }

    /// Takes a file for this process, unless another one works on it.
    ///
    /// # Errors
    /// When the store refuses what that needs.
    pub async fn take(&mut self, relative: &str) -> Result<bool> {
        let directory = self.root.below(relative);
        let claims: Vec<_> = directory.list().await?;
        let last = claims
            .into_iter()
            .filter_map(|meta| Some((number(&directory.path, &meta.location)?, meta)))
            .max_by_key(|(number, _)| *number);
        let next = match last {
            None => 1,
            Some((number, meta)) if self.is_over(&meta).await? => number + 1,
            Some(_) => return Ok(false),
        };
        let claim = directory.below(&format!("{next}.json"));
        let is_ours = claim.create(self.owner.bytes()).await.context("what keeps others from the file")?;
        if is_ours {
            self.held().insert(claim.path);
        }
        Ok(is_ours)
    }

    /// Whether its owner has given a claim up, as far as can be known by now.
    async fn is_over(&mut self, claim: &ObjectMeta) -> Result<bool> {
        let stamp = (claim.e_tag.clone(), claim.last_modified.timestamp_micros());
        let now = Instant::now();
        let (known, since) = self.seen.entry(claim.location.clone()).or_insert_with(|| (stamp.clone(), now));
        if *known != stamp {
            (*known, *since) = (stamp, now);
        }
        if since.elapsed() > LEASE {
            return Ok(true);
        }
        let owner = self
            .root
            .at(claim.location.clone())
            .read()
            .await?
            .and_then(|bytes| serde_json::from_slice::<Owner>(&bytes).ok());
        Ok(owner.is_some_and(|owner| owner.is_gone(&self.owner)))
    }

    /// Gives a file back. Once it is done, all claims to it go.
    ///
    /// # Errors
    /// When the store refuses what that needs.
    pub async fn release(&self, relative: &str, is_done: bool) -> Result<()> {
        let directory = self.root.below(relative);
        for claim in directory.list().await? {
            if number(&directory.path, &claim.location).is_none() {
                continue;
            }
            if !self.held().remove(&claim.location) && !is_done {
                continue;
            }
            self.root.at(claim.location).remove().await?;
        }
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashSet<Path>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Owner {
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// True if that process can be seen to be no more: it was one of this machine.
    fn is_gone(&self, me: &Self) -> bool {
        let is_here = self.machine.is_some() && self.machine == me.machine;
        is_here && (self.process == me.process && self.id != me.id || started(self.process) != self.since)
    }
}

/// What tells this machine, and the processes that it can see, from all others.
fn machine() -> Option<String> {
    // Where processes of others can't be seen, nothing is known of them.
    fs::metadata("/proc/1/stat").ok()?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.display()))
}

/// When a process was started; none if there is none, or it has ended.
fn started(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind its name, which may hold anything: its state, and 19 numbers on, when it was started.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    fields.nth(18).filter(|_| !is_dead).map(ToOwned::to_owned)
}

/// The number of a claim of this directory; below it, there may be those of other files.
fn number(directory: &Path, claim: &Path) -> Option<u64> {
    let mut parts = claim.prefix_match(directory)?;
    let number = parts.next()?.as_ref().strip_suffix(".json")?.parse().ok();
    number.filter(|_| parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn place(folder: &tempfile::TempDir) -> Place {
        Place::parse(&folder.path().display().to_string()).unwrap()
    }

    #[tokio::test]
    async fn only_one_has_a_file_until_it_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Handle::current();
        let [mut one, mut other] = [0, 1].map(|_| Claims::new(place(&folder), &runtime));
        // Two of one process are two here, as if they were of different machines.
        other.owner.machine = Some("another".into());
        assert!(one.take("dt=1/a b.csv").await.unwrap());
        assert!(!other.take("dt=1/a b.csv").await.unwrap());
        assert!(!one.take("dt=1/a b.csv").await.unwrap());
        assert!(other.take("dt=1/c.csv").await.unwrap());
        one.release("dt=1/a b.csv", true).await.unwrap();
        assert!(other.take("dt=1/a b.csv").await.unwrap());
    }

    #[tokio::test]
    async fn what_a_process_had_that_is_no_more_is_free_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut claims = Claims::new(place(&folder), &Handle::current());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let owner =
            Owner { id: Uuid::new_v4(), process: child.id(), since: started(child.id()), ..claims.owner.clone() };
        let file = folder.path().join("a.csv/1.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, owner.bytes()).unwrap();
        assert!(!claims.take("a.csv").await.unwrap(), "it lives");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(claims.take("a.csv").await.unwrap());
    }

    #[tokio::test]
    async fn one_that_is_not_renewed_is_free_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let [mut away, mut here] = [0, 1].map(|_| Claims::new(place(&folder), &Handle::current()));
        away.owner.machine = Some("another".into());
        assert!(away.take("a.csv").await.unwrap());
        assert!(!here.take("a.csv").await.unwrap());
        for (_, since) in here.seen.values_mut() {
            *since -= LEASE;
        }
        assert!(here.take("a.csv").await.unwrap());
        assert!(!away.take("a.csv").await.unwrap(), "its successor has it");
    }
}
