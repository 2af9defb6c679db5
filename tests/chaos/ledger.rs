//! Compares what went in with what came out.

use std::collections::{HashMap, HashSet};

use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::documents::{Corpus, Fate, fate};
use crate::options::Delivery;
use crate::support::records::header;

/// What a run came to. All but `records` should be 0 (`duplicated` under exactly-once).
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Records in.
    pub records: usize,
    /// Of which nothing came out (G-1, G-3).
    pub lost: usize,
    /// Results beyond the first (G-8).
    pub duplicated: usize,
    /// Results whose first appearance is behind that of a later record of the same input partition (G-2).
    pub out_of_order: usize,
    /// With other tags, bytes, key, timestamp or coordinates than they should have, or in the wrong topic (G-7, G-9,
    /// G-20, G-21).
    pub wrong: usize,
    /// Some of the above in words.
    pub details: Vec<String>,
    /// Some of those that are duplicated.
    pub again: Vec<String>,
}

/// What was read when all was over, in the order of each partition.
pub struct Topics {
    /// The input topic.
    pub input: Vec<OwnedMessage>,
    /// The output topic.
    pub output: Vec<OwnedMessage>,
    /// The dead-letter topic.
    pub dead: Vec<OwnedMessage>,
    /// The model failed on what [`is_poisoned`], each time.
    pub poisoned: bool,
}

/// Whether the failpoint `model-run` is for this record.
fn is_poisoned(input: &OwnedMessage) -> bool {
    input.offset() % 7 == 3
}

#[derive(Deserialize)]
struct Enriched<'a> {
    id: Value,
    tags: Value,
    #[serde(borrow)]
    document: &'a RawValue,
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    topic: String,
    partition: i32,
    offset: i64,
}

/// Draws up the account.
pub fn compare(corpus: &Corpus, topics: &Topics) -> Account {
    let mut account = Account { records: topics.input.len(), ..Account::default() };
    let inputs: HashMap<usize, &OwnedMessage> =
        topics.input.iter().map(|record| (number(record).expect("the harness wrote it"), record)).collect();
    let by_place: HashMap<(i32, i64), usize> =
        inputs.iter().map(|(n, record)| ((record.partition(), record.offset()), *n)).collect();
    assert_eq!(inputs.len(), topics.input.len(), "the harness wrote a record twice");

    let mut seen = HashSet::new();
    for (results, dead) in [(&topics.output, false), (&topics.dead, true)] {
        // The last input offset that appeared, for each output and input partition.
        let mut last: HashMap<(i32, i32), i64> = HashMap::new();
        for result in results {
            let n = number(result).or_else(|| by_place.get(&place(result)?).copied());
            let Some((n, input)) = n.and_then(|n| Some((n, *inputs.get(&n)?))) else {
                account.wrong(format!("{} is of no input record", at(result)));
                continue;
            };
            let fate = if topics.poisoned && is_poisoned(input) { fate(n).poisoned() } else { fate(n) };
            let checked =
                if dead { check_dead(fate, input, result) } else { check_output(corpus, n, fate, input, result) };
            if let Err(what) = checked.and_then(|()| check_id(input, result)) {
                account.wrong(format!("{}, of {}: {what}", at(result), at(input)));
            }
            if !seen.insert(n) {
                account.duplicated += 1;
                if account.again.len() < 8 {
                    account.again.push(format!("{}, of {}, is there again", at(result), at(input)));
                }
                continue;
            }
            let last = last.entry((result.partition(), input.partition())).or_insert(-1);
            if *last > input.offset() {
                account.out_of_order += 1;
                account.note(format!("{}, of {}, is behind the result of @{last}", at(result), at(input)));
            }
            *last = input.offset().max(*last);
        }
    }
    for (n, input) in &inputs {
        if !seen.contains(n) {
            account.lost += 1;
            account.note(format!("nothing came of {} ({:?})", at(input), fate(*n)));
        }
    }
    account
}

impl Account {
    /// Whether it is as promised.
    pub fn keeps(&self, delivery: Delivery) -> bool {
        let duplicated = if delivery == Delivery::ExactlyOnce { self.duplicated } else { 0 };
        self.lost + self.out_of_order + self.wrong + duplicated == 0
    }

    /// Notes something that is as it must not be.
    pub fn wrong(&mut self, what: String) {
        self.wrong += 1;
        self.note(what);
    }

    fn note(&mut self, what: String) {
        // The first few show what it is about.
        if self.details.len() < 8 {
            self.details.push(what);
        }
    }
}

fn check_output(
    corpus: &Corpus,
    n: usize,
    fate: Fate,
    input: &OwnedMessage,
    result: &OwnedMessage,
) -> Result<(), String> {
    check_same("key", input.key(), result.key())?;
    check_same("timestamp", input.timestamp().to_millis(), result.timestamp().to_millis())?;
    match fate {
        Fate::Dead(_) => Err("it can't be tagged, and is on the output topic".into()),
        Fate::Tombstone => check_same("value", None, result.payload()),
        Fate::Tagged => {
            let payload = result.payload().ok_or("a tombstone came of a document")?;
            let enriched: Enriched<'_> = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
            check_same("document", input.payload(), Some(enriched.document.get().as_bytes()))?;
            check_same("id", Some(n as u64), enriched.id.as_u64())?;
            let Source { topic, partition, offset } = enriched.source;
            check_same("source", (input.topic(), input.partition(), input.offset()), (&topic, partition, offset))?;
            if same_tags(corpus.tags(n), &enriched.tags) { Ok(()) } else { Err("other tags".into()) }
        }
    }
}

fn check_dead(fate: Fate, input: &OwnedMessage, letter: &OwnedMessage) -> Result<(), String> {
    let Fate::Dead(stage) = fate else {
        let why = header(letter, "__connect.errors.exception.message").unwrap_or_default();
        return Err(format!("a good record is a dead letter: {why}"));
    };
    check_same("stage", Some(stage), header(letter, "__connect.errors.stage").as_deref())?;
    // One without its bytes is what the dead-letter topic took, as the README says.
    if number(letter).is_some() {
        check_same("value", input.payload(), letter.payload())?;
        check_same("key", input.key(), letter.key())?;
    }
    check_same("place", Some((input.partition(), input.offset())), place(letter))
}

fn check_id(input: &OwnedMessage, result: &OwnedMessage) -> Result<(), String> {
    let expected = format!("{}-{}-{}", input.topic(), input.partition(), input.offset());
    match header(result, "tagbert.record.id") {
        Some(id) => check_same("record id", expected, id),
        None => Err("no record id".into()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "most are borrowed already")]
fn check_same<T: PartialEq>(what: &str, expected: T, found: T) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("another {what}")) }
}

/// Equal but for the last digits of the scores: those depend on the batch.
fn same_tags(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() => {
            (a.as_f64().unwrap() - b.as_f64().unwrap_or(f64::MAX)).abs() < 1e-4
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_tags(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_tags(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The number that the harness gave the record.
fn number(record: &OwnedMessage) -> Option<usize> {
    header(record, "n")?.parse().ok()
}

/// The coordinates that a dead letter names.
fn place(letter: &OwnedMessage) -> Option<(i32, i64)> {
    let partition = header(letter, "__connect.errors.partition")?.parse().ok()?;
    Some((partition, header(letter, "__connect.errors.offset")?.parse().ok()?))
}

fn at(record: &OwnedMessage) -> String {
    format!("{}/{}@{}", record.topic(), record.partition(), record.offset())
}
