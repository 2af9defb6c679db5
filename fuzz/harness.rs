//! What is fuzzed: everything that reads bytes of others. `cargo fuzz` and `tests/fuzz.rs` share it. A panic is a fault, and
//! so is a promise that does not hold of what was read.
//!
//! (The HTTP port is not among it: no handler reads a request's body.)

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::LazyLock;
use std::thread::LocalKey;
use std::time::Instant;

use rdkafka::message::{Header, OwnedHeaders};
use serde_json::Value;
use serde_json::value::RawValue;
use tagbert::codec::dead_letter;
use tagbert::codec::decode::{Decoded, Decoder};
use tagbert::codec::enriched::Assembler;
use tagbert::config::mark::without_mark;
use tagbert::config::{Aggregation, Config};
use tagbert::model::files::manifest::{Head, Manifest, Task};
use tagbert::model::files::token_label::TokenLabel;
use tagbert::model::graph::onnx::Graph;
use tagbert::model::tokenize::{Encoded, Place, Tokenizer, tokenizer};
use tagbert::record::answer::{Answer, Given, Identity};
use tagbert::record::budget::Budget;
use tagbert::record::document::Document;
use tagbert::record::envelope::{Envelope, Lease, Origin, Record};
use tagbert::record::headers;
use tagbert::record::rejection::{Rejection, Stage};
use tagbert::record::tag::{Class, Tag};
use tagbert::record::text::Text;
use tagbert::record::trace::RecordSpan;
use tagbert::tagger::spans;
use tagbert::tagger::windows::Windows;
use tempfile::TempDir;

/// Between the files, or parts, of one input.
const SEPARATOR: &str = "\n%%\n";

/// A function that reads foreign bytes.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("record", record),
    ("configuration", configuration),
    ("manifest", manifest),
    ("tokenizer", tokenizer_json),
    ("graph", graph),
];

/// A record's value, and after the separator its headers, a line each: `name=value`, or `name` for one without a value. It
/// becomes an enriched record or a dead letter; that one's replay becomes the same.
pub fn record(input: &[u8]) {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| {
        let yaml = "input: {text: [/subject, /body, /mail/parts/0/text]}\n\
                    taggers: [{name: one}, {name: two, text: [/title, /a~1b/c~0d]}]";
        Config::parse(yaml, HashMap::new(), &[]).expect("a configuration")
    });
    static DECODER: LazyLock<Decoder> = LazyLock::new(|| Decoder::new(&CONFIG).expect("a decoder"));
    let separator = SEPARATOR.as_bytes();
    let at = input.windows(separator.len()).position(|part| part == separator);
    let (value, lines) = at.map_or((input, None), |at| (&input[..at], Some(&input[at + separator.len()..])));
    let headers = lines.map(headers_of);
    let origin =
        Origin { topic: "documents".into(), partition: 3, offset: 42, epoch: 0, seq: 0, lease: Lease::default() };
    let timestamp = (value.len() % 2 == 1).then_some(value.len() as i64);
    let record = Record { key: None, value: Some(value.to_vec()), headers, timestamp };
    assert!(record.size() <= input.len());
    match DECODER.decode(&record) {
        Ok(Decoded::Document(document)) => enriched(&CONFIG, origin, record, document),
        Ok(Decoded::Tombstone) => unreachable!("it has a value"),
        Ok(Decoded::Unreadable(error)) => unreachable!("nobody is asked: {error:#}"),
        Err(rejection) => {
            let back = dead_letter(&origin, &record, &rejection);
            let again = DECODER.decode(&Record { headers: Some(back), ..record });
            // A header that was to blame is gone if it has a name of the worker's own kind.
            let same = again.err().as_ref() == Some(&rejection) || rejection.class == "InvalidHeaderName";
            assert!(same, "replayed, it is refused as before");
        }
    }
}

fn headers_of(lines: &[u8]) -> OwnedHeaders {
    lines.split(|byte| *byte == b'\n').fold(OwnedHeaders::new(), |headers, line| {
        let at = line.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((line, None), |at| (&line[..at], Some(&line[at + 1..])));
        match std::str::from_utf8(name) {
            Ok(name) => headers.insert(Header { key: name, value }),
            Err(_) => with_odd_name(headers, name),
        }
    })
}

#[expect(unsafe_code, reason = "the client library can't write a header name that is not UTF-8")]
fn with_odd_name(headers: OwnedHeaders, name: &[u8]) -> OwnedHeaders {
    let native = std::ptr::from_ref(headers.as_borrowed()).cast_mut().cast();
    // SAFETY: a reference to borrowed headers is librdkafka's pointer; name and value are copied.
    unsafe {
        rdkafka::bindings::rd_kafka_header_add(
            native,
            name.as_ptr().cast(),
            name.len() as isize,
            c"1".as_ptr().cast(),
            1,
        )
    };
    headers
}

