//! The trace of a record.

use opentelemetry::global::{self, BoxedSpan};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use rdkafka::message::OwnedHeaders;

use super::headers;
use super::rejection::Rejection;

const TRACEPARENT: &str = "traceparent";

/// The span of a record's journey, from fetch to acknowledgement. It ends when it is dropped. (Semantic conventions for
/// messaging, `process` operation.)
#[derive(Default)]
pub struct RecordSpan(Option<BoxedSpan>);

impl RecordSpan {
    /// Starts one, as a child of the `traceparent` (W3C Trace Context) of the record's headers.
    #[must_use]
    pub fn start(topic: &str, partition: i32, offset: i64, headers: Option<&OwnedHeaders>) -> Self {
        let parent = headers.map_or_else(Context::new, |headers| {
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
        });
        let tracer = global::tracer("tagbert");
        let span = tracer
            .span_builder(format!("process {topic}"))
            .with_kind(SpanKind::Consumer)
            .with_attributes([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
                KeyValue::new("messaging.destination.partition.id", partition.to_string()),
                KeyValue::new("messaging.kafka.offset", offset),
            ])
            .start_with_context(&tracer, &parent);
        Self(Some(span))
    }

    /// The headers of the output record: the input's own, with `traceparent` naming this span, if there is one.
    #[must_use]
    pub fn propagate(&self, headers: Option<OwnedHeaders>) -> Option<OwnedHeaders> {
        match self.traceparent() {
            Some(value) => Some(headers::replace(headers, TRACEPARENT, value.as_bytes())),
            None => headers,
        }
    }

    /// What names this span, if there is one.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let context = Context::new().with_remote_span_context(self.0.as_ref()?.span_context().clone());
        let mut traceparent = Traceparent(None);
        TraceContextPropagator::new().inject_context(&context, &mut traceparent);
        traceparent.0
    }

    /// Notes that the record became a dead letter.
    pub fn reject(&mut self, rejection: &Rejection) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", rejection.class));
            span.set_status(Status::error(rejection.message.clone()));
        }
    }
}

impl std::fmt::Debug for RecordSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "RecordSpan(on)" } else { "RecordSpan(off)" })
    }
}

struct Headers<'a>(&'a OwnedHeaders);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        // A CloudEvent may have it among its own attributes.
        let value = headers::last(self.0, key).or_else(|| headers::last(self.0, &format!("ce_{key}")))?;
        std::str::from_utf8(value).ok()
    }

    fn keys(&self) -> Vec<&str> {
        headers::iter(self.0).filter_map(|(name, _)| std::str::from_utf8(name).ok()).collect()
    }
}

struct Traceparent(Option<String>);

impl Injector for Traceparent {
    fn set(&mut self, key: &str, value: String) {
        // `tracestate` stays as it is: this span adds nothing to it.
        if key == TRACEPARENT {
            self.0 = Some(value);
        }
    }
}
