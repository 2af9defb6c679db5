//! How fast tagbert is: every figure is a ratio of what ran side by side, the median of several rounds.
//!
//! `make bench` runs all of it and writes `benches/RESULTS.md`. `QUICK=1` takes fewer documents and rounds, `FULL=1` all
//! of them; `ONLY=bound,host` runs these parts alone, and leaves the file as it is.

mod bound;
mod cache;
mod growth;
mod host;
mod lake;
mod latency;
mod peers;
mod plan;
mod report;
mod work;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use report::Report;
use work::Scale;

type Part = fn(Scale, &mut Report);

fn main() {
    let scale = Scale::of_environment();
    let only = std::env::var("ONLY").ok();
    let mut report = Report::default();
    let parts: [(&str, Part); 8] = [
        ("bound", bound::measure),
        ("peers", peers::measure),
        ("host", host::measure),
        ("latency", latency::measure),
        ("cache", cache::measure),
        ("growth", growth::measure),
        ("lake", lake::measure),
        ("plan", plan::measure),
    ];
    for (name, measure) in parts {
        if only.as_ref().is_none_or(|only| only.split(',').any(|part| part == name)) {
            let started = Instant::now();
            measure(scale, &mut report);
            eprintln!("== {name}: {:.0} s", started.elapsed().as_secs_f64());
        }
    }
    report.note(
        "6: what int8 costs in quality is in the models' own READMEs: F1 of topic, spam and entities on held-out documents, \
         beside the weights as floats. How much faster it is, the processor decides: without VNNI or AMX, products of \
         int8 are made by way of 16 bits.",
    );
    report.note("11: no figure here is of a GPU. docs/GPU.md says what was checked without one.");
    println!("{report}");
    if only.is_none() {
        let path = support::root().join("benches/RESULTS.md");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, report.document(scale, &before)).expect("the results can be written");
        eprintln!("written to {}", path.display());
    }
}
