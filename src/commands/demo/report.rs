//! What came of the demo's documents.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use anyhow::{Context, Result};
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use serde_json::Value;

use super::corpus::{Corpus, PARTITIONS, partition_of};

/// Follows every document from feeding to its end.
pub(super) struct Report<'a> {
    corpus: &'a Corpus,
    /// How many were fed.
    pub fed: usize,
    /// How many came out tagged.
    pub out: usize,
    /// How many came more than once.
    pub repeated: usize,
    /// Bytes of the documents that came out, by partition.
    pub bytes_done: [usize; PARTITIONS],
    seen: Vec<bool>,
    dead: usize,
    labels: BTreeMap<String, BTreeMap<String, usize>>,
    topic: Agreement,
    spam: Agreement,
    spam_of_messages: Agreement,
}

/// How often a tag is the corpus' own label.
#[derive(Default)]
struct Agreement {
    all: Share,
    held_out: Share,
}

#[derive(Default)]
struct Share {
    right: usize,
    of: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(corpus: &'a Corpus) -> Self {
        Self {
            corpus,
            fed: 0,
            out: 0,
            repeated: 0,
            bytes_done: [0; PARTITIONS],
            seen: vec![false; corpus.documents.len()],
            dead: 0,
            labels: BTreeMap::new(),
            topic: Agreement::default(),
            spam: Agreement::default(),
            spam_of_messages: Agreement::default(),
        }
    }

    /// How many have not come out yet.
    pub(super) fn missing(&self) -> usize {
        self.seen.len() - self.out - self.dead
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing() == 0
    }

    /// Notes a record of an output topic; gives the enriched record, if it is one.
    pub(super) fn note(&mut self, record: &OwnedMessage) -> Result<Option<Value>> {
        let key = record.key().and_then(|key| std::str::from_utf8(key).ok()?.parse::<usize>().ok());
        let number = key.filter(|number| *number < self.seen.len()).context("a record came out that was never fed")?;
        if std::mem::replace(&mut self.seen[number], true) {
            self.repeated += 1;
            return Ok(None);
        }
        let document = &self.corpus.documents[number];
        self.bytes_done[partition_of(number)] += document.json.len();
        let tagged: Value = serde_json::from_slice(record.payload().unwrap_or_default()).unwrap_or_default();
        let Some(tags) = tagged.get("tags").and_then(Value::as_object) else {
            self.dead += 1;
            return Ok(None);
        };
        self.out += 1;
        for (head, tag) in tags {
            let labels = self.labels.entry(head.clone()).or_default();
            let names = [&tag["label"]].into_iter().chain(tag.as_array().into_iter().flatten().map(|e| &e["type"]));
            for name in names.filter_map(Value::as_str) {
                *labels.entry(name.to_owned()).or_default() += 1;
            }
        }
        let truth = &document.truth;
        // Empty where it is null: then it is none of the corpus' labels.
        let label = |head: &str| tags.get(head).map(|tag| tag["label"].as_str().unwrap_or_default());
        self.topic.note(label("topic"), truth.topic.as_deref(), truth.is_held_out());
        let spam = if truth.is_message() { &mut self.spam_of_messages } else { &mut self.spam };
        spam.note(label("spam"), truth.spam.as_deref(), truth.is_held_out());
        Ok(Some(tagged))
    }
}

impl Agreement {
    /// Of a model without that head there is nothing to note.
    fn note(&mut self, label: Option<&str>, truth: Option<&str>, held_out: bool) {
        let (Some(label), Some(truth)) = (label, truth) else { return };
        let shares = [Some(&mut self.all), held_out.then_some(&mut self.held_out)];
        for share in shares.into_iter().flatten() {
            share.of += 1;
            share.right += usize::from(label == truth);
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, held_out } = self;
        write!(f, "{all} ({held_out} held out from training)")
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of == 0 {
            return f.write_str("none");
        }
        write!(f, "{:.1} % of {}", 100.0 * self.right as f64 / self.of as f64, self.of)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (head, labels) in &self.labels {
            let counts: Vec<_> = labels.iter().map(|(label, count)| format!("{label} {count}")).collect();
            writeln!(f, "{head:<10} {}", counts.join(", "))?;
        }
        let agreements = [
            ("topic with the newsroom's", &self.topic),
            ("spam with the corpus'", &self.spam),
            ("spam of messages with their writers'", &self.spam_of_messages),
        ];
        let known: Vec<_> = agreements.into_iter().filter(|(_, agreement)| agreement.all.of > 0).collect();
        let lines: Vec<_> = known.iter().map(|(what, agreement)| format!("{what}: {agreement}")).collect();
        write!(f, "agreement  {}", if lines.is_empty() { "none is known".into() } else { lines.join("\n           ") })
    }
}

/// A tagged document as a person would read it.
pub(super) fn for_people(tagged: &Value) -> String {
    let text = |pointer: &str| tagged.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let score = |pointer: &str| 100.0 * tagged.pointer(pointer).and_then(Value::as_f64).unwrap_or_default();
    // A message has no subject.
    let titles = [text("/document/subject"), text("/document/body")];
    let title = titles.into_iter().find(|title| !title.is_empty()).unwrap_or_default();
    let title: String = title.chars().filter(|c| !c.is_control()).take(76).collect();
    let mut lines = format!("┌ {title}\n");
    let (topic, spam) = (text("/tags/topic/label"), text("/tags/spam/label"));
    let (topic_score, spam_score) = (score("/tags/topic/score"), score("/tags/spam/score"));
    let topic = if topic.is_empty() { "none".into() } else { format!("{topic} {topic_score:.0} %") };
    let _ = writeln!(lines, "│ topic     {topic}");
    let _ = writeln!(lines, "│ spam      {spam} {spam_score:.0} %");
    let entities = tagged.pointer("/tags/entities").and_then(Value::as_array);
    let mut names: Vec<String> = Vec::new();
    for entity in entities.into_iter().flatten() {
        let name: String = entity["text"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let name = format!("{name} ({})", entity["type"].as_str().unwrap_or_default());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(6);
    names.truncate(6);
    let _ = write!(lines, "└ entities  {}", if names.is_empty() { "none".into() } else { names.join(", ") });
    if more > 0 {
        let _ = write!(lines, " and {more} more");
    }
    lines
}
