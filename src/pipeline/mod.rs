//! A document's journey, from fetched to delivered. Here the stages are joined, and nowhere else.
//!
//! ```text
//! source ─▶ decode ─▶ tokenize ─▶ batch ─▶ infer ─▶ mask ─▶ route ─▶ assemble ─▶ reorder ─▶ sink
//!           └── a pool of threads ┘└─ a thread  ──┘└────────────── one thread ──────────────┘
//!                                    for each session
//! ```
//!
//! A document whose text was tagged before goes from decode to assemble; one whose text is being tagged waits for that
//! ([`cache`](crate::tagger::cache)).
//!
//! The channels between the threads have no bound of their own: all that is in them counts against one budget of bytes
//! ([`Budget`](crate::record::budget::Budget)), which the source looks at. So nothing piles up, and nothing can
//! deadlock (G-40).

mod reorder;
pub mod sink;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use self::reorder::Reorder;
use self::sink::Sink;
use crate::codec::clean::restore;
use crate::codec::decode::{Decoded, Decoder};
use crate::codec::enriched::Assembler;
use crate::codec::redact::Redactor;
use crate::config::Config;
use crate::model::session::runtime::cores;
use crate::record::answer::Answer;
use crate::record::document::Document;
use crate::record::envelope::{Envelope, Record};
use crate::record::outcome::{Outcome, Passed, Routed};
use crate::record::rejection::Rejection;
use crate::record::stop::Stop;
use crate::route::{Decision, Router};
use crate::tagger::cache::{Cache, Found};
use crate::tagger::feed::{Fed, Feed};
use crate::tagger::finished::Finished;
use crate::tagger::infer::{Ends, Runner};
use crate::tagger::live::Live;
use crate::tagger::shadow::Shadow;
use crate::tagger::taggers::Work;
use crate::telemetry::metrics::Metrics;

/// How long the sink may be left alone.
const TICK: Duration = Duration::from_millis(20);

/// So many documents may go by before the sink gets its turn.
const AT_ONCE: usize = 64;

/// How long threads may take to notice that the work is abandoned: longer than calls of the client library, three of them
/// one after the other.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running stages between source and sink.
#[derive(Debug)]
pub struct Pipeline {
    feed: Arc<Feed>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Stop>,
}

impl Pipeline {
    /// Starts the threads. A sink that fails stops the worker through `stop`. The shadow is shown what is tagged.
    ///
    /// # Errors
    /// When a route can't be used with these taggers, or the system refuses a thread.
    pub fn start<S: Sink>(
        config: &Config,
        live: &Arc<Live>,
        shadow: Option<Arc<Shadow>>,
        sink: S,
        metrics: &Arc<Metrics>,
        stop: &Arc<Stop>,
    ) -> Result<Self> {
        let router = Arc::new(Router::new(config, &live.current().kinds())?);
        let (to_prepare, to_decode) = unbounded();
        let (to_infer, mut documents) = unbounded();
        let (to_deliver, finished) = unbounded();
        let upstream = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        let mut spawn = |name: &'static str, body: Box<dyn FnOnce() + Send>| {
            let stop = Arc::clone(stop);
            // What a thread held is lost with it, and its offsets would be waited for in vain: so the worker stops
            // (G-51).
            let guarded = move || {
                if catch_unwind(AssertUnwindSafe(body)).is_err() {
                    stop.fail(anyhow!("the {name} thread panicked; this is a bug in tagbert"));
                }
            };
            threads.push(thread::Builder::new().name(name.into()).spawn(guarded).context("a thread can't be started")?);
            anyhow::Ok(())
        };

        let size = usize::try_from(config.cache.size.as_u64()).context("cache.size")?;
        let cache = (size > 0).then(|| Cache::new(size, metrics));
        let decoder = Decoder::new(config)?;
        for _ in 0..cores() {
            let prepare = Prepare {
                decoder: decoder.clone(),
                assembler: Assembler::new(config),
                live: Arc::clone(live),
                router: Arc::clone(&router),
                cache: cache.clone(),
                upstream: Arc::clone(&upstream),
                metrics: Arc::clone(metrics),
                stop: Arc::clone(stop),
                to_infer: to_infer.clone(),
                to_deliver: to_deliver.clone(),
            };
            let to_decode: Receiver<Fed> = to_decode.clone();
            spawn("prepare", Box::new(move || to_decode.iter().for_each(|fed| prepare.pass_on(fed))))?;
        }
        drop(to_infer);

