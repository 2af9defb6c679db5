//! Points 0, 1, 4, 6 and 8: the session alone, and the worker against it.

use std::sync::Arc;

use tagbert::config::{Config, LongDocuments};
use tagbert::gauge::Documents;
use tagbert::gauge::alone::{self, Order, batches};
use tagbert::gauge::limit::Limit;
use tagbert::taggers::Taggers;

use crate::report::{Figure, Goal, Report};
use crate::work::{self, Scale};

const MODEL: &str = "models/tagbert-small";

/// Budgets of tokens that the session alone is tried with; the best is the bound.
const BUDGETS: [usize; 3] = [256, 512, 1024];

/// A part of the documents, by each of those that are compared.
struct Round {
    /// The session alone: documents a second, tokens a second and core, and its shares of the peaks.
    bound: f64,
    tokens: f64,
    of_int8: f64,
    of_fp32: f64,
    /// The same, as documents a core-second.
    by_core: f64,
    once: work::Ran,
    exactly_once: work::Ran,
}

pub fn taggers(model: &str) -> (Config, Arc<Taggers>) {
    let mut config = Config::default();
    config.model.path = model.parse().expect("a directory");
    config.model.device = tagbert::config::Device::Cpu;
    config.model.long_documents = LongDocuments::Truncate;
    let taggers = Taggers::load(&config).expect("the model loads");
    (config, Arc::new(taggers))
}

pub fn measure(scale: Scale, report: &mut Report) {
    let (config, taggers) = taggers(MODEL);
    let prepare =
        |values: &[Vec<u8>]| Documents::prepare(&config, &taggers, values.to_vec()).expect("documents to tag");
    let all = work::documents(scale.of(150, 1000, usize::MAX));
    let budget = {
        let few = prepare(&all[..60]);
        let rate = |budget: &usize| {
            alone::run(&taggers, &batches(&taggers, &few, *budget, Order::Length)).expect("the model runs").rate()
        };
        BUDGETS.into_iter().max_by(|one, other| rate(one).total_cmp(&rate(other))).expect("three of them")
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let mut rounds = Vec::new();
    for part in all.chunks(all.len().div_ceil(scale.rounds())) {
        let documents = prepare(part);
        let planned = batches(&taggers, &documents, budget, Order::Length);
        let mut limit = Limit::of(&taggers, &documents).expect("the shape is known");
        let alone = alone::run(&taggers, &planned).expect("the model runs");
        let limit = limit.measure().expect("the products run");
        let once = work::tag(part, MODEL, &[]);
        let exactly_once = work::tag(part, MODEL, &["delivery=exactly-once"]);
        let bound = part.len() as f64 / alone.elapsed.as_secs_f64();
        let operations = limit.seconds * limit.int8;
        let share = |peak: f64| operations / alone.elapsed.as_secs_f64() / peak;
        let (of_int8, of_fp32) = (share(limit.int8), share(limit.fp32));
        let by_core = part.len() as f64 / alone.processor;
        rounds.push(Round { bound, by_core, tokens: alone.rate() / cores, of_int8, of_fp32, once, exactly_once });
    }
    let figure = |of: &dyn Fn(&Round) -> f64| Figure::of(rounds.iter().map(of));
    report.add("0", &format!("session alone, budget {budget}: documents/s"), Goal::None, &figure(&|round| round.bound));
    report.add("0", "session alone: tokens/s and core", Goal::None, &figure(&|round| round.tokens));
    report.add(
        "0",
        "session alone: share of the int8 peak (a GEMM of the same shapes)",
        Goal::None,
        &figure(&|round| round.of_int8),
    );
    report.add("0", "session alone: times the fp32 peak", Goal::None, &figure(&|round| round.of_fp32));
    report.add(
        "1",
        "W: at-least-once ÷ session alone",
        Goal::AtLeast(0.95),
        &figure(&|round| round.once.rate / round.bound),
    );
    report.add(
        "1",
        "W: exactly-once ÷ session alone",
        Goal::AtLeast(0.93),
        &figure(&|round| round.exactly_once.rate / round.bound),
    );
    let by_core = |ran: &work::Ran, round: &Round| 1.0 / ran.core_seconds / round.by_core;
    report.add(
        "1",
        "W: the same by core-second (brokers and readers share the cores): at-least-once",
        Goal::None,
        &figure(&|round| by_core(&round.once, round)),
    );
    report.add(
        "1",
        "W: the same by core-second: exactly-once",
        Goal::None,
        &figure(&|round| by_core(&round.exactly_once, round)),
    );
    report.add("1", "W: documents/s", Goal::None, &figure(&|round| round.once.rate));
    report.add("4", "W: padding waste at full load", Goal::AtMost(0.02), &figure(&|round| round.once.padding));
    report.add("8", "W: most memory resident, MB", Goal::AtMost(250.0), &figure(&|round| round.once.resident / 1e6));
    let tiny: Vec<f64> = all
        .chunks(all.len().div_ceil(scale.rounds()))
        .zip(&rounds)
        .map(|(part, round)| work::tag(&part[..part.len() / 3], "models/tagbert-tiny", &[]).rate / round.once.rate)
        .collect();
    report.add("6", "W: tagbert-tiny ÷ tagbert-small", Goal::None, &Figure::of(tiny));
}
