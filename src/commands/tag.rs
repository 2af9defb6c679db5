//! `tagbert tag`: the pipeline between two files.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::cli::{Format, Tag};
use super::{offline, output};
use crate::config::mark::without_mark;
use crate::config::{self, Charset, Config, ConfigError, ContentMode, OutputFormat, Shape};
use crate::pipeline::Pipeline;
use crate::pipeline::sink::Sink;
use crate::record::budget::Budget;
use crate::record::envelope::{Envelope, Origin, Record};
use crate::record::outcome::Outcome;
use crate::record::stop::Stop;
use crate::tagger::live::Live;
use crate::telemetry::metrics::Metrics;

pub(super) fn run(args: &Tag) -> Result<ExitCode> {
    let config = configured(args)?;
    let taggers = Live::load(&config)?;
    ensure!(!is_same_file(&args.input, &args.output), "--output is the file of --input, which it would empty first");
    let mut lines = open(&args.input)?;
    if args.format == Format::Text {
        ensure_is_text(&mut lines).with_context(|| args.input.display().to_string())?;
    }
    let refused = Arc::new(AtomicBool::new(false));
    let sink = Lines { output: create(&args.output)?, refused: Arc::clone(&refused) };

    let budget = Budget::new(config.limits.in_flight.as_u64());
    let metrics = Metrics::unseen(&budget);
    let stop = Arc::new(Stop::default());
    let pipeline = Pipeline::start(&config, &taggers, None, sink, &metrics, &stop)?;
    let topic: Arc<str> =
        if is_standard(&args.input) { "stdin".into() } else { args.input.display().to_string().into() };
    let mut seq = 0;
    for (number, line) in lines.split(b'\n').enumerate() {
        let line = line.with_context(|| args.input.display().to_string())?;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        // Files that were put together have one at the beginning of each.
        let line = without_mark(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        while budget.is_spent() && !stop.is_requested() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if stop.is_requested() {
            break;
        }
        let value = value(line, number, args.format);
        let origin = Origin::elsewhere(Arc::clone(&topic), number as i64, seq);
        pipeline.feed(Envelope::begin(origin, Record::of(value), &budget));
        seq += 1;
    }
    pipeline.finish();
    match stop.take_failure() {
        Some(error) => Err(error),
        None => Ok(ExitCode::from(u8::from(refused.load(Ordering::Relaxed)))),
    }
}

/// The configuration of the file, the environment and the command line.
fn configured(args: &Tag) -> Result<Config> {
    let mut config = offline::configured(&args.offline)?;
    super::sample::ensure_has_lines(&config)?;
    // A line of text becomes a document by itself.
    if args.format == Format::Text {
        if config.input.charset != Charset::default() {
            let why =
                "is for `input.format: text`; the lines of `--format text` are UTF-8: leave one of them out".into();
            return Err(ConfigError::Value { key: "input.charset".into(), why }.into());
        }
        (config.input.id, config.input.text) = ("/id".into(), vec!["/text".into()]);
        config.input.format = config::Format::Json;
        config.taggers.iter_mut().for_each(|tagger| tagger.text = None);
    }
    let is_line = match config.output.format {
        OutputFormat::Json => true,
        OutputFormat::JsonSchema | OutputFormat::Avro | OutputFormat::Protobuf => false,
        OutputFormat::CloudEvents => config.output.cloudevents.content_mode == ContentMode::Structured,
    };
    if !is_line {
        let why = "must be `json` here, or structured `cloudevents`: lines are text, without headers".into();
        return Err(ConfigError::Value { key: "output.format".into(), why }.into());
    }
    if config.output.shape == Shape::Headers {
        let why = "is `headers`, which lines have not: `--set output.shape=nested`".into();
        return Err(ConfigError::Value { key: "output.shape".into(), why }.into());
    }
    Ok(config)
}

/// In UTF-16, every other byte of a Latin text is zero, which is UTF-8, too: its lines would be tagged, and be wrong.
fn ensure_is_text(lines: &mut impl BufRead) -> Result<()> {
    let begin = lines.fill_buf()?;
    let is_utf_16 = matches!(
        begin,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=255, 0, 1..=255, 0, ..] | [0, 1..=255, 0, 1..=255, ..]
    );
    ensure!(!is_utf_16, "it is UTF-16, and is to be UTF-8: `iconv -f UTF-16 -t UTF-8` makes it so");
    Ok(())
}

/// A line as a document. Bytes that are not UTF-8 are left to the decoder to refuse.
fn value(line: &[u8], number: usize, format: Format) -> Vec<u8> {
    match (format, std::str::from_utf8(line)) {
        (Format::Text, Ok(text)) => json!({ "id": (number + 1).to_string(), "text": text }).to_string().into_bytes(),
        _ => line.to_vec(),
    }
}

/// Writes enriched records as lines, and reports the others.
struct Lines {
    output: Box<dyn Write + Send>,
    refused: Arc<AtomicBool>,
}

impl Sink for Lines {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Enriched(envelope) => {
                let written =
                    self.output.write_all(&envelope.body.enriched.value).and_then(|()| self.output.write_all(b"\n"));
                written.map_err(output::unwritten)?;
            }
            Outcome::DeadLetter(envelope) => {
                self.refused.store(true, Ordering::Relaxed);
                output::say(format_args!("line {}: {}", envelope.origin.offset + 1, envelope.body.message));
            }
            Outcome::Tombstone(_) | Outcome::Filtered(_) => bail!("a line is never a tombstone, nor filtered"),
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        self.output.flush().map_err(output::unwritten)
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| path.metadata().ok().filter(Metadata::is_file).map(|file| (file.dev(), file.ino()));
    !is_standard(one) && !is_standard(other) && file(one).is_some_and(|one| file(other) == Some(one))
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| path.display().to_string())?;
    Ok(Box::new(BufReader::new(file)))
}

fn create(path: &Path) -> Result<Box<dyn Write + Send>> {
    if is_standard(path) {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(Box::new(BufWriter::new(file)))
}