        let taggers = live.current();
        let lanes = taggers.lanes.len();
        let mut here = Arc::clone(&upstream);
        for lane in 0..lanes {
            let (to_next, from_here) = unbounded();
            let at_next = Arc::new(AtomicUsize::new(0));
            let ends = Ends {
                documents: std::mem::replace(&mut documents, from_here),
                upstream: std::mem::replace(&mut here, Arc::clone(&at_next)),
                next: (lane + 1 < lanes).then_some((to_next, at_next)),
                finished: to_deliver.clone(),
            };
            let sessions = taggers.lanes[lane].model.sessions();
            let runner = Runner::new(lane, sessions, &config.batch, config.retries.clone(), ends, Arc::clone(metrics));
            let runner = Arc::new(runner);
            for _ in 0..sessions {
                let (runner, stop) = (Arc::clone(&runner), Arc::clone(stop));
                spawn("infer", Box::new(move || runner.run(&stop)))?;
            }
        }
        drop(to_deliver);

        let assembler = Assembler::new(config);
        let redactor = Redactor::new(config)?;
        let deliver = Deliver { redactor, assembler, router, shadow, metrics: Arc::clone(metrics) };
        let stops = Arc::clone(stop);
        spawn("deliver", Box::new(move || deliver.run(&finished, sink, &stops)))?;

