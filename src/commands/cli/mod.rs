//! The command line.

mod bench;
mod dead_letters;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::bench::{Bench, Plan, SampleArgs};
pub use self::dead_letters::{DeadLetters, List, Replay, Show, Which};
use crate::config::location::Location;
use crate::kafka::source::bounds::Edge;
use crate::lake::job::Compression;

/// Tags documents on Kafka with a DistilBERT: topic, spam and entities.
///
/// tagbert reads documents from Kafka topics, micro-batches them through a model on ONNX Runtime, writes enriched
/// records to an output topic, and commits offsets when the results are acknowledged. What can't be tagged goes to a
/// dead-letter topic.
///
/// Exit codes: 0 done, 2 bad usage or configuration, 3 a bounded run with too many dead letters, 1 anything else.
#[derive(Debug, Parser)]
#[command(name = "tagbert", disable_version_flag = true, arg_required_else_help = true)]
pub struct Cli {
    /// Print the versions of tagbert, ONNX Runtime and librdkafka
    #[arg(short = 'V', long, exclusive = true)]
    pub version: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tag the documents of Kafka topics
    ///
    /// Runs until SIGTERM or SIGINT, which drain what is in flight and commit (within `shutdown.timeout`); a second
    /// signal ends the process at once. With --until-end it is a batch job.
    ///
    /// `RUST_LOG` filters the log (`info` by default). `OTEL_EXPORTER_OTLP_ENDPOINT` and the other standard variables of
    /// OpenTelemetry turn on the export of metrics and traces.
    Run(Run),
    /// Show the whole line on real documents, with a broker inside the process
    ///
    /// The worker is the one of `tagbert run`; only the broker is embedded (librdkafka's mock cluster). `make demo`
    /// fetches mails and news and runs it; a release has short messages to show.
    Demo(Demo),
    /// Tag documents of a file or of standard input, without Kafka
    ///
    /// With --config and --set as for `run`; without --config, documents have their text at `/text`. Enriched records come
    /// out as JSON lines, in the order of the input. A line that can't be tagged is reported on standard error with its
    /// number and passed over; the exit code is then 1.
    Tag(Tag),
    /// Tag the rows of files: Parquet, Arrow, JSON lines, CSV, on this machine or in a bucket
    ///
    /// All columns stay as they are, and the tags are one more. A file is written whole or not at all, as it was compressed
    /// and cut into row groups. The same command again goes on where it was stopped, however that was; several at a time share the
    /// work. What is done stands in `OUTPUT/_tagbert/`, as do rows that can't be tagged, with the reason.
    ///
    /// Credentials come from the usual variables (`AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_…`).
    /// Exit codes: 0 done, 3 more rejected rows than --max-dead, 1 anything else; files that can't be read are passed
    /// over, and named.
    Enrich(Enrich),
    /// Check a configuration: parse it, load the model, connect, look for the topics
    ///
    /// All mistakes are reported at once, each with its line and what was probably meant; the exit code is then 2.
    /// Prints the configuration as it is after all layers, with secrets masked.
    Check(ConfigArgs),
    /// Try configurations with their cases: records, and what is to become of them
    ///
    /// Cases stand in the configuration (`tests`), or beside it: in local.test.yaml, for local.yaml. They need no Kafka: each
    /// record takes the way that it would take in the worker, and what would be sent is compared. Exit codes: 0 all is as it
    /// was to be, 1 something is not, 2 a mistake in the configuration or the cases.
    Test(Test),
    /// Look into a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Measure how fast the models are here, on your own documents, without writing anything
    ///
    /// The worker's own stages run, between documents that are in memory and a sink that only counts. Nothing is written to
    /// Kafka, no group is joined and nothing is committed. Figures are medians of several rounds.
    Bench(Bench),
    /// Say how many workers, cores and partitions a rate of documents needs, and what it costs
    ///
    /// A short calibration of the models and the lengths of your own documents tell what a worker would do on a machine
    /// like this one. Nothing is written.
    Plan(Plan),
    /// Look at what could not be tagged, and send it back
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Check what a bounded run has done
    #[command(subcommand)]
    Manifest(Manifest),
    /// Look into a model
    #[command(subcommand)]
    Model(Model),
    /// Print a JSON Schema (draft 2020-12; of records 07)
    Schema {
        /// Of what
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Print what a shell completes: `source <(tagbert completions bash)`
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write a man page for each command into a directory: `tagbert man ~/.local/share/man/man1`
    Man {
        /// The directory
        directory: PathBuf,
    },
}

/// `tagbert run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Its configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Read to the end offsets as they are now, drain, commit, print a summary, and exit
    #[arg(long)]
    pub until_end: bool,
    /// As --until-end, but begin here: an offset, `earliest`, a time (2026-11-21T16:00:00Z), or so long ago (2h)
    ///
    /// The job has a group of its own (unless --group names one), so that whoever reads the topics is left alone. The same
    /// command again finishes what is left; several at a time share the work.
    #[arg(long, value_name = "OFFSET|TIME|AGO")]
    pub from: Option<Edge>,
    /// As --until-end, but end before this; in a group of its own, too
    #[arg(long, value_name = "OFFSET|TIME|AGO")]
    pub to: Option<Edge>,
    /// The consumer group, instead of `kafka.group`
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// More dead letters than so many make a bounded run exit with 3
    #[arg(long, value_name = "N", default_value = "0")]
    pub max_dead: u64,
    /// Write down what a bounded run does: ranges, counts, labels, versions (`tagbert schema manifest`)
    ///
    /// The file must not be there yet. It is written at the start, each few seconds, and at the end.
    #[arg(long, value_name = "FILE|URL")]
    pub manifest: Option<String>,
}

