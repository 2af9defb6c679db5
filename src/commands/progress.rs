//! How far a job is: a bar on a terminal, a line now and then otherwise.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use super::output;

/// How often a line is written where no bar can be.
const EACH: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Bytes of files, of which documents are read.
    Bytes,
    /// Records of topics.
    Records,
}

/// Logs now and then how far a bounded run is, until it is dropped. (A bar would be torn by the other lines.)
pub(super) struct Following {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Looks at how many of all records are done.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(all: u64, done: impl Fn() -> u64 + Send + 'static) -> Result<Self> {
        let over = Arc::<AtomicBool>::default();
        let ends = Arc::clone(&over);
        let follow = move || {
            let (started, mut shown) = (Instant::now(), Instant::now());
            while !ends.load(Ordering::Acquire) {
                if shown.elapsed() >= EACH {
                    shown = Instant::now();
                    let done = done();
                    tracing::info!("{}", line(Unit::Records, done.min(all), all, done, started.elapsed()));
                }
                thread::park_timeout(EACH);
            }
        };
        let thread =
            thread::Builder::new().name("progress".into()).spawn(follow).context("a thread can't be started")?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Shows how far a job over files is.
pub(super) struct Bar {
    terminal: Option<ProgressBar>,
    started: Instant,
    shown: Cell<Instant>,
}

impl Bar {
    /// One that begins now.
    pub fn new() -> Self {
        let style = "{bar:30} {percent}% {msg} {elapsed} gone, {eta} left";
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            match ProgressStyle::with_template(style) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { terminal: bar, started: Instant::now(), shown: Cell::new(Instant::now()) }
    }

    /// So much of it is done, and so many documents.
    pub fn show(&self, done: u64, all: u64, documents: u64) {
        let rate = documents as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        if let Some(bar) = &self.terminal {
            bar.set_length(all);
            bar.set_position(done);
            bar.set_message(format!("{} documents, {rate:.0}/s,", HumanCount(documents)));
        } else if self.shown.get().elapsed() >= EACH {
            self.shown.set(Instant::now());
            output::say(line(Unit::Bytes, done, all, documents, self.started.elapsed()));
        }
    }

    /// It is over.
    pub fn finish(&self) {
        if let Some(bar) = &self.terminal {
            bar.finish_and_clear();
        }
    }
}

fn line(unit: Unit, done: u64, all: u64, documents: u64, elapsed: Duration) -> String {
    let of = match unit {
        Unit::Bytes => format!("{} of {}, {} documents", HumanBytes(done), HumanBytes(all), HumanCount(documents)),
        Unit::Records => format!("{} of {} records", HumanCount(done), HumanCount(all)),
    };
    let rate = documents as f64 / elapsed.as_secs_f64().max(0.001);
    let left = match all.saturating_sub(done) {
        rest if done > 0 => format!(", {} left", HumanDuration(elapsed.mul_f64(rest as f64 / done as f64))),
        _ => String::new(),
    };
    format!("{of}, {rate:.0}/s{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long() {
        let line = |done| line(Unit::Bytes, done, 4 << 20, 1000, Duration::from_secs(10));
        assert_eq!(line(1 << 20), "1.00 MiB of 4.00 MiB, 1,000 documents, 100/s, 30 seconds left");
        assert_eq!(line(0), "0 B of 4.00 MiB, 1,000 documents, 100/s");
        let line = super::line(Unit::Records, 1000, 4000, 1000, Duration::from_secs(10));
        assert_eq!(line, "1,000 of 4,000 records, 100/s, 30 seconds left");
    }
}
