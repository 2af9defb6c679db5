//! A schema registry behind TLS that lets in whoever it knows, and schemas of enriched records that go with older ones, with a real
//! registry: docs/FORMATS.md.

use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Message as _;
use serde_json::{Value, json};

mod support;

use support::kafka::free_port;
use support::line::{Line, Start, document};
use support::pki::Authority;
use support::process::Process;
use support::registry::{Registry, python, run_python};
use support::root;

/// A door before the registry, which opens to this.
struct Door {
    port: u16,
    log: String,
    _process: Process,
}

impl Door {
    fn open(registry: &Registry, ca: &Authority, authorization: &str, clients: &[&str]) -> Self {
        let port = free_port();
        let log = ca.path(&format!("door-{port}"));
        let script = root().join("tests/formats_neighbours/door.py");
        let [python, script] = [python(), script].map(|path| path.display().to_string());
        let (at, url) = (port.to_string(), registry.url());
        let (certificate, key) = (ca.path("registry.pem"), ca.path("registry.key"));
        let command = [&[&*python, &script, &at, &url, &certificate, &key, authorization][..], clients].concat();
        let door = Self { port, _process: Process::start(&command, Path::new(&log)), log };
        let is_open = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(100));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(is_open, "{}", door.log);
        door
    }

    fn before(&self, worker: Start, ca: &str) -> Start {
        worker.set("registry.url", &format!("https://127.0.0.1:{}", self.port)).set("registry.ca", ca)
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

#[test]
fn a_registry_behind_tls_opens_to_a_password_a_token_or_a_certificate_and_refusals_end() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a_registry_behind_tls_opens_to_a_password_a_token_or_a_certificate_and_refusals_end";
    let Some(registry) = Registry::start(name, &folder.path().join("registry.log")) else { return };
    let [ca, stranger] = ["ca", "stranger"].map(|name| Authority::create(folder.path().join(name)));
    ca.sign("registry");
    ca.sign("client");
    let basic = Door::open(&registry, &ca, &format!("Basic {}", STANDARD.encode("tagbert:correct-horse")), &[]);
    let bearer = Door::open(&registry, &ca, "Bearer a.b.c", &[]);
    let mutual = Door::open(&registry, &ca, "", &[&ca.path("ca.pem")]);
    let (password, wrong) = (ca.write("password", "correct-horse\n"), ca.write("wrong", "battery-staple"));
    let token = ca.write("token", "a.b.c");
    let (certificate, key) = (ca.path("client.pem"), ca.path("client.key"));
    let by_name = |password| vec![("registry.username", "tagbert"), ("registry.password_file", password)];
    let shown = vec![("registry.certificate", &*certificate), ("registry.key", &*key)];
    let ca_file = ca.path("ca.pem");
    let strangers = stranger.path("ca.pem");
    let line = Line::create("behind-tls", 1);
    line.produce([document("Shares in Microsoft fell in New York.")]);
    let worker = |door: &Door, ca: &str, group: &str, sets: &[(&str, &str)]| {
        let worker = line.worker().set("output.format", "json-schema").set("kafka.group", group);
        let worker = door.before(worker, ca);
        sets.iter().fold(worker, |worker, (key, value)| worker.set(key, value))
    };
    for (group, door, sets) in [
        ("basic", &basic, by_name(&*password)),
        ("bearer", &bearer, vec![("registry.token_file", &*token)]),
        ("mutual", &mutual, shown),
    ] {
        worker(door, &ca_file, group, &sets).run_to_the_end();
        assert!(door.asked().contains("POST /subjects/behind-tls.tagged-value/versions"), "{group}: {}", door.asked());
    }
    assert_eq!(line.tagged().len(), 3);
    for (group, door, ca, sets, expected) in [
        ("wrong", &basic, &ca_file, by_name(&*wrong), "401 Unauthorized"),
        ("nobody", &bearer, &ca_file, vec![], "401 Unauthorized"),
        ("strangers", &basic, &strangers, by_name(&*password), "asked 5 times"),
        ("no-certificate", &mutual, &ca_file, vec![], "asked 5 times"),
    ] {
        let mut worker = worker(door, ca, group, &sets).until_end().start();
        assert_eq!(worker.wait().code(), Some(1), "{group}");
        let log = worker.log();
        assert!(log.contains(expected) && !log.contains("correct-horse"), "{group}: {log}");
    }
    assert_eq!(line.tagged().len(), 3, "whoever is not let in writes nothing");
}

/// The schema of enriched records in Avro, without one of its fields.
fn without(field: &str) -> Value {
    let text = std::fs::read_to_string(root().join("schemas/enriched.avsc")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|each| each["name"] != field);
    schema
}

#[test]
fn what_an_older_schema_of_enriched_records_reads_a_later_one_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let name = "what_an_older_schema_of_enriched_records_reads_a_later_one_may_write";
    let Some(registry) = Registry::start(name, &folder.path().join("registry.log")) else { return };
    let write = |name: &'static str, older: &Value| {
        let line = Line::create(name, 1);
        line.produce([document("Shares in Microsoft fell in New York.")]);
        registry.register(&format!("{}-value", line.output), "AVRO", &older.to_string());
        let worker = line.worker().set("output.format", "avro").set("registry.url", &registry.url());
        let mut worker = worker.until_end().start();
        (worker.wait().code(), worker.log(), line)
    };
    // It has come since then, and has a default.
    let older = without("models");
    let (code, log, line) = write("models-are-new", &older);
    assert_eq!(code, Some(0), "{log}");
    let (values, reader) = (folder.path().join("values"), folder.path().join("older.avsc"));
    std::fs::write(&values, STANDARD.encode(line.tagged()[0].payload().unwrap())).unwrap();
    std::fs::write(&reader, older.to_string()).unwrap();
    let paths = [&values, &reader].map(|path| path.to_str().unwrap());
    let read = run_python("read_avro.py", &[&registry.url(), &line.output, paths[0], paths[1]]);
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(
        (&read["document"]["body"], read.get("models")),
        (&json!("Shares in Microsoft fell in New York."), None)
    );
    // It has come since then without one: what is written already could not be read.
    let (code, log, line) = write("tokens-are-new", &without("tokens"));
    assert_eq!(code, Some(1));
    assert!(log.contains("does not go with those registered under subject `tokens-are-new.tagged-value`"), "{log}");
    assert_eq!(line.committed(), [None]);
}
