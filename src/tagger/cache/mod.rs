//! Nothing is tagged twice: what the taggers said of a text is kept for a while, and who has a text that is being tagged
//! waits for the answer that the other gets (G-44).
//!
//! The key is a SHA-256 of the texts and of the load of the taggers, so a new model never answers with what an old one
//! said (G-45). It is not cut: two of 10⁹ different texts have the same one with a chance of 10⁻⁵⁹, and nobody can make
//! two.
//!
//! One lock holds both, the answers and who waits. It is held for less than a microsecond a document, and so a text is
//! always either unknown, or being tagged, or known.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use hashlink::LinkedHashMap;
use sha2::{Digest, Sha256};

use super::feed::Feed;
use crate::record::answer::{Answer, Given, Identity, Secret};
use crate::record::document::Document;
use crate::record::envelope::{Envelope, Lease};
use crate::record::sync::{Mutex, MutexGuard};
use crate::record::tag::{Entity, Label, Tag};
use crate::record::text::Text;
use crate::telemetry::metrics::Metrics;

type Key = [u8; 32];

/// What an answer takes beside what it holds: its node and its slot in the table, which doubles when it is full.
const OVERHEAD: usize = 256;
/// What the allocator takes for each piece of memory, on average: it has sizes to choose from.
const PIECE: usize = 16;

/// The answers that are known, and those that are being computed.
#[derive(Debug)]
pub struct Cache {
    state: Mutex<State>,
    /// Bytes that the answers may take.
    size: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that were not asked for the longest come first, and go first.
    answers: LinkedHashMap<Key, Arc<Answer>>,
    bytes: usize,
    /// For each claim, who waits for its answer.
    waiting: HashMap<Key, Vec<Envelope<Document>>>,
}

/// What is known of a document's texts.
#[derive(Debug)]
pub(crate) enum Found {
    /// The answer.
    Known(Envelope<Document>, Arc<Answer>),
    /// Another is being tagged that has the same; the document waits there.
    Waits,
    /// Nothing. Others wait for this one from now on.
    Unknown(Envelope<Document>, Claim),
}

/// The duty to say what came of a document: its answer, or (dropped) nothing. Then those who wait go their own way
/// (G-43).
#[derive(Debug)]
pub struct Claim {
    key: Key,
    is_open: bool,
    /// Whether the document is still wanted.
    lease: Lease,
    cache: Arc<Cache>,
    feed: Arc<Feed>,
}

impl Cache {
    /// An empty one, for answers of so many bytes. The budget has those who wait.
    #[must_use]
    pub fn new(size: usize, metrics: &Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), size, metrics: Arc::clone(metrics) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a document up, among what these taggers ([`Taggers::load`](crate::tagger::taggers::Taggers::load)) have said. Should
    /// it wait in vain, it goes back through `feed`.
    pub(crate) fn look_up(self: &Arc<Self>, document: Envelope<Document>, load: u64, feed: &Arc<Feed>) -> Found {
        let key = key(load, &document.body.texts);
        let mut state = self.state();
        if let Some(waiting) = state.waiting.get_mut(&key) {
            waiting.push(document);
            return Found::Waits;
        }
        if let Some(answer) = state.answers.to_back(&key).map(|answer| Arc::clone(answer)) {
            self.metrics.cache_hits.add(1);
            return Found::Known(document, answer);
        }
        state.waiting.insert(key, Vec::new());
        self.metrics.cache_misses.add(1);
        let (lease, cache, feed) = (document.origin.lease.clone(), Arc::clone(self), Arc::clone(feed));
        Found::Unknown(document, Claim { key, is_open: true, lease, cache, feed })
    }
}

impl State {
    /// Keeps an answer; others go, as far as it needs their room (G-6).
    fn keep(&mut self, key: Key, answer: &Arc<Answer>, size: usize) {
        let needed = bytes_of(answer);
        if needed > size {
            return;
        }
        while self.bytes + needed > size
            && let Some((_, oldest)) = self.answers.pop_front()
        {
            self.bytes -= bytes_of(&oldest);
        }
        self.bytes += needed;
        if let Some(earlier) = self.answers.insert(key, Arc::clone(answer)) {
            self.bytes -= bytes_of(&earlier);
        }
    }
}

impl Claim {
    /// The answer; gives those who waited for it.
    pub(crate) fn fulfil(mut self, answer: &Arc<Answer>) -> Vec<Envelope<Document>> {
        self.is_open = false;
        let Cache { size, metrics, .. } = &*self.cache;
        let mut state = self.cache.state();
        state.keep(self.key, answer, *size);
        metrics.cache_bytes.store(state.bytes, Ordering::Relaxed);
        let waiting = state.waiting.remove(&self.key).unwrap_or_default();
        metrics.cache_joined.add(waiting.len());
        waiting
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let waiting = self.cache.state().waiting.remove(&self.key).unwrap_or_default();
        // If the document failed, all of them may. They must not do so one after the other, each for as long as retries
        // take: so they don't wait for each other again. If only its partition was lost, they may.
        let alone = !self.lease.is_over();
        for document in waiting {
            self.feed.send(document.map(|_| ()), alone);
        }
    }
}

fn key(load: u64, texts: &[Option<Text>]) -> Key {
    let mut hash = Sha256::new();
    hash.update(load.to_le_bytes());
    for text in texts.iter().map(|text| text.as_ref().map(Text::as_str)) {
        // Lengths come first, so that one text's end is never another's beginning; no text has the greatest.
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hash.update(text.unwrap_or_default());
    }
    hash.finalize().into()
}

/// Bytes that an answer takes in the cache. Names and labels are the models' own.
fn bytes_of(answer: &Answer) -> usize {
    let entity = |entity: &Entity| entity.text.capacity() + PIECE;
    let tag = |tag: &Tag| match tag {
        Tag::Number(_) => 0,
        Tag::Class(class) if class.scores.is_empty() => 0,
        Tag::Class(class) => class.scores.capacity() * size_of::<Label>() + PIECE,
        Tag::Labels(labels) => labels.capacity() * size_of::<Label>() + PIECE,
        Tag::Entities(entities) => {
            entities.capacity() * size_of::<Entity>() + PIECE + entities.iter().map(entity).sum::<usize>()
        }
    };
    let Answer { tags, absent, secrets, models, .. } = answer;
    let named = tags.capacity() * size_of::<Given>() + absent.capacity() * size_of::<Arc<str>>();
    let named = named + secrets.capacity() * size_of::<Secret>();
    let own = named + models.capacity() * size_of::<Identity>();
    OVERHEAD + size_of::<Answer>() + own + tags.iter().map(|given| tag(&given.tag)).sum::<usize>()
}

#[cfg(all(test, not(loom)))]
mod tests;
