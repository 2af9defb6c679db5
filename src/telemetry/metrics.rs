//! What is counted. The same figures feed `/metrics`, OTLP, the summary and the demo's progress.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram as Hdr;
use opentelemetry::KeyValue;
use opentelemetry::metrics::noop::NoopMeterProvider;
use opentelemetry::metrics::{Histogram, Meter, MeterProvider as _};

use crate::record::budget::Budget;
use crate::record::partition::TopicPartition;
use crate::record::rejection::Stage;

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The worker's figures since it started.
#[derive(Debug)]
pub struct Metrics {
    fetched: Count,
    /// When the first record was fetched, and the last acknowledged.
    span: Mutex<Option<(Instant, Instant)>>,
    /// Enriched records acknowledged.
    pub enriched: Count,
    /// Tombstones passed on and acknowledged.
    pub tombstones: Count,
    /// Records that could not be tagged and were passed over, as `dead_letters.policy` says.
    pub skipped: Count,
    /// Records of which nothing was written, as a route says.
    pub filtered: Count,
    /// Transactions committed.
    pub transactions: Count,
    /// Deliveries that failed and were tried again.
    pub retries: Count,
    /// Documents that were answered from the cache.
    pub cache_hits: Count,
    /// Documents that waited for another with the same text, and were answered with it.
    pub cache_joined: Count,
    /// Documents that were looked up in vain, and given to the model.
    pub cache_misses: Count,
    /// Bytes in the cache.
    pub cache_bytes: AtomicUsize,
    /// Dead letters acknowledged, by stage.
    dead_letters: [Count; Stage::ALL.len()],
    /// Batches that the model ran.
    pub batches: Count,
    /// Rows in those batches: windows of documents.
    pub rows: Count,
    /// Tokens of those rows.
    pub tokens: Count,
    /// Tokens that the model computed: padding included.
    pub computed_tokens: Count,
    lag: Mutex<HashMap<TopicPartition, i64>>,
    latency: Mutex<Hdr<u64>>,
    durations: Histogram<f64>,
    batch_rows: Histogram<u64>,
}

impl Metrics {
    /// Figures that are also given to `meter`, together with the bytes in flight.
    #[must_use]
    pub fn new(meter: &Meter, budget: &Budget) -> Arc<Self> {
        let metrics = Arc::new(Self {
            fetched: Count::default(),
            span: Mutex::default(),
            enriched: Count::default(),
            tombstones: Count::default(),
            skipped: Count::default(),
            filtered: Count::default(),
            transactions: Count::default(),
            retries: Count::default(),
            cache_hits: Count::default(),
            cache_joined: Count::default(),
            cache_misses: Count::default(),
            cache_bytes: AtomicUsize::default(),
            dead_letters: Default::default(),
            batches: Count::default(),
            rows: Count::default(),
            tokens: Count::default(),
            computed_tokens: Count::default(),
            lag: Mutex::default(),
            latency: Mutex::new(Hdr::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"))),
            durations: meter
                .f64_histogram("tagbert.stage.duration")
                .with_unit("s")
                .with_description("Time that a stage took: decode (with tokenize) and assemble for a document, infer for a batch, total from fetch to acknowledgement")
                .with_boundaries(vec![0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
                .build(),
            batch_rows: meter
                .u64_histogram("tagbert.batch.rows")
                .with_description("Rows in a batch (windows of documents)")
                .with_boundaries(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0])
                .build(),
        });
        metrics.observe(meter, budget);
        metrics
    }

    /// Figures of a line without telemetry.
    #[must_use]
    pub fn unseen(budget: &Budget) -> Arc<Self> {
        Self::new(&NoopMeterProvider::new().meter("tagbert"), budget)
    }

    fn observe(self: &Arc<Self>, meter: &Meter, budget: &Budget) {
        type Read = fn(&Metrics) -> u64;
        let counters: [(&'static str, &'static str, Read); 13] = [
            ("tagbert.records.in", "Records fetched", Metrics::fetched),
            ("tagbert.records.out", "Enriched records acknowledged", |m| m.enriched.get()),
            ("tagbert.tombstones", "Tombstones passed on and acknowledged", |m| m.tombstones.get()),
            ("tagbert.skipped", "Records that could not be tagged and were passed over", |m| m.skipped.get()),
            ("tagbert.filtered", "Records of which nothing was written, as a route says", |m| m.filtered.get()),
            ("tagbert.transactions", "Transactions committed", |m| m.transactions.get()),
            ("tagbert.delivery.retries", "Deliveries that failed and were tried again", |m| m.retries.get()),
            ("tagbert.cache.hits", "Documents answered from the cache", |m| m.cache_hits.get()),
            ("tagbert.cache.joined", "Documents answered with another in flight that has their text", |m| {
                m.cache_joined.get()
            }),
            ("tagbert.cache.misses", "Documents looked up in vain, and given to the model", |m| m.cache_misses.get()),
            ("tagbert.batches", "Batches that the model ran", |m| m.batches.get()),
            ("tagbert.tokens", "Tokens of the rows (windows of documents) that the model ran", |m| m.tokens.get()),
            ("tagbert.tokens.computed", "Tokens that the model ran, padding included", |m| m.computed_tokens.get()),
        ];
        for (name, description, read) in counters {
            let metrics = Arc::clone(self);
            let counter = meter.u64_observable_counter(name).with_description(description);
            counter.with_callback(move |observer| observer.observe(read(&metrics), &[])).build();
        }
        let metrics = Arc::clone(self);
        meter
            .u64_observable_counter("tagbert.dead_letters")
            .with_description("Dead letters acknowledged, by the stage that refused the record")
            .with_callback(move |observer| {
                for (stage, count) in Stage::ALL.iter().zip(&metrics.dead_letters) {
                    observer.observe(count.get(), &[KeyValue::new("stage", stage.name())]);
                }
            })
            .build();
        let metrics = Arc::clone(self);
        meter
            .f64_observable_gauge("tagbert.padding.waste")
            .with_description("Share of the computed tokens that was padding, since the start")
            .with_callback(move |observer| observer.observe(metrics.padding_waste(), &[]))
            .build();
        let budget = budget.clone();
        meter
            .u64_observable_gauge("tagbert.in_flight")
            .with_unit("By")
            .with_description("Bytes in flight, from fetch to acknowledgement")
            .with_callback(move |observer| observer.observe(budget.used() as u64, &[]))
            .build();
        let metrics = Arc::clone(self);
        meter
            .u64_observable_gauge("tagbert.cache.size")
            .with_unit("By")
            .with_description("Bytes in the cache")
            .with_callback(move |observer| observer.observe(metrics.cache_bytes.load(Ordering::Relaxed) as u64, &[]))
            .build();
        let metrics = Arc::clone(self);
        meter
            .i64_observable_gauge("tagbert.lag")
            .with_description("Records of a partition that are not committed yet")
            .with_callback(move |observer| {
                for ((topic, partition), lag) in &*metrics.lag.lock().unwrap_or_else(PoisonError::into_inner) {
                    let partition = KeyValue::new("partition", i64::from(*partition));
                    observer.observe(*lag, &[KeyValue::new("topic", topic.to_string()), partition]);
                }
            })
            .build();
    }

    /// A record was fetched.
    pub fn fetch(&self) {
        if self.fetched.get() == 0 {
            *self.span.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Instant::now()));
        }
        self.fetched.add(1);
    }

