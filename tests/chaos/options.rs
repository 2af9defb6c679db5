//! What can be asked for on the command line.

use std::fmt;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Injects faults while documents are tagged, and compares what went in with what came out.
#[derive(Debug, Parser)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All kinds of faults, a row of the table each.
    Chaos(Options),
    /// Constant load and faults; do memory, files and threads stay as they are?
    Soak(Options),
    /// What Kubernetes would do, act by act: updates, scaling by lag, lost nodes, limits, jobs.
    Rehearse(Rehearsal),
}

/// How it is rehearsed.
#[derive(Args, Clone, Debug)]
pub struct Rehearsal {
    /// The workers' model.
    #[arg(long, default_value = "models/tagbert-small")]
    pub model: String,
    /// So many documents for the bounded job.
    #[arg(long, default_value_t = 20_000)]
    pub documents: usize,
    /// So many documents a second, where the load is steady.
    #[arg(long, default_value_t = 40)]
    pub rate: usize,
    /// Which promise is held to.
    #[arg(long, value_enum, default_value_t = Delivery::ExactlyOnce)]
    pub delivery: Delivery,
    /// Only acts whose name has one of these (between commas) in it.
    #[arg(long, default_value = "")]
    pub only: String,
    /// Put the table into docs/REHEARSAL.md.
    #[arg(long)]
    pub write: bool,
}

impl Rehearsal {
    /// The same for an arena.
    pub fn options(&self) -> Options {
        Options {
            faults: 0,
            documents: 0,
            seed: 1,
            delivery: self.delivery,
            minutes: 0,
            only: String::new(),
            // Unlike in a row of the table, they shall be able to catch up.
            set: vec![format!("model.path={}", self.model), "limits.in_flight=4MiB".into()],
            failpoints: String::new(),
            log: "warn,tagbert=info".into(),
        }
    }
}

/// How much of it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// At least so many faults, shared out among the rows.
    #[arg(long, default_value_t = 200)]
    pub faults: usize,
    /// So many documents, shared out among the rows.
    #[arg(long, default_value_t = 50_000)]
    pub documents: usize,
    /// The same seed gives the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Which promise is held to.
    #[arg(long, value_enum, default_value_t = Delivery::AtLeastOnce)]
    pub delivery: Delivery,
    /// No fault after so long. A soak takes exactly as long.
    #[arg(long, default_value_t = 30)]
    pub minutes: u64,
    /// Only rows whose name has one of these (between commas) in it.
    #[arg(long, default_value = "")]
    pub only: String,
    /// A setting of the workers, as `tagbert run` takes it; several can be given.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Failpoints of all workers, as `FAILPOINTS`; those of a row come on top.
    #[arg(long, default_value = "")]
    pub failpoints: String,
    /// What the workers log, as `RUST_LOG`.
    #[arg(long, default_value = "warn,tagbert=info")]
    pub log: String,
}

/// What is promised.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Delivery {
    /// Nothing is lost.
    AtLeastOnce,
    /// And nothing is there twice.
    ExactlyOnce,
}

impl Delivery {
    /// What the worker's configuration says of it.
    pub fn yaml(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "",
            Self::ExactlyOnce => "delivery: exactly-once\n",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        })
    }
}
