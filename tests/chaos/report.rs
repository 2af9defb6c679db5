//! The table, and the verdict.

use std::fmt::Write as _;

use crate::options::{Delivery, Options};
use crate::rows::Done;

/// Whether a row kept what the delivery promises.
pub fn kept(done: &Done, delivery: Delivery) -> bool {
    done.outcome.account.keeps(delivery) && done.outcome.stalled.is_empty()
}

/// The table, as Markdown.
pub fn table(rows: &[Done], options: &Options) -> String {
    let mut table = String::from(
        "| row | faults | documents | lost | duplicated | out of order | wrong | stalled | exits | verdict |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    let mut sums = [0; 8];
    for done in rows {
        sums.iter_mut().zip(figures(done)).for_each(|(sum, figure)| *sum += figure);
        table += &row(done, options.delivery);
    }
    table + &line("**all**", sums, rows.iter().all(|done| kept(done, options.delivery)))
}

/// One line of it.
pub fn row(done: &Done, delivery: Delivery) -> String {
    line(&done.row.name, figures(done), kept(done, delivery))
}

fn figures(done: &Done) -> [usize; 8] {
    let (account, outcome) = (&done.outcome.account, &done.outcome);
    [
        done.faults,
        account.records,
        account.lost,
        account.duplicated,
        account.out_of_order,
        account.wrong,
        outcome.stalled.len(),
        outcome.exits.len(),
    ]
}

fn line(name: &str, figures: [usize; 8], kept: bool) -> String {
    let figures: Vec<_> = figures.iter().map(usize::to_string).collect();
    let verdict = if kept { "kept" } else { "**BROKEN**" };
    format!("| {name} | {} | {verdict} |\n", figures.join(" | "))
}

/// What is behind the figures of a row, if anything.
pub fn details(done: &Done, delivery: Delivery) -> String {
    let outcome = &done.outcome;
    let mut text = String::new();
    let none = Vec::new();
    let again = if delivery == Delivery::ExactlyOnce { &outcome.account.again } else { &none };
    for (what, lines) in [
        ("", again),
        ("", &outcome.account.details),
        ("stalled: ", &outcome.stalled),
        ("a worker ended: ", &outcome.exits),
    ] {
        for line in lines.iter().take(8) {
            writeln!(text, "      {what}{line}").unwrap();
        }
        if lines.len() > 8 {
            writeln!(text, "      {what}… and {} more", lines.len() - 8).unwrap();
        }
    }
    text
}
