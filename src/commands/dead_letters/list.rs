//! `tagbert dead-letters list`.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use rdkafka::message::Message;
use serde_json::{Value, json};

use super::read::{Letter, Letters};
use super::{line, time};
use crate::commands::cli::List;
use crate::config::Config;

pub(super) fn run(config: &Config, args: &List) -> Result<ExitCode> {
    let letters = Letters::connect(config)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut counts = Counts::default();
    let limit = args.which.limit.unwrap_or(u64::MAX);
    let is_table = !args.summary && !args.json;
    if is_table {
        row(&mut out, ["TIME", "ID", "FROM", "STAGE", "CLASS", "BYTES", "REPLAYED", "MESSAGE"])?;
    }
    for partition in letters.partitions(args.which.partition)? {
        let replayed = letters.replayed(partition)?;
        let from = args.which.offset.iter().copied().min().unwrap_or(0);
        letters.each_letter(partition, from, |letter| {
            if counts.all >= limit {
                return Ok(ControlFlow::Break(()));
            }
            if args.which.takes(letter.record.offset(), letter.timestamp(), &letter.explanation) {
                let replayed = replayed.contains(letter.record.offset());
                counts.add(letter, replayed);
                if is_table {
                    print(&mut out, letter, replayed)?;
                } else if !args.summary {
                    writeln!(out, "{}", object(letter, replayed))?;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if is_table {
        writeln!(out)?;
    }
    if args.summary && args.json {
        writeln!(out, "{}", counts.object())?;
    } else if !args.json {
        writeln!(out, "{}", counts.text())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// One width for all: the table is printed while it is read.
fn row(out: &mut impl Write, [time, id, from, stage, class, bytes, replayed, message]: [&str; 8]) -> io::Result<()> {
    writeln!(out, "{time:<20} {id:<9} {from:<22} {stage:<8} {class:<17} {bytes:>8}  {replayed:<8}  {message}")
}

fn print(out: &mut impl Write, letter: &Letter<'_>, replayed: bool) -> io::Result<()> {
    let explanation = &letter.explanation;
    let texts: [&str; 8] = [
        &time(letter.timestamp()),
        &letter.id(),
        &line(&format!("{}/{}@{}", explanation.topic, explanation.partition, explanation.offset)),
        &line(&explanation.stage),
        &line(&explanation.class),
        &bytes(letter).to_string(),
        if replayed { "yes" } else { "" },
        &line(&explanation.message),
    ];
    row(out, texts)
}

fn object(letter: &Letter<'_>, replayed: bool) -> Value {
    let explanation = &letter.explanation;
    json!({
        "id": letter.id(),
        "time": letter.timestamp().map(|timestamp| time(Some(timestamp))),
        "source": {
            "topic": explanation.topic,
            "partition": explanation.partition,
            "offset": explanation.offset,
        },
        "stage": explanation.stage,
        "class": explanation.class,
        "message": explanation.message,
        "bytes": bytes(letter),
        "attempt": explanation.attempt,
        "replayed": replayed,
    })
}

/// Of the value.
fn bytes(letter: &Letter<'_>) -> usize {
    letter.record.payload().map_or(0, <[u8]>::len)
}

/// How many there are.
#[derive(Default)]
struct Counts {
    all: u64,
    replayed: u64,
    by_cause: BTreeMap<(String, String), u64>,
}

impl Counts {
    fn add(&mut self, letter: &Letter<'_>, replayed: bool) {
        self.all += 1;
        self.replayed += u64::from(replayed);
        let cause = (letter.explanation.stage.clone(), letter.explanation.class.clone());
        *self.by_cause.entry(cause).or_default() += 1;
    }

    fn text(&self) -> String {
        let causes = self.by_cause.iter();
        let causes: Vec<_> = causes.map(|((stage, class), n)| format!("{} {} {n}", line(stage), line(class))).collect();
        let causes = if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) };
        format!("{} dead letters{causes}; {} of them replayed", self.all, self.replayed)
    }

    fn object(&self) -> Value {
        let causes = self.by_cause.iter();
        let causes = causes.map(|((stage, class), count)| json!({ "stage": stage, "class": class, "count": count }));
        json!({ "dead_letters": self.all, "replayed": self.replayed, "causes": causes.collect::<Vec<_>>() })
    }
}
