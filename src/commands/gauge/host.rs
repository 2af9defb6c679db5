//! What a document costs beside the models: processor time of one core.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::{Documents, encode, envelope, spread, thread_time};
use crate::codec::decode::Decoder;
use crate::codec::enriched::Assembler;
use crate::config::Config;
use crate::record::budget::Budget;
use crate::tagger::gather::run_alone;
use crate::tagger::taggers::Taggers;

/// Seconds of a core for a document.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Host {
    /// To decode and tokenize it.
    pub prepare: f64,
    /// To make tags of logits, and the enriched record.
    pub assemble: f64,
}

/// Of so many documents at most, the tags are made: they have to be run first.
const ASSEMBLED: usize = 32;

impl Host {
    /// Measures it on documents from the whole of the sample, each step for no longer than `time`.
    ///
    /// # Errors
    /// When a model fails.
    pub fn measure(config: &Config, taggers: &Arc<Taggers>, documents: &Documents, time: Duration) -> Result<Self> {
        let (decoder, budget) = (Decoder::new(config)?, Budget::new(u64::MAX));
        let at = |number: usize| envelope(&documents.values[number], number, &budget);
        let (started, mut prepared, mut spent) = (Instant::now(), 0, 0.0);
        for number in shuffled(documents.len()) {
            let envelope = at(number);
            let before = thread_time();
            let work = encode(&decoder, taggers, &envelope.record);
            spent += thread_time() - before;
            drop(work);
            prepared += 1;
            if started.elapsed() > time {
                break;
            }
        }
        let prepare = spent / f64::from(prepared.max(1));

        let (started, mut tagged) = (Instant::now(), Vec::new());
        for number in spread(documents.len(), ASSEMBLED.min(documents.len()), 0.5) {
            let envelope = at(number);
            let Ok(mut work) = encode(&decoder, taggers, &envelope.record) else { continue };
            run_alone(&mut work)?;
            let document = work.document.clone();
            tagged.push((work, envelope.map(|()| document)));
            if started.elapsed() > time {
                break;
            }
        }
        let (started, mut count, before) = (Instant::now(), 0, thread_time());
        let assembler = Assembler::new(config);
        for (work, envelope) in tagged.iter().cycle().take(1000) {
            std::hint::black_box(assembler.assemble(envelope, &work.answer()));
            count += 1;
            if started.elapsed() > time {
                break;
            }
        }
        let assemble = (thread_time() - before) / f64::from(count.max(1));
        Ok(Self { prepare, assemble })
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.prepare + self.assemble
    }
}

/// All places once, such that the first few are spread over all: so a measurement that ends early is of all kinds.
fn shuffled(length: usize) -> impl Iterator<Item = usize> {
    let mut places: Vec<usize> = (0..length).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut places);
    places.into_iter()
}