/// `tagbert manifest`.
#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Read the topics again, and prove or refute what manifests say of them
    ///
    /// Of a job that several workers shared, or that was stopped and run again, all manifests are given together. The exit
    /// code is 0 if all of it is proven: each record of the job was done, and came out (under exactly-once: once), and
    /// counts, labels and checksums are those of the topics.
    Verify(Verify),
}

/// `tagbert manifest verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The worker's configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The manifests of one job
    #[arg(value_name = "FILE|URL", required = true)]
    pub manifests: Vec<String>,
}

/// Where a configuration comes from.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration, in YAML
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Set a key, such as `batch.tokens=4096`; it beats the environment (`TAGBERT__BATCH__TOKENS`), which beats the file
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `tagbert test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The configurations, in YAML
    #[arg(value_name = "CONFIG", required = true)]
    pub configs: Vec<PathBuf>,
    /// Set a key of all of them, such as `model.path=models/other`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write a report for build servers, in the XML of `JUnit`
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// `tagbert config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print each value, and where it came from: a line of the file, a variable, an option, or the default
    ///
    /// What is printed is itself a configuration, in YAML. Secrets are masked.
    Print(ConfigArgs),
}

/// `tagbert demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// How many documents, or `all`
    #[arg(long, value_name = "N", default_value = "1000", value_parser = documents)]
    pub documents: usize,
    /// Another model: a directory, `hf://OWNER/NAME`, `s3://…` or `https://…`
    #[arg(long, value_name = "PATH")]
    pub model: Option<Location>,
    /// Other documents to stream, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub corpus: Option<PathBuf>,
    /// Also write the enriched records to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A configuration without Kafka.
#[derive(Debug, Args)]
pub struct OfflineArgs {
    /// The configuration, in YAML, of which the models, texts, batches and limits count
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a key, such as `limits.document=8MiB`; it beats the environment, which beats the file
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The model, instead of the configuration's (`models/tagbert-small` by default): a directory, `hf://OWNER/NAME`,
    /// `s3://…` or `https://…`
    #[arg(long, value_name = "PATH")]
    pub model: Option<Location>,
    /// Which of its ONNX files: fp32, fp16, int8, or a file's name
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
}

