//! The demo loses nothing, though its broker forgets what exceeds 5 MB a partition.

use std::collections::HashSet;
use std::fs;

use serde_json::{Value, json};

mod support;

use support::tagbert::{tagbert, tagbert_with};

#[test]
fn more_than_the_embedded_broker_remembers_is_streamed_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, output) = (folder.path().join("corpus"), folder.path().join("tagged"));
    // 60 MB in four partitions of 5 MB; short texts, so that the model is not what takes the time. Three have no text.
    let attachment = "x".repeat(40_000);
    let document = |n: usize| {
        let body = if n % 500 == 7 { String::new() } else { format!("document {n}") };
        json!({ "id": n, "body": body, "attachment": attachment, "corpus": { "topic": "sport", "split": "test" } })
    };
    let lines: String = (0..1500).map(|n| format!("{}\n", document(n))).collect();
    fs::write(&corpus, lines).unwrap();
    let paths = [corpus.to_str().unwrap(), output.to_str().unwrap()];
    // Whatever this machine is used for besides.
    let environment = [("TAGBERT__OUTPUT__SHAPE", "flat")];
    let args = ["demo", "--documents", "all", "--corpus", paths[0], "--output", paths[1]];
    let done = tagbert_with(&args, b"", &environment);
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(printed.contains("records    1500 in = 1497 out + 3 dead letters"), "{printed}");
    for part in ["every document is accounted for", "padding waste", "p99", "of 1497 held out", "┌ "] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    let tagged = fs::read_to_string(output).unwrap();
    let ids: HashSet<u64> =
        tagged.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect();
    assert_eq!((tagged.lines().count(), ids.len()), (1497, 1497));
}

#[test]
fn an_error_on_the_way_ends_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    let document = json!({ "id": 1, "body": "one", "attachment": "x".repeat(100_000) });
    fs::write(&corpus, format!("{document}\n").repeat(20)).unwrap();
    let done = tagbert(&["demo", "--corpus", corpus.to_str().unwrap(), "--output", "/dev/full"], b"");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1));
    assert!(said.contains("tagbert: --output: No space left on device"), "{said}");
}
