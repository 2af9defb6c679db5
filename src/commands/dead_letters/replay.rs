//! `tagbert dead-letters replay`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::message::{Header, Message};

use super::line;
use super::notes::Offsets;
use super::read::{Letter, Letters};
use super::send::{Outgoing, Sender};
use crate::codec::dead_letter;
use crate::commands::cli::Replay;
use crate::commands::output;
use crate::config::Config;
use crate::record::headers::REPLAY_ATTEMPT;
use crate::record::stop::Stop;
use crate::worker::signals;

/// What goes in one transaction, at most: more would save little time, and a kill would undo more.
const LETTERS: usize = 1000;
const BYTES: usize = 16 << 20;

pub(super) fn run(config: &Config, args: &Replay) -> Result<ExitCode> {
    // First of all: from here on no other replay sends anything, so that what it noted can be read.
    let sender = if args.dry_run { None } else { Some(Sender::connect(config)?) };
    let letters = Letters::connect(config)?;
    let mut plan = Plan::make(&letters, args)?;
    let Some(sender) = sender else {
        output::print(format_args!("would replay {} of {} dead letters{}", plan.count(), plan.all, plan.left))?;
        return Ok(plan.left.exit_code());
    };

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stop = Arc::new(Stop::default());
    // What is under way is finished, from here on.
    stop.begin();
    signals::stop_on_signals(&runtime, Arc::clone(&stop), config.shutdown.timeout, 0)?;
    let mut run = Run { sender, stop, planned: plan.count(), batch: Vec::new(), sent: 0, refused: 0, shown: None };
    let done = run.send_all(&letters, &plan.offsets);
    plan.left.add(Why::Refused, run.refused);
    plan.left.add(Why::NotYet, run.planned - run.sent - run.refused);
    output::print(format_args!("replayed {} of {} dead letters{}", run.sent, plan.all, plan.left))?;
    done.map(|()| plan.left.exit_code())
}

/// Why a dead letter that was asked for is not replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Before,
    Limit,
    Attempts(u32),
    Empty,
    NoTopic,
    Refused,
    NotYet,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before => f.write_str("replayed before"),
            Self::Limit => f.write_str("beyond --limit"),
            Self::Attempts(max) => write!(f, "left: replayed {max} times or more, look at them first"),
            Self::Empty => f.write_str("left: nothing in them to replay"),
            Self::NoTopic => f.write_str("left: the topic that they came from is not there"),
            Self::Refused => f.write_str("left: refused by the topic that they came from"),
            Self::NotYet => f.write_str("not sent yet"),
        }
    }
}

/// How many, for which reason.
#[derive(Default)]
struct Left(BTreeMap<Why, u64>);

impl Left {
    fn add(&mut self, why: Why, count: u64) {
        if count > 0 {
            *self.0.entry(why).or_default() += count;
        }
    }

    fn exit_code(&self) -> ExitCode {
        let failed = self.0.keys().any(|why| !matches!(why, Why::Before | Why::Limit));
        ExitCode::from(u8::from(failed))
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(why, count)| write!(f, "; {count} {why}"))
    }
}

/// What is to be done.
struct Plan {
    /// How many were asked for.
    all: u64,
    /// The offsets to replay, by partition.
    offsets: Vec<(i32, Vec<i64>)>,
    left: Left,
}

