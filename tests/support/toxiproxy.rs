//! Toxiproxy: a network between the workers and the brokers that can be made bad.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::kafka::free_port;
use super::process::Process;

/// A running Toxiproxy, with a proxy for each of some ports.
pub struct Toxiproxy {
    api: u16,
    proxies: usize,
    _process: Process,
}

impl Toxiproxy {
    /// Starts one; each pair is the port that it listens on, and the one that is behind it.
    pub fn start(ports: &[(u16, u16)], log: &Path) -> Self {
        let server = super::root().join(".cache/toxiproxy/server");
        assert!(server.is_file(), "no Toxiproxy in {}: run scripts/setup.sh toxiproxy", server.display());
        let api = free_port();
        let process = Process::start(
            &[server.to_str().unwrap(), "-host", "127.0.0.1", "-port", &api.to_string(), "-seed", "1"],
            log,
        );
        let toxiproxy = Self { api, proxies: ports.len(), _process: process };
        let up = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(50));
            TcpStream::connect(("127.0.0.1", api)).is_ok()
        });
        assert!(up, "Toxiproxy did not start: {}", log.display());
        for (n, (listen, upstream)) in ports.iter().enumerate() {
            let proxy = json!({
                "name": format!("node-{n}"),
                "listen": format!("127.0.0.1:{listen}"),
                "upstream": format!("127.0.0.1:{upstream}"),
            });
            toxiproxy.post("/proxies", &proxy);
        }
        toxiproxy
    }

    /// Adds a toxic to every proxy: `stream` is `upstream` for what workers send, `downstream` for what they receive.
    pub fn add(&self, kind: &str, stream: &str, attributes: &Value) {
        for n in 0..self.proxies {
            let toxic = json!({ "name": kind, "type": kind, "stream": stream, "attributes": attributes });
            self.post(&format!("/proxies/node-{n}/toxics"), &toxic);
        }
    }

    /// From now on, this port is behind one proxy; its connections end.
    pub fn lead_to(&self, n: usize, port: u16) {
        self.post(&format!("/proxies/node-{n}"), &json!({ "upstream": format!("127.0.0.1:{port}") }));
    }

    /// Cuts the connections through one proxy, and refuses new ones until [`Toxiproxy::heal`].
    pub fn cut(&self, n: usize) {
        self.post(&format!("/proxies/node-{n}"), &json!({ "enabled": false }));
    }

    /// Takes all toxics away, and lets connections through again.
    pub fn heal(&self) {
        self.post("/reset", &json!({}));
    }

    fn post(&self, path: &str, body: &Value) {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.api)).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: toxiproxy\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        // It resets connections of which it has not read all; by then it has answered.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 2"), "Toxiproxy refused {path} {body}: {answer}");
    }
}
