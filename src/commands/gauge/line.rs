//! The whole line but for Kafka: the worker's own stages, and a sink that only counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytesize::ByteSize;

use super::{envelope, per_second};
use crate::config::{Cache, Config};
use crate::pipeline::Pipeline;
use crate::pipeline::sink::Sink;
use crate::record::budget::Budget;
use crate::record::outcome::Outcome;
use crate::record::stop::Stop;
use crate::tagger::live::Live;
use crate::telemetry::metrics::Metrics;

/// What a run of the line came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// From the first document in to the last one out.
    pub elapsed: Duration,
    /// Documents that were tagged.
    pub documents: usize,
    /// Documents that a model failed on.
    pub failed: usize,
    /// Tokens, special ones included.
    pub tokens: usize,
    /// Tokens that were computed: padding included.
    pub computed: usize,
}

impl Ran {
    /// Tokens a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per_second(self.tokens, self.elapsed)
    }
}

/// Sends the documents through the line, as fast as it takes them.
///
/// # Errors
/// When the line stops by itself: the model is broken.
pub fn run<'a>(config: &Config, live: &Arc<Live>, values: impl Iterator<Item = &'a [u8]>) -> Result<Ran> {
    // What is there twice is work, too: it is measured how fast that is done, not how often it need not be.
    let config = &Config { cache: Cache { size: ByteSize(0) }, ..config.clone() };
    let budget = Budget::new(config.limits.in_flight.as_u64());
    let metrics = Metrics::unseen(&budget);
    let stop = Arc::new(Stop::default());
    let counts = Arc::new(Counts::default());
    let started = Instant::now();
    let pipeline = Pipeline::start(config, live, None, Counting(Arc::clone(&counts)), &metrics, &stop)?;
    for (number, value) in values.enumerate() {
        while budget.is_spent() && !stop.is_requested() {
            thread::sleep(Duration::from_millis(1));
        }
        if stop.is_requested() {
            break;
        }
        pipeline.feed(envelope(value, number, &budget));
    }
    pipeline.finish();
    let elapsed = started.elapsed();
    if let Some(error) = stop.take_failure() {
        return Err(error);
    }
    let count = |count: &AtomicUsize| count.load(Ordering::Acquire);
    Ok(Ran {
        elapsed,
        documents: count(&counts.tagged),
        failed: count(&counts.failed),
        tokens: metrics.tokens.get() as usize,
        computed: metrics.computed_tokens.get() as usize,
    })
}

#[derive(Default)]
struct Counts {
    tagged: AtomicUsize,
    failed: AtomicUsize,
}

/// A sink that throws all away.
struct Counting(Arc<Counts>);

impl Sink for Counting {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        let count = if matches!(outcome, Outcome::Enriched(_) | Outcome::Filtered(_)) {
            &self.0.tagged
        } else {
            &self.0.failed
        };
        count.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