impl Plan {
    fn make(letters: &Letters, args: &Replay) -> Result<Self> {
        let mut plan = Self { all: 0, offsets: Vec::new(), left: Left::default() };
        let mut room = args.which.limit.unwrap_or(u64::MAX);
        for partition in letters.partitions(args.which.partition)? {
            let replayed = letters.replayed(partition)?;
            let mut offsets = Vec::new();
            letters.each_letter(partition, 0, |letter| {
                let offset = letter.record.offset();
                if !args.which.takes(offset, letter.timestamp(), &letter.explanation) {
                    return Ok(ControlFlow::Continue(()));
                }
                plan.all += 1;
                let why = why_not(letter, letters, &replayed, args.max_attempts);
                let why = why.or_else(|| (room == 0).then_some(Why::Limit));
                if let Some(why) = why {
                    plan.left.add(why, 1);
                } else {
                    room -= 1;
                    offsets.push(offset);
                }
                if args.dry_run {
                    let id = letter.id();
                    let line = why.map_or_else(|| announce(letter, letters), |why| format!("{id}: {why}"));
                    writeln!(io::stdout(), "{line}").map_err(output::unwritten)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            plan.offsets.push((partition, offsets));
        }
        Ok(plan)
    }

    fn count(&self) -> u64 {
        self.offsets.iter().map(|(_, offsets)| offsets.len() as u64).sum()
    }
}

fn why_not(letter: &Letter<'_>, letters: &Letters, replayed: &Offsets, max_attempts: u32) -> Option<Why> {
    let record = letter.record;
    if replayed.contains(record.offset()) {
        return Some(Why::Before);
    }
    if record.key().is_none() && record.payload().is_none() && !dead_letter::has_own(letter.headers) {
        return Some(Why::Empty);
    }
    if letters.partitions_of(&letter.explanation.topic).is_none() {
        return Some(Why::NoTopic);
    }
    (letter.explanation.attempt >= max_attempts).then_some(Why::Attempts(max_attempts))
}

/// For a dry run.
fn announce(letter: &Letter<'_>, letters: &Letters) -> String {
    let explanation = &letter.explanation;
    let partition = partition(letter, letters).map_or_else(|| "by its key".into(), |partition| partition.to_string());
    format!("{}: to {}/{partition}, attempt {}", letter.id(), line(&explanation.topic), explanation.attempt + 1)
}

/// Where it came from, if that is still there: order within a partition is what readers rely on.
fn partition(letter: &Letter<'_>, letters: &Letters) -> Option<i32> {
    let explanation = &letter.explanation;
    let there = letters.partitions_of(&explanation.topic).unwrap_or(0);
    Some(explanation.partition).filter(|partition| (0..there).contains(partition))
}

fn outgoing(letter: &Letter<'_>, letters: &Letters) -> Outgoing {
    let Letter { record, headers, explanation } = letter;
    let attempt = (explanation.attempt + 1).to_string();
    let own = dead_letter::own((*headers).clone());
    Outgoing {
        from: (record.partition(), record.offset()),
        topic: explanation.topic.clone(),
        partition: partition(letter, letters),
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        headers: own.insert(Header { key: REPLAY_ATTEMPT, value: Some(&attempt) }),
        timestamp: letter.timestamp(),
    }
}

/// A replay that is going on.
struct Run {
    sender: Sender,
    stop: Arc<Stop>,
    planned: u64,
    batch: Vec<Outgoing>,
    sent: u64,
    refused: u64,
    shown: Option<Instant>,
}

impl Run {
    fn send_all(&mut self, letters: &Letters, plan: &[(i32, Vec<i64>)]) -> Result<()> {
        for (partition, offsets) in plan {
            let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else { continue };
            let mut bytes = 0;
            letters.each_letter(*partition, first, |letter| {
                let offset = letter.record.offset();
                if self.stop.is_requested() || offset > last {
                    return Ok(ControlFlow::Break(()));
                }
                if offsets.binary_search(&offset).is_ok() {
                    let back = outgoing(letter, letters);
                    bytes += back.key.as_ref().map_or(0, Vec::len) + back.value.as_ref().map_or(0, Vec::len);
                    self.batch.push(back);
                }
                if self.batch.len() >= LETTERS || bytes >= BYTES {
                    bytes = 0;
                    self.send_batch()?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            self.send_batch()?;
        }
        Ok(())
    }

    fn send_batch(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let refused = self.sender.send(&batch)?;
        for (letter, why) in &refused {
            let (partition, offset) = letter.from;
            output::say(format_args!("{partition}/{offset}: {} refused it: {why}", line(&letter.topic)));
        }
        self.refused += refused.len() as u64;
        self.sent += (batch.len() - refused.len()) as u64;
        self.show_progress();
        Ok(())
    }

    /// Once a second, and at the end.
    fn show_progress(&mut self) {
        let at_end = self.sent + self.refused == self.planned;
        if self.planned == 0 || !at_end && self.shown.is_some_and(|shown| shown.elapsed() < Duration::from_secs(1)) {
            return;
        }
        self.shown = Some(Instant::now());
        let mut stderr = io::stderr();
        let percent = 100 * (self.sent + self.refused) / self.planned;
        let (start, end) = match (stderr.is_terminal(), at_end) {
            (true, false) => ("\r", ""),
            (true, true) => ("\r", "\n"),
            (false, _) => ("", "\n"),
        };
        // Nobody reads it: so be it.
        let _ = write!(stderr, "{start}replayed {} of {} ({percent} %){end}", self.sent, self.planned);
    }
}
