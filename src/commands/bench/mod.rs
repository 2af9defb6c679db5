//! `tagbert bench`: how fast the models are here.

mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

pub(super) use self::report::About;
use self::report::Report;
use super::cli::Bench;
use super::gauge::alone::{self, Batch, Order, batches};
use super::gauge::gemm::Precision;
use super::gauge::host::Host;
use super::gauge::limit::Limit;
use super::gauge::{Documents, limit, line, spread};
use super::output;
use super::sample::Sample;
use crate::config::Config;
use crate::tagger::live::Live;

/// Budgets of tokens that the session alone is tried with, and the configured one.
const BUDGETS: [usize; 5] = [256, 512, 1024, 2048, 4096];

/// Every figure is the median of so many.
const ROUNDS: usize = 3;

/// Of a round: for the line, and for the session alone with all budgets. The rest is for the machine's limit.
const SHARES: (f64, f64) = (0.5, 0.4);

/// Quick models need no longer runs than this of the line, and of the session alone with a budget, in seconds (unless
/// the sample takes longer).
const ENOUGH: (f64, f64) = (5.0, 1.0);

pub(super) fn run(args: &Bench) -> Result<ExitCode> {
    let config = super::config(&args.config)?;
    let sample = Sample::read(&config, &args.sample)?;
    let live = Live::load(&config)?;
    let documents = Documents::prepare(&config, &live.current(), sample.values)?;
    let figures = measure(&config, &live, &documents, Duration::from_secs(args.seconds))?;
    let report = Report::of(&sample.source, &config, &live.current(), &documents, &figures);
    if args.json {
        output::print(serde_json::to_string(&report)?)?;
    } else {
        output::print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was measured.
struct Figures {
    host: Host,
    /// The budgets that the session alone was tried with: larger ones take too long.
    budgets: Vec<usize>,
    rounds: Vec<Round>,
    /// Of the first model; or why the machine's limit is not known.
    precision: Result<Precision, &'static str>,
    elapsed: Duration,
}

/// Everything once.
struct Round {
    line: line::Ran,
    /// The session alone, by budget.
    alone: Vec<alone::Ran>,
    limit: Option<limit::Measured>,
}

fn measure(config: &Config, models: &Arc<Live>, documents: &Documents, time: Duration) -> Result<Figures> {
    let (started, taggers) = (Instant::now(), models.current());
    let host = Host::measure(config, &taggers, documents, time / 20)?;
    let mut limit = if taggers.lanes.iter().any(|lane| lane.model.is_on_gpu()) {
        Err("it is measured for the CPU only")
    } else {
        Limit::of(&taggers, documents)
    };
    let tokens = documents.tokens(&taggers) as f64;
    let mut rate = probe(config, models, documents, time / 40)?;
    let mut budgets = [&BUDGETS[..], &[config.batch.tokens]].concat();
    budgets.sort_unstable();
    budgets.dedup();
    let (mut rounds, mut planned) = (Vec::<Round>::new(), Vec::<Vec<Batch<'_>>>::new());
    for number in 0..ROUNDS {
        if number > 0 && started.elapsed() > time {
            break;
        }
        let so_far = started.elapsed().as_secs_f64();
        output::say(format_args!("round {} of {ROUNDS}, {so_far:.0} s so far", number + 1));
        // What is left, at the rate of the round before: the first guess may be far off.
        let left = time.saturating_sub(started.elapsed()).as_secs_f64() / (ROUNDS - number) as f64;
        let enough = |seconds: f64| tokens.max(rate * seconds);
        let for_line = (rate * left * SHARES.0).min(enough(ENOUGH.0));
        let for_alone = (rate * left * SHARES.1 / budgets.len() as f64).min(enough(ENOUGH.1));
        if number == 0 {
            let (smallest, own) = (budgets[0], config.batch.tokens);
            budgets.retain(|&budget| [smallest, own].contains(&budget) || budget as f64 <= 3.0 * for_alone);
            let plan = |budget: usize| (budget, batches(&taggers, documents, budget, Order::Length));
            let mut made: Vec<_> = budgets.into_iter().map(plan).collect();
            // A larger budget that comes to the same batches tells nothing.
            made.dedup_by(|next, before| next.0 != own && next.1.len() == before.1.len());
            (budgets, planned) = made.into_iter().unzip();
        }
        // Each round takes other ones, if not all can be taken.
        let shift = (number as f64 + 0.5) / ROUNDS as f64;
        let some = spread(documents.len(), part(documents.len(), for_line / tokens), shift);
        let whole = line::run(config, models, some.map(|place| &*documents.values[place]))?;
        rate = whole.rate();
        let mut alone = Vec::new();
        for batches in &planned {
            let some = spread(batches.len(), part(batches.len(), for_alone / tokens), shift);
            alone.push(alone::run(&taggers, some.map(|place| &batches[place]))?);
        }
        rounds.push(Round { line: whole, alone, limit: limit.as_mut().ok().map(Limit::measure).transpose()? });
    }
    let precision = limit.map(|limit| limit.precision());
    Ok(Figures { host, budgets, rounds, precision, elapsed: started.elapsed() })
}

/// A share of a number of things, which may be more than all of them: one at least.
#[expect(clippy::cast_sign_loss, reason = "neither factor is negative")]
fn part(count: usize, share: f64) -> usize {
    ((count as f64 * share) as usize).max(1)
}

/// Tokens a second of the line, found with as few documents as take some time.
fn probe(config: &Config, live: &Arc<Live>, documents: &Documents, time: Duration) -> Result<f64> {
    let mut count = documents.len().min(4);
    loop {
        let some = spread(documents.len(), count, 0.5).map(|place| &*documents.values[place]);
        let ran = line::run(config, live, some)?;
        if ran.elapsed >= time || count >= documents.len() {
            return Ok(ran.rate());
        }
        count = (4 * count).min(documents.len());
    }
}
