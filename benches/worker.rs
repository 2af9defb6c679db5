//! Documents a second: the worker end to end, on a real Apache Kafka, against ONNX Runtime alone on the same documents.
//!
//! `make bench` runs it; `DOCUMENTS=1000` takes more of them. Both sides run in turn, several times, in one process:
//! the ratio means something on a noisy machine, where the figures alone do not.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::producer::BaseRecord;
use tagbert::batch::{Batcher, Next};
use tagbert::config::{Config, LongDocuments};
use tagbert::model::Model;
use tagbert::worker::Worker;

#[path = "../tests/support/kafka.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod kafka;

use kafka::Kafka;

const ROUNDS: usize = 3;
const PARTITIONS: i32 = 4;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() {
    let documents: usize = std::env::var("DOCUMENTS").ok().and_then(|number| number.parse().ok()).unwrap_or(300);
    let corpus = std::fs::read_to_string(root().join(".cache/corpus/documents.jsonl")).expect("run make bench");
    let corpus: Vec<&str> = corpus.lines().take(documents).collect();
    let mut defaults = Config::default();
    // Both sides see the same tokens: at most one row a document.
    defaults.model.long_documents = LongDocuments::Truncate;
    let model = Model::load(&defaults.taggers()[0].model).expect("the model");
    let texts = corpus.iter().map(|line| {
        let document: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let part = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        format!("{}\n{}", part("subject"), part("body"))
    });
    let cut = |mut ids: Vec<u32>| {
        ids.truncate(model.max_tokens - model.frame.len());
        ids
    };
    let encoded: Vec<Vec<u32>> = texts.map(|text| cut(model.tokenizer.encode(&text).expect("a text").ids)).collect();
    let tokens: usize = encoded.iter().map(|ids| ids.len() + model.frame.len()).sum();
    println!("{} documents, {tokens} tokens, budget {} tokens, {ROUNDS} rounds", corpus.len(), defaults.batch.tokens);

    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let rate = |elapsed: Duration| corpus.len() as f64 / elapsed.as_secs_f64();
            let alone = rate(session_alone(&model, &encoded, defaults.batch.tokens));
            let worker = rate(end_to_end(&defaults, &corpus, round));
            let ratio = worker / alone;
            println!("round {round}: ONNX Runtime alone {alone:.1} documents/s, worker {worker:.1}, ratio {ratio:.3}");
            ratio
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "worker ÷ ONNX Runtime alone: median {:.3} ({:.3} to {:.3})",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1]
    );
}

/// The bound: tokenized already, sorted by length, one batch after the other.
fn session_alone(model: &Model, encoded: &[Vec<u32>], budget: usize) -> Duration {
    let started = Instant::now();
    let mut sorted: Vec<&[u32]> = encoded.iter().map(Vec::as_slice).collect();
    sorted.sort_by_key(|ids| ids.len());
    let mut batcher = Batcher::new(budget, Duration::ZERO);
    for ids in sorted {
        batcher.push(ids, ids.len() + model.frame.len(), started);
    }
    while let Next::Batch(batch) = batcher.next(started, false, 1) {
        model.infer(&batch).expect("the batch runs");
    }
    started.elapsed()
}

/// From the first record fetched to the last result acknowledged; joining the group is not counted.
fn end_to_end(defaults: &Config, corpus: &[&str], round: usize) -> Duration {
    let kafka = Kafka::shared();
    let [input, tagged, dead] = ["documents", "tagged", "dead"].map(|topic| format!("{topic}-{round}"));
    for topic in [&input, &tagged, &dead] {
        kafka.create_topic(topic, PARTITIONS);
    }
    let keys: Vec<String> = (0..corpus.len()).map(|number| number.to_string()).collect();
    kafka.produce(
        corpus
            .iter()
            .zip(&keys)
            .map(|(line, key)| BaseRecord::<[u8], [u8]>::to(&input).key(key.as_bytes()).payload(line.as_bytes())),
    );
    let mut config = defaults.clone();
    config.kafka.brokers = kafka.brokers().into();
    config.kafka.group.clone_from(&input);
    config.input.topics = vec![input];
    (config.output.topic, config.output.dead_letters) = (tagged, dead);
    config.http.listen.set_port(0);

    let worker = Worker::start(&config, false).expect("the worker starts");
    let (metrics, stop) = (worker.metrics(), worker.stop());
    let running = std::thread::spawn(move || worker.run());
    while metrics.done() as usize != corpus.len() && !running.is_finished() {
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.request();
    running.join().expect("no panic").expect("the worker ends well").elapsed
}
