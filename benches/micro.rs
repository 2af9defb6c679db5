//! What documents cost beside the model, stage by stage, on one core. `make bench-micro` runs it.
//!
//! Each stage has the same 200 documents of the corpus, cut to about 1 KB and whole; `item/s` are documents a second and
//! core. Stages run one after the other in one process, so compare them within a run.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::ItemsCount;
use serde_json::Value;
use tagbert::codec::decode::{Decoded, Decoder};
use tagbert::codec::enriched::Assembler;
use tagbert::config::Config;
use tagbert::record::budget::Budget;
use tagbert::record::document::Document;
use tagbert::record::envelope::{Envelope, Lease, Origin, Record};
use tagbert::record::headers;
use tagbert::record::trace::RecordSpan;
use tagbert::route::Router;
use tagbert::tagger::batch::{Batcher, Next};
use tagbert::tagger::taggers::{Taggers, Work};
use tikv_jemallocator::Jemalloc;
use tokenizers::Tokenizer as HfTokenizer;

/// As in the worker.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// As in the worker, too: each binary has its own.
#[expect(unsafe_code, reason = "it is by this name that jemalloc finds it")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; 46] = b"dirty_decay_ms:1000,oversize_threshold:262144\0";

const DOCUMENTS: usize = 200;

/// Bytes of a short document, as JSON.
const SHORT: usize = 1000;

static SHORTENED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| corpus().map(shorten).collect());
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| corpus().map(|document| bytes(&document)).collect());
static TAGGERS: LazyLock<Arc<Taggers>> =
    LazyLock::new(|| Arc::new(Taggers::load(&Config::default()).expect("the model")));

#[derive(Clone, Copy, Debug)]
enum Size {
    OneKilobyte,
    Whole,
}

use Size::{OneKilobyte, Whole};