    /// Records fetched.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched.get()
    }

    /// From the first record fetched to the last acknowledged: what waiting for the group or for work takes is no work.
    #[must_use]
    pub fn busy(&self) -> Duration {
        let span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        span.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// A stage began at `since` and is done.
    pub fn took(&self, stage: &'static str, since: Instant) {
        self.durations.record(since.elapsed().as_secs_f64(), &[KeyValue::new("stage", stage)]);
    }

    /// The model ran a batch of rows (windows of documents) with these numbers of tokens.
    pub fn ran(&self, lengths: impl Iterator<Item = usize> + Clone, width: usize) {
        let rows = lengths.clone().count();
        self.batches.add(1);
        self.rows.add(rows);
        self.tokens.add(lengths.sum());
        self.computed_tokens.add(rows * width);
        self.batch_rows.record(rows as u64, &[]);
    }

    /// The output broker acknowledged what came of a record that was fetched at `fetched`.
    pub fn acknowledged(&self, fetched: Instant) {
        self.took("total", fetched);
        if let Some((_, last)) = &mut *self.span.lock().unwrap_or_else(PoisonError::into_inner) {
            *last = Instant::now();
        }
        let micros = u64::try_from(fetched.elapsed().as_micros()).unwrap_or(u64::MAX);
        // It grows as needed; only times beyond its largest (centuries) are an error.
        let _ = self.latency.lock().unwrap_or_else(PoisonError::into_inner).record(micros);
    }

    /// Time from fetch to acknowledgement at a quantile, 0 to 1.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Duration {
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(latency.value_at_quantile(quantile))
    }

    /// Share of the computed tokens that was padding, 0 to 1.
    #[must_use]
    pub fn padding_waste(&self) -> f64 {
        let computed = self.computed_tokens.get();
        if computed == 0 { 0.0 } else { 1.0 - self.tokens.get() as f64 / computed as f64 }
    }

    /// The count of dead letters of a stage.
    #[must_use]
    pub fn dead_letters_of(&self, stage: Stage) -> &Count {
        &self.dead_letters[stage as usize]
    }

    /// Dead letters acknowledged.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.iter().map(Count::get).sum()
    }

    /// Records acknowledged, whatever became of them.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.enriched.get() + self.tombstones.get() + self.dead_letters() + self.skipped.get() + self.filtered.get()
    }

    /// The lag of each partition that this worker has; the others' are forgotten.
    pub fn set_lag(&self, lag: HashMap<TopicPartition, i64>) {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }
}
