//! The report of `tagbert bench`: for people, and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Figures, Round};
use crate::commands::gauge::gemm::Precision;
use crate::commands::gauge::{Documents, line, median, per_second};
use crate::config::Config;
use crate::model::session::device;
use crate::tagger::taggers::{Lane, Taggers};

/// A smaller budget that is slower by less than this is as good, in less memory.
const AS_GOOD: f64 = 0.97;

/// All of it.
#[derive(Serialize)]
pub struct Report {
    documents: About,
    line: Line,
    /// Milliseconds of a core for a document.
    processor_ms: Processor,
    alone: Vec<Alone>,
    /// Documents a second of the line ÷ those of the session alone with its best budget.
    line_to_alone: f64,
    /// `None` where it is not known.
    limit: Option<Limit>,
    #[serde(skip)]
    no_limit: Option<&'static str>,
    recommendation: Recommendation,
    rounds: usize,
    seconds: f64,
}

/// The documents, and their lengths in tokens.
#[derive(Serialize)]
pub struct About {
    pub source: String,
    pub count: usize,
    /// Those that can't be tagged, by class.
    pub refused: BTreeMap<&'static str, usize>,
    /// Tokens that the models are fed, of all.
    pub tokens: usize,
    pub p50: usize,
    pub p90: usize,
    pub p99: usize,
}

/// The round in the middle.
#[derive(Serialize)]
struct Line {
    batch_tokens: usize,
    documents: usize,
    failed: usize,
    tokens: usize,
    computed_tokens: usize,
    seconds: f64,
    documents_per_second: f64,
    tokens_per_second: f64,
    computed_tokens_per_second: f64,
    padding_waste: f64,
    /// Documents a second of the slowest round and of the quickest.
    spread: [f64; 2],
}

/// Time of a core for a document.
#[derive(Serialize)]
struct Processor {
    prepare: f64,
    infer: f64,
    assemble: f64,
}

/// The session alone with a budget.
#[derive(Serialize)]
struct Alone {
    batch_tokens: usize,
    documents_per_second: f64,
    tokens_per_second: f64,
    padding_waste: f64,
}

/// What the machine can do at best.
#[derive(Serialize)]
struct Limit {
    precision: Precision,
    /// The share of the line, and of the session alone.
    line: f64,
    alone: f64,
    /// Operations a second of plain matrix products.
    fp32: f64,
    int8: f64,
}

