//! The stages together, with a fake model and a fake sink.

mod cached;
mod loads;
mod stages;

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::ensure;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::metrics::noop::NoopMeterProvider;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::{Device, ModelSettings, Retries};
use crate::model::files::manifest::Head;
use crate::model::loaded::Model;
use crate::model::session::{Infer, Logits};
use crate::record::budget::Budget;
use crate::record::envelope::{Lease, Origin, Record};
use crate::record::rejection::Stage;
use crate::record::trace::RecordSpan;
use crate::tagger::taggers::Taggers;

/// Gives logits of the right shapes; fails on every batch with a row that holds the poison, and so often at first.
struct FakeModel {
    heads: Vec<Head>,
    poison: Vec<u32>,
    failing: usize,
}

impl Infer for FakeModel {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        let poisoned = |ids: &[u32]| ids.windows(self.poison.len()).any(|part| part == self.poison);
        self.failing = self.failing.saturating_sub(1);
        ensure!(self.failing == 0, "not yet");
        ensure!(!batch.iter().any(|ids| poisoned(ids)), "the poison is in it");
        let rows = |head: &Head, ids: &[u32]| if head.is_by_token() { ids.len() } else { 1 };
        let heads =
            |ids: &[u32]| self.heads.iter().map(|head| vec![0.0; rows(head, ids) * head.labels.len()]).collect();
        Ok(batch.iter().map(|ids| heads(ids)).collect())
    }
}

/// A model that counts the rows that it is given, and waits until it may run.
struct Gated {
    model: FakeModel,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    gate: Mutex<()>,
    is_running: AtomicBool,
    rows: AtomicUsize,
}

impl Infer for Gated {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        self.seen.is_running.store(true, Ordering::Release);
        drop(self.seen.close());
        self.seen.rows.fetch_add(batch.len(), Ordering::AcqRel);
        self.model.infer(batch)
    }
}

