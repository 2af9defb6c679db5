//! The HTTP port: probes and metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::net::TcpListener;

use crate::health::Health;

#[derive(Clone)]
struct Shown {
    health: Arc<Health>,
    registry: Registry,
}

/// Serves `/livez`, `/readyz` and `/metrics` from now on; gives the address, since port 0 means any.
///
/// # Errors
/// When the address is taken or not this machine's.
pub async fn serve(listen: SocketAddr, health: Arc<Health>, registry: Registry) -> Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("http.listen: can't listen on {listen}"))?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/livez", get(async |State(shown): State<Shown>| probe(shown.health.live())))
        .route("/readyz", get(async |State(shown): State<Shown>| probe(shown.health.ready())))
        .route("/metrics", get(async |State(shown): State<Shown>| metrics(&shown.registry).into_response()))
        .with_state(Shown { health, registry });
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
