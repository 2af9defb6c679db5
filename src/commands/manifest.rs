//! `tagbert manifest verify`: reads the topics again, and tells whether what manifests say of them is so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use rdkafka::message::Message;

use super::cli::{Manifest as Command, Verify};
use super::{keeper, output};
use crate::codec::account::Account;
use crate::config::Delivery;
use crate::kafka::scan::Topics;
use crate::kafka::tally::Part;
use crate::lake::place::Place;
use crate::record::headers;
use crate::record::partition::TopicPartition;
use crate::worker::manifest::Manifest;

/// So many records are named of each kind of finding.
const NAMED: usize = 3;

pub(super) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Verify(args) = command;
    verify(args)
}

fn verify(args: &Verify) -> Result<ExitCode> {
    let config = super::config(&args.config)?;
    keeper::ensure_counts(&config)?;
    let manifests =
        args.manifests.iter().map(|file| Manifest::read(&Place::parse(file)?)).collect::<Result<Vec<_>>>()?;
    let outputs = outputs(&manifests);
    if outputs.len() != 1 {
        bail!("the manifests are of different jobs: they write to {}", outputs.join(", and to "));
    }
    let topics = Topics::of(&config)?;
    let read = read_inputs(&topics, &manifests)?;
    let found = read_results(&topics, &manifests, &read)?;
    let skips = manifests.iter().any(|manifest| manifest.records.skipped + manifest.records.filtered > 0);
    let once = manifests.iter().all(|manifest| manifest.delivery == Delivery::ExactlyOnce);
    let mut findings = Findings::default();
    for (key, offsets) in &read {
        for offset in offsets {
            if who_did(&manifests, key, *offset).next().is_none() {
                findings.add("records of the job are done in no manifest", key, *offset);
            }
            let results = found.of(key, *offset);
            if !results.is_there() && !skips {
                findings.add("records have no result", key, *offset);
            }
            if results.twice && once {
                findings.add("records have more than one result", key, *offset);
            }
        }
    }
    for ((file, manifest), found) in args.manifests.iter().zip(&manifests).zip(&found.accounts) {
        for (what, said, found) in differences(&manifest.records, found) {
            findings.say(format!("{file}: {what} {said}, but {found} on the topics"));
        }
    }
    findings.conclude(read.values().map(BTreeSet::len).sum())
}

/// The manifests that say that this record is done. There may be several: what one worker did and could not commit any more,
/// another did again.
fn who_did<'a>(manifests: &'a [Manifest], key: &'a TopicPartition, offset: i64) -> impl Iterator<Item = usize> + 'a {
    let did = move |(_, manifest): &(usize, &Manifest)| manifest.done.iter().any(|part| part.has(key, offset));
    manifests.iter().enumerate().filter(did).map(|(index, _)| index)
}

/// What a manifest is about: what was asked for, though others may have done it.
fn parts(manifest: &Manifest) -> impl Iterator<Item = &Part> {
    manifest.range.parts.iter().chain(&manifest.job).chain(&manifest.done)
}

/// Where they write to.
fn outputs(manifests: &[Manifest]) -> Vec<String> {
    let mut outputs: Vec<_> =
        manifests.iter().map(|it| format!("{} and {}", it.outputs().join(", "), it.dead_letters)).collect();
    outputs.sort();
    outputs.dedup();
    outputs
}

/// What a manifest says, and what was found instead.
fn differences(said: &Account, found: &Account) -> Vec<(&'static str, String, String)> {
    let numbers = [
        ("in", said.input, found.input),
        ("out", said.enriched, found.enriched),
        ("tombstones", said.tombstones, found.tombstones),
        ("dead_letters", said.dead_letters, found.dead_letters),
        ("skipped", said.skipped, found.skipped),
        ("filtered", said.filtered, found.filtered),
    ];
    let mut differences: Vec<_> = numbers
        .into_iter()
        .filter(|(_, said, found)| said != found)
        .map(|(what, said, found)| (what, said.to_string(), found.to_string()))
        .collect();
    if said.labels != found.labels {
        differences.push(("labels", format!("{:?}", said.labels), format!("{:?}", found.labels)));
    }
    // Those of versions without routes do not say.
    if !said.topics.is_empty() && said.topics != found.topics {
        differences.push(("topics", format!("{:?}", said.topics), format!("{:?}", found.topics)));
    }
    if said.checksum != found.checksum {
        differences.push(("checksum", said.checksum.into(), found.checksum.into()));
    }
    differences
}

/// Offsets that have a record, by partition.
type Offsets = HashMap<TopicPartition, BTreeSet<i64>>;

/// What is on the output topics of the records of a job.
struct Found {
    results: HashMap<TopicPartition, HashMap<i64, Results>>,
    /// What each manifest should say.
    accounts: Vec<Account>,
}

/// What there is of a record.
#[derive(Clone, Copy, Default)]
struct Results {
    /// The latest topic that has one: they are numbered from 1 on.
    seen_on: usize,
    is_dead: bool,
    /// There are two on one topic, or one beside a dead letter.
    twice: bool,
}

impl Results {
    fn is_there(self) -> bool {
        self.seen_on > 0
    }
}

impl Found {
    fn of(&self, key: &TopicPartition, offset: i64) -> Results {
        self.results.get(key).and_then(|results| results.get(&offset)).copied().unwrap_or_default()
    }
}

