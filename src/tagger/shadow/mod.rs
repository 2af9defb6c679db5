//! The shadow: a second model, tried on a sample of the documents beside the line. It publishes nothing.
//!
//! Documents come here once they are tagged. A queue that is full drops them: the line never waits for the shadow, and
//! whatever happens to it stays here (G-26).

mod compare;
mod instruments;
mod loading;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use opentelemetry::metrics::Meter;
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::compare::{Comparison, Difference, Shown};
use self::instruments::Instruments;
pub use self::loading::{load, vet};
use self::loading::{lower_priority, pairs};
use super::gather::run_alone_while;
use super::taggers::Taggers;
use crate::config::Config;
use crate::record::answer::{Answer, Given, Identity};
use crate::record::document::Document;
use crate::record::envelope::Origin;
use crate::record::text::Text;

/// So many documents may wait.
const DOCUMENTS: usize = 256;
/// So many bytes of them.
const BYTES: usize = 8 << 20;
/// What a document costs beside its texts.
const OVERHEAD: usize = 1024;
/// How often the thread looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// The second model and what is known of it.
#[derive(Debug)]
pub struct Shadow {
    queue: Sender<Sample>,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    /// Which of the line's texts its own are.
    texts: Vec<usize>,
    sample: f64,
    /// Bytes that wait.
    waiting: AtomicUsize,
    dropped: AtomicU64,
    stop: AtomicBool,
    state: Mutex<State>,
    counted: Instruments,
}

/// The two models that are compared, and what came of it so far.
#[derive(Debug)]
struct State {
    /// Which load of the taggers.
    primary: u64,
    primary_models: Vec<Identity>,
    taggers: Arc<Taggers>,
    /// The name of the shadow's tag, by the name of the tag that it is compared with.
    pairs: HashMap<Arc<str>, Arc<str>>,
    compared: u64,
    failed: u64,
    tags: Comparison,
}

/// A document that the line has tagged.
#[derive(Debug)]
struct Sample {
    load: u64,
    texts: Vec<Option<Text>>,
    tags: Vec<Given>,
    size: usize,
}

/// What `GET /shadow` says.
#[derive(Debug, Serialize)]
pub struct Report {
    model: Option<Identity>,
    compared_with: Vec<Identity>,
    sample: f64,
    compared: u64,
    dropped: u64,
    failed: u64,
    tags: Shown,
}

impl Shadow {
    /// Loads the configuration's shadow, if it has one, and starts its thread.
    ///
    /// # Errors
    /// When it can't be used, or gives no tag that could be compared.
    pub fn start(
        config: &Config,
        primary: &Arc<Taggers>,
        meter: &Meter,
    ) -> Result<Option<(Arc<Self>, JoinHandle<()>)>> {
        let (Some(settings), Some(of_shadow)) = (&config.shadow, config.of_shadow()) else { return Ok(None) };
        let all = config.texts();
        let texts = of_shadow.texts().iter().filter_map(|text| all.iter().position(|one| one == text)).collect();
        let taggers = load(&of_shadow, primary)?;
        for model in taggers.models() {
            tracing::info!("shadow: {model}, for a share of {} of the documents", settings.sample);
        }
        let (queue, samples) = bounded(DOCUMENTS);
        let inner = Arc::new(Inner {
            config: of_shadow,
            texts,
            sample: settings.sample,
            waiting: AtomicUsize::default(),
            dropped: AtomicU64::default(),
            stop: AtomicBool::default(),
            state: Mutex::new(State::new(primary, taggers)),
            counted: Instruments::new(meter),
        });
        let run = {
            let inner = Arc::clone(&inner);
            move || inner.run(&samples)
        };
        let thread = thread::Builder::new().name("shadow".into()).spawn(run).context("a thread can't be started")?;
        Ok(Some((Arc::new(Self { queue, inner }), thread)))
    }

    /// Shows it a document that the line has tagged, be it from the cache, since its share is one of all documents. Never
    /// waits: where too many do already, the document is dropped.
    pub fn offer(&self, origin: &Origin, document: &Document, answer: &Answer) {
        let Inner { texts, sample, waiting, dropped, counted, .. } = &*self.inner;
        if !is_sampled(origin, *sample) {
            return;
        }
        let texts = || texts.iter().map(|&text| &document.texts[text]);
        let bytes: usize = texts().flatten().map(|text| text.as_str().len()).sum();
        if bytes == 0 {
            return;
        }
        // Twice: entities have their text, too.
        let size = 2 * bytes + OVERHEAD;
        let room = waiting.fetch_add(size, Ordering::AcqRel) + size <= BYTES;
        let queued = room
            && self
                .queue
                .try_send(Sample {
                    load: answer.load,
                    texts: texts().cloned().collect(),
                    tags: answer.tags.clone(),
                    size,
                })
                .is_ok();
        if !queued {
            waiting.fetch_sub(size, Ordering::AcqRel);
            dropped.fetch_add(1, Ordering::Relaxed);
            counted.dropped.add(1, &[]);
        }
    }

