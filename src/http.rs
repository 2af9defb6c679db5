//! The HTTP port: probes, metrics, the shadow's report, and reloads on demand.
//!
//! Whoever reaches it may use it; therefore it listens on this machine alone unless it is told otherwise.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::health::Health;
use crate::reload::Reloads;
use crate::shadow::Shadow;

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
pub async fn serve(listen: SocketAddr, shown: Shown) -> Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("http.listen: can't listen on {listen}"))?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/livez", get(async |State(shown): State<Shown>| probe(shown.health.live())))
        .route("/readyz", get(async |State(shown): State<Shown>| probe(shown.health.ready())))
        .route("/metrics", get(async |State(shown): State<Shown>| metrics(&shown.registry).into_response()))
        .route("/shadow", get(async |State(shown): State<Shown>| shadow(shown.shadow.get())))
        .route("/models/reload", post(async |State(shown): State<Shown>| reload(&shown.reloads).await))
        .with_state(shown);
    tokio::spawn(async move { axum::serve(listener, app).await });
    tracing::info!("http: listening on {address}");
    Ok(address)
}

fn probe(state: Result<(), &'static str>) -> impl IntoResponse {
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
