//! The stages together, with a fake model and a fake sink.

use std::sync::Mutex;

use anyhow::ensure;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::metrics::noop::NoopMeterProvider;
use serde_json::{Value, json};

use super::*;
use crate::budget::Budget;
use crate::config::{Device, ModelSettings};
use crate::envelope::{Lease, Origin, Record, Stage};
use crate::model::{Head, Infer, Logits, Model};
use crate::taggers::Taggers;
use crate::telemetry::RecordSpan;

/// Gives logits of the right shapes; fails on every batch that holds the poison.
struct FakeModel {
    heads: Vec<Head>,
    poison: Vec<u32>,
}

impl Infer for FakeModel {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        ensure!(batch.iter().all(|ids| *ids != self.poison), "the poison is in it");
        let rows = |head: &Head, ids: &[u32]| if head.is_by_token() { ids.len() } else { 1 };
        let heads =
            |ids: &[u32]| self.heads.iter().map(|head| vec![0.0; rows(head, ids) * head.labels.len()]).collect();
        Ok(batch.iter().map(|ids| heads(ids)).collect())
    }
}

/// Keeps what is delivered; fails when it has so many.
struct FakeSink {
    delivered: Arc<Mutex<Vec<Outcome>>>,
    room: usize,
}

impl Sink for FakeSink {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        let mut delivered = self.delivered.lock().unwrap();
        ensure!(delivered.len() < self.room, "the sink is full");
        delivered.push(outcome);
        Ok(())
    }
}

/// Loads models, and puts the fake in the place of their sessions.
fn fake(poison: &str) -> impl Fn(&ModelSettings) -> Result<Model> {
    move |settings| {
        let model = Model::load(settings)?;
        let heads = model.manifest.heads.clone();
        let poison = model.tokenizer.encode(poison).unwrap().ids;
        Ok(model.with_session(FakeModel { heads, poison }))
    }
}

struct Run {
    delivered: Vec<Outcome>,
    failure: Option<anyhow::Error>,
    budget: Budget,
}

/// Feeds texts alternately to two partitions, and waits for the end.
fn run(texts: &[String], poison: &str, room: usize) -> Run {
    let mut config = Config::default();
    config.model.path = "tests/fixtures/tiny-distilbert".parse().unwrap();
    config.model.device = Device::Cpu;
    config.batch.tokens = 256;
    let live = Live::of(Taggers::load_with(&config, &fake(poison)).unwrap());
    let delivered = Arc::default();
    let sink = FakeSink { delivered: Arc::clone(&delivered), room };
    let budget = Budget::new(1 << 30);
    let metrics = Metrics::new(&NoopMeterProvider::new().meter("test"), &budget);
    let stop = Arc::new(Stop::default());
    let pipeline = Pipeline::start(&config, &live, sink, &metrics, &stop).unwrap();
    for (number, text) in texts.iter().enumerate() {
        let (partition, place) = ((number % 2) as i32, number / 2);
        let origin = Origin {
            topic: "t".into(),
            partition,
            offset: 3 * place as i64,
            epoch: 1,
            seq: place as u64,
            lease: Lease::default(),
        };
        let value = json!({ "id": number, "body": text }).to_string().into_bytes();
        let record = Record { key: None, value: Some(value), headers: None, timestamp: None };
        let permit = budget.take(record.size());
        let (fetched, span) = (Instant::now(), RecordSpan::default());
        pipeline.feed(Envelope { origin, record, body: (), fetched, span, permit });
    }
    pipeline.finish();
    let failure = stop.take_failure();
    let delivered = std::mem::take(&mut *delivered.lock().unwrap());
    Run { delivered, failure, budget }
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| "word ".repeat(number * 31 % 57 + 1)).collect()
}

#[test]
fn partitions_keep_their_order_though_batches_go_by_length() {
    let run = run(&texts(400), "poison", usize::MAX);
    assert!(run.failure.is_none());
    assert_eq!(run.delivered.len(), 400);
    for partition in [0, 1] {
        let origins = run.delivered.iter().map(Outcome::origin).filter(|origin| origin.partition == partition);
        assert!(origins.map(|origin| origin.seq).eq(0..200));
    }
}

#[test]
fn a_document_that_breaks_the_model_is_the_only_dead_letter_of_its_batch() {
    let mut texts = texts(40);
    texts[17] = "poison".into();
    let run = run(&texts, "poison", usize::MAX);
    let dead: Vec<_> = run
        .delivered
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::DeadLetter(letter) => Some(letter),
            _ => None,
        })
        .collect();
    assert_eq!((run.delivered.len(), dead.len()), (40, 1));
    assert_eq!((dead[0].body.stage, dead[0].body.class), (Stage::Infer, "ModelError"));
    let value: Value = serde_json::from_slice(dead[0].record.value.as_deref().unwrap()).unwrap();
    assert_eq!(value["id"], 17);
}

#[test]
fn a_sink_that_fails_stops_the_worker_and_frees_what_is_in_flight() {
    let Run { delivered, failure, budget } = run(&texts(100), "poison", 5);
    assert_eq!(failure.unwrap().to_string(), "the sink is full");
    assert_eq!(delivered.len(), 5);
    drop(delivered);
    assert_eq!(budget.used(), 0);
}
