//! The table, and the figures for the plot.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::scene::{Scene, Verdict};
use crate::options::{Delivery, Rehearsal};
use crate::support::root;

/// Between these lines of docs/REHEARSAL.md is the table.
const BEGIN: &str = "<!-- The table: make rehearsal writes it. -->\n";
const END: &str = "<!-- Its end. -->\n";

/// Prints the table, writes the figures down for the plot, and the table into the documentation if that was asked for.
pub fn publish(scenes: &[Scene], options: &Rehearsal) {
    let table = table(scenes);
    println!("\n{table}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rehearsal.json");
    fs::write(&file, figures(scenes)).unwrap();
    println!("the figures are in {}", file.display());
    if options.write {
        let page = root().join("docs/REHEARSAL.md");
        let text = fs::read_to_string(&page).unwrap();
        let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
        let (_, after) = rest.split_once(END).expect("where the table ends");
        fs::write(&page, format!("{before}{BEGIN}\n{table}\n{END}{after}")).unwrap();
    }
}

fn table(scenes: &[Scene]) -> String {
    let mut table = String::from(
        "| act | documents | lost | twice | out of order | wrong | most lag | lag back to none | silence | first record | verdict |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for scene in scenes {
        if scene.verdict() == Verdict::NotPlayed {
            writeln!(table, "| {} |{} not played |", scene.name, " – |".repeat(9)).unwrap();
            continue;
        }
        let account = &scene.outcome.account;
        let counts = [account.records, account.lost, account.duplicated, account.out_of_order, account.wrong];
        let counts: Vec<_> = counts.iter().map(usize::to_string).collect();
        let drained = scene.drained().map_or("never".into(), seconds);
        let firsts = &scene.first_records;
        let first = match firsts.as_slice() {
            [] => "–".into(),
            [one] => seconds(*one),
            [.., longest] => format!("{} ({})", seconds(firsts[firsts.len() / 2]), seconds(*longest)),
        };
        let verdict = if scene.verdict() == Verdict::Kept { "kept" } else { "**BROKEN**" };
        writeln!(
            table,
            "| {} | {} | {} | {drained} | {} | {first} | {verdict} |",
            scene.name,
            counts.join(" | "),
            scene.most_lag(),
            seconds(scene.silence()),
        )
        .unwrap();
    }
    table.push('\n');
    for scene in scenes {
        writeln!(table, "- **{}**: {}.{}", scene.name, scene.what, notes(&scene.notes)).unwrap();
    }
    table
}

fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!(" {note}.")).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// What is behind a scene's figures.
pub fn details(scene: &Scene) -> String {
    let outcome = &scene.outcome;
    let mut text = format!("  {}", table(std::slice::from_ref(scene)).lines().nth(2).unwrap_or_default());
    text.push('\n');
    let none = Vec::new();
    // At-least-once, they are what is to be expected.
    let again = if scene.delivery == Delivery::ExactlyOnce { &outcome.account.again } else { &none };
    for (what, lines) in [
        ("", &outcome.account.details),
        ("twice: ", again),
        ("stalled: ", &outcome.stalled),
        ("a pod ended: ", &outcome.exits),
        ("", &scene.failed),
        ("note: ", &scene.notes),
    ] {
        lines.iter().take(8).for_each(|line| writeln!(text, "      {what}{line}").unwrap());
    }
    text
}

/// For the plot: when, lag and pods of each act, and its events.
fn figures(scenes: &[Scene]) -> String {
    let scene = |scene: &Scene| {
        let samples: Vec<_> =
            scene.samples.iter().map(|sample| json!([sample.at.as_secs_f64(), sample.lag, sample.pods])).collect();
        let events: Vec<_> = scene.events.iter().map(|(at, what)| json!([at.as_secs_f64(), what])).collect();
        json!({ "act": scene.name, "samples": samples, "events": events })
    };
    serde_json::to_string(&scenes.iter().map(scene).collect::<Vec<_>>()).unwrap()
}