impl Seen {
    /// Lets no model run until the guard is gone.
    fn close(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
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
    fake_that_fails(poison, 0)
}

fn fake_that_fails(poison: &str, failing: usize) -> impl Fn(&ModelSettings) -> Result<Model> {
    move |settings| {
        let model = Model::load(settings)?;
        let heads = model.manifest.heads.clone();
        let poison = model.tokenizer.encode(poison).unwrap().ids;
        Ok(model.with_session(FakeModel { heads, poison, failing }))
    }
}

/// Taggers whose model says that it is of this version.
fn of_version(config: &Config, version: &str) -> Taggers {
    let load = |settings: &ModelSettings| {
        let mut model = fake("poison")(settings)?;
        model.identity.version = version.into();
        Ok(model)
    };
    Taggers::load_with(config, &load).unwrap()
}

/// Taggers of such models. Each fails on the poison, and so often at first.
fn gated(config: &Config, poison: &str, failing: usize, seen: &Arc<Seen>) -> Taggers {
    let load = |settings: &ModelSettings| {
        let model = Model::load(settings)?;
        let heads = model.manifest.heads.clone();
        let poison = model.tokenizer.encode(poison).unwrap().ids;
        Ok(model.with_session(Gated { model: FakeModel { heads, poison, failing }, seen: Arc::clone(seen) }))
    };
    Taggers::load_with(config, &load).unwrap()
}

struct Run {
    delivered: Vec<Outcome>,
    failure: Option<anyhow::Error>,
    budget: Budget,
}

fn config() -> Config {
    let mut config = Config::default();
    config.model.path = "tests/fixtures/tiny-distilbert".parse().unwrap();
    config.model.device = Device::Cpu;
    config.model.window = 64.try_into().ok();
    config.model.stride = Some(16);
    config.batch.tokens = 256;
    // Many of these texts are alike, and each shall be tagged.
    config.cache.size = bytesize::ByteSize::b(0);
    config
}

/// Feeds texts alternately to two partitions, and waits for the end.
fn run(texts: &[String], poison: &str, room: usize) -> Run {
    let live = Live::of(Taggers::load_with(&config(), &fake(poison)).unwrap());
    feed(&config(), &live, texts, room, |_| ())
}

/// The same with any taggers; `before` hears of each document before it is fed.
fn feed(config: &Config, live: &Arc<Live>, texts: &[String], room: usize, before: impl Fn(usize)) -> Run {
    let delivered = Arc::default();
    let sink = FakeSink { delivered: Arc::clone(&delivered), room };
    let budget = Budget::new(1 << 30);
    let metrics = Metrics::new(&NoopMeterProvider::new().meter("test"), &budget);
    let stop = Arc::new(Stop::default());
    let pipeline = Pipeline::start(config, live, None, sink, &metrics, &stop).unwrap();
    for (number, text) in texts.iter().enumerate() {
        before(number);
        let (partition, place) = ((number % 2) as i32, number / 2);
        let origin = Origin {
            topic: "t".into(),
            partition,
            offset: 3 * place as i64,
            epoch: 1,
            seq: place as u64,
            lease: Lease::default(),
        };
        let value = json!({ "id": number, "body": text, "other": "another text" }).to_string().into_bytes();
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

/// A line that can be fed step by step.
struct Line {
    pipeline: Pipeline,
    live: Arc<Live>,
    delivered: Arc<Mutex<Vec<Outcome>>>,
    metrics: Arc<Metrics>,
    budget: Budget,
    stop: Arc<Stop>,
    fed: [u64; 2],
}

impl Line {
    fn start(config: &Config, taggers: Taggers) -> Self {
        Self::start_with(config, Live::of(taggers), None)
    }

    fn start_with(config: &Config, live: Arc<Live>, shadow: Option<Arc<Shadow>>) -> Self {
        Self::start_into(config, live, shadow, |delivered| FakeSink { delivered, room: usize::MAX })
    }

    /// With a sink that is made of where outcomes are kept.
    fn start_into<S: Sink>(
        config: &Config,
        live: Arc<Live>,
        shadow: Option<Arc<Shadow>>,
        sink: impl FnOnce(Arc<Mutex<Vec<Outcome>>>) -> S,
    ) -> Self {
        let (delivered, stop) = (Arc::default(), Arc::new(Stop::default()));
        let budget = Budget::new(1 << 30);
        let metrics = Metrics::new(&NoopMeterProvider::new().meter("test"), &budget);
        let sink = sink(Arc::clone(&delivered));
        let pipeline = Pipeline::start(config, &live, shadow, sink, &metrics, &stop).unwrap();
        Self { pipeline, live, delivered, metrics, budget, stop, fed: [0; 2] }
    }

    fn feed(&mut self, partition: usize, lease: &Lease, text: &str) {
        let seq = self.fed[partition];
        self.fed[partition] += 1;
        let (topic, offset, lease) = ("t".into(), 3 * seq as i64, lease.clone());
        let origin = Origin { topic, partition: partition as i32, offset, epoch: 1, seq, lease };
        let value = json!({ "id": format!("{partition}/{seq}"), "body": text }).to_string().into_bytes();
        let record = Record { key: None, value: Some(value), headers: None, timestamp: Some(offset) };
        let permit = self.budget.take(record.size());
        let (fetched, span) = (Instant::now(), RecordSpan::default());
        self.pipeline.feed(Envelope { origin, record, body: (), fetched, span, permit });
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until each record that was fed is on its way to the model, or waits for another.
    fn settle(&self) {
        self.wait_until("all are prepared", |line| line.pipeline.feed.upstream.load(Ordering::Acquire) == 0);
    }

    fn wait_for(&self, count: usize) {
        self.wait_until("all are delivered", |line| line.delivered.lock().unwrap().len() == count);
    }

    fn finish(self) -> Run {
        let Self { pipeline, delivered, budget, stop, .. } = self;
        pipeline.finish();
        let delivered = std::mem::take(&mut *delivered.lock().unwrap());
        Run { delivered, failure: stop.take_failure(), budget }
    }
}

/// How many dead letters there are.
fn dead_letters(run: &Run) -> usize {
    run.delivered.iter().filter(|outcome| matches!(outcome, Outcome::DeadLetter(_))).count()
}

/// The enriched records as JSON.
fn records(run: &Run) -> Vec<Value> {
    let enriched = run.delivered.iter().map(|outcome| match outcome {
        Outcome::Enriched(envelope) => serde_json::from_slice(&envelope.body.enriched.value).unwrap(),
        other => panic!("{other:?}"),
    });
    enriched.collect()
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whichever_documents_break_the_model_they_alone_are_refused(poisoned in prop::collection::vec(any::<bool>(), 1..60)) {
        let texts = texts(poisoned.len()).into_iter().zip(&poisoned);
        let texts: Vec<_> = texts.map(|(text, poisoned)| if *poisoned { text + "poison" } else { text }).collect();
        // A model that works on none is another test's.
        prop_assume!(poisoned.iter().filter(|poisoned| **poisoned).count() < 20 || poisoned.contains(&false));
        let mut config = config();
        config.retries = Retries { max: 1, backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(1) };
        let live = Live::of(Taggers::load_with(&config, &fake("poison")).unwrap());
        let run = feed(&config, &live, &texts, usize::MAX, |_| ());
        prop_assert!(run.failure.is_none());
        prop_assert_eq!(run.delivered.len(), poisoned.len());
        for outcome in &run.delivered {
            let origin = outcome.origin();
            let number = 2 * origin.seq as usize + usize::from(origin.partition == 1);
            prop_assert_eq!(matches!(outcome, Outcome::DeadLetter(_)), poisoned[number]);
        }
    }
}

#[test]
fn a_sink_that_fails_stops_the_worker_and_frees_what_is_in_flight() {
    let Run { delivered, failure, budget } = run(&texts(100), "poison", 5);
    assert_eq!(failure.unwrap().to_string(), "the sink is full");
    assert_eq!(delivered.len(), 5);
    drop(delivered);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_long_document_is_tagged_whole_beside_short_ones() {
    let mut texts = texts(40);
    texts[7] = "word ".repeat(3000);
    let run = run(&texts, "poison", usize::MAX);
    assert!(run.failure.is_none());
    let records = records(&run);
    assert_eq!(records.len(), 40);
    let long = records.iter().find(|record| record["id"] == 7).unwrap();
    assert!(long["tokens"].as_u64().unwrap() > 3000 && long["truncated"] == false, "{}", long["tokens"]);
}

#[test]
fn one_bad_window_makes_the_document_one_dead_letter() {
    let mut texts = texts(40);
    texts[7] = format!("{} poison {}", "word ".repeat(500), "word ".repeat(2000));
    let run = run(&texts, "poison", usize::MAX);
    let dead = run.delivered.iter().filter(|outcome| matches!(outcome, Outcome::DeadLetter(_)));
    assert_eq!((run.delivered.len(), dead.count()), (40, 1));
}

/// The same, but for what rounding makes of batches of other sizes.
fn assert_alike(one: &Value, other: &Value) {
    if let (Some(one), Some(other)) = (one.as_f64(), other.as_f64()) {
        return assert!((one - other).abs() < 1e-5, "{one} is not {other}");
    }
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()));
            one.values().zip(other.values()).for_each(|(one, other)| assert_alike(one, other));
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            one.iter().zip(other).for_each(|(one, other)| assert_alike(one, other));
        }
        _ => assert_eq!(one, other),
    }
}

/// Four taggers of two models on three texts, one of which no document has.
fn several() -> Config {
    let mut config = config();
    let yaml = "taggers:\n\
                - {name: junk, head: spam}\n\
                - {name: of-other, head: topic, text: [/other]}\n\
                - {name: names, head: entities, text: [/absent]}\n\
                - {name: rated, text: [/body], model: {path: tests/fixtures/parity/distilbert-regression}}\n";
    config.taggers = Config::parse(yaml, std::collections::HashMap::new(), &[]).unwrap().taggers;
    config.taggers[3].stride = Some(8);
    config.taggers[3].window = 32.try_into().ok();
    config
}

#[test]
fn several_taggers_go_one_after_the_other_each_on_its_texts() {
    let config = several();
    let live = Live::of(Taggers::load(&config).unwrap());
    assert_eq!(live.current().lanes.len(), 4);
    let run = feed(&config, &live, &texts(60), usize::MAX, |_| ());
    let records = records(&run);
    assert_eq!(records.len(), 60);
    for record in &records {
        let names = record["tags"].as_object().unwrap().keys();
        assert!(names.eq(["junk", "of-other", "rated"]), "there is no text at /absent: {}", record["tags"]);
        assert!(record["tags"]["rated"]["value"].is_f64());
        let models = record["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap());
        assert!(models.eq(["tiny-distilbert", "distilbert-regression"]));
    }
    for record in &records {
        assert_alike(&record["tags"]["of-other"], &records[0]["tags"]["of-other"]);
    }
}

#[test]
fn a_document_keeps_the_model_that_it_began_with() {
    let live = Live::of(of_version(&config(), "old"));
    let run = feed(&config(), &live, &texts(200), usize::MAX, |number| {
        if number == 100 {
            live.replace(of_version(&config(), "new").into());
        }
    });
    let records = records(&run);
    assert_eq!(records.len(), 200);
    let version = |record: &Value| record["model"]["version"].as_str().unwrap().to_owned();
    // Those that were not yet tokenized at the swap have the new one, too.
    assert!(records.iter().filter(|record| record["id"].as_u64() >= Some(100)).all(|record| version(record) == "new"));
    assert!(records.iter().all(|record| ["old", "new"].contains(&version(record).as_str())));
}

/// Takes its time.
struct Slow(FakeModel);

impl Infer for Slow {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        thread::sleep(Duration::from_millis(3));
        self.0.infer(batch)
    }
}

#[test]
fn models_change_under_several_sessions_and_nothing_is_lost() {
    let slow = |settings: &ModelSettings| {
        let model = Model::load(settings)?;
        let heads = &model.manifest.heads;
        let session = || FakeModel { heads: heads.clone(), poison: vec![u32::MAX], failing: 0 };
        let sessions = (0..4).map(|_| Box::new(Slow(session())) as Box<dyn Infer>).collect();
        Ok(model.with_sessions(sessions))
    };
    let loads: Vec<_> = (0..8).map(|_| Arc::new(Taggers::load_with(&config(), &slow).unwrap())).collect();
    let live = Live::of(Taggers::load_with(&config(), &slow).unwrap());
    let run = feed(&config(), &live, &texts(400), usize::MAX, |number| {
        thread::sleep(Duration::from_micros(300));
        if number % 50 == 49 {
            live.replace(Arc::clone(&loads[number / 50]));
        }
    });
    assert!(run.failure.is_none());
    for partition in [0, 1] {
        let origins = run.delivered.iter().map(Outcome::origin).filter(|origin| origin.partition == partition);
        assert!(origins.map(|origin| origin.seq).eq(0..200));
    }
}

#[test]
fn models_change_under_several_lanes_and_nothing_is_lost() {
    let config = several();
    let load = || Arc::new(Taggers::load(&config).unwrap());
    let live = Live::of(Taggers::load(&config).unwrap());
    let run = feed(&config, &live, &texts(400), usize::MAX, |number| {
        if number % 40 == 39 {
            live.replace(load());
        }
    });
    assert!(run.failure.is_none());
    let records = records(&run);
    assert_eq!(records.len(), 400);
    for partition in [0, 1] {
        let origins = run.delivered.iter().map(Outcome::origin).filter(|origin| origin.partition == partition);
        assert!(origins.map(|origin| origin.seq).eq(0..200));
    }
    let names = |record: &Value| record["tags"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(records.iter().all(|record| names(record) == ["junk", "of-other", "rated"]));
}

#[test]
fn a_model_that_fails_on_all_documents_stops_the_worker_though_they_come_one_by_one() {
    let live = Live::of(Taggers::load_with(&config(), &fake("poison")).unwrap());
    let texts = vec!["poison".to_owned(); 40];
    let run = feed(&config(), &live, &texts, usize::MAX, |_| thread::sleep(Duration::from_millis(10)));
    assert!(run.failure.unwrap().to_string().contains("20 documents in a row"));
}

#[test]
fn a_model_that_fails_for_a_moment_costs_no_document_however_large_the_batch() {
    let live = Live::of(Taggers::load_with(&config(), &fake_that_fails("poison", 150)).unwrap());
    let run = feed(&config(), &live, &vec!["word".to_owned(); 64], usize::MAX, |_| ());
    assert!(run.failure.is_none(), "{:?}", run.failure);
    assert_eq!(records(&run).len(), 64);
}

#[test]
fn a_row_is_counted_once_however_many_runs_with_it_fail() {
    let mut line = Line::start(&config(), Taggers::load_with(&config(), &fake_that_fails("poison", 4)).unwrap());
    (0..40).for_each(|number| line.feed(number % 2, &Lease::default(), "word"));
    line.wait_for(40);
    let metrics = Arc::clone(&line.metrics);
    let run = line.finish();
    assert_eq!((records(&run).len(), metrics.rows.get()), (40, 40));
}

#[test]
fn many_documents_that_a_working_model_fails_on_are_dead_letters_and_the_stream_goes_on() {
    let mut texts = texts(80);
    texts.iter_mut().step_by(2).for_each(|text| text.push_str("poison"));
    let run = run(&texts, "poison", usize::MAX);
    assert!(run.failure.is_none(), "{:?}", run.failure);
    let dead = dead_letters(&run);
    assert_eq!((run.delivered.len(), dead), (80, 40));
}
