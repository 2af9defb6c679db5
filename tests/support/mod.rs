//! What the integration tests share: a real Apache Kafka, alone or as a cluster, and a way to skip aloud.

// Each test binary compiles this module for itself and uses its own part of it.
#![allow(dead_code, reason = "no test binary uses every helper")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

pub mod cluster;
pub mod container;
pub mod detour;
pub mod hub;
pub mod kafka;
pub mod line;
pub mod onnx;
pub mod pki;
pub mod process;
pub mod records;
pub mod registry;
pub mod tagbert;
pub mod toxiproxy;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Says on stderr, and in `make test`'s closing lines, that a test did not run:
/// this machine has no such device, say.
pub fn skip(test: &str, why: &str) {
    let line = format!("SKIPPED: {test}: {why}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("TAGBERT_SKIPPED") {
        // One write, so that the lines of parallel tests don't mix.
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap();
    }
}

/// Whether a file that `scripts/setup.sh` fetches is there; if not, the test is
/// skipped. Under `make test`, which has just fetched it, it has failed instead.
pub fn fetched(test: &str, path: &Path) -> bool {
    if path.exists() {
        return true;
    }
    let why = format!("no {}: run scripts/setup.sh test", path.display());
    assert!(std::env::var_os("TAGBERT_REQUIRE").is_none(), "{test}: {why}");
    skip(test, &why);
    false
}

/// A document of the corpus that `scripts/setup.sh` fetches.
#[derive(serde::Deserialize)]
pub struct Document {
    /// Its id.
    pub id: String,
    /// A mail's subject, an article's title.
    #[serde(default)]
    pub subject: String,
    /// The rest.
    #[serde(default)]
    pub body: String,
}

impl Document {
    /// The text that is tagged.
    pub fn text(&self) -> String {
        let parts = [self.subject.as_str(), self.body.as_str()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// The corpus, in its order.
pub fn corpus() -> impl Iterator<Item = Document> {
    let path = root().join(".cache/corpus/documents.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}: run make test", path.display()));
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.into_iter().map(|line| serde_json::from_str(&line).unwrap())
}