    /// The taggers in use.
    #[must_use]
    pub fn taggers(&self) -> Arc<Taggers> {
        Arc::clone(&self.inner.state().taggers)
    }

    /// Loads it anew, to be compared with `primary`.
    ///
    /// # Errors
    /// As for [`Shadow::start`].
    pub fn load(&self, primary: &Taggers) -> Result<Arc<Taggers>> {
        load(&self.inner.config, primary)
    }

    /// Compares these from now on, and forgets what came of others.
    pub fn replace(&self, primary: &Arc<Taggers>, taggers: Arc<Taggers>) {
        if pairs(primary, &taggers).is_empty() {
            tracing::warn!("shadow: the new model gives none of its tags, so there is nothing to compare");
        }
        *self.inner.state() = State::new(primary, taggers);
        self.inner.dropped.store(0, Ordering::Relaxed);
    }

    /// What is known so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = self.inner.state();
        Report {
            model: state.taggers.models().first().map(|&model| model.clone()),
            compared_with: state.primary_models.clone(),
            sample: self.inner.sample,
            compared: state.compared,
            dropped: self.inner.dropped.load(Ordering::Relaxed),
            failed: state.failed,
            tags: state.tags.shown(),
        }
    }

    /// Ends its thread as soon as it is between two runs of the model.
    pub fn stop(&self) {
        self.inner.stop.store(true, Ordering::Release);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn run(&self, samples: &Receiver<Sample>) {
        lower_priority();
        while !self.is_stopped() {
            match samples.recv_timeout(TICK) {
                Ok(sample) => {
                    let size = sample.size;
                    self.try_on(sample);
                    self.waiting.fetch_sub(size, Ordering::AcqRel);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn try_on(&self, Sample { load, texts, tags, .. }: Sample) {
        let (taggers, pairs) = {
            let state = self.state();
            // What a replaced model said is no longer of interest.
            if load != state.primary {
                return;
            }
            (Arc::clone(&state.taggers), state.pairs.clone())
        };
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let mut work = taggers.encode(Document::unnamed(texts))?;
            run_alone_while(&mut work, || !self.is_stopped())?;
            let its: HashMap<_, _> = work.tags().into_iter().collect();
            let difference = |Given { name, tag, .. }: Given| {
                let other = its.get(pairs.get(&name)?)?;
                Some((name, Difference::of(&tag, other)))
            };
            Ok(tags.into_iter().filter_map(difference).collect::<Vec<_>>())
        }));
        let tried = tried.unwrap_or_else(|_| Err(anyhow!("it panicked")));
        let mut state = self.state();
        if !Arc::ptr_eq(&taggers, &state.taggers) || self.is_stopped() {
            return;
        }
        match tried {
            Ok(differences) => {
                state.compared += 1;
                for (name, difference) in differences {
                    state.tags.add(&name, &difference);
                    self.counted.count(&name, &difference);
                }
            }
            Err(error) => {
                state.failed += 1;
                self.counted.failed.add(1, &[]);
                // The first, and ever fewer of those that follow.
                if state.failed.is_power_of_two() {
                    tracing::warn!("shadow: it failed on a document ({} so far): {error:#}", state.failed);
                }
            }
        }
    }
}

impl State {
    fn new(primary: &Arc<Taggers>, taggers: Arc<Taggers>) -> Self {
        Self {
            primary: primary.load,
            primary_models: primary.models().into_iter().cloned().collect(),
            pairs: pairs(primary, &taggers),
            taggers,
            compared: 0,
            failed: 0,
            tags: Comparison::default(),
        }
    }
}

/// Whether a document is one of the share that is tried: always the same ones, whoever asks.
fn is_sampled(origin: &Origin, share: f64) -> bool {
    let place = format!("{}/{}/{}", origin.topic, origin.partition, origin.offset);
    let hash = Sha256::digest(place);
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    f64::from(number) < share * (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
