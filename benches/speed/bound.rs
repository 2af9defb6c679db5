//! Points 0, 1, 4, 6 and 8: the session alone, and the worker against it.

use std::sync::Arc;

use tagbert::commands::gauge::Documents;
use tagbert::commands::gauge::alone::{self, Batch, Order, batches};
use tagbert::commands::gauge::limit::Limit;
use tagbert::config::{Config, LongDocuments};
use tagbert::tagger::taggers::Taggers;

use crate::report::{Figure, Goal, Report};
use crate::work::{self, Scale};

const MODEL: &str = "models/tagbert-small";

/// Budgets of tokens that the session alone is tried with; the best is the bound.
const BUDGETS: [usize; 3] = [256, 512, 1024];

/// What a user who never quantised would run: the same graph, with the weights as floats.
const FP32: &str = ".cache/peers/fp32";

/// The documents, by each of those that are compared.
struct Round {
    bound: Bound,
    /// By delivery, as in [`DELIVERIES`].
    ran: [work::Ran; 2],
}

/// And the share of the bound that is the goal.
const DELIVERIES: [(&str, f64); 2] = [("at-least-once", 0.95), ("exactly-once", 0.93)];

/// The session alone.
struct Bound {
    /// Documents a second.
    rate: f64,
    /// Documents a core-second.
    by_core: f64,
    /// Tokens a second.
    tokens: f64,
    elapsed: f64,
}

impl Round {
    fn of(taggers: &Taggers, planned: &[Batch], values: &[Vec<u8>]) -> Self {
        let alone = alone::run(taggers, planned).expect("the model runs");
        let (count, elapsed) = (values.len() as f64, alone.elapsed.as_secs_f64());
        let bound = Bound { rate: count / elapsed, by_core: count / alone.processor, tokens: alone.rate(), elapsed };
        let ran = DELIVERIES.map(|(delivery, _)| work::tag(values, MODEL, &[&format!("delivery={delivery}")]));
        Self { bound, ran }
    }
}

pub fn prepare(config: &Config, taggers: &Arc<Taggers>, values: &[Vec<u8>]) -> Documents {
    Documents::prepare(config, taggers, values.to_vec()).expect("documents to tag")
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
    let all = work::documents(scale.of(120, 400, usize::MAX));
    let budget = best_budget(&config, &taggers, &all[..scale.of(60, 120, 120)], scale.rounds());
    let documents = prepare(&config, &taggers, &all);
    let mut limit = Limit::of(&taggers, &documents).expect("the shape is known");
    let planned = batches(&taggers, &documents, budget, Order::Length);
    let (rounds, peaks): (Vec<Round>, Vec<(f64, f64)>) = (0..scale.rounds())
        .map(|_| {
            let round = Round::of(&taggers, &planned, &all);
            let limit = limit.measure().expect("the products run");
            let operations = limit.seconds * limit.int8 / round.bound.elapsed;
            (round, (operations / limit.int8, operations / limit.fp32))
        })
        .unzip();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let figure = |of: &dyn Fn(&Round) -> f64| Figure::of(rounds.iter().map(of));
    let alone = format!("session alone, budget {budget}: documents/s");
    report.add("0", &alone, Goal::None, &figure(&|round| round.bound.rate));
    let tokens = figure(&|round| round.bound.tokens / cores as f64);
    report.add("0", "session alone: tokens/s and core", Goal::None, &tokens);
    let of_int8 = Figure::of(peaks.iter().map(|(of_int8, _)| *of_int8));
    report.add("0", "session alone: share of the int8 peak (a GEMM of the same shapes)", Goal::None, &of_int8);
    let of_fp32 = Figure::of(peaks.iter().map(|(_, of_fp32)| *of_fp32));
    report.add("0", "session alone: times the fp32 peak", Goal::None, &of_fp32);

    against_the_bound(&rounds, report);
    report.add("1", "W: documents/s", Goal::None, &figure(&|round| round.ran[0].rate));
    report.add("4", "W: padding waste at full load", Goal::AtMost(0.02), &figure(&|round| round.ran[0].padding));
    report.add("8", "W: most memory resident, MB", Goal::AtMost(250.0), &figure(&|round| round.ran[0].resident / 1e6));

    let some = all.len() / 6;
    let (fp32, tiny): (Vec<f64>, Vec<f64>) = (0..scale.rounds())
        .map(|round| {
            let rate = |model: &str| work::tag(&all[round * some..][..some], model, &[]).rate;
            let int8 = rate(MODEL);
            (int8 / rate(FP32), rate("models/tagbert-tiny") / int8)
        })
        .unzip();
    report.add("6", "W: int8 ÷ fp32, documents/s", Goal::AtLeast(2.0), &Figure::of(fp32));
    report.add("6", "W: tagbert-tiny ÷ tagbert-small, documents/s", Goal::None, &Figure::of(tiny));
}

/// The budget of tokens with which the session alone is fastest, by the median of so many rounds after a first one.
fn best_budget(config: &Config, taggers: &Arc<Taggers>, values: &[Vec<u8>], rounds: usize) -> usize {
    let documents = prepare(config, taggers, values);
    let plans = BUDGETS.map(|budget| batches(taggers, &documents, budget, Order::Length));
    let mut rates = BUDGETS.map(|_| Vec::new());
    for round in 0..=rounds {
        for (plan, rates) in plans.iter().zip(&mut rates) {
            let rate = alone::run(taggers, plan).expect("the model runs").rate();
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let rates = rates.map(|rates| Figure::of(rates).median());
    let best = (0..BUDGETS.len()).max_by(|&one, &other| rates[one].total_cmp(&rates[other]));
    BUDGETS[best.expect("there are some")]
}

/// Point 1.
fn against_the_bound(rounds: &[Round], report: &mut Report) {
    let (mut met, mut met_by_core) = (true, true);
    for (number, (delivery, goal)) in DELIVERIES.into_iter().enumerate() {
        let shares = rounds.iter().map(|round| round.ran[number].rate / round.bound.rate);
        let name = format!("W: {delivery} ÷ session alone");
        met &= report.add("1", &name, Goal::AtLeast(goal), &Figure::of(shares));
        let shares = rounds.iter().map(|round| 1.0 / round.ran[number].core_seconds / round.bound.by_core);
        let shares = Figure::of(shares);
        met_by_core &= shares.median() >= goal;
        report.add("1", &format!("{name}, by core-second"), Goal::None, &shares);
    }
    if !met && met_by_core {
        report.note(
            "1: by core-second the goals are met, so it is not the worker that takes the rest of the time: it is the broker, \
             on the same cores, and the end of a run, when cores have nothing to do (a last transaction is committed when \
             its interval is over).",
        );
    } else if !met {
        report.note(
            "1: the broker takes a part of the cores, and so do the worker's other threads, which also push the model out of \
             the cores' caches; batches of what waits are of less like lengths than those of all documents.",
        );
    }
}
