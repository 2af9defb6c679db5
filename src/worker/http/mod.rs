//! The HTTP port: probes, metrics, the shadow's report, and reloads on demand.
//!
//! It listens on this machine alone unless it is told otherwise. Probes and metrics are open to whoever reaches it; what
//! else there is asks for the token, if there is one (G-30).

mod limits;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use crate::config::Http;
use crate::tagger::reload::Reloads;
use crate::tagger::shadow::Shadow;
use crate::telemetry::health::Health;

/// What is shown, and what can be asked for.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What the probes tell.
    pub health: Arc<Health>,
    /// What `/metrics` tells.
    pub registry: Registry,
    /// Where reloads are asked for.
    pub reloads: Reloads,
    /// The shadow, if there is one, once it is loaded.
    pub shadow: Arc<OnceLock<Option<Arc<Shadow>>>>,
}

/// Serves `/livez`, `/readyz`, `/metrics`, `/shadow` and `/models/reload` from now on; gives the address, since port 0
/// means any.
///
/// # Errors
/// When the address is taken or not this machine's.
pub async fn serve(config: &Http, shown: Shown) -> Result<SocketAddr> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("http.listen: can't listen on {listen}"))?;
    let address = listener.local_addr()?;
    let token: Option<Arc<str>> = config.token.as_deref().map(Arc::from);
    if token.is_none() && !address.ip().is_loopback() {
        tracing::warn!("http: whoever reaches {address} may reload the models: set http.token, or see to the network");
    }
    let guarded = Router::new()
        .route("/shadow", get(async |State(shown): State<Shown>| shadow(shown.shadow.get())))
        .route("/models/reload", post(async |State(shown): State<Shown>| reload(&shown.reloads).await))
        .route_layer(from_fn_with_state(token, authorize));
    let app = Router::new()
        .route("/livez", get(async |State(shown): State<Shown>| probe(shown.health.live())))
        .route("/readyz", get(async |State(shown): State<Shown>| probe(shown.health.ready())))
        .route("/metrics", get(async |State(shown): State<Shown>| metrics(&shown.registry).into_response()))
        .merge(guarded)
        .layer(from_fn(limits::body))
        .with_state(shown);
    tokio::spawn(limits::serve(listener, app));
    tracing::info!("http: listening on {address}");
    Ok(address)
}

/// Lets those through who know the token.
async fn authorize(State(token): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    let Some(token) = token else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(bearer);
    // In a time that does not tell how much of a guess is right.
    if given.is_some_and(|given| given.ct_eq(token.as_bytes()).into()) {
        return next.run(request).await;
    }
    let mut answer =
        refused(StatusCode::UNAUTHORIZED, "this needs the header `Authorization: Bearer TOKEN` (http.token)");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// The token of `Bearer TOKEN` (RFC 6750).
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let bytes = header.as_bytes();
    let (scheme, token) = bytes.split_at(bytes.iter().position(|&byte| byte == b' ')?);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

fn probe(state: Result<(), Cow<'static, str>>) -> impl IntoResponse {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn metrics(registry: &Registry) -> impl IntoResponse {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, TEXT_FORMAT)], text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string()),
    }
}

fn shadow(loaded: Option<&Option<Arc<Shadow>>>) -> Response {
    match loaded {
        Some(Some(shadow)) => json(StatusCode::OK, &shadow.report()),
        Some(None) => refused(StatusCode::NOT_FOUND, "there is no shadow: set shadow.path"),
        None => refused(StatusCode::SERVICE_UNAVAILABLE, "the models are not loaded yet"),
    }
}

/// A body is not read.
async fn reload(reloads: &Reloads) -> Response {
    let Ok(report) = reloads.ask_and_hear("POST /models/reload") else {
        return refused(StatusCode::CONFLICT, "too many reloads wait already: they will load what is there");
    };
    match report.await {
        Ok(report) if report.is_refused() => json(StatusCode::UNPROCESSABLE_ENTITY, &report),
        Ok(report) => json(StatusCode::OK, &report),
        Err(_) => refused(StatusCode::SERVICE_UNAVAILABLE, "the worker is stopping"),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    json(status, &json!({ "error": why }))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).unwrap_or_else(|_| unreachable!("the keys are strings"));
    (status, [(header::CONTENT_TYPE, "application/json")], body + "\n").into_response()
}
