//! Servers within the test: the Hugging Face hub's file API with the network that delivers its large files, and a
//! plain one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A server on a port of its own; dropping it stops it.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts one.
    pub fn start(router: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, runtime: Some(runtime) }
    }

    /// Starts one that takes connections, and never answers.
    pub fn silent() -> Self {
        Self::start(Router::new().fallback(async || tokio::time::sleep(Duration::from_hours(1)).await))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `hub`, `cdn` or `plain`.
    pub host: &'static str,
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

/// What the servers have, and what they were asked.
pub struct Content {
    /// The files by their path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The commit that the revisions are.
    pub commit: String,
    /// The names of that commit.
    pub revisions: Vec<String>,
    /// The token, without which there is nothing.
    pub token: Option<String>,
    /// What the delivery network answers instead of a file.
    pub outage: Option<StatusCode>,
    /// Whether the plain server breaks off in the middle of the graph.
    pub breaks_off: bool,
    /// All requests.
    pub asked: Vec<Asked>,
}

impl Content {
    fn note(&mut self, host: &'static str, request: &Request) {
        let authorization = request.headers().get(header::AUTHORIZATION);
        self.asked.push(Asked {
            host,
            method: request.method().clone(),
            path: request.uri().path().into(),
            authorization: authorization.map(|value| value.to_str().unwrap().into()),
        });
    }
}

/// The content, as the servers and the test share it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Content>>);

impl Shared {
    /// Serves these files.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(Content {
            files,
            commit: "a".repeat(40),
            revisions: vec!["main".into(), "refs/pr/1".into()],
            token: None,
            outage: None,
            breaks_off: false,
            asked: Vec::new(),
        })))
    }

    /// To look at it, or to change it.
    pub fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    /// The paths of files that were asked for since the last call.
    pub fn fetched(&self) -> Vec<String> {
        let asked = std::mem::take(&mut self.lock().asked);
        asked.into_iter().filter(|asked| asked.method == Method::GET).map(|asked| asked.path).collect()
    }
}

/// A hub, and the host that it sends to for large files.
pub struct Hub {
    /// The hub.
    pub hub: Server,
    /// The other host.
    pub cdn: Server,
}

impl Hub {
    /// Starts both.
    pub fn start(content: &Shared) -> Self {
        let cdn = Server::start(Router::new().fallback(deliver).with_state(content.clone()));
        // Another name, so that it is another host for all purposes.
        let state = (content.clone(), format!("http://localhost:{}", cdn.address.port()));
        Self { hub: Server::start(Router::new().fallback(hub).with_state(state)), cdn }
    }

    /// What `HF_ENDPOINT` is to be.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub.address)
    }
}

async fn hub(State((shared, cdn)): State<(Shared, String)>, request: Request) -> Response {
    let mut content = shared.lock();
    content.note("hub", &request);
    let asked = content.asked.last().unwrap().clone();
    if content.token.as_ref().is_some_and(|token| asked.authorization != Some(format!("Bearer {token}"))) {
        return (StatusCode::UNAUTHORIZED, "Invalid username or password.").into_response();
    }
    let path = asked.path.trim_start_matches('/').replace("%2F", "/");
    if let Some(revision) = path.strip_prefix("api/models/owner/name/revision/") {
        return if content.revisions.iter().any(|known| known == revision) || content.commit == revision {
            let siblings: Vec<_> = content.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let info =
                serde_json::json!({ "_id": "1", "id": "owner/name", "sha": content.commit, "siblings": siblings });
            ([(header::CONTENT_TYPE, "application/json")], info.to_string()).into_response()
        } else {
            (StatusCode::NOT_FOUND, [("x-error-code", "RevisionNotFound")]).into_response()
        };
    }
    // Small files are behind a redirect within the host, large ones behind one to another.
    let (name, resolved) = if let Some(name) = path.strip_prefix(&format!("owner/name/resolve/{}/", content.commit)) {
        (name, false)
    } else if let Some(name) = path.strip_prefix("api/resolve-cache/") {
        (name, true)
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(bytes) = content.files.get(name) else {
        return (StatusCode::NOT_FOUND, [("x-error-code", "EntryNotFound")]).into_response();
    };
    let hash = hex::encode(Sha256::digest(bytes));
    let commit = ("x-repo-commit", content.commit.clone());
    if !name.ends_with("json") {
        let headers = [
            commit,
            ("x-linked-etag", format!("\"{hash}\"")),
            ("x-linked-size", bytes.len().to_string()),
            ("location", format!("{cdn}/{name}?signature=cdn-secret")),
        ];
        return (StatusCode::FOUND, headers, "Found. Redirecting").into_response();
    }
    if !resolved {
        let location = ("location", format!("/api/resolve-cache/{name}"));
        return (StatusCode::TEMPORARY_REDIRECT, [commit, location]).into_response();
    }
    ([commit, ("etag", format!("\"{}\"", &hash[..40]))], bytes.clone()).into_response()
}

async fn deliver(State(shared): State<Shared>, request: Request) -> Response {
    let mut content = shared.lock();
    content.note("cdn", &request);
    if let Some(status) = content.outage {
        return (status, "an error page").into_response();
    }
    match content.files.get(request.uri().path().trim_start_matches('/')) {
        Some(bytes) => bytes.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A server with files below `/models/a`, for whoever knows the token as `user:TOKEN`.
pub fn plain(shared: &Shared) -> Server {
    Server::start(Router::new().fallback(serve).with_state(shared.clone()))
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response {
    let mut content = shared.lock();
    content.note("plain", &request);
    let asked = content.asked.last().unwrap();
    if content.token.is_some() && asked.authorization != content.token {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(bytes) = asked.path.strip_prefix("/models/a/").and_then(|name| content.files.get(name)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = (header::ETAG, format!("\"{}\"", &hex::encode(Sha256::digest(bytes))[..16]));
    let length = (header::CONTENT_LENGTH, bytes.len().to_string());
    if content.breaks_off && !asked.path.ends_with("json") && request.method() == Method::GET {
        let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
        let parts = [Ok(half), Err(std::io::Error::other("broken off"))];
        return ([tag, length], Body::from_stream(futures_util::stream::iter(parts))).into_response();
    }
    ([tag, length], bytes.clone()).into_response()
}
