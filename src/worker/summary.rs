//! What a run came to, for people.

use std::fmt;
use std::time::Duration;

use crate::telemetry::metrics::Metrics;

/// The figures of a run that has ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Records fetched.
    pub fetched: u64,
    /// Enriched records acknowledged.
    pub enriched: u64,
    /// Tombstones passed on.
    pub tombstones: u64,
    /// Dead letters acknowledged.
    pub dead_letters: u64,
    /// Records that could not be tagged and were passed over.
    pub skipped: u64,
    /// Records of which nothing was written, as a route says.
    pub filtered: u64,
    /// From the first record fetched to the last acknowledged.
    pub elapsed: Duration,
    /// Documents answered from the cache, and with another in flight that has their text.
    cached: (u64, u64),
    batches: u64,
    rows: u64,
    tokens: u64,
    padding_waste: f64,
    p50: Duration,
    p99: Duration,
}

impl Summary {
    /// Reads the figures.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Self {
        Self {
            fetched: metrics.fetched(),
            enriched: metrics.enriched.get(),
            tombstones: metrics.tombstones.get(),
            dead_letters: metrics.dead_letters(),
            skipped: metrics.skipped.get(),
            filtered: metrics.filtered.get(),
            elapsed: metrics.busy(),
            cached: (metrics.cache_hits.get(), metrics.cache_joined.get()),
            batches: metrics.batches.get(),
            rows: metrics.rows.get(),
            tokens: metrics.tokens.get(),
            padding_waste: metrics.padding_waste(),
            p50: metrics.latency(0.5),
            p99: metrics.latency(0.99),
        }
    }

    /// Documents a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        (self.enriched + self.filtered + self.dead_letters) as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Records that were fetched and not acknowledged: a stop gave them up, and they will be read again (G-3).
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.fetched - (self.enriched + self.tombstones + self.dead_letters + self.skipped + self.filtered)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fetched, enriched, tombstones, dead_letters, elapsed, batches, rows, tokens, .. } = self;
        let seconds = elapsed.as_secs_f64().max(1e-9);
        write!(f, "records    {fetched} in = {enriched} out + {dead_letters} dead letters")?;
        if *tombstones > 0 {
            write!(f, " + {tombstones} tombstones")?;
        }
        if self.filtered > 0 {
            write!(f, " + {} filtered", self.filtered)?;
        }
        if self.skipped > 0 {
            write!(f, " + {} skipped", self.skipped)?;
        }
        if self.given_up() > 0 {
            write!(f, " + {} given up, to be read again", self.given_up())?;
        }
        writeln!(f)?;
        let (rate, tokens_rate) = (self.rate(), *tokens as f64 / seconds);
        writeln!(
            f,
            "speed      {rate:.1} documents/s, {tokens_rate:.0} tokens/s, {seconds:.1} s from the first to the last"
        )?;
        let fill = *rows as f64 / (*batches).max(1) as f64;
        let waste = 100.0 * self.padding_waste;
        writeln!(f, "batches    {batches}, {fill:.1} rows each, padding waste {waste:.1} %")?;
        if let (hits, joined) = self.cached
            && hits + joined > 0
        {
            writeln!(f, "cache      {hits} documents from the cache, {joined} joined to another in flight")?;
        }
        let (p50, p99) = (self.p50.as_secs_f64(), self.p99.as_secs_f64());
        write!(f, "latency    p50 {p50:.2} s, p99 {p99:.2} s from fetch to acknowledgement")
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry::metrics::noop::NoopMeterProvider;

    use super::*;
    use crate::record::budget::Budget;

    #[test]
    fn what_the_cache_saved_is_told() {
        let metrics = Metrics::new(&NoopMeterProvider::new().meter("test"), &Budget::new(1));
        metrics.cache_hits.add(10);
        metrics.cache_joined.add(19);
        let summary = Summary::of(&metrics).to_string();
        let told = "\ncache      10 documents from the cache, 19 joined to another in flight\n";
        assert!(summary.contains(told), "{summary}");
    }
}
