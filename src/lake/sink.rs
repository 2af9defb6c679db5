//! Puts rows and their tags together again, and writes them: file after file, in the order that they were read in.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender};
use serde_json::json;
use tokio::runtime::Handle;

use super::book::Counts;
use super::format::{Rows, Writer};
use super::output::Output;
use super::place::Place;
use super::tags::Schema;
use crate::pipeline::sink::Sink;
use crate::record::budget::Permit;
use crate::record::outcome::Outcome;
use crate::record::rejection::{Rejection, TEXT_EMPTY, TEXT_MISSING};

/// What comes before the outcomes: they are of the rows that were announced, one after the other.
pub enum Step {
    /// A file begins.
    Begin(Box<Begin>),
    /// These rows have gone into the line.
    Rows(Rows, Permit),
    /// The file ends; or it can't be read any further.
    End(Result<()>),
}

/// A file that begins.
pub struct Begin {
    pub writer: Writer,
    /// Where rows go that can't be tagged.
    pub rejected: Place,
    pub scratch: Place,
    /// Whether only the rows tell which columns there are.
    pub is_free: bool,
}

/// What came of a file.
pub type Ended = Result<(Counts, u64)>;

/// The sink of `tagbert enrich`.
pub struct Files {
    pub steps: Receiver<Step>,
    pub ended: Sender<Ended>,
    pub tags: Schema,
    pub runtime: Handle,
    /// How many rows have come out.
    pub out: Arc<AtomicU64>,
    pub state: State,
}

/// The file that is being written, and the rows whose outcomes come next.
#[derive(Default)]
pub struct State {
    file: Option<File>,
    waiting: Option<Waiting>,
}

struct File {
    /// None once it can't be written.
    writer: Result<Box<Begin>>,
    rejected: Option<Output>,
    counts: Counts,
    /// Rows that don't have the column with the text at all.
    missing: u64,
}

/// Rows, with the outcomes that have come so far.
struct Waiting {
    rows: Rows,
    came: Vec<Result<Came, Rejection>>,
    _permit: Permit,
}

/// What came of a row that was not refused.
enum Came {
    Tagged(Vec<u8>),
    /// As in any table: what is not there has no tags.
    NoText,
    NoColumn,
}

impl Files {
    /// Does what can be done without another outcome.
    fn advance(&mut self) {
        loop {
            if let Some(waiting) = &self.state.waiting {
                if waiting.came.len() < waiting.rows.len() {
                    return;
                }
                self.write();
            }
            match self.steps.try_recv() {
                Err(_) => return,
                Ok(Step::Begin(begin)) => {
                    self.state.file =
                        Some(File { writer: Ok(begin), rejected: None, counts: Counts::default(), missing: 0 });
                }
                Ok(Step::Rows(rows, permit)) => {
                    self.state.waiting = Some(Waiting { came: Vec::with_capacity(rows.len()), rows, _permit: permit });
                }
                Ok(Step::End(read)) => self.end(read),
            }
        }
    }

    /// Writes the rows that are complete.
    fn write(&mut self) {
        let (Some(waiting), Some(file)) = (self.state.waiting.take(), &mut self.state.file) else { return };
        if let Err(error) = file.write(waiting, &self.tags, &self.runtime) {
            file.writer = Err(error);
        }
    }

    fn end(&mut self, read: Result<()>) {
        let Some(file) = self.state.file.take() else { return };
        // Whoever waits for it may have gone: the work is abandoned.
        let _ = self.ended.send(read.and_then(|()| file.finish(&self.runtime)));
    }
}

impl Sink for Files {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        self.advance();
        let Some(waiting) = &mut self.state.waiting else { bail!("an outcome of no row; this is a bug in tagbert") };
        waiting.came.push(match outcome {
            Outcome::Enriched(envelope) => Ok(Came::Tagged(envelope.body.enriched.value)),
            Outcome::DeadLetter(envelope) if envelope.body.class == TEXT_MISSING => Ok(Came::NoColumn),
            Outcome::DeadLetter(envelope) if envelope.body.class == TEXT_EMPTY => Ok(Came::NoText),
            Outcome::DeadLetter(envelope) => Err(envelope.body),
            Outcome::Tombstone(_) | Outcome::Filtered(_) => bail!("a row is never a tombstone, nor filtered"),
        });
        self.out.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        self.advance();
        Ok(())
    }
}

impl File {
    fn write(&mut self, Waiting { rows, came, .. }: Waiting, tags: &Schema, runtime: &Handle) -> Result<()> {
        let Ok(begin) = &mut self.writer else { return Ok(()) };
        let mut keep = vec![true; came.len()];
        let mut enriched = Vec::with_capacity(came.len());
        for (number, came) in came.into_iter().enumerate() {
            let row = self.counts.rows;
            match came {
                Ok(Came::Tagged(record)) => {
                    self.counts.tagged(row, &record);
                    enriched.push(Some(record));
                }
                Ok(came) => {
                    self.missing += u64::from(matches!(came, Came::NoColumn));
                    self.counts.rows += 1;
                    self.counts.without_text += 1;
                    enriched.push(None);
                }
                Err(rejection) => {
                    self.counts.rows += 1;
                    self.counts.rejected += 1;
                    keep[number] = false;
                    let to = &mut self.rejected;
                    if to.is_none() {
                        *to = Some(Output::create(begin.rejected.clone(), &begin.scratch, 0, runtime)?);
                    }
                    let Some(to) = to else { continue };
                    let Rejection { stage, class, message, .. } = rejection;
                    let content = rows.show(number);
                    let line = json!({ "row": row, "stage": stage.name(), "class": class, "message": message, "content": content });
                    writeln!(to, "{line}")?;
                }
            }
        }
        begin.writer.write(&rows.kept(&keep)?, &enriched, tags)
    }

    fn finish(self, runtime: &Handle) -> Ended {
        let begin = self.writer?;
        let is_elsewhere = begin.is_free && self.missing > 0 && self.missing + self.counts.rejected == self.counts.rows;
        ensure!(!is_elsewhere, "none of its {} rows has the text that `--text` names", self.counts.rows);
        // First, so that nothing is missing when the file is there.
        match self.rejected {
            Some(rejected) => rejected.finish()?,
            None => runtime.block_on(begin.rejected.remove())?,
        }
        let size = begin.writer.finish()?;
        Ok((self.counts, size))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if self.state.file.take().is_some() {
            let _ = self.ended.send(Err(anyhow!("stopped")));
        }
    }
}
