//! Faults while the worker works, on a real Apache Kafka of three nodes: `make chaos`, `make soak`, and a minute of it
//! in `make test`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

mod arena;
mod documents;
mod faults;
mod fleet;
mod ledger;
mod options;
mod reader;
mod report;
mod rows;
#[path = "../support/mod.rs"]
mod support;

use documents::Corpus;
use options::{Cli, Command, Delivery, Options};
use rows::Done;
use support::cluster::Cluster;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let good = match arguments.get(1).map(String::as_str) {
        Some("chaos" | "soak" | "help" | "--help" | "-h") => match Cli::parse().command {
            Command::Chaos(options) => chaos(&options),
            Command::Soak(_) => unimplemented!("soak"),
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
    let all = rows::all();
    let rows: Vec<_> = all.iter().filter(|row| row.name.contains(&options.only)).cloned().collect();
    assert!(!rows.is_empty(), "no row has {:?} in its name", options.only);
    println!("seed {}, delivery {}", options.seed, options.delivery);
    let corpus = Corpus::tagged();
    let mut cluster = Cluster::start();
    // A row that is asked for alone is the very same as among all.
    let faults: usize = all.iter().map(|row| rows::share(row, &all, options.faults)).sum();
    let mut done: Vec<Done> = Vec::new();
    let mut wanted = 0;
    for row in rows {
        let share = rows::share(&row, &all, options.faults);
        let documents = (options.documents * share).div_ceil(faults);
        wanted += share;
        eprintln!("{} s: {}", started.elapsed().as_secs(), row.name);
        let row = row.run(&mut cluster, &corpus, options, share, documents, deadline);
        eprint!("{}", report::details(&row));
        done.push(row);
    }
    let table = report::table(&done, options);
    println!("\n{table}\nseed {}, {} s", options.seed, started.elapsed().as_secs());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}.md", options.delivery));
    fs::write(&file, &table).unwrap();
    println!("the table is in {}", file.display());
    let injected: usize = done.iter().map(|done| done.faults).sum();
    if injected < wanted {
        println!("only {injected} of {wanted} faults were injected in {} minutes", options.minutes);
    }
    injected == wanted && done.iter().all(|done| report::kept(done, options.delivery))
}

/// A minute of it, with the report of a test binary.
fn as_test(arguments: &[String]) -> ExitCode {
    const NAME: &str = "a_minute_of_faults_loses_nothing";
    let filtered = arguments.iter().any(|argument| !argument.starts_with('-') && !NAME.contains(argument.as_str()));
    if filtered || arguments.iter().any(|argument| argument == "--list" || argument == "--ignored") {
        return ExitCode::SUCCESS;
    }
    println!("\nrunning 1 test");
    let server = support::root().join(".cache/toxiproxy/server");
    let good = !support::fetched(NAME, &server) || a_minute_of_faults();
    println!("test {NAME} ... {}\n", if good { "ok" } else { "FAILED" });
    let (word, passed) = if good { ("ok", 1) } else { ("FAILED", 0) };
    println!("test result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out\n", 1 - passed);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn a_minute_of_faults() -> bool {
    let options = Options {
        faults: 12,
        documents: 3000,
        seed: 1,
        delivery: Delivery::AtLeastOnce,
        minutes: 1,
        only: String::new(),
        failpoints: None,
        record_ids: false,
    };
    let corpus = Corpus::tagged();
    let mut cluster = Cluster::start();
    let row = rows::all().into_iter().find(|row| row.name == "everything").expect("there is such a row");
    let deadline = Instant::now() + Duration::from_mins(1);
    let done = row.run(&mut cluster, &corpus, &options, options.faults, options.documents, deadline);
    let good = done.faults > 0 && report::kept(&done, options.delivery);
    print!("{}{}", report::details(&done), report::table(&[done], &options));
    good
}