/// The offsets of the jobs that have a record.
fn read_inputs(topics: &Topics<'_>, manifests: &[Manifest]) -> Result<Offsets> {
    let mut bounds: BTreeMap<(&str, i32), (i64, i64)> = BTreeMap::new();
    for Part { topic, partition, from, to } in manifests.iter().flat_map(parts) {
        let bound = bounds.entry((topic, *partition)).or_insert((*from, *to));
        *bound = (bound.0.min(*from), bound.1.max(*to));
    }
    let mut read = Offsets::new();
    for ((topic, partition), (from, to)) in bounds {
        let scan = topics.scan(topic)?;
        let (low, high) = scan.bounds().get(&partition).copied().unwrap_or_default();
        if low > from || high < to {
            bail!("{topic}/{partition}: the manifests are of {from} to {to}, and the log has {low} to {high} now");
        }
        let offsets: &mut BTreeSet<i64> = read.entry((Arc::from(topic), partition)).or_default();
        scan.each(partition, from, |record, _| {
            let is_in = record.offset() < to;
            if is_in {
                offsets.insert(record.offset());
            }
            Ok(if is_in { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    Ok(read)
}

/// What came of those records. A result that is there again has the same tags, and is counted once.
fn read_results(topics: &Topics<'_>, manifests: &[Manifest], read: &Offsets) -> Result<Found> {
    let mut found = Found { results: HashMap::new(), accounts: vec![Account::default(); manifests.len()] };
    let Some(first) = manifests.first() else { return Ok(found) };
    // The dead letters first: under at-least-once, there may be copies of what became one.
    let names = std::iter::once(&first.dead_letters).chain(first.outputs());
    for (number, topic) in (1..).zip(names) {
        let are_dead = number == 1;
        let scan = topics.scan(topic)?;
        for partition in scan.bounds().keys() {
            scan.each(*partition, 0, |record, headers| {
                let id = headers.and_then(|headers| headers::last(headers, headers::RECORD_ID));
                let of = id.and_then(of_record);
                let ours = of.filter(|(key, offset)| read.get(key).is_some_and(|read| read.contains(offset)));
                let Some((key, offset)) = ours else { return Ok(ControlFlow::Continue(())) };
                let results = found.results.entry(key.clone()).or_default().entry(offset).or_default();
                let before = std::mem::replace(&mut results.seen_on, number);
                results.twice |= before == number || results.is_dead;
                results.is_dead |= are_dead;
                if before == number || results.is_dead && !are_dead {
                    return Ok(ControlFlow::Continue(()));
                }
                let id = format!("{}-{}-{offset}", key.0, key.1);
                for account in who_did(manifests, &key, offset) {
                    let account = &mut found.accounts[account];
                    if !are_dead {
                        account.went([topic.as_str()]);
                    }
                    match record.payload() {
                        _ if before != 0 => {}
                        _ if are_dead => account.dead_letter(&id),
                        Some(value) => account.enriched(&id, value),
                        None => account.tombstone(&id),
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    for (key, offsets) in read {
        for offset in offsets.iter().filter(|offset| !found.of(key, **offset).is_there()).collect::<Vec<_>>() {
            for number in who_did(manifests, key, *offset) {
                // Both leave nothing behind: which of them it was, only their number tells.
                let (account, said) = (&mut found.accounts[number], &manifests[number].records);
                if account.skipped < said.skipped { account.skipped() } else { account.filtered() }
            }
        }
    }
    Ok(found)
}

/// The record that an id is of: `TOPIC-PARTITION-OFFSET`.
pub(super) fn of_record(id: &[u8]) -> Option<(TopicPartition, i64)> {
    let mut parts = std::str::from_utf8(id).ok()?.rsplitn(3, '-');
    let (offset, partition, topic) = (parts.next()?, parts.next()?, parts.next()?);
    Some(((Arc::from(topic), partition.parse().ok()?), offset.parse().ok()?))
}

/// What speaks against the manifests.
#[derive(Default)]
struct Findings {
    said: Vec<String>,
    records: BTreeMap<&'static str, (usize, Vec<String>)>,
}

impl Findings {
    fn say(&mut self, line: String) {
        self.said.push(line);
    }

    fn add(&mut self, what: &'static str, (topic, partition): &TopicPartition, offset: i64) {
        let (count, named) = self.records.entry(what).or_default();
        *count += 1;
        if named.len() < NAMED {
            named.push(format!("{topic}/{partition}@{offset}"));
        }
    }

    fn conclude(self, records: usize) -> Result<ExitCode> {
        for (what, (count, named)) in &self.records {
            let more = if *count > named.len() { ", …" } else { "" };
            output::print(format_args!("{count} {what}: {}{more}", named.join(", ")))?;
        }
        for line in &self.said {
            output::print(line)?;
        }
        if self.records.is_empty() && self.said.is_empty() {
            output::print(format_args!("proven: {records} records in, and a result of each"))?;
            return Ok(ExitCode::SUCCESS);
        }
        output::print(format_args!("refuted, of {records} records"))?;
        Ok(ExitCode::FAILURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_record_whatever_the_topics_name() {
        assert_eq!(of_record(b"a-b-2-17"), Some((("a-b".into(), 2), 17)));
        for bad in [&b"a-1"[..], b"a-x-1", b"a-1-x", b"", b"\xff-1-1"] {
            assert_eq!(of_record(bad), None);
        }
    }
}