#[derive(Serialize)]
struct Recommendation {
    batch_tokens: usize,
    /// Another number of sessions, and of threads for each, than is configured.
    sessions: Option<(usize, usize)>,
    limited_by: LimitedBy,
    /// How much more the machine does in bytes than in floats, for a model of floats.
    int8_gain: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum LimitedBy {
    Model,
    Tokenizing,
}

impl About {
    /// Of a sample from there.
    pub fn of(source: &str, taggers: &Taggers, documents: &Documents) -> Self {
        Self {
            source: source.to_owned(),
            count: documents.len(),
            refused: documents.refused.clone(),
            tokens: documents.tokens(taggers),
            p50: documents.length(0.5),
            p90: documents.length(0.9),
            p99: documents.length(0.99),
        }
    }
}

impl Report {
    pub fn of(source: &str, config: &Config, taggers: &Taggers, documents: &Documents, figures: &Figures) -> Self {
        let Figures { host, budgets, rounds, precision, elapsed } = figures;
        let about = About::of(source, taggers, documents);
        let mean = about.tokens as f64 / about.count as f64;
        let over = |figure: &dyn Fn(&Round) -> f64| median(&rounds.iter().map(figure).collect::<Vec<_>>());
        let alone = |(place, &batch_tokens): (usize, &usize)| Alone {
            batch_tokens,
            documents_per_second: over(&|round| round.alone[place].rate() / mean),
            tokens_per_second: over(&|round| round.alone[place].rate()),
            padding_waste: over(&|round| waste(round.alone[place].tokens, round.alone[place].computed)),
        };
        let alone: Vec<Alone> = budgets.iter().enumerate().map(alone).collect();
        let best = (0..alone.len())
            .max_by(|&one, &other| alone[one].tokens_per_second.total_cmp(&alone[other].tokens_per_second));
        let best = best.unwrap_or_default();
        let good = |of: &&Alone| of.tokens_per_second >= AS_GOOD * alone[best].tokens_per_second;
        let recommended = alone.iter().find(good).map_or(config.batch.tokens, |of| of.batch_tokens);

        // With the configured budget, or the nearest that was tried.
        let own = budgets.iter().rposition(|&budget| budget <= config.batch.tokens).unwrap_or_default();
        let infer = over(&|round| round.alone[own].processor / round.alone[own].tokens.max(1) as f64 * mean);
        let share = |rate: &dyn Fn(&Round) -> f64| {
            over(&|round| round.limit.map_or(0.0, |limit| limit.seconds * rate(round) / about.tokens as f64))
        };
        let limit = precision.as_ref().ok().map(|&precision| Limit {
            precision,
            line: share(&|round| round.line.rate()),
            alone: share(&|round| round.alone[best].rate()),
            fp32: over(&|round| round.limit.unwrap_or_default().fp32),
            int8: over(&|round| round.limit.unwrap_or_default().int8),
        });
        let int8_gain =
            limit.as_ref().filter(|limit| limit.precision == Precision::Fp32).map(|limit| limit.int8 / limit.fp32);
        let usual = device::sessions(None, None, None);
        let unusual = |lane: &Lane| !lane.model.is_on_gpu() && lane.model.sessions() != usual.0;
        let sessions = taggers.lanes.iter().any(unusual).then_some(usual);
        let limited_by = if host.total() > infer { LimitedBy::Tokenizing } else { LimitedBy::Model };
        Self {
            line: Line::of(config, rounds),
            processor_ms: Processor { prepare: 1e3 * host.prepare, infer: 1e3 * infer, assemble: 1e3 * host.assemble },
            line_to_alone: over(&|round| round.line.rate() / round.alone[best].rate()),
            alone,
            limit,
            no_limit: precision.as_ref().err().copied(),
            recommendation: Recommendation { batch_tokens: recommended, sessions, limited_by, int8_gain },
            rounds: rounds.len(),
            seconds: elapsed.as_secs_f64(),
            documents: about,
        }
    }
}

impl Line {
    fn of(config: &Config, rounds: &[Round]) -> Self {
        let mut lines: Vec<line::Ran> = rounds.iter().map(|round| round.line).collect();
        lines.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
        let rate = |ran: &line::Ran| per_second(ran.documents, ran.elapsed);
        let middle = &lines[lines.len() / 2];
        let rates: Vec<f64> = lines.iter().map(rate).collect();
        let seconds = middle.elapsed.as_secs_f64();
        Self {
            batch_tokens: config.batch.tokens,
            documents: middle.documents,
            failed: lines.iter().map(|line| line.failed).sum(),
            tokens: middle.tokens,
            computed_tokens: middle.computed,
            seconds,
            documents_per_second: rate(middle),
            tokens_per_second: middle.rate(),
            computed_tokens_per_second: middle.computed as f64 / seconds.max(1e-9),
            padding_waste: waste(middle.tokens, middle.computed),
            spread: [rates.iter().copied().fold(f64::MAX, f64::min), rates.iter().copied().fold(0.0, f64::max)],
        }
    }
}

fn waste(tokens: usize, computed: usize) -> f64 {
    1.0 - tokens as f64 / computed.max(1) as f64
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, count, refused, p50, p90, p99, .. } = self;
        write!(f, "documents  {count} of {source}")?;
        if !refused.is_empty() {
            let all: usize = refused.values().sum();
            let classes: Vec<_> = refused.iter().map(|(class, count)| format!("{class} {count}")).collect();
            write!(f, "; {all} more can't be tagged: {}", classes.join(", "))?;
        }
        write!(f, "\nlength     p50 {p50}, p90 {p90}, p99 {p99} tokens")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { documents, line, processor_ms, alone, recommendation, .. } = self;
        writeln!(f, "{documents}")?;
        writeln!(
            f,
            "speed      {:.1} documents/s ({:.1} to {:.1}), {:.0} tokens/s, {:.0} with padding",
            line.documents_per_second,
            line.spread[0],
            line.spread[1],
            line.tokens_per_second,
            line.computed_tokens_per_second
        )?;
        if line.failed > 0 {
            writeln!(f, "failed     the model failed on {} documents", line.failed)?;
        }
        let waste = 100.0 * line.padding_waste;
        writeln!(f, "padding    {waste:.1} % of the computed tokens, with batch.tokens {}", line.batch_tokens)?;
        let Processor { prepare, infer, assemble } = processor_ms;
        let all = (prepare + infer + assemble).max(1e-9);
        let part = |name: &str, ms: &f64| format!("{name} {ms:.2} ms ({:.1} %)", 100.0 * ms / all);
        writeln!(
            f,
            "processor  of a core, a document: {}, {}, {}",
            part("decode and tokenize", prepare),
            part("infer", infer),
            part("assemble", assemble)
        )?;
        for (number, of) in alone.iter().enumerate() {
            let name = if number == 0 { "model" } else { "" };
            let Alone { batch_tokens, documents_per_second, tokens_per_second, padding_waste } = of;
            let waste = 100.0 * padding_waste;
            writeln!(
                f,
                "{name:<10} alone, {batch_tokens:>5} tokens a batch: {documents_per_second:.1} documents/s, \
                 {tokens_per_second:.0} tokens/s, padding {waste:.1} %"
            )?;
        }
        writeln!(f, "line       {:.2} of the model alone at its best", self.line_to_alone)?;
        match &self.limit {
            Some(limit) => {
                let name = if limit.precision == Precision::Int8 { "int8" } else { "fp32" };
                writeln!(
                    f,
                    "limit      {:.0} % of what these cores multiply in {name} ({:.0} % for the model alone): int8 \
                     {:.0}, fp32 {:.0} GFLOP/s",
                    100.0 * limit.line,
                    100.0 * limit.alone,
                    limit.int8 / 1e9,
                    limit.fp32 / 1e9
                )?;
            }
            None => writeln!(f, "limit      unknown: {}", self.no_limit.unwrap_or_default())?,
        }
        writeln!(f, "measured   {} rounds, {:.0} s", self.rounds, self.seconds)?;
        write!(f, "advice     batch.tokens: {}", recommendation.batch_tokens)?;
        if let Some((sessions, threads)) = recommendation.sessions {
            write!(f, ", model.sessions: {sessions}, model.threads: {threads}")?;
        }
        match recommendation.limited_by {
            LimitedBy::Model => write!(f, "; the model is the limit")?,
            LimitedBy::Tokenizing => write!(f, "; tokenizing is the limit: more cores help, no other batch does")?,
        }
        if let Some(gain) = recommendation.int8_gain {
            write!(f, ", and computes in floats: bytes are {gain:.1} times as quick here (model.variant: int8)")?;
        }
        Ok(())
    }
}