fn main() {
    divan::main();
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Some of the corpus, of all its kinds, none shorter than the short ones.
fn corpus() -> impl Iterator<Item = Value> {
    let corpus = std::fs::read_to_string(root().join(".cache/corpus/documents.jsonl")).expect("run make bench-micro");
    let long: Vec<Value> = corpus
        .lines()
        .filter(|line| line.len() > SHORT)
        .map(|line| serde_json::from_str(line).expect("the corpus is JSON"))
        .collect();
    let every = long.len() / DOCUMENTS;
    long.into_iter().step_by(every).take(DOCUMENTS)
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

fn shorten(mut document: Value) -> Vec<u8> {
    while let more @ 1.. = bytes(&document).len().saturating_sub(SHORT) {
        let Value::String(body) = &mut document["body"] else { panic!("the corpus has a body") };
        body.truncate(body.floor_char_boundary(body.len().saturating_sub(more.div_ceil(2))));
    }
    bytes(&document)
}

fn records(size: Size) -> Vec<Record> {
    let values = match size {
        OneKilobyte => &*SHORTENED,
        Whole => &*WHOLE,
    };
    let record = |value: &Vec<u8>| Record { key: None, value: Some(value.clone()), headers: None, timestamp: Some(0) };
    values.iter().map(record).collect()
}

fn documents(size: Size) -> Vec<Document> {
    let decoder = Decoder::new(&Config::default()).expect("a decoder");
    let document = |record: &Record| match decoder.decode(record) {
        Ok(Decoded::Document(document)) => document,
        other => panic!("{other:?}"),
    };
    records(size).iter().map(document).collect()
}

fn origin(offset: usize) -> Origin {
    Origin {
        topic: "documents".into(),
        partition: 0,
        offset: offset as i64,
        epoch: 0,
        seq: offset as u64,
        lease: Lease::default(),
    }
}

/// Documents as they come from the model, but for what it says: every ninth token is of some entity.
fn tagged(size: Size) -> Vec<Envelope<Work>> {
    let budget = Budget::new(u64::MAX);
    let all = records(size).into_iter().zip(documents(size)).enumerate();
    let envelope = |(offset, (record, document)): (usize, (Record, Document))| {
        let mut body = TAGGERS.encode(document).expect("the text is tokenized");
        let lane = &TAGGERS.lanes[0];
        let seen = lane.windows.seen(lane.tokens(&body).expect("tokens").ids.len());
        let heads = lane.model.manifest.heads.iter().map(|head| {
            let (labels, rows) = (head.labels.len(), if head.is_by_token() { seen } else { 1 });
            let label = |row: usize| if row.is_multiple_of(9) { row / 9 % labels } else { 0 };
            (0..rows * labels).map(|at| if at % labels == label(at / labels) { 6.0 } else { -1.0 }).collect()
        });
        body.logits = vec![heads.collect()];
        let (permit, origin) = (budget.take(record.size()), origin(offset));
        Envelope { origin, record, body, fetched: Instant::now(), span: RecordSpan::default(), permit }
    };
    all.map(envelope).collect()
}

#[divan::bench(args = [OneKilobyte, Whole])]
fn decode(bencher: Bencher, size: Size) {
    let (records, decoder) = (records(size), Decoder::new(&Config::default()).expect("a decoder"));
    bencher.counter(ItemsCount::new(DOCUMENTS)).bench_local(|| {
        for record in &records {
            let _ = black_box(decoder.decode(record));
        }
    });
}

/// The bound that others have: the `tokenizers` library alone.
#[divan::bench(args = [OneKilobyte, Whole])]
fn tokenize_by_the_library(bencher: Bencher, size: Size) {
    let texts: Vec<String> = documents(size)
        .into_iter()
        .flat_map(|document| document.texts)
        .flatten()
        .map(|text| text.as_str().to_owned())
        .collect();
    let file = root().join("models/tagbert-small/tokenizer.json");
    let tokenizer = HfTokenizer::from_file(file).expect("the tokenizer");
    bencher.counter(ItemsCount::new(DOCUMENTS)).bench_local(|| {
        for text in &texts {
            let _ = black_box(tokenizer.encode_char_offsets(text.as_str(), false));
        }
    });
}

#[divan::bench(args = [OneKilobyte, Whole])]
fn tokenize(bencher: Bencher, size: Size) {
    LazyLock::force(&TAGGERS);
    bencher.counter(ItemsCount::new(DOCUMENTS)).with_inputs(|| documents(size)).bench_local_values(|documents| {
        documents.into_iter().map(|document| TAGGERS.encode(document)).collect::<Vec<_>>()
    });
}

#[divan::bench(args = [OneKilobyte, Whole])]
fn batch(bencher: Bencher, size: Size) {
    let works = tagged(size);
    let tokens: Vec<usize> = works.iter().map(|envelope| envelope.body.seen()).collect();
    bencher.counter(ItemsCount::new(DOCUMENTS)).bench_local(|| {
        let now = Instant::now();
        let mut batcher = Batcher::new(Config::default().batch.tokens, Duration::ZERO);
        for (document, &tokens) in tokens.iter().enumerate() {
            batcher.push(document, tokens, now);
        }
        while let Next::Batch(documents) = batcher.next(now, false, 1) {
            black_box(documents);
        }
    });
}

#[divan::bench(args = [OneKilobyte, Whole])]
fn assemble(bencher: Bencher, size: Size) {
    let works = tagged(size);
    bencher.counter(ItemsCount::new(DOCUMENTS)).bench_local(|| {
        for envelope in &works {
            black_box(envelope.body.answer());
        }
    });
}

#[divan::bench(args = [OneKilobyte, Whole])]
fn encode(bencher: Bencher, size: Size) {
    let answered = |envelope: Envelope<Work>| (envelope.body.answer(), envelope.map(|work| work.document));
    let answered: Vec<_> = tagged(size).into_iter().map(answered).collect();
    let assembler = Assembler::new(&Config::default());
    bencher.counter(ItemsCount::new(DOCUMENTS)).bench_local(|| {
        for (answer, envelope) in &answered {
            black_box(assembler.assemble(envelope, answer));
        }
    });
}

/// Rules of `routes`: one on a tag alone, one that goes through all entities, one that reads the document. The first is to take
/// 2 µs a document at most.
const RULES: [&str; 3] = [
    "tags.spam.label == 'spam' && tags.spam.score > 0.9",
    "tags.entities.exists(entity, entity.type == 'PER' && entity.score > 0.5)",
    "document.id == 7",
];

#[divan::bench(args = RULES)]
fn route(bencher: Bencher, rule: &str) {
    let yaml = format!("routes: [{{when: \"{rule}\", to: another}}]");
    let config = Config::parse(&yaml, HashMap::new(), &[]).expect("a configuration");
    let router = Router::new(&config, &TAGGERS.kinds()).expect("a rule");
    let answered: Vec<_> = tagged(OneKilobyte).into_iter().map(|envelope| (envelope.body.answer(), envelope)).collect();
    bencher.counter(ItemsCount::new(DOCUMENTS)).bench_local(|| {
        for (answer, envelope) in &answered {
            let _ = black_box(router.decide(&answer.tags, &envelope.body.document, &envelope.record, &envelope.origin));
        }
    });
}

/// The header that every output record has.
#[divan::bench]
fn record_id(bencher: Bencher) {
    let origins: Vec<_> = (0..DOCUMENTS).map(origin).collect();
    bencher.counter(ItemsCount::new(DOCUMENTS)).bench_local(|| {
        for origin in &origins {
            black_box(headers::with_record_id(None, &origin.record_id()));
        }
    });
}
