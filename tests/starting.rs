//! While the worker is still starting: a stop leaves at once, since nothing is in flight (G-5); slow models and brokers that are
//! late are waited for (G-16), and no probe ends the worker for it.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::IntoResponse as _;

mod support;

use support::hub::Server;
use support::kafka::{Kafka, free_port};
use support::line::{Line, document};
use support::tagbert::{Worker, tagbert};

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
fn a_worker_that_fetches_a_slow_model_is_live_but_not_ready() {
    let hub = dripping();
    let cache = tempfile::tempdir().unwrap();
    let yaml = format!("model: {{path: 'http://{}/model'}}\n", hub.address);
    let mut worker = Worker::start_with(&yaml, &[], &[("TAGBERT_CACHE", cache.path().to_str().unwrap())]);
    worker.wait_for_log("http: listening on");
    assert_eq!(worker.get("/livez").0, 200);
    let (status, why) = worker.get("/readyz");
    assert!(status == 503 && why.contains("the model is not loaded yet"), "{status}: {why}");
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

/// Lets a port lead to the brokers, from now on.
fn lead_to_the_brokers(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let broker = TcpStream::connect(Kafka::shared().brokers()).unwrap();
            for (mut from, mut to) in [(&client, &broker), (&broker, &client)].map(|(from, to)| {
                let [from, to] = [from, to].map(|end| end.try_clone().unwrap());
                (from, to)
            }) {
                thread::spawn(move || io::copy(&mut from, &mut to));
            }
        }
    });
}

#[test]
fn a_service_waits_for_brokers_that_are_late_and_is_live_but_not_ready_meanwhile() {
    let line = Line::create("late-brokers", 1);
    line.produce([document("Angela Merkel met Tim Cook in Berlin.")]);
    let port = free_port();
    let mut worker = line.worker().set("kafka.brokers", &format!("127.0.0.1:{port}")).start();
    worker.wait_for_log("waiting for the brokers");
    let log = worker.log();
    assert!(log.contains(&format!("kafka.brokers: no connection to 127.0.0.1:{port}: no answer in")), "{log}");
    assert_eq!(worker.get("/livez").0, 200);
    let (status, why) = worker.get("/readyz");
    assert!(status == 503 && why.contains("the brokers have not answered yet"), "{status}: {why}");
    lead_to_the_brokers(port);
    worker.wait_until("it tags", |_| line.tagged().len() == 1);
    assert_eq!(worker.get("/readyz").0, 200);
    worker.terminate();
    worker.wait_for_success();
}

#[test]
fn a_job_and_a_check_give_brokers_up_that_do_not_answer() {
    let yaml =
        format!("kafka: {{brokers: '127.0.0.1:{}'}}\nmodel: {{path: tests/fixtures/tiny-distilbert}}\n", free_port());
    let mut job = Worker::start(&yaml, &["--until-end"]);
    assert_eq!(job.wait().code(), Some(1), "{}", job.log());
    let config = job.folder().join("config.yaml");
    let check = tagbert(&["check", "--config", config.to_str().unwrap()], b"");
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    for said in [job.log(), String::from_utf8(check.stderr).unwrap()] {
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("tagbert: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains("kafka.brokers: no connection to"), "{said}");
    }
}

/// A listener that reads what a client says first, answers so, and hangs up.
fn another_protocol(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.read(&mut [0; 4096]).and_then(|_| client.write_all(answer));
        }
    });
    port
}

fn service_of(brokers: &str) -> Worker {
    Worker::start(&format!("kafka: {{brokers: '{brokers}'}}\nmodel: {{path: tests/fixtures/tiny-distilbert}}\n"), &[])
}

#[test]
fn a_service_ends_with_the_reason_where_a_listener_of_another_protocol_is() {
    let answers: [(&[u8], _); 2] =
        [(b"", "Disconnected"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Invalid response size")];
    for (mut service, reason) in
        answers.map(|(answer, reason)| (service_of(&format!("127.0.0.1:{}", another_protocol(answer))), reason))
    {
        let status = service.wait();
        let log = service.log();
        assert!(status.code() == Some(1) && log.contains(reason), "{status}\n{log}");
        assert!(log.contains("is the listener of that kind?") && !log.contains("waiting for the brokers"), "{log}");
    }
}

#[test]
fn a_service_waits_for_a_broker_that_is_down_though_another_hangs_up() {
    let [down, up] = [free_port(), another_protocol(b"")];
    let mut service = service_of(&format!("127.0.0.1:{down},127.0.0.1:{up}"));
    service.wait_for_log("waiting for the brokers");
    thread::sleep(Duration::from_secs(3));
    assert_eq!(service.get("/livez").0, 200);
    service.terminate();
    service.wait_for_success();
}

#[test]
fn a_service_manager_is_told_when_the_configuration_and_the_models_were_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let start = |model: &str| {
        let yaml = format!("kafka: {{brokers: '127.0.0.1:{}'}}\nmodel: {{{model}}}\n", free_port());
        Worker::start_with(&yaml, &[], &environment)
    };
    assert_eq!(start("path: tests/fixtures/none").wait().code(), Some(1));
    assert_eq!(start("path: tests/fixtures/tiny-distilbert, sesions: 1").wait().code(), Some(2));
    manager.set_nonblocking(true).unwrap();
    assert_eq!(manager.recv(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "of those nothing was said");
    let mut worker = start("path: tests/fixtures/tiny-distilbert");
    worker.wait_for_log("loaded in");
    manager.set_nonblocking(false).unwrap();
    manager.set_read_timeout(Some(AT_ONCE)).unwrap();
    let mut said = [0; 64];
    let length = manager.recv(&mut said).unwrap();
    assert_eq!(&said[..length], b"READY=1");
}
