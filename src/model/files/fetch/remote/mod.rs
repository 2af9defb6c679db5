//! Models in a bucket, or below a URL: their files are stored by what their entity tags say they are.

mod copy;

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    ClientConfigKey, ClientOptions, Error, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use tracing::info;
use url::Url;

use self::copy::{Cache, Found};
use super::route::Route;
use super::{Fetched, Settings, quietly, redact};
use crate::config::location::public;
use crate::model::files::layout::{CONFIG, SIDE_FILES, graphs, no_graph, weights};

/// Fetches a model from a bucket or a URL.
pub async fn fetch(settings: &Settings, url: &Url, variant: Option<&str>) -> Result<Fetched> {
    let candidates = graphs(variant)?;
    let cache = settings.cache.as_ref().context("there is no place for a copy: set TAGBERT_CACHE to a directory")?;
    let remote = Remote::new(settings, url)?;
    // The first question is the one that finds a dead host.
    let config = timeout(settings.patience, remote.find(CONFIG)).await;
    let config = config.with_context(|| {
        let advice = Route::to(remote.url.as_str()).advice("", "");
        format!("{}: timed out after {} s; {advice}", remote.host(), settings.patience.as_secs())
    })??;
    let config = config.with_context(|| format!("{} is not there, so it is no model", remote.show(CONFIG)))?;

    let mut files = vec![config];
    for name in &SIDE_FILES[1..] {
        files.extend(remote.find(name).await?);
    }
    let mut graph = None;
    for name in &candidates {
        graph = remote.find(name).await?;
        if graph.is_some() {
            break;
        }
    }
    let graph = graph.ok_or_else(|| no_graph(remote.url.as_str(), variant, &candidates, []))?;
    for name in weights(&graph.name) {
        files.extend(remote.find(&name).await?);
    }
    files.push(graph);

    let cache = Cache::new(cache, &remote.url);
    for file in &mut files {
        cache.fetch(file, &remote).await.with_context(|| remote.show(&file.name))?;
    }
    let directory = cache.assemble(&files)?;
    Ok(Fetched { directory, revision: Some(copy::revision(&files)) })
}

/// A directory behind a protocol.
struct Remote {
    store: Box<dyn ObjectStore>,
    directory: Path,
    /// Without what may be a secret.
    url: Url,
}

impl Remote {
    fn new(settings: &Settings, url: &Url) -> Result<Self> {
        let patience = format!("{}ms", settings.patience.as_millis());
        let retry = RetryConfig { max_retries: 3, retry_timeout: settings.patience, ..RetryConfig::default() };
        let shown = public(url);
        let (store, directory): (Box<dyn ObjectStore>, _) = if url.scheme() == "s3" {
            let mut builder = AmazonS3Builder::new()
                .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), "1 day")
                .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ReadTimeout), patience);
            for (name, value) in &settings.aws {
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
            let builder = builder.with_bucket_name(url.host_str().unwrap_or_default()).with_retry(retry);
            (Box::new(builder.build().map_err(|error| bad_settings(&error))?), Path::from_url_path(url.path())?)
        } else {
            // A file may take as long as it likes, but for its parts.
            let mut options = ClientOptions::new()
                .with_allow_http(true)
                .with_timeout(Duration::from_hours(24))
                .with_connect_timeout(Duration::from_secs(5))
                .with_read_timeout(settings.patience);
            if let Some(authorization) = authorization(url)? {
                options = options.with_default_headers([(AUTHORIZATION, authorization)].into_iter().collect());
            }
            // Such a query may be a signature that holds for the directory.
            let mut plain = shown.clone();
            plain.set_query(url.query());
            let builder = HttpBuilder::new().with_url(plain.as_str()).with_client_options(options).with_retry(retry);
            (Box::new(builder.build().map_err(|error| bad_settings(&error))?), Path::default())
        };
        Ok(Self { store, directory, url: shown })
    }

    /// What a file is like, if it is there.
    async fn find(&self, name: &str) -> Result<Option<Found>> {
        match quietly(self.store.head(&self.path(name))).await {
            Ok(meta) => Ok(Some(Found { name: name.into(), size: meta.size, stamp: stamp(&meta) })),
            Err(Error::NotFound { .. }) => Ok(None),
            // So S3 answers for a file that is not there, to who may read files, but not list them.
            Err(Error::PermissionDenied { .. }) if name != CONFIG && self.is_bucket() => Ok(None),
            Err(error) => Err(self.explain(&error)).with_context(|| self.show(name)),
        }
    }

    /// Starts to read a file that was found.
    async fn read(&self, file: &Found) -> Result<GetResult> {
        let result = quietly(self.store.get(&self.path(&file.name))).await.map_err(|error| self.explain(&error))?;
        if result.meta.size != file.size || stamp(&result.meta) != file.stamp {
            bail!("it has just changed; try again");
        }
        info!("fetching {}, {}", self.show(&file.name), bytesize::ByteSize(file.size));
        Ok(result)
    }

    fn path(&self, name: &str) -> Path {
        self.directory.parts().chain(Path::from(name).parts()).collect()
    }

    /// The URL of a file, for messages.
    fn show(&self, name: &str) -> String {
        format!("{}/{name}", self.url.as_str().trim_end_matches('/'))
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    fn is_bucket(&self) -> bool {
        self.url.scheme() == "s3"
    }

    /// The library's errors in our words: its own have whole URLs.
    fn explain(&self, error: &Error) -> anyhow::Error {
        match error {
            Error::NotFound { .. } => anyhow!("it is gone"),
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } if self.is_bucket() => anyhow!(
                "access is refused: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that may read it, \
                 or AWS_SKIP_SIGNATURE=true if all may"
            ),
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
                anyhow!("access is refused: a user and a password can be given as https://USER:PASSWORD@HOST/PATH")
            }
            error if self.is_bucket() => anyhow!(
                "{}; check the network, that there are keys (AWS_ACCESS_KEY_ID), and what AWS_REGION, \
                 AWS_ENDPOINT_URL and AWS_ALLOW_HTTP say, and SSL_CERT_FILE of a private certificate authority",
                redact::cause(error)
            ),
            error => {
                let cause = redact::cause(error);
                anyhow!("{cause}; {}", Route::to(self.url.as_str()).advice(&cause, ""))
            }
        }
    }
}

/// What the user and the password of a URL become: the library would drop them.
fn authorization(url: &Url) -> Result<Option<HeaderValue>> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut both: Vec<u8> = percent_decode_str(url.username()).collect();
    both.push(b':');
    both.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(both)))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn bad_settings(error: &Error) -> anyhow::Error {
    anyhow!("{}", redact::cause(error))
}

/// What changes with a file's content: its entity tag, or its time.
fn stamp(meta: &ObjectMeta) -> Option<String> {
    let time = meta.last_modified.timestamp_millis();
    meta.e_tag.clone().or_else(|| (time != 0).then(|| time.to_string()))
}