/// Names and values, as the worker sees them.
fn listed(headers: Option<&OwnedHeaders>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let all = headers.into_iter().flat_map(headers::iter);
    all.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

fn enriched(config: &Config, origin: Origin, record: Record, document: Document) {
    let value = record.value.clone().unwrap_or_default();
    let text = std::str::from_utf8(without_mark(&value)).expect("a document is UTF-8");
    assert!(document.texts.iter().any(Option::is_some), "a document without a text");
    assert!(document.texts.iter().flatten().all(|text| !text.as_str().trim().is_empty()));
    // Where the usual reader can read it all, it finds the same.
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        assert_eq!(serde_json::from_str::<Value>(document.id.get()).ok(), Some(at(&whole, &config.input.id).clone()));
        for (found, pointers) in document.texts.iter().zip(config.texts()) {
            let texts = pointers.iter().filter_map(|pointer| at(&whole, pointer).as_str());
            let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
            let expected = texts.iter().any(|text| !text.trim().is_empty()).then(|| texts.join("\n"));
            assert_eq!(found.as_ref().map(Text::as_str), expected.as_deref());
        }
    }

    let before = listed(record.headers.as_ref());
    let span = RecordSpan::start(&origin.topic, origin.partition, origin.offset, record.headers.as_ref());
    let out = headers::with_record_id(span.propagate(record.headers.clone()), &origin.record_id());
    let ours = |name: &[u8]| name == headers::RECORD_ID.as_bytes() || name == b"traceparent";
    let foreign = |all: Vec<(Vec<u8>, _)>| all.into_iter().filter(|(name, _)| !ours(name)).collect::<Vec<_>>();
    assert_eq!(headers::last(&out, headers::RECORD_ID), Some(&b"documents-3-42"[..]));
    assert_eq!(listed(Some(&out)).iter().filter(|(name, _)| name == headers::RECORD_ID.as_bytes()).count(), 1);
    assert_eq!(foreign(listed(Some(&out))), foreign(before), "others stay as they were");

    let identity = Identity { name: "model".into(), version: "0".into() };
    let tag = Tag::Class(Class { label: None, score: 0.5, scores: vec![] });
    let tags = vec![Given { name: "topic".into(), text: 0, tag }];
    let answer =
        Answer { load: 0, tags, secrets: vec![], absent: vec![], models: vec![identity], tokens: 3, truncated: false };
    let id = document.id.get().to_owned();
    let permit = Budget::new(0).take(record.size());
    let envelope = Envelope { origin, record, body: document, fetched: Instant::now(), span, permit };
    let made = Assembler::new(&Config::default()).assemble(&envelope, &answer).value;
    let made: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&made).expect("an enriched record is JSON");
    assert_eq!(made["id"].get(), id);
    assert_eq!(made["document"].get(), text.trim_matches([' ', '\t', '\r', '\n']), "byte for byte");
}

fn at<'v>(whole: &'v Value, pointer: &str) -> &'v Value {
    whole.pointer(pointer).unwrap_or(&Value::Null)
}

/// Writes a dead letter and reads it. Gives the headers of its replay.
fn dead_letter(origin: &Origin, record: &Record, rejection: &Rejection) -> OwnedHeaders {
    assert_eq!(rejection.stage, Stage::Decode);
    assert!(!rejection.class.is_empty() && rejection.message.len() < 1000);
    assert!(!rejection.message.contains(char::is_control), "an error is one line");
    let own = record.headers.clone();
    let brought = own.as_ref().and_then(|own| headers::last(own, headers::REPLAY_ATTEMPT));
    let brought = brought.and_then(|attempt| String::from_utf8_lossy(attempt).parse().ok()).unwrap_or(0);
    let letter = dead_letter::headers(own.clone(), origin, rejection, record.timestamp);
    let read = dead_letter::explanation(&letter).expect("a dead letter explains itself");
    assert_eq!((read.topic.as_str(), read.partition, read.offset), (&*origin.topic, origin.partition, origin.offset));
    assert_eq!((read.stage.as_str(), read.class.as_str()), (rejection.stage.name(), rejection.class));
    assert_eq!((&read.message, read.timestamp, read.attempt), (&rejection.message, record.timestamp, brought));
    let explains = |name: &[u8]| name.starts_with(b"__connect.errors.") || name.starts_with(b"tagbert.");
    let kept: Vec<_> = listed(own.as_ref()).into_iter().filter(|(name, _)| !explains(name)).collect();
    assert_eq!(dead_letter::has_own(&letter), !kept.is_empty());
    let back = dead_letter::own(letter);
    assert_eq!(listed(Some(&back)), kept, "its own headers come back as they were");
    back.insert(Header { key: headers::REPLAY_ATTEMPT, value: Some("1") })
}

