//! Point 2: what a user would write today, in Python.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::report::{Figure, Goal, Report};
use crate::support::kafka::Kafka;
use crate::support::root;
use crate::work::{self, Ran, Scale, Topics};

const MODEL: &str = "models/tagbert-small";

/// The exit code of a peer that is not set up.
const NOT_HERE: i32 = 3;

pub fn measure(scale: Scale, report: &mut Report) {
    // Of ours there are more: it is too fast for the start and the end not to show, which peers hardly have.
    let (count, ours) = (scale.of(30, 80, 400), scale.of(90, 240, 1200));
    let (whole, mixed) = (work::documents(ours * scale.rounds()), work::mixed(ours * scale.rounds()));
    let (mut three, mut one, mut one_mixed, mut pipelines) = (vec![], vec![], vec![], vec![]);
    let (config, taggers) = super::bound::taggers(MODEL);
    // What a document takes goes by its tokens, and the first ones may be shorter than the others.
    let by_tokens = |ran: Ran, values: &[Vec<u8>]| {
        let tokens = super::bound::prepare(&config, &taggers, values).tokens(&taggers) as f64 / values.len() as f64;
        Ran { rate: ran.rate * tokens, core_seconds: ran.core_seconds / tokens, ..ran }
    };
    let peer = |kind: &str, values: &[Vec<u8>]| Some(by_tokens(peer(kind, values)?, values));
    for (whole, mixed) in whole.chunks(ours).zip(mixed.chunks(ours)) {
        let ours = by_tokens(work::tag(whole, MODEL, &[]), whole);
        one.extend(peer("one", &whole[..count]).map(|peer| (ours.clone(), peer)));
        three.extend(peer("three", &whole[..count]).map(|peer| (ours.clone(), peer)));
        pipelines.extend(peer("pipelines", &whole[..count / 2]).map(|peer| (ours, peer)));
        let ours = by_tokens(work::tag(mixed, MODEL, &[]), mixed);
        one_mixed.extend(peer("one", &mixed[..count]).map(|peer| (ours, peer)));
    }
    let names = [
        ("(a) transformers pipelines, three models", &pipelines, 10.0, "W"),
        ("(b) three int8 models, batches of 32", &three, 5.0, "W"),
        ("(c) one multi-head int8 graph, batches of 32", &one, 1.6, "W"),
        ("(c) one multi-head int8 graph, batches of 32", &one_mixed, 2.0, "W-mixed"),
    ];
    for (name, rounds, goal, workload) in names {
        if rounds.is_empty() {
            report.note(format!("{workload} against {name}: not measured, it is not set up (`make bench PEERS=all`)"));
            continue;
        }
        let times = Figure::of(rounds.iter().map(|(ours, peer)| ours.rate / peer.rate));
        if !report.add("2", &format!("{workload}: tokens/s, times {name}"), Goal::AtLeast(goal), &times) {
            report.note(format!(
                "2, {name}: what is left to win is in the model itself. At 512 tokens half of its time is attention, which is \
                 in floats here as there ([VARIANTS.md](VARIANTS.md))."
            ));
        }
        let cores = Figure::of(rounds.iter().map(|(ours, peer)| peer.core_seconds / ours.core_seconds));
        report.add("2", &format!("{workload}: tokens a core-second, times {name}"), Goal::None, &cores);
    }
    let memory = Figure::of(three.iter().map(|(ours, peer)| ours.resident / peer.resident));
    if !three.is_empty() {
        report.add("2", "W: memory ÷ that of (b)", Goal::AtMost(0.333), &memory);
    }
}

/// Runs a peer on the documents; nothing if it is not set up.
fn peer(kind: &str, documents: &[Vec<u8>]) -> Option<Ran> {
    let topics = Topics::with(documents, 4);
    let count = documents.len().to_string();
    let mut child = Command::new(root().join(".cache/peers-venv/bin/python"))
        .arg(root().join("benches/peers/worker.py"))
        .args(["--kind", kind, "--brokers", Kafka::shared().brokers(), "--input", &topics.name])
        .args(["--output", &topics.tagged, "--group", &topics.name, "--documents", &count, "--models"])
        .arg(root().join(".cache/peers"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("run make bench");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let last = lines.last();
    let status = child.wait().expect("it is a child");
    if status.code() == Some(NOT_HERE) {
        return None;
    }
    assert!(status.success(), "the peer `{kind}`: {status}");
    let result: Value = serde_json::from_str(&last.expect("a line")).expect("JSON");
    let number = |name: &str| result[name].as_f64().expect("a number");
    let count = documents.len() as f64;
    Some(Ran {
        rate: count / number("seconds"),
        core_seconds: number("cpu_seconds") / count,
        resident: number("peak_rss"),
        padding: 0.0,
        threads: BTreeMap::new(),
    })
}
