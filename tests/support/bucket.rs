//! A bucket that speaks S3.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleError;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;

use crate::support::hub::Server;

/// A bucket on a server of its own, which refuses and stumbles now and then.
pub struct Bucket {
    _folder: TempDir,
    /// What is in it.
    pub root: PathBuf,
    server: Server,
    /// How often it has refused.
    pub stumbled: Arc<AtomicUsize>,
}

impl Bucket {
    /// Starts it; a steady one never refuses.
    pub fn start(steady: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("lake");
        fs::create_dir(&root).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let broken = async |_| StatusCode::INTERNAL_SERVER_ERROR;
        let stumbled = Arc::<AtomicUsize>::default();
        let (count, asked) = (Arc::clone(&stumbled), Arc::<AtomicUsize>::default());
        let stumble = move |request: Request, next: Next| {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            let count = Arc::clone(&count);
            async move {
                let fault = match number % 17 {
                    _ if steady => None,
                    3 => Some(StatusCode::SERVICE_UNAVAILABLE),
                    8 => Some(StatusCode::INTERNAL_SERVER_ERROR),
                    12 => Some(StatusCode::TOO_MANY_REQUESTS),
                    15 => {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        None
                    }
                    _ => None,
                };
                match fault {
                    Some(status) => {
                        count.fetch_add(1, Ordering::Relaxed);
                        status.into_response()
                    }
                    None => next.run(request).await,
                }
            }
        };
        let router = Router::new().fallback_service(HandleError::new(service.build(), broken)).layer(from_fn(stumble));
        Self { _folder: folder, root, server: Server::start(router), stumbled }
    }

    /// How it is found by a process with these variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let endpoint = format!("http://{}", self.server.address);
        let fixed = [
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let fixed = fixed.map(|(name, value)| (name, value.to_owned()));
        fixed.into_iter().chain([("AWS_ENDPOINT_URL", endpoint)]).collect()
    }
}
