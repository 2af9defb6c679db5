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
        let (account, outcome) = (&done.outcome.account, &done.outcome);
        let figures = [
            done.faults,
            account.records,
            account.lost,
            account.duplicated,
            account.out_of_order,
            account.wrong,
            outcome.stalled.len(),
            outcome.exits.len(),
        ];
        sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        line(&mut table, &done.row.name, figures, kept(done, options.delivery));
    }
    line(&mut table, "**all**", sums, rows.iter().all(|done| kept(done, options.delivery)));
    table
}

fn line(table: &mut String, name: &str, figures: [usize; 8], kept: bool) {
    let figures: Vec<_> = figures.iter().map(usize::to_string).collect();
    let verdict = if kept { "kept" } else { "**BROKEN**" };
    writeln!(table, "| {name} | {} | {verdict} |", figures.join(" | ")).unwrap();
}

/// What is behind the figures of a row, if anything.
pub fn details(done: &Done) -> String {
    let outcome = &done.outcome;
    let mut text = String::new();
    for (what, lines) in
        [("", &outcome.account.details), ("stalled: ", &outcome.stalled), ("a worker ended: ", &outcome.exits)]
    {
        for line in lines.iter().take(8) {
            writeln!(text, "      {what}{line}").unwrap();
        }
        if lines.len() > 8 {
            writeln!(text, "      {what}… and {} more", lines.len() - 8).unwrap();
        }
    }
    text
}
