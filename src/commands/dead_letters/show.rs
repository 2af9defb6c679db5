//! `tagbert dead-letters show`.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rdkafka::message::Message;

use super::read::{Letter, Letters};
use super::{line, time};
use crate::commands::cli::Show;
use crate::config::Config;
use crate::record::headers;

pub(super) fn run(config: &Config, args: &Show) -> Result<ExitCode> {
    let letters = Letters::connect(config)?;
    let (partition, offset) = args.id;
    letters.partitions(Some(partition))?;
    let replayed = !args.raw && letters.replayed(partition)?.contains(offset);
    let mut found = false;
    letters.each_letter(partition, offset, |letter| {
        found = letter.record.offset() == offset;
        let mut out = io::stdout().lock();
        if found && args.raw {
            out.write_all(letter.record.payload().with_context(|| format!("{} has no value", letter.id()))?)?;
        } else if found {
            out.write_all(text(letter, replayed).as_bytes())?;
        }
        out.flush()?;
        Ok(ControlFlow::Break(()))
    })?;
    if !found {
        let topic = &config.output.dead_letters;
        bail!(
            "there is no dead letter {partition}/{offset} in {topic}: `tagbert dead-letters list` shows what there is"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn text(letter: &Letter<'_>, replayed: bool) -> String {
    let Letter { record, headers, explanation } = letter;
    let mut lines = Vec::new();
    let mut say = |name: &str, what: &str| lines.push(format!("{name:<10} {what}"));
    say("id", &letter.id());
    say("time", &time(letter.timestamp()));
    let from = format!("{}/{}@{}", explanation.topic, explanation.partition, explanation.offset);
    say("from", &line(&from));
    say("stage", &line(&explanation.stage));
    say("class", &line(&explanation.class));
    say("message", &line(&explanation.message));
    say("attempt", &explanation.attempt.to_string());
    say("replayed", if replayed { "yes" } else { "no" });
    for (name, value) in headers::iter(headers) {
        say("header", &format!("{}: {}", shown(Some(name)), shown(value)));
    }
    say("key", &shown(record.key()));
    say("value", &format!("{} bytes", record.payload().map_or(0, <[u8]>::len)));
    lines.extend([shown(record.payload()), String::new()]);
    lines.join("\n")
}

/// Text as text, without what would control a terminal; other bytes in hex.
fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "(null)".into() };
    let plain = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().map(plain).collect(),
        Err(_) => format!("0x{}", hex::encode(bytes)),
    }
}
