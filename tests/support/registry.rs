//! A real schema registry on this machine, and serializers that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::kafka::free_port;
use super::process::Process;

/// The Java that it needs, if it is here.
const JAVA: u32 = 21;

/// A running registry. It keeps its schemas in memory.
pub struct Registry {
    port: u16,
    _process: Process,
}

impl Registry {
    /// Starts one; `None`, with a note, where there is no Java that is new enough.
    pub fn start(test: &str, log: &Path) -> Option<Self> {
        let jar = super::root().join(".cache/registry/quarkus-run.jar");
        assert!(jar.is_file(), "no registry in {}: run scripts/setup.sh registry", jar.display());
        let Some(java) = java() else {
            super::skip(test, &format!("there is no Java {JAVA} or later, which Apicurio Registry needs"));
            return None;
        };
        let port = free_port();
        let port_is = format!("-Dquarkus.http.port={port}");
        let small = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"];
        // Otherwise it takes port 9000 besides, of all addresses, and two of them can't be.
        let aside = ["-Dquarkus.management.port=0", "-Dquarkus.management.host=127.0.0.1"];
        let command = [&[java.to_str()?][..], &small, &aside, &[&port_is, "-jar", jar.to_str()?]].concat();
        let registry = Self { port, _process: Process::start(&command, log) };
        let up = (0..120).any(|_| {
            thread::sleep(Duration::from_millis(500));
            registry.answers()
        });
        assert!(up, "the registry did not start: {}", log.display());
        Some(registry)
    }

    /// Where it speaks as Confluent's does.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Registers a schema, with which those that come after it have to go.
    pub fn register(&self, subject: &str, kind: &str, schema: &str) {
        let client = reqwest::blocking::Client::new();
        let body = json!({ "schemaType": kind, "schema": schema });
        let registered = client.post(format!("{}/subjects/{subject}/versions", self.url())).json(&body);
        let compatibility = client.put(format!("{}/config/{subject}", self.url()));
        let compatibility = compatibility.json(&json!({ "compatibility": "BACKWARD" }));
        for request in [registered, compatibility] {
            request.send().unwrap().error_for_status().unwrap();
        }
    }

    fn answers(&self) -> bool {
        let url = format!("{}/subjects", self.url());
        let asked = Command::new(python()).args(["-c", ASK, &url]).output().unwrap();
        asked.status.success()
    }
}

const ASK: &str = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)";

/// The Python that has the serializers.
pub fn python() -> PathBuf {
    let python = super::root().join(".cache/registry-venv/bin/python");
    assert!(python.is_file(), "no serializers in {}: run scripts/setup.sh registry", python.display());
    python
}

/// What a program of ours says that uses them.
pub fn run_python(script: &str, args: &[&str]) -> String {
    let script = super::root().join("tests/formats_neighbours").join(script);
    let output = Command::new(python()).arg(script).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A Java that is new enough: the usual one, or one beside it.
fn java() -> Option<PathBuf> {
    let beside = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let beside = beside.map(|entry| entry.path().join("bin/java"));
    let mut all = std::iter::once(PathBuf::from("java")).chain(beside);
    all.find(|java| version(java).is_some_and(|version| version >= JAVA))
}

fn version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("--version").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    said.split_whitespace().nth(1)?.split('.').next()?.parse().ok()
}
