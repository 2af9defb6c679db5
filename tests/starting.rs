//! A stop while the worker is still starting: nothing is in flight, so it leaves at once (G-5).

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::IntoResponse as _;

mod support;

use support::hub::Server;
use support::tagbert::Worker;

/// A machine that is busy with other things takes a while for everything.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A hub whose every answer comes in drips: it is never silent for long.
fn dripping() -> Server {
    let drip = async || {
        let parts = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        ([("content-length", "1000000"), ("etag", "\"1\"")], Body::from_stream(parts)).into_response()
    };
    Server::start(Router::new().fallback(drip))
}

fn leaves_at_once(yaml: &str, environment: &[(&str, &str)], until: &str, signal: &str) {
    let mut worker = Worker::start_with(yaml, &[], environment);
    leaves_with(0, &mut worker, until, signal);
}

fn leaves_with(code: i32, worker: &mut Worker, until: &str, signal: &str) {
    worker.wait_for_log(until);
    // It is on its way to what it waits for.
    thread::sleep(Duration::from_millis(700));
    let asked = Instant::now();
    worker.signal(signal);
    let status = worker.wait();
    let (took, log) = (asked.elapsed(), worker.log());
    assert!(status.code() == Some(code) && took < AT_ONCE, "{status} after {took:?}\n{log}");
    assert!(log.contains("while starting"), "{log}");
}

#[test]
fn a_stop_does_not_wait_for_a_model_that_is_being_fetched() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().to_str().unwrap();
    for hub in [Server::silent(), dripping()] {
        let endpoint = format!("http://{}", hub.address);
        let environment = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", folder), ("TAGBERT_CACHE", folder)];
        let model = "model: {path: 'hf://owner/name'}\n";
        leaves_at_once(model, &environment, "http: listening on", "TERM");
        let url = format!("model: {{path: '{endpoint}/model'}}\n");
        leaves_at_once(&url, &environment, "http: listening on", "INT");
    }
}

#[test]
fn a_stop_does_not_wait_for_brokers_that_do_not_answer() {
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let yaml = format!("kafka: {{brokers: '{address}'}}\nmodel: {{path: tests/fixtures/tiny-distilbert}}\n");
    leaves_at_once(&yaml, &[], "loaded in", "TERM");
}

#[test]
fn a_bounded_run_that_is_stopped_before_it_has_read_anything_is_not_done() {
    let hub = Server::silent();
    let yaml = format!("model: {{path: 'http://{}/model'}}\n", hub.address);
    let cache = tempfile::tempdir().unwrap();
    let environment = [("TAGBERT_CACHE", cache.path().to_str().unwrap())];
    let mut worker = Worker::start_with(&yaml, &["--until-end"], &environment);
    leaves_with(1, &mut worker, "http: listening on", "TERM");
}
