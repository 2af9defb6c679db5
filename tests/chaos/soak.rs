//! Constant load and faults, for as long as one likes: does anything grow?

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::arena::{Arena, Protocol};
use crate::documents::Corpus;
use crate::faults::Fault;
use crate::options::Options;
use crate::samples::Samples;
use crate::support::cluster::Cluster;
use crate::support::line::TINY;

/// Documents a second.
const RATE: usize = 50;

/// Faults that a worker outlives.
const FAULTS: [Fault; 11] = [
    Fault::Visitor,
    Fault::Zombie,
    Fault::BrokerKill,
    Fault::BrokerTerm,
    Fault::Coordinator,
    Fault::Slow,
    Fault::Cut,
    Fault::Reset,
    Fault::RepliesLost,
    Fault::OutputRefuses,
    Fault::DeadLettersRefuse,
];

/// With constant load, so much lag is none: offsets are committed once a second.
const NO_LAG: i64 = 3 * RATE as i64;

/// How long the workers may take to catch up after a fault.
const CATCH_UP: Duration = Duration::from_secs(90);

/// How often the workers are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Runs for so many minutes, prints what was measured, and tells whether all stayed as it was.
pub fn soak(options: &Options) -> bool {
    println!("seed {}, delivery {}, {RATE} documents a second", options.seed, options.delivery);
    // Unlike in a row of the table, they shall be able to catch up.
    let mut options = options.clone();
    options.set.insert(0, "limits.in_flight=4MiB".into());
    let options = &options;
    let corpus = Corpus::tagged(TINY);
    let mut cluster = Cluster::start();
    let cooperative = Protocol::Classic("cooperative-sticky");
    let mut arena = Arena::open(&mut cluster, &corpus, options, "soak", 6, 2, cooperative);
    let mut samples: Vec<_> = arena.fleet.workers().iter().map(|worker| Samples::of(worker.id())).collect();
    let (end, over) = (Instant::now() + Duration::from_secs(60 * options.minutes), AtomicBool::new(false));
    let (mut recoveries, mut stalled) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let (writer, over, samples) = (arena.writer(), &over, &mut samples);
        scope.spawn(move || {
            every(Duration::from_millis(100), over, || writer.lock().unwrap().write(RATE / 10));
        });
        scope.spawn(|| every(LOOK, over, || samples.iter_mut().for_each(Samples::take)));
        while Instant::now() < end {
            let fault = FAULTS[arena.rng.usize(0..FAULTS.len())];
            fault.inject(&mut arena, 0);
            let healed = Instant::now();
            while arena.lag().is_none_or(|lag| lag > NO_LAG) && healed.elapsed() < CATCH_UP {
                arena.fleet.sleep(Duration::from_millis(200));
            }
            let took = healed.elapsed();
            eprintln!("  {:>3} {fault:?}: lag is back to none after {:.1} s", recoveries.len() + 1, took.as_secs_f32());
            if took >= CATCH_UP {
                stalled.push(format!("{fault:?}: lag {:?} after {CATCH_UP:?}", arena.lag()));
            }
            recoveries.push(took);
            arena.pass(5000);
        }
        over.store(true, Ordering::Release);
    });
    let outcome = arena.close();
    stalled.extend(outcome.stalled);

    let mut report = String::from(
        "| worker | resident memory | per hour | open files | per hour | threads | per hour | verdict |\n\
         |---|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for (n, samples) in samples.iter().enumerate() {
        writeln!(report, "| {} | {} |", n + 1, samples.report()).unwrap();
    }
    recoveries.sort();
    let (median, longest) = (recoveries[recoveries.len() / 2], recoveries[recoveries.len() - 1]);
    let account = outcome.account;
    println!(
        "\n{report}\n{} faults in {} minutes; lag back to none after {:.1} s (median), {:.1} s (longest)\n\
         {} documents: {} lost, {} duplicated, {} out of order, {} wrong; {} stalled, {} workers ended by themselves",
        recoveries.len(),
        options.minutes,
        median.as_secs_f32(),
        longest.as_secs_f32(),
        account.records,
        account.lost,
        account.duplicated,
        account.out_of_order,
        account.wrong,
        stalled.len(),
        outcome.exits.len(),
    );
    for line in account.details.iter().chain(&stalled).chain(&outcome.exits) {
        println!("      {line}");
    }
    samples.iter().all(Samples::are_flat)
        && stalled.is_empty()
        && outcome.exits.is_empty()
        && account.keeps(options.delivery)
}

/// Does something again and again, until it is over.
pub fn every(interval: Duration, over: &AtomicBool, mut something: impl FnMut()) {
    let mut due = Instant::now();
    while !over.load(Ordering::Acquire) {
        something();
        due += interval;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
