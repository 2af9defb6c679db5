//! A text has the same tags whatever its company: other texts, their order, the batch's size, sessions, windows.

use std::fs;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::metrics::noop::NoopMeterProvider;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value, json};
use tagbert::config::{Config, Device};
use tagbert::pipeline::Pipeline;
use tagbert::pipeline::sink::Sink;
use tagbert::record::budget::Budget;
use tagbert::record::envelope::{Envelope, Lease, Origin, Record};
use tagbert::record::outcome::Outcome;
use tagbert::record::stop::Stop;
use tagbert::record::trace::RecordSpan;
use tagbert::tagger::live::Live;
use tagbert::telemetry::metrics::Metrics;

mod support;

/// How far a score may move on one machine: floats are summed in other orders in batches of other shapes.
const TOLERANCE: f64 = 1e-4;

/// So many messages, and texts so long that they have several windows.
const MESSAGES: usize = 150;
const LONG: usize = 4;

static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let messages = fs::read_to_string(support::root().join("models/messages/held-out.jsonl")).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let messages: Vec<String> = messages.map(|message| message["text"].as_str().unwrap().into()).collect();
    let long = messages.chunks(60).take(LONG).map(|several| several.join("\n"));
    messages.iter().take(MESSAGES).cloned().chain(long).collect()
});

struct Collect(Sender<(i64, Value)>);

impl Sink for Collect {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        let Outcome::Enriched(envelope) = outcome else { panic!("not tagged: {outcome:?}") };
        let record: Value = serde_json::from_slice(&envelope.body.enriched.value)?;
        Ok(self.0.send((envelope.origin.offset, record["tags"].clone()))?)
    }
}

/// How the texts are sent through the line.
#[derive(Clone, Debug)]
struct Company {
    order: Vec<usize>,
    tokens: usize,
    sessions: usize,
}

/// The tags of each text, when they are sent so.
fn tags(model: &str, consistent: bool, company: &Company) -> Vec<Value> {
    let mut config = Config::default();
    config.model.path = support::root().join(model).to_str().unwrap().parse().unwrap();
    config.model.device = Device::Cpu;
    config.model.sessions = company.sessions.try_into().ok();
    config.model.consistent = consistent;
    config.batch.tokens = company.tokens;
    config.batch.wait = Duration::from_millis(5);
    config.cache.size = bytesize::ByteSize(0);
    let budget = Budget::new(1 << 30);
    let metrics = Metrics::new(&NoopMeterProvider::new().meter("test"), &budget);
    let (stop, live) = (Arc::new(Stop::default()), Live::load(&config).unwrap());
    let (sender, receiver) = channel();
    let pipeline = Pipeline::start(&config, &live, None, Collect(sender), &metrics, &stop).unwrap();
    for (seq, &text) in company.order.iter().enumerate() {
        let value = json!({ "body": TEXTS[text] }).to_string().into_bytes();
        let record = Record { key: None, value: Some(value), headers: None, timestamp: None };
        let (topic, lease) = ("test".into(), Lease::default());
        let origin = Origin { topic, partition: 0, offset: text as i64, epoch: 0, seq: seq as u64, lease };
        let (fetched, span, permit) = (Instant::now(), RecordSpan::default(), budget.take(record.size()));
        pipeline.feed(Envelope { origin, record, body: (), fetched, span, permit });
    }
    pipeline.finish();
    if let Some(error) = stop.take_failure() {
        panic!("{error:#}");
    }
    let mut found: Vec<(i64, Value)> = receiver.iter().collect();
    found.sort_by_key(|(text, _)| *text);
    assert_eq!(found.len(), TEXTS.len());
    found.into_iter().map(|(_, tags)| tags).collect()
}

/// One text a batch, one after the other.
fn alone() -> Company {
    Company { order: (0..TEXTS.len()).collect(), tokens: 1, sessions: 1 }
}

/// The same labels and spans, and scores within the tolerance.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|it| is_same(value, it)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            (one.as_f64().unwrap() - other.as_f64().unwrap()).abs() < TOLERANCE
        }
        _ => one == other,
    }
}

/// Compares with what each text gives alone.
fn check(model: &str, expected: &[Value], company: &Company) -> TestCaseResult {
    for (text, (alone, found)) in expected.iter().zip(tags(model, false, company)).enumerate() {
        prop_assert!(is_same(alone, &found), "{}: alone {alone}, in company {found}", TEXTS[text]);
    }
    Ok(())
}

fn companies() -> impl Strategy<Value = Company> {
    let order: Vec<usize> = (0..TEXTS.len()).collect();
    let order = Just(order).prop_shuffle();
    (order, 64usize..4096, 1usize..=3).prop_map(|(order, tokens, sessions)| Company { order, tokens, sessions })
}

static SMALL: LazyLock<Vec<Value>> = LazyLock::new(|| tags("models/tagbert-small", false, &alone()));
static TINY: LazyLock<Vec<Value>> = LazyLock::new(|| tags("models/tagbert-tiny", false, &alone()));

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn tagbert_small_gives_a_text_the_same_tags_whatever_its_company(company in companies()) {
        check("models/tagbert-small", &SMALL, &company)?;
    }

    #[test]
    fn tagbert_tiny_gives_a_text_the_same_tags_whatever_its_company(company in companies()) {
        check("models/tagbert-tiny", &TINY, &company)?;
    }
}

/// A dynamic int8 graph does not keep it by itself; `model.consistent` makes it do so.
#[test]
fn a_consistent_dynamic_graph_gives_the_same_tags_byte_for_byte_whatever_the_company() {
    let model = "tests/fixtures/tiny-dynamic";
    let company = Company { order: (0..TEXTS.len()).rev().collect(), tokens: 2048, sessions: 2 };
    let expected = tags(model, false, &alone());
    let mixed = tags(model, false, &company);
    let differ = expected.iter().zip(&mixed).filter(|(alone, mixed)| !is_same(alone, mixed)).count();
    assert!(differ > 0, "otherwise this shows nothing");
    assert_eq!(tags(model, true, &company), expected);
}
