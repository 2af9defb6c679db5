//! Faults while the worker works, on a real Apache Kafka of three nodes: `make chaos`, `make soak`, `make rehearsal`, and a
//! minute of it in `make test`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

mod arena;
mod documents;
mod faults;
mod fleet;
mod late;
mod ledger;
mod options;
mod proof;
mod reader;
mod rehearse;
mod report;
mod rows;
mod samples;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod swap;

use documents::Corpus;
use options::{Cli, Command, Delivery, Options};
use rows::Done;
use support::cluster::Cluster;
use support::line::TINY;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let good = match arguments.get(1).map(String::as_str) {
        Some("chaos" | "soak" | "rehearse" | "help" | "--help" | "-h") => match Cli::parse().command {
            Command::Chaos(options) => chaos(&options),
            Command::Soak(options) => soak::soak(&options),
            Command::Rehearse(rehearsal) => rehearse::rehearse(&rehearsal),
        },
        // `cargo test` gives what it gives to every test binary.
        _ => return as_test(&arguments[1..]),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all rows, prints the table, and tells whether every row kept its promise.
fn chaos(options: &Options) -> bool {
    let started = Instant::now();
    let deadline = started + Duration::from_secs(60 * options.minutes);
    let all = rows::all(options);
    let wanted = |row: &&rows::Row| options.only.split(',').any(|part| row.name.contains(part));
    let rows: Vec<_> = all.iter().filter(wanted).cloned().collect();
    assert!(!rows.is_empty(), "no row has any of {:?} in its name", options.only);
    println!("seed {}, delivery {}", options.seed, options.delivery);
    let corpus = Corpus::tagged(TINY);
    let mut cluster = Cluster::start();
    // A row that is asked for alone is the very same as among all.
    let faults: usize = all.iter().map(|row| rows::share(row, &all, options.faults)).sum();
    let mut done: Vec<Done> = Vec::new();
    let mut wanted = 0;
    for row in rows {
        let share = rows::share(&row, &all, options.faults);
        wanted += share;
        if Instant::now() > deadline {
            continue;
        }
        let documents = (options.documents * share).div_ceil(faults);
        eprintln!("{} s: {}", started.elapsed().as_secs(), row.name);
        let row = row.run(&mut cluster, &corpus, options, share, documents, deadline);
        eprint!("{}{}", report::details(&row, options.delivery), report::row(&row, options.delivery));
        done.push(row);
    }
    let table = report::table(&done, options);
    println!("\n{table}\nseed {}, {} s", options.seed, started.elapsed().as_secs());
    let parts = options.only.replace(',', "+");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}{parts}.md", options.delivery));
    fs::write(&file, &table).unwrap();
    println!("the table is in {}", file.display());
    let injected: usize = done.iter().map(|done| done.faults).sum();
    if injected < wanted {
        println!("only {injected} of {wanted} faults were injected in {} minutes", options.minutes);
    }
    injected == wanted && done.iter().all(|done| report::kept(done, options.delivery))
}

/// Says whether it went well.
type Test = fn(&Corpus) -> bool;

/// A minute of it, with the report of a test binary.
fn as_test(arguments: &[String]) -> ExitCode {
    let tests: [(&str, Test); 3] = [
        ("the_ledger_notices_all_harm", proof::the_ledger_notices_all_harm),
        ("the_scaler_wants_what_keda_would", |_| rehearse::the_scaler_wants_what_keda_would()),
        ("a_minute_of_faults_loses_nothing", a_minute_of_faults),
    ];
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    let tests: Vec<_> = tests.into_iter().filter(|(name, _)| wanted(name)).collect();
    if tests.is_empty() || arguments.iter().any(|argument| argument == "--list" || argument == "--ignored") {
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", tests.len());
    let server = support::root().join(".cache/toxiproxy/server");
    let corpus = Corpus::tagged(TINY);
    let mut failed = 0;
    for (name, test) in &tests {
        let good = !support::fetched(name, &server) || test(&corpus);
        failed += usize::from(!good);
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
    }
    let (word, passed) = (if failed == 0 { "ok" } else { "FAILED" }, tests.len() - failed);
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn a_minute_of_faults(corpus: &Corpus) -> bool {
    let options = Options {
        faults: 12,
        documents: 3000,
        seed: 1,
        delivery: Delivery::AtLeastOnce,
        minutes: 1,
        only: String::new(),
        set: Vec::new(),
        failpoints: String::new(),
        log: "warn,tagbert=info".into(),
    };
    let mut cluster = Cluster::start();
    let row = rows::all(&options).into_iter().find(|row| row.name == "everything").expect("there is such a row");
    let deadline = Instant::now() + Duration::from_mins(1);
    let done = row.run(&mut cluster, corpus, &options, options.faults, options.documents, deadline);
    let good = done.faults > 0 && report::kept(&done, options.delivery);
    print!("{}{}", report::details(&done, options.delivery), report::table(&[done], &options));
    good
}