        Ok(Self { feed: Feed::new(to_prepare, upstream), threads, stop: Arc::clone(stop) })
    }

    /// Sends a fetched record on its journey.
    pub fn feed(&self, envelope: Envelope<()>) {
        self.feed.send(envelope, false);
    }

    /// Ends the input, and waits until the threads have finished with what is left. Once the work is abandoned, a thread
    /// that hangs is not waited for.
    pub fn finish(self) {
        drop(self.feed);
        let mut deadline = None;
        while !self.threads.iter().all(JoinHandle::is_finished) {
            let now = Instant::now();
            if self.stop.is_abandoned() && now > *deadline.get_or_insert(now + PATIENCE) {
                return tracing::warn!("a thread hangs, and is left behind");
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The first stages, which need no order: decode, look up and tokenize.
struct Prepare {
    decoder: Decoder,
    /// For what has nothing to tag.
    assembler: Assembler,
    live: Arc<Live>,
    router: Arc<Router>,
    cache: Option<Arc<Cache>>,
    upstream: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    stop: Arc<Stop>,
    to_infer: Sender<Envelope<Work>>,
    to_deliver: Sender<Finished>,
}

impl Prepare {
    fn pass_on(&self, fed: Fed) {
        let Fed { envelope, .. } = &fed;
        if self.stop.is_abandoned() || envelope.origin.lease.is_over() {
            self.upstream.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let since = Instant::now();
        let prepared = self.prepare(fed);
        self.metrics.took("decode", since);
        // Before it is passed on: the model must not wait for a document that it already has.
        self.upstream.fetch_sub(1, Ordering::AcqRel);
        match prepared {
            Some(Ok(ready)) => drop(self.to_infer.send(ready)),
            Some(Err(finished)) => drop(self.to_deliver.send(finished)),
            None => {}
        }
    }

    /// Makes a document ready for the models, or finishes it without them. `None` if it waits for another's answer.
    fn prepare(&self, Fed { envelope, alone, feed }: Fed) -> Option<Result<Envelope<Work>, Finished>> {
        let document = match self.decoder.decode(&envelope.record) {
            Ok(Decoded::Document(document)) => envelope.map(|()| document),
            Ok(Decoded::Tombstone) => return Some(Err(Finished::Outcome(self.tombstone(envelope)))),
            // Whoever comes next may be able to: it stays uncommitted.
            Ok(Decoded::Unreadable(error)) => {
                self.stop.fail(anyhow!("{error:#}"));
                return None;
            }
            Err(rejection) => return Some(Err(refused(envelope.map(|()| rejection)))),
        };
        let taggers = self.live.current();
        document.permit.expect(taggers.most_for_a_byte);
        let (document, claim) = match self.cache.as_ref().filter(|_| !alone) {
            None => (document, None),
            Some(cache) => match cache.look_up(document, taggers.load, &feed) {
                Found::Unknown(document, claim) => (document, Some(claim)),
                Found::Known(mut document, answer) => {
                    document.permit.settle(document.body.size());
                    return Some(Err(Finished::Known(document, answer)));
                }
                Found::Waits => return None,
            },
        };
        let encoded = document.map(|document| taggers.encode(document)).transpose();
        Some(encoded.map_err(refused).map(|mut ready| {
            ready.permit.settle(ready.body.size());
            ready.body.claim = claim;
            ready
        }))
    }

    fn tombstone(&self, envelope: Envelope<()>) -> Outcome {
        let Some(to) = self.router.of_tombstone().cloned() else { return Outcome::Filtered(envelope) };
        let headers = self.assembler.tombstone(&self.live.current().names());
        Outcome::Tombstone(envelope.map(|()| Passed { headers, to }))
    }
}

fn refused(mut letter: Envelope<Rejection>) -> Finished {
    letter.permit.settle(0);
    Finished::Outcome(Outcome::DeadLetter(letter))
}

/// The last stages, in order: mask, route, assemble, reorder, deliver.
struct Deliver {
    redactor: Option<Redactor>,
    assembler: Assembler,
    router: Arc<Router>,
    shadow: Option<Arc<Shadow>>,
    metrics: Arc<Metrics>,
}

impl Deliver {
    fn run<S: Sink>(&self, finished: &Receiver<Finished>, mut sink: S, stop: &Stop) {
        let mut reorder = Reorder::default();
        let mut next = || -> Result<bool> {
            let first = match finished.recv_timeout(TICK) {
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
                Err(RecvTimeoutError::Timeout) => None,
                Ok(what) => Some(what),
            };
            for what in first.into_iter().chain(finished.try_iter().take(AT_ONCE)).filter(|_| !stop.is_abandoned()) {
                for outcome in self.outcomes(what) {
                    let origin = outcome.origin().clone();
                    reorder.push(&origin, outcome).into_iter().try_for_each(|outcome| sink.deliver(outcome))?;
                }
            }
            reorder.forget_lost();
            sink.tick()?;
            Ok(true)
        };
        loop {
            match next() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return stop.fail(error),
            }
        }
    }

    /// What becomes of a document, and of those that waited for its answer.
    fn outcomes(&self, finished: Finished) -> Vec<Outcome> {
        let since = Instant::now();
        match finished {
            Finished::Outcome(Outcome::DeadLetter(letter)) => vec![Outcome::DeadLetter(match &self.redactor {
                Some(redactor) => redactor.dead_letter(letter),
                None => letter,
            })],
            Finished::Outcome(Outcome::Tombstone(tombstone)) => vec![Outcome::Tombstone(match &self.redactor {
                Some(redactor) => redactor.tombstone(tombstone),
                None => tombstone,
            })],
            Finished::Outcome(outcome) => vec![outcome],
            Finished::Known(document, answer) => vec![self.result(document, &answer, since)],
            Finished::Tagged(mut tagged) => {
                let answer = Arc::new(tagged.body.answer());
                let claim = tagged.body.claim.take();
                let mut outcomes = vec![self.result(tagged.map(|work| work.document), &answer, since)];
                let waited = claim.map(|claim| claim.fulfil(&answer)).unwrap_or_default();
                outcomes.extend(waited.into_iter().map(|document| self.result(document, &answer, Instant::now())));
                outcomes
            }
        }
    }

    fn result(&self, document: Envelope<Document>, answer: &Answer, since: Instant) -> Outcome {
        // Whatever becomes of it, the shadow sees what was tagged.
        if let Some(shadow) = &self.shadow {
            shadow.offer(&document.origin, &document.body, answer);
        }
        let (document, restored) = restore(document, answer);
        let answer = restored.as_ref().unwrap_or(answer);
        let Some(redactor) = &self.redactor else { return self.routed(document, answer, None, since) };
        // From here on nobody sees what is masked, not even a rule that makes a key of it.
        let (masked, answer, came) = redactor.tagged(document, answer);
        self.routed(masked, &answer, came, since)
    }

    /// What becomes of a document; its record as it came, if dead letters are to have that in the place of the masked one.
    fn routed(
        &self,
        mut document: Envelope<Document>,
        answer: &Answer,
        mut came: Option<Box<Record>>,
        since: Instant,
    ) -> Outcome {
        let decided = self.router.decide(&answer.tags, &document.body, &document.record, &document.origin);
        let routed = decided.map(|decision| match decision {
            Decision::To(to) => {
                Some(Routed { enriched: self.assembler.assemble(&document, answer), to, came: came.take() })
            }
            Decision::Drop => None,
        });
        self.metrics.took("assemble", since);
        let mut routed = match routed {
            Ok(Some(routed)) => document.map(|_| routed),
            Ok(None) => return Outcome::Filtered(document.map(|_| ())),
            Err(rejection) => {
                document.record = came.map_or(document.record, |came| *came);
                return Outcome::DeadLetter(document.map(|_| rejection));
            }
        };
        // A dead letter of it would be the record as it came.
        if routed.body.came.is_some() {
            routed.record.value = None;
        }
        // What was answered without the model has not paid for its tags yet; who has pays twice, for a moment. The client
        // library keeps a copy for each topic.
        routed.permit.grow(routed.body.enriched.size() * routed.body.to.count());
        Outcome::Enriched(routed)
    }
}

#[cfg(test)]
mod tests;
