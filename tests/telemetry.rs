//! Traces and metrics reach a receiver that speaks OpenTelemetry's own protocol over gRPC.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use tonic::{Request, Response, Status};

mod support;

use support::kafka::Kafka;
use support::line::{Line, document};
use support::tagbert::Worker;

#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<String>>>,
    services: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let service =
                attributes.into_iter().find(|attribute| attribute.key == "service.name").unwrap().value.unwrap();
            if let Some(any_value::Value::StringValue(name)) = service.value {
                self.services.lock().unwrap().push(name);
            }
            self.spans.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().unwrap().extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Received {
    /// Receives at an address, as long as the runtime lives.
    fn serve(&self, runtime: &tokio::runtime::Runtime, address: std::net::SocketAddr) {
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        runtime.spawn(server.serve(address));
    }
}

/// A port where nobody listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn traces_go_on_through_the_worker_and_metrics_are_exported() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let received = Received::default();
    let address = nobody();
    received.serve(&runtime, address);

    let kafka = Kafka::shared();
    for topic in ["traced", "traced.tagged", "traced.dead"] {
        kafka.create_topic(topic, 1);
    }
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = OwnedHeaders::new()
        .insert(Header { key: "traceparent", value: Some(parent) })
        .insert(Header { key: "mine", value: Some("kept") });
    let records = [
        BaseRecord::<[u8], [u8]>::to("traced").payload(br#"{"body":"traced"}"#).headers(headers),
        BaseRecord::<[u8], [u8]>::to("traced").payload(br#"{"body":"alone"}"#),
        BaseRecord::<[u8], [u8]>::to("traced").payload(b"broken"),
    ];
    kafka.produce(records);
    let yaml = format!(
        "kafka: {{brokers: '{}', group: traced}}\ninput: {{topics: [traced]}}\n\
         output: {{topic: traced.tagged, dead_letters: traced.dead}}\nmodel: {{path: tests/fixtures/tiny-distilbert}}\n",
        kafka.brokers()
    );
    let endpoint = format!("http://{address}");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let mut worker = Worker::start_with(&yaml, &["--until-end", "--max-dead", "1000"], &environment);
    worker.wait_for_success();

    let spans = received.spans.lock().unwrap().clone();
    assert_eq!(spans.len(), 3, "{}", worker.log());
    let offset = |span: &Span| {
        let attribute = span.attributes.iter().find(|attribute| attribute.key == "messaging.kafka.offset").unwrap();
        match attribute.value.as_ref().unwrap().value {
            Some(any_value::Value::IntValue(offset)) => offset,
            ref other => panic!("{other:?}"),
        }
    };
    let spans: HashMap<i64, Span> = spans.into_iter().map(|span| (offset(&span), span)).collect();
    assert_eq!(spans[&0].name, "process traced");
    assert_eq!(hex::encode(&spans[&0].trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex::encode(&spans[&0].parent_span_id), "b7ad6b7169203331");
    assert!(spans[&1].parent_span_id.is_empty());
    assert_eq!(spans[&2].status.as_ref().unwrap().code, 2, "a dead letter is an error");

    let tagged = kafka.read_committed("traced.tagged");
    let headers = tagged[0].headers().unwrap();
    let expected = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", hex::encode(&spans[&0].span_id));
    assert_eq!(tagbert::record::headers::last(headers, "traceparent"), Some(expected.as_bytes()));
    assert_eq!(tagbert::record::headers::last(headers, "mine"), Some(&b"kept"[..]));
    assert_eq!(tagbert::record::headers::last(headers, "tagbert.record.id"), Some(&b"traced-0-0"[..]));
    assert_eq!(tagbert::record::headers::iter(headers).count(), 3);

    let metrics = received.metrics.lock().unwrap();
    assert!(metrics.iter().any(|name| name == "tagbert.records.out"), "{metrics:?}");
    assert!(received.services.lock().unwrap().iter().all(|name| name == "tagbert"));
}

/// How often something is said of a receiver.
fn said(log: &str, address: std::net::SocketAddr) -> usize {
    let address = address.to_string();
    log.lines().filter(|line| line.contains(&address)).count()
}

#[test]
fn a_receiver_that_is_away_is_told_of_once_and_holds_up_no_end() {
    let line = Line::create("otlp-away", 1);
    line.produce((0..20).map(|_| document("a text")));
    let run = |group: &str, environment: &[(&str, &str)]| {
        let yaml = line.yaml("tests/fixtures/tiny-distilbert");
        let group = format!("kafka.group={group}");
        let started = Instant::now();
        let mut worker =
            Worker::start_with(&yaml, &["--until-end", "--max-dead", "1000", "--set", &group], environment);
        worker.wait_for_success();
        (started.elapsed(), worker.log())
    };
    let (alone, _) = run("otlp-none", &[]);
    // One refuses connections, the other takes them and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [nobody(), silent.local_addr().unwrap()] {
        let endpoint = format!("http://{address}");
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        let (took, log) = run(&format!("otlp-{}", address.port()), &environment);
        assert!(took < alone + Duration::from_secs(4), "{took:?}, and {alone:?} without OTLP\n{log}");
        assert_eq!(said(&log, address), 1, "{log}");
        assert!(!log.contains("ERROR"), "{log}");
    }
}

#[test]
fn a_receiver_that_comes_back_is_told_of_once_and_gets_what_is_new() {
    let line = Line::create("otlp-back", 1);
    let address = nobody();
    let endpoint = format!("http://{address}");
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
    ];
    let mut worker = Worker::start_with(&line.yaml("tests/fixtures/tiny-distilbert"), &[], &environment);
    line.produce([document("one")]);
    worker.wait_for_log("is away");
    for _ in 0..10 {
        line.produce([document("more")]);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(said(&worker.log(), address), 1, "{}", worker.log());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let received = Received::default();
    received.serve(&runtime, address);
    line.produce([document("the last")]);
    worker.wait_for_log("is back");
    std::thread::sleep(Duration::from_secs(1));
    worker.terminate();
    worker.wait_for_success();
    let log = worker.log();
    assert_eq!(said(&log, address), 2, "{log}");
    assert!(!received.metrics.lock().unwrap().is_empty());
}