/// A configuration file, and after separators lines of `--set` and of the environment, `KEY=VALUE` each.
pub fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // Not to read files by chance names.
    if text.to_ascii_lowercase().contains("_file") || text.contains("file:") {
        return;
    }
    let mut parts = text.split(SEPARATOR);
    let mut part = || parts.next().unwrap_or_default();
    let (yaml, sets, environment) = (part(), part(), part());
    let sets: Vec<_> = sets.lines().map(ToOwned::to_owned).collect();
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    match Config::parse(yaml, environment.lines().filter_map(pair).collect(), &sets) {
        Ok(config) => configured(config),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn configured(mut config: Config) {
    assert!(!config.taggers().is_empty());
    assert!(config.texts().iter().flatten().all(|pointer| pointer.contains('/')));
    let _ = (Decoder::new(&config).is_ok(), config.of_shadow());
    let _ = (tagbert::kafka::clients::producer(&config), tagbert::kafka::clients::consumer(&config, 1));
    // What `check` prints is a configuration: the same, but for its secrets.
    let masked = config.masked();
    let again = Config::parse(&masked, HashMap::new(), &[]);
    let again = again.unwrap_or_else(|error| panic!("{error}: {masked}"));
    assert_eq!(again.masked(), masked);
    // Whatever a password is, it is not printed.
    let secret = "\u{1f511}";
    for (name, value) in &mut config.kafka.properties {
        if name.ends_with("password") || name.ends_with("secret") {
            *value = secret.into();
        }
    }
    config.http.token = config.http.token.map(|_| secret.into());
    assert!(masked.contains(secret) || !config.masked().contains(secret));
}

thread_local! {
    static MANIFEST: Cell<Option<TempDir>> = const { Cell::new(None) };
    static TOKENIZER: Cell<Option<TempDir>> = const { Cell::new(None) };
}

/// A directory with files of these names and parts; an empty part is a file that is not there. A thread's is always the same
/// one: to make one takes longer than to read it.
fn with_files<'p>(
    directory: &'static LocalKey<Cell<Option<TempDir>>>,
    files: impl Iterator<Item = (&'static str, &'p str)>,
    read: impl FnOnce(&Path),
) {
    let own = directory.take().unwrap_or_else(|| tempfile::tempdir().expect("a directory"));
    for (name, text) in files {
        let path = own.path().join(name);
        if text.is_empty() {
            let _ = fs::remove_file(path);
        } else {
            fs::write(path, text).expect("a file");
        }
    }
    read(own.path());
    directory.set(Some(own));
}

/// `config.json`, `heads.json` and `tokenizer_config.json`, as far as they are there.
pub fn manifest(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let parts = text.split(SEPARATOR).chain(std::iter::repeat(""));
    let files = ["config.json", "heads.json", "tokenizer_config.json"].into_iter().zip(parts);
    with_files(&MANIFEST, files, |directory| {
        let Ok(manifest) = Manifest::load(directory, "model".into()) else { return };
        assert!(!manifest.heads.is_empty() && (8..=1 << 16).contains(&manifest.max_tokens));
        assert!(!manifest.name.is_empty() && manifest.taken.len() >= 2);
        for head in &manifest.heads {
            assert!(!head.name.is_empty() && !head.labels.is_empty());
            assert!(head.temperature > 0.0 && head.temperature.is_finite());
            assert!(head.thresholds.values().all(|score| (0.0..=1.0).contains(score)));
            let names = head.names();
            assert!(head.thresholds.keys().all(|label| names.contains(&label)));
            if let Task::Tokens(labels) = &head.task {
                assert_eq!(labels.len(), head.labels.len());
                assert_eq!(labels.iter().any(|label| label.entity_type.is_some()), !names.is_empty());
                let places = [(0, 3), (4, 8), (8, 8)].map(|(start, end)| Place { start, end, continues: start == 8 });
                tagged("Ein Café", &places, head);
            }
        }
    });
}