/// `tagbert tag`.
#[derive(Debug, Args)]
pub struct Tag {
    /// What it is tagged with.
    #[command(flatten)]
    pub offline: OfflineArgs,
    /// Where to read from; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
    /// Where to write to; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// What a line of the input is
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
}

/// `tagbert enrich`.
#[derive(Debug, Args)]
pub struct Enrich {
    /// What it is tagged with.
    #[command(flatten)]
    pub offline: OfflineArgs,
    /// Files to read: a path, a directory, a pattern ('data/dt=*/*.parquet'), or a URL (s3://, gs://, az://, https://)
    #[arg(long, value_name = "PATH|GLOB|URL", required = true)]
    pub input: Vec<String>,
    /// The directory to write to, with the same partitions; of one file, the file
    #[arg(long, value_name = "PATH|URL")]
    pub output: String,
    /// The column with the text (`text` by default), or a pointer into a nested one (/message/body); of several, all count
    #[arg(long, value_name = "COLUMN")]
    pub text: Vec<String>,
    /// What the column with the tags is called
    #[arg(long, value_name = "NAME", default_value = "tags")]
    pub tags: String,
    /// Write each tag as columns of its own: `tags_spam`, `tags_spam_score`, …
    #[arg(long)]
    pub flat: bool,
    /// Compress Parquet or Arrow in another way than the input is
    #[arg(long, value_enum)]
    pub compression: Option<Compression>,
    /// What stands before a quote within quotes in CSV files that do not double it (Spark's do not: '\')
    #[arg(long, value_name = "CHAR", value_parser = byte)]
    pub csv_escape: Option<u8>,
    /// Cut Parquet into row groups of so many rows, not into those of the input
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub row_group_rows: Option<u32>,
    /// More rejected rows than so many make the exit code 3
    #[arg(long, value_name = "N", default_value = "0")]
    pub max_dead: u64,
}

/// `tagbert model`.
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Show what a model is and what it would be fed, and try it
    ///
    /// It is first loaded and run by a process of its own with limits of memory and time, on the CPU, so that files of
    /// unknown origin may be inspected. What tagbert can't use is refused: with one clear error, and exit code 1.
    Inspect(Inspect),
    /// The limited process in which a model is tried
    #[command(hide = true)]
    Vet(Vet),
}

/// `tagbert model inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The model: a directory, `hf://OWNER/NAME`, `s3://…` or `https://…`
    pub model: Location,
    /// Which of its ONNX files: fp32, fp16, int8, or a file's name
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// How long loading and a first run may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

/// `tagbert model vet`.
#[derive(Debug, Args)]
pub struct Vet {
    /// The model's directory.
    pub directory: PathBuf,
    /// Which of its ONNX files.
    #[arg(long)]
    pub variant: Option<String>,
    /// The most tokens at once.
    #[arg(long)]
    pub max_tokens: Option<usize>,
    /// Bytes of address space.
    #[arg(long)]
    pub memory: u64,
    /// Seconds of a processor.
    #[arg(long)]
    pub cpu: u64,
}

/// What a line of `tagbert tag`'s input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A document: {"id": …, "text": "…"}
    Json,
    /// A text
    Text,
}

/// What `tagbert schema` prints the schema of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemaOf {
    /// The configuration
    Config,
    /// A document, as the default configuration expects it
    Document,
    /// An enriched record
    Record,
    /// The headers of a dead letter
    DeadLetter,
    /// What a bounded run did
    Manifest,
}

/// A character that can stand before a quote.
fn byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() && !matches!(byte, b'"' | b',') => Ok(*byte),
        _ => Err("one ASCII character, such as \\".into()),
    }
}

fn documents(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        number => number.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a number from 1 on, or `all`".into()),
    }
}
