//! `tagbert enrich` against the session alone: what reading, carrying and writing rows of Parquet costs.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use tagbert::commands::gauge::alone::{self, Order, batches};

use crate::report::{Figure, Goal, Report};
use crate::support::tagbert::command;
use crate::work::{self, Scale};
use crate::{bound, support};

const MODEL: &str = "models/tagbert-small";

/// That of the session alone, as the worker's.
const BUDGET: usize = 512;

pub fn measure(scale: Scale, report: &mut Report) {
    let (config, taggers) = bound::taggers(MODEL);
    let all = work::documents(scale.of(120, 400, usize::MAX));
    let documents = bound::prepare(&config, &taggers, &all);
    let planned = batches(&taggers, &documents, BUDGET, Order::Length);
    // The start of the process is not what is measured.
    let few = all.len() / 6;
    let folder = tempfile::tempdir().expect("a directory");
    let [long, short] = [("long", &all[..]), ("short", &all[..few])].map(|(name, values)| {
        let path = folder.path().join(name).with_extension("parquet");
        write(&path, values);
        path
    });
    let shares = (0..scale.rounds()).map(|_| {
        let alone = alone::run(&taggers, &planned).expect("the model runs").elapsed.as_secs_f64();
        let enriched = seconds(&long) - seconds(&short);
        ((all.len() - few) as f64 / enriched) / (all.len() as f64 / alone)
    });
    let shares = Figure::of(shares);
    report.add("17", "W in Parquet: tagbert enrich ÷ session alone", Goal::AtLeast(0.95), &shares);
}

fn write(path: &Path, values: &[Vec<u8>]) {
    let text = |value: &Vec<u8>| {
        let document: serde_json::Value = serde_json::from_slice(value).expect("a document");
        document["body"].as_str().expect("a text").to_owned()
    };
    let texts: StringArray = values.iter().map(|value| Some(text(value))).collect();
    let batch = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef)]).expect("a table");
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).and_then(|()| writer.close()).expect("a file");
}

/// How long the command takes.
fn seconds(input: &Path) -> f64 {
    let output = input.with_extension("out.parquet");
    let model = support::root().join(MODEL);
    let [model, input, output] = [&model, input, &output].map(|path| path.to_str().expect("a path"));
    let args = [
        "enrich",
        "--model",
        model,
        "--input",
        input,
        "--output",
        output,
        "--set",
        "cache.size=0",
        "--set",
        "model.long_documents=truncate",
    ];
    let started = Instant::now();
    let done = command(&args).output().expect("tagbert runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    started.elapsed().as_secs_f64()
}