/// `tokenizer.json`, and after separators a text to tokenize, and the files beside it.
pub fn tokenizer_json(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let mut parts = input.split(SEPARATOR);
    let json = parts.next().unwrap_or_default();
    let text = parts.next().unwrap_or("Ein café in Zürich, 日本語 👍🏽 a\u{301}");
    let beside = ["tokenizer_config.json", "config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"];
    let files =
        [("tokenizer.json", json)].into_iter().chain(beside.into_iter().zip(parts.chain(std::iter::repeat(""))));
    with_files(&TOKENIZER, files, |directory| {
        let Ok((mut library, notes)) = tokenizer::read(directory) else { return };
        assert!(notes.taken.len() >= 3);
        let Ok(tokenizer) = Tokenizer::new(library.clone()) else { return };
        let _ = (tokenizer.about(), tokenizer.words_from(0));
        if let Ok(frame) = tokenizer.frame(0) {
            assert_eq!(frame.is_empty(), frame.prefix.is_empty() && frame.suffix.is_empty());
        }
        let _ = tokenizer.encode("");
        let Ok(encoded) = tokenizer.encode(text) else { return };
        placed(text, &encoded, tokenizer.last_id());

        // With dropout, no two results are the same.
        if json.contains("dropout") {
            return;
        }
        library.with_padding(None);
        let _ = library.with_truncation(None);
        let same = |text: &str, encoded: &Encoded| {
            let whole = catch_unwind(AssertUnwindSafe(|| library.encode_char_offsets(text, false)));
            let Ok(Ok(whole)) = whole else { return };
            assert_eq!(encoded.ids, whole.get_ids(), "the library's tokens");
            let places = encoded.places.iter().map(|place| (place.start as usize, place.end as usize));
            assert!(places.eq(whole.get_offsets().iter().copied()), "the library's places");
        };
        same(text, &encoded);
        // What is longer than a part: that takes a while, so not each time.
        if text.len() > 3 && input.len().is_multiple_of(128) {
            let long = format!("x{}", text.repeat(40_000 / text.len()));
            if let Ok(encoded) = tokenizer.encode(&long) {
                placed(&long, &encoded, tokenizer.last_id());
                same(&long, &encoded);
            }
        }
    });
}

/// The places of tokens are in the text, and so is what becomes of them.
fn placed(text: &str, encoded: &Encoded, last: u32) {
    let characters = text.chars().count() as u32;
    assert_eq!(encoded.ids.len(), encoded.places.len());
    assert!(encoded.ids.iter().all(|id| *id <= last));
    assert!(encoded.places.iter().all(|place| place.start <= place.end && place.end <= characters));
    let labels = ["O", "B-X", "I-X", "B-Y"].map(Into::into).to_vec();
    let task = Task::Tokens(TokenLabel::all(&labels));
    let head =
        Head { name: "entities".into(), output: None, labels, task, temperature: 1.0, thresholds: BTreeMap::new() };
    tagged(text, &encoded.places, &head);
    for (size, stride) in [(8, 1), (3, 2)] {
        let windows = Windows::new(size, stride).expect("they get on");
        let mut next = 0;
        for window in windows.of(encoded.ids.len()) {
            assert_eq!(window.own.start, next);
            assert!(window.tokens.start <= window.own.start && window.own.end <= window.tokens.end);
            next = window.own.end;
        }
        assert_eq!(next, encoded.ids.len());
    }
}

fn tagged(text: &str, places: &[Place], head: &Head) {
    let characters: Vec<char> = text.chars().collect();
    let labels = head.labels.len();
    // Each label comes up, and a token is unsure now and then.
    let logit = |number: usize| if number / labels * 7 % labels == number % labels { 3.0 } else { (number % 3) as f32 };
    let logits: Vec<f32> = (0..places.len() * labels).map(logit).collect();
    let in_order = places.is_sorted_by_key(|place| place.start) && places.is_sorted_by_key(|place| place.end);
    for aggregation in
        [Aggregation::None, Aggregation::Simple, Aggregation::First, Aggregation::Average, Aggregation::Max]
    {
        let entities = spans::decode(text, places, &logits, head, aggregation);
        assert!(!in_order || entities.is_sorted_by_key(|entity| entity.start), "in the order of the text");
        for entity in entities {
            assert!(entity.end as usize <= characters.len());
            let slice = characters.get(entity.start as usize..entity.end as usize);
            assert!(
                slice.map_or(!in_order, |slice| entity.text.chars().eq(slice.iter().copied())),
                "exactly the slice"
            );
            assert!((0.0..=1.000_001).contains(&entity.score), "{}", entity.score);
        }
    }
}

/// An ONNX file, of which all but the weights is read.
pub fn graph(bytes: &[u8]) {
    let Ok(graph) = Graph::read(bytes) else { return };
    assert!(!graph.inputs.is_empty() && !graph.outputs.is_empty());
    assert!(graph.parameters.values().all(|count| *count <= graph.parameter_count()));
    let _ = (graph.precision(), graph.is_integer(), graph.is_scaled_by_batch());
    assert!(serde_json::to_value(&graph).is_ok());
}
