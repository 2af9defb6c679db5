//! Proof that the ledger notices: a perfect run has a clean account, and one that was tampered with has not.

use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::{Message, Timestamp};
use serde_json::json;

use crate::documents::{Corpus, Fate, fate};
use crate::ledger::{Account, Topics, compare};

/// Whether every kind of harm is noticed, and nothing where there is none.
pub fn the_ledger_notices_all_harm(corpus: &Corpus) -> bool {
    let account = |harm: fn(&mut Topics)| {
        let mut topics = perfect(corpus);
        harm(&mut topics);
        let Account { lost, duplicated, out_of_order, wrong, .. } = compare(corpus, &topics);
        [lost, duplicated, out_of_order, wrong]
    };
    let again = |topics: &mut Topics| topics.output.push(topics.output[0].clone());
    [
        (account(|_| {}), [0, 0, 0, 0]),
        (account(|topics| drop(topics.output.remove(3))), [1, 0, 0, 0]),
        (account(|topics| topics.dead.clear()), [2, 0, 0, 0]),
        (account(again), [0, 1, 0, 0]),
        (account(|topics| topics.dead.push(topics.dead[0].clone())), [0, 1, 0, 0]),
        (account(|topics| topics.output.swap(4, 5)), [0, 0, 1, 0]),
        // The first of a partition at the end of it: all others were before.
        (account(|topics| topics.output.rotate_left(1)), [0, 0, 1, 0]),
        (account(|topics| replace(topics, |value| value.replace("\"ham\"", "\"spam\""))), [0, 0, 0, 1]),
        (account(|topics| replace(topics, |value| value.replace("\"id\":0", "\"id\": 0"))), [0, 0, 0, 1]),
        (account(|topics| replace(topics, |value| value.replace("\"offset\":0", "\"offset\":1"))), [0, 0, 0, 1]),
        (account(|topics| topics.output.push(topics.dead.remove(0))), [0, 0, 1, 1]),
        // Every seventh should have failed, but for the one that is broken anyhow.
        (account(|topics| topics.poisoned = true), [0, 0, 0, 13]),
    ]
    .iter()
    .enumerate()
    .all(|(n, (found, expected))| {
        if found != expected {
            eprintln!("harm {n}: the ledger has {found:?}, not {expected:?}");
        }
        found == expected
    })
}

/// Changes the first result's value.
fn replace(topics: &mut Topics, change: impl Fn(&str) -> String) {
    let first = &topics.output[0];
    let value = change(std::str::from_utf8(first.payload().unwrap()).unwrap()).into_bytes();
    topics.output[0] = message(Some(value), "out", first.offset(), first.headers().unwrap().clone());
}

fn message(value: Option<Vec<u8>>, topic: &str, offset: i64, headers: OwnedHeaders) -> OwnedMessage {
    OwnedMessage::new(value, Some(b"key".to_vec()), topic.into(), Timestamp::CreateTime(1), 0, offset, Some(headers))
}

/// A hundred records, and what must come of them.
fn perfect(corpus: &Corpus) -> Topics {
    let (mut input, mut output, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    let zero = "0".to_owned();
    for n in 0..100 {
        let (value, number, id) = (corpus.value(n), n.to_string(), format!("in-0-{n}"));
        let offset = n as i64;
        let header = |key, value| Header { key, value: Some(value) };
        let own = OwnedHeaders::new().insert(header("n", &number));
        input.push(message(value.clone(), "in", offset, own.clone()));
        let headers = own.insert(header("tagbert.record.id", &id));
        match fate(n) {
            Fate::Tombstone => output.push(message(None, "out", offset, headers)),
            Fate::Dead(stage) => {
                let headers = headers.insert(header("__connect.errors.partition", &zero));
                let headers = headers.insert(header("__connect.errors.offset", &number));
                let stage = stage.to_owned();
                let headers = headers.insert(header("__connect.errors.stage", &stage));
                dead.push(message(value, "dead", offset, headers));
            }
            Fate::Tagged => {
                let source = json!({ "topic": "in", "partition": 0, "offset": n });
                let (tags, document) = (corpus.tags(n), String::from_utf8(value.unwrap()).unwrap());
                let value = format!(r#"{{"id":{n},"tags":{tags},"document":{document},"source":{source}}}"#);
                output.push(message(Some(value.into_bytes()), "out", offset, headers));
            }
        }
    }
    Topics { input, output, dead, poisoned: false }
}
