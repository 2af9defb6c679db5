//! `tagbert plan`: what a rate of documents needs.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::bench::About;
use super::cli::Plan as Args;
use super::gauge::Documents;
use super::gauge::alone::{Batch, Order, batches};
use super::gauge::fit::{Fit, calibrate};
use super::gauge::host::Host;
use super::output;
use super::sample::Sample;
use crate::config::Config;
use crate::model::session::runtime;
use crate::tagger::taggers::Taggers;
use crate::telemetry::memory::Memory;

/// Workers are to be this busy at the rate that was asked for: the rest is for peaks, and for what has piled up.
const LOAD: f64 = 0.8;

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let config = super::config(&args.config)?;
    let sample = Sample::read(&config, &args.sample)?;
    let taggers = std::sync::Arc::new(Taggers::load(&config)?);
    let documents = Documents::prepare(&config, &taggers, sample.values)?;
    let time = Duration::from_secs(args.seconds);
    output::say(format_args!("calibrating, about {} s", args.seconds));
    let host = Host::measure(&config, &taggers, &documents, time / 10)?;
    let fits = fits(&config, &taggers, &documents, time.mul_f64(0.7))?;
    let prediction = Prediction::of(&config, &taggers, &documents, host, fits);
    let partitions = args.partitions.map(|count| count as usize).or(sample.partitions);
    let plan = Plan {
        documents: About::of(&sample.source, &taggers, &documents),
        needs: Needs::of(args, &prediction, partitions),
        prediction,
        // This process has run the largest batches.
        memory: Memory::of(&config, partitions.unwrap_or(1)).map(Memory::sum),
    };
    if args.json {
        output::print(serde_json::to_string(&plan)?)?;
    } else {
        output::print(&plan)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Calibrates each lane, on the rows that it is fed.
fn fits(config: &Config, taggers: &Taggers, documents: &Documents, time: Duration) -> Result<Vec<Fit>> {
    let each = time / u32::try_from(taggers.lanes.len()).unwrap_or(1);
    let fit = |lane| {
        let rows: Vec<&[u32]> = documents.rows(lane).collect();
        let Some(longest) = rows.iter().map(|ids| ids.len()).max() else { return Ok(Fit::default()) };
        // As many as a batch needs, and from all over the sample.
        let ids: Vec<u32> = rows.concat();
        calibrate(lane, &ids, lane.model.width(longest + lane.model.frame.len()), config.batch.tokens, each)
    };
    taggers.lanes.iter().map(fit).collect()
}

/// What one worker on a machine like this one would do.
#[derive(Serialize)]
struct Prediction {
    documents_per_second: f64,
    tokens_per_second: f64,
    padding_waste: f64,
    cores: usize,
    gpu: bool,
    host: Host,
    fits: Vec<Fit>,
}

impl Prediction {
    /// From the batches that the worker would make of the documents if all of them waited.
    fn of(config: &Config, taggers: &Taggers, documents: &Documents, host: Host, fits: Vec<Fit>) -> Self {
        let cores = runtime::cores();
        let gpu = taggers.lanes.iter().any(|lane| lane.model.is_on_gpu());
        let batches = batches(taggers, documents, config.batch.tokens, Order::Arrival);
        let infer: f64 = batches.iter().map(|batch| fits[batch.lane].seconds(batch.rows.len(), batch.width)).sum();
        let beside = host.total() * documents.len() as f64 / cores as f64;
        // A GPU works beside the cores; else they do both.
        let seconds = if gpu { infer.max(beside) } else { infer + beside };
        let tokens: usize = batches.iter().map(|batch| batch.tokens).sum();
        let computed: usize = batches.iter().map(Batch::computed).sum();
        Self {
            documents_per_second: documents.len() as f64 / seconds.max(1e-9),
            tokens_per_second: tokens as f64 / seconds.max(1e-9),
            padding_waste: 1.0 - tokens as f64 / computed.max(1) as f64,
            cores,
            gpu,
            host,
            fits,
        }
    }
}

/// What the rate needs.
#[derive(Serialize)]
struct Needs {
    rate: f64,
    workers: u64,
    /// How busy each of them is, 0 to 1.
    load: f64,
    cores: u64,
    gpus: u64,
    /// At least; a worker without a partition has nothing to do.
    partitions: u64,
    /// As many as there are.
    partitions_there: Option<u64>,
    /// KEDA's `lagThreshold`: what a worker does in the time that results may be late.
    lag_threshold: u64,
    /// That time, in seconds.
    late: f64,
    cost_per_million: Option<f64>,
}

impl Needs {
    #[expect(clippy::cast_sign_loss, reason = "rates and times are above 0")]
    fn of(args: &Args, prediction: &Prediction, partitions: Option<usize>) -> Self {
        let one = prediction.documents_per_second;
        let workers = (args.rate / (LOAD * one)).ceil().max(1.0);
        let count = workers as u64;
        Self {
            rate: args.rate,
            workers: count,
            load: args.rate / (workers * one),
            cores: count * prediction.cores as u64,
            gpus: if prediction.gpu { count } else { 0 },
            partitions: count,
            partitions_there: partitions.map(|count| count as u64),
            // With a worker for each so much lag, all of it is done in that time.
            lag_threshold: (one * args.late.as_secs_f64()).floor().max(1.0) as u64,
            late: args.late.as_secs_f64(),
            cost_per_million: args.price.map(|price| workers * price / (args.rate * 3600.0) * 1e6),
        }
    }
}

#[derive(Serialize)]
struct Plan {
    documents: About,
    prediction: Prediction,
    needs: Needs,
    /// Bytes that a worker needs; `None` where the system does not say.
    memory: Option<u64>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { documents, prediction, needs, memory } = self;
        writeln!(f, "{documents}")?;
        let Prediction { documents_per_second, tokens_per_second, padding_waste, cores, gpu, host, fits } = prediction;
        for (number, Fit { batch, token, pair }) in fits.iter().enumerate() {
            let name = if number == 0 { "model" } else { "" };
            writeln!(
                f,
                "{name:<10} a batch takes {:.1} ms, and {:.1} µs a token, and {:.1} ns for each token with each of its row",
                1e3 * batch,
                1e6 * token,
                1e9 * pair
            )?;
        }
        writeln!(f, "host       {:.2} ms of a core a document", 1e3 * host.total())?;
        let waste = 100.0 * padding_waste;
        writeln!(
            f,
            "a worker   {documents_per_second:.1} documents/s, {tokens_per_second:.0} tokens/s, padding {waste:.1} %, on \
             {cores} cores{}",
            if *gpu { " and a GPU" } else { "" }
        )?;
        let Needs {
            rate,
            workers,
            load,
            cores,
            gpus,
            partitions,
            partitions_there,
            lag_threshold,
            late,
            cost_per_million,
        } = needs;
        writeln!(f, "workers    {workers} for {rate} documents/s, each {:.0} % busy", 100.0 * load)?;
        writeln!(f, "cores      {cores}")?;
        writeln!(f, "GPUs       {}", if *gpus == 0 { "none: there is none here".into() } else { gpus.to_string() })?;
        write!(f, "partitions {partitions} at least")?;
        if let Some(there) = partitions_there {
            write!(f, "; there are {there}")?;
        }
        if partitions_there.is_some_and(|there| there < *partitions) {
            write!(f, ": no more workers than that would work")?;
        }
        write!(f, "\nKEDA       lagThreshold {lag_threshold}, for results {late} s late at most")?;
        match memory {
            Some(bytes) => {
                write!(f, "\nmemory     {} MiB a worker, limits.in_flight and cache.size included", bytes >> 20)?;
            }
            None => write!(f, "\nmemory     unknown")?,
        }
        if let Some(cost) = cost_per_million {
            write!(f, "\ncost       {cost:.2} a million documents")?;
        }
        Ok(())
    }
}
