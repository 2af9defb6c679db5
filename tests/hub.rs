//! Models from the hub, from a URL and from a bucket, against servers within the test.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::error_handling::HandleError;
use axum::http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tagbert::config::location::Location;
use tagbert::model::files::fetch::{self, Fetched, Settings, fetch_with};
use tempfile::TempDir;

use support::hub::{Hub, Server, Shared, plain};
use support::root;
use support::tagbert::tagbert_with;

const TOKEN: &str = "hf_secret";
const NEEDED: [&str; 4] = ["config.json", "heads.json", "model.onnx", "tokenizer.json"];

/// The files of the smallest model, one more of which nobody has need.
fn files() -> BTreeMap<String, Vec<u8>> {
    let directory = root().join("tests/fixtures/tiny-distilbert");
    let names = NEEDED.iter().copied().chain(["reference.json"]);
    names.map(|name| (name.to_owned(), fs::read(directory.join(name)).unwrap())).collect()
}

fn assert_is_model(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for name in NEEDED {
        assert_eq!(fs::read(directory.join(name)).unwrap(), files[name], "{name}");
    }
    assert!(!directory.join("reference.json").exists());
}

fn location(text: &str) -> Location {
    text.parse().unwrap()
}

fn hub_settings(endpoint: String, cache: &TempDir) -> Settings {
    let hub = fetch::Hub {
        endpoint: Some(endpoint),
        token: Some(TOKEN.into()),
        cache: Some(cache.path().into()),
        offline: false,
        has_place: true,
    };
    Settings { hub, patience: Duration::from_secs(10), ..Settings::default() }
}

fn settings(cache: &TempDir) -> Settings {
    Settings { cache: Some(cache.path().into()), patience: Duration::from_secs(10), ..Settings::default() }
}

fn message(result: anyhow::Result<Fetched>) -> String {
    let message = format!("{:#}", result.unwrap_err());
    for secret in [TOKEN, "cdn-secret", "opensesame", "sig=1"] {
        assert!(!message.contains(secret), "{message}");
    }
    message
}

#[test]
fn a_model_of_the_hub_is_fetched_once_and_then_needs_no_network() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let hub = Hub::start(&shared);
    let mut settings = hub_settings(hub.endpoint(), &cache);
    let fetched = fetch_with(&settings, &location("hf://owner/name"), None).unwrap();
    assert_eq!(fetched.revision.as_deref(), Some(&*"a".repeat(40)));
    assert_is_model(&fetched.directory, &files());
    // The layout is the one that all of the hub's tools share.
    assert!(fetched.directory.starts_with(cache.path().join("models--owner--name/snapshots")));

    drop(hub);
    assert_eq!(fetch_with(&settings, &location("hf://owner/name"), None).unwrap(), fetched);
    settings.hub.offline = true;
    assert_eq!(fetch_with(&settings, &location("hf://owner/name"), None).unwrap(), fetched);
    let error = message(fetch_with(&settings, &location("hf://owner/name@v2"), None));
    assert!(error.contains("HF_HUB_OFFLINE is set") && error.contains("no copy of revision `v2`"), "{error}");
}

/// As a user does it: the usual variables, and a location for a path.
#[test]
fn the_worker_tags_with_a_model_of_the_hub_and_names_it_by_its_repository() {
    let classifier = root().join("tests/fixtures/parity/distilbert-single-label");
    let names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.onnx"];
    let files = names.map(|name| (name.to_owned(), fs::read(classifier.join(name)).unwrap()));
    let (shared, cache) = (Shared::new(files.into()), tempfile::tempdir().unwrap());
    let hub = Hub::start(&shared);
    let endpoint = hub.endpoint();
    // Those that are set to nothing count as not set.
    let empty = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HTTPS_PROXY", "SSL_CERT_FILE"];
    let environment = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", cache.path().to_str().unwrap())];
    let environment = [&environment[..], &empty.map(|name| (name, ""))].concat();
    let output = tagbert_with(&["tag", "--model", "hf://owner/name"], b"{\"text\":\"well\"}", &environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(record["tags"]["name"]["label"].is_string(), "{record}");
    assert_eq!(record["model"]["name"], "name");
    assert!(record["model"]["version"].as_str().unwrap().ends_with(&format!("@{}", "a".repeat(40))), "{record}");
    assert!(cache.path().join("hub/models--owner--name").is_dir());
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    shared.lock().token = Some(TOKEN.into());
    let hub = Hub::start(&shared);
    fetch_with(&hub_settings(hub.endpoint(), &cache), &location("hf://owner/name"), None).unwrap();
    let asked = shared.lock().asked.clone();
    assert!(asked.iter().any(|asked| asked.host == "cdn"));
    for asked in asked {
        assert_eq!(asked.authorization.is_some(), asked.host == "hub", "{asked:?}");
    }
}

#[test]
fn a_private_model_without_the_right_token_is_refused_with_what_to_do() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    shared.lock().token = Some("another".into());
    let hub = Hub::start(&shared);
    let error = message(fetch_with(&hub_settings(hub.endpoint(), &cache), &location("hf://owner/name"), None));
    assert!(error.starts_with("hf://owner/name: ") && error.contains("set HF_TOKEN"), "{error}");
}

#[test]
fn a_revision_is_a_branch_with_slashes_or_a_commit_and_must_exist() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let hub = Hub::start(&shared);
    let settings = hub_settings(hub.endpoint(), &cache);
    let commit = "a".repeat(40);
    for revision in ["refs/pr/1", &commit] {
        let fetched = fetch_with(&settings, &location(&format!("hf://owner/name@{revision}")), None).unwrap();
        assert_eq!(fetched.revision.as_deref(), Some(&*commit));
    }
    let error = message(fetch_with(&settings, &location("hf://owner/name@v9"), None));
    assert!(error.contains("no revision `v9`"), "{error}");
    let error = message(fetch_with(&settings, &location("hf://owner/other"), None));
    assert!(error.contains("no such model"), "{error}");
}

#[test]
fn a_commit_that_is_here_is_not_asked_for_again() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let hub = Hub::start(&shared);
    let settings = hub_settings(hub.endpoint(), &cache);
    let pinned = location(&format!("hf://owner/name@{}", "a".repeat(40)));
    let fetched = fetch_with(&settings, &pinned, None).unwrap();
    assert!(!shared.fetched().is_empty());
    assert_eq!(fetch_with(&settings, &pinned, None).unwrap(), fetched);
    assert_eq!(shared.fetched(), [""; 0]);
}

#[test]
fn a_branch_that_moved_is_fetched_anew_but_for_what_is_the_same() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let hub = Hub::start(&shared);
    let settings = hub_settings(hub.endpoint(), &cache);
    let before = fetch_with(&settings, &location("hf://owner/name"), None).unwrap();
    shared.lock().commit = "b".repeat(40);
    shared.lock().files.insert("config.json".into(), b"{}".to_vec());
    shared.fetched();
    let after = fetch_with(&settings, &location("hf://owner/name"), None).unwrap();
    assert_eq!(after.revision, Some("b".repeat(40)));
    assert_eq!(fs::read(after.directory.join("config.json")).unwrap(), b"{}");
    assert_eq!(fs::read(before.directory.join("config.json")).unwrap(), files()["config.json"]);
    assert!(!shared.fetched().contains(&"/model.onnx".to_owned()));
}

#[test]
fn an_error_page_is_never_kept_as_the_model() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let hub = Hub::start(&shared);
    let settings = hub_settings(hub.endpoint(), &cache);
    shared.lock().outage = Some(StatusCode::FORBIDDEN);
    let error = message(fetch_with(&settings, &location("hf://owner/name"), None));
    assert!(error.contains("model.onnx: "), "{error}");
    shared.lock().outage = None;
    let fetched = fetch_with(&settings, &location("hf://owner/name"), None).unwrap();
    assert_is_model(&fetched.directory, &files());
}

#[test]
fn the_variant_decides_which_graph_is_fetched() {
    let (mut files, cache) = (files(), tempfile::tempdir().unwrap());
    let graph = files.remove("model.onnx").unwrap();
    files.insert("onnx/model.onnx".into(), b"full".to_vec());
    files.insert("onnx/model_quantized.onnx".into(), graph);
    files.insert("onnx/model_quantized.onnx_data".into(), b"weights".to_vec());
    let shared = Shared::new(files);
    let hub = Hub::start(&shared);
    let settings = hub_settings(hub.endpoint(), &cache);
    let fetched = fetch_with(&settings, &location("hf://owner/name"), Some("int8")).unwrap();
    assert!(fetched.directory.join("onnx/model_quantized.onnx").is_file());
    assert!(fetched.directory.join("onnx/model_quantized.onnx_data").is_file());
    assert!(!fetched.directory.join("onnx/model.onnx").exists());
    let error = message(fetch_with(&settings, &location("hf://owner/name"), Some("fp16")));
    assert!(error.contains("onnx/model.onnx, onnx/model_quantized.onnx"), "{error}");
}

#[test]
fn a_whole_copy_that_can_not_be_written_to_is_used() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let hub = Hub::start(&shared);
    let settings = hub_settings(hub.endpoint(), &cache);
    let fetched = fetch_with(&settings, &location("hf://owner/name"), None).unwrap();
    // What root may not write either: a file where a directory should be.
    let refs = cache.path().join("models--owner--name/refs");
    fs::remove_dir_all(&refs).unwrap();
    fs::write(&refs, "").unwrap();
    assert_eq!(fetch_with(&settings, &location("hf://owner/name"), None).unwrap(), fetched);
    shared.lock().files.insert("config.json".into(), b"{}".to_vec());
    shared.lock().commit = "b".repeat(40);
    let moved = fetch_with(&settings, &location("hf://owner/name"), None).unwrap();
    assert_eq!(moved.revision, Some("b".repeat(40)), "not the copy of another commit");
}

/// What `tag` says of a model of the hub in this environment.
fn refusal(environment: &[(&str, &str)]) -> String {
    let output = tagbert_with(&["tag", "--model", "hf://owner/name"], b"{\"text\":\"well\"}", environment);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_proxy_that_is_away_is_named_and_not_taken_for_the_hub() {
    let cache = tempfile::tempdir().unwrap();
    let home = ("HF_HOME", cache.path().to_str().unwrap());
    let said =
        refusal(&[home, ("HF_ENDPOINT", "https://hub.invalid"), ("HTTPS_PROXY", "http://me:opensesame@127.0.0.1:9")]);
    assert!(said.contains("through the proxy 127.0.0.1:9 (HTTPS_PROXY"), "{said}");
    assert!(!said.contains("opensesame"), "{said}");
}

#[test]
fn without_a_home_nothing_is_kept_where_all_may_write() {
    let nowhere = ["HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"].map(|name| (name, ""));
    let said = refusal(&nowhere);
    assert!(said.contains("set HF_HOME to a directory"), "{said}");
}

#[test]
fn a_host_that_does_not_answer_is_given_up_soon() {
    let (silent, cache) = (Server::silent(), tempfile::tempdir().unwrap());
    let endpoint = format!("http://{}", silent.address);
    let (short, start) = (Duration::from_secs(1), Instant::now());
    let hub = Settings { patience: short, ..hub_settings(endpoint.clone(), &cache) };
    let error = message(fetch_with(&hub, &location("hf://owner/name"), None));
    assert!(error.contains("127.0.0.1 was silent") && error.contains("no copy"), "{error}");
    let remote = Settings { patience: short, ..settings(&cache) };
    let error = message(fetch_with(&remote, &location(&endpoint), None));
    assert!(error.contains("127.0.0.1") && error.contains("timed out"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_directory_behind_a_url_is_fetched_and_later_only_what_has_changed() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let server = plain(&shared);
    let (settings, url) = (settings(&cache), location(&format!("http://{}/models/a/", server.address)));
    let before = fetch_with(&settings, &url, None).unwrap();
    assert_is_model(&before.directory, &files());
    assert_eq!(shared.fetched().len(), NEEDED.len());

    assert_eq!(fetch_with(&settings, &url, None).unwrap(), before);
    assert_eq!(shared.fetched(), [""; 0]);

    shared.lock().files.insert("heads.json".into(), b"{}".to_vec());
    let after = fetch_with(&settings, &url, None).unwrap();
    assert_eq!(shared.fetched(), ["/models/a/heads.json"]);
    assert_eq!(fs::read(after.directory.join("heads.json")).unwrap(), b"{}");
    assert_is_model(&before.directory, &files());
    assert_ne!(after.revision, before.revision);
}

#[test]
fn a_url_may_hold_a_password_which_is_never_shown() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    // That is user:opensesame.
    shared.lock().token = Some("Basic dXNlcjpvcGVuc2VzYW1l".into());
    let server = plain(&shared);
    let url = location(&format!("http://user:opensesame@{}/models/a?sig=1", server.address));
    fetch_with(&settings(&cache), &url, None).unwrap();
    shared.lock().token = Some("Basic other".into());
    let error = message(fetch_with(&settings(&cache), &url, None));
    assert!(error.contains("access is refused"), "{error}");
}

#[test]
fn what_is_no_model_is_refused_with_the_url_that_was_asked() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let server = plain(&shared);
    let error = message(fetch_with(&settings(&cache), &location(&format!("http://{}/b", server.address)), None));
    assert!(error.contains(&format!("http://{}/b/config.json is not there", server.address)), "{error}");
    let url = location(&format!("http://{}/models/a", server.address));
    let error = message(fetch_with(&settings(&cache), &url, Some("fp16")));
    assert!(error.contains("none of model_fp16.onnx, onnx/model_fp16.onnx is there"), "{error}");
}

#[test]
fn a_transfer_that_breaks_off_leaves_no_model() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    shared.lock().breaks_off = true;
    let server = plain(&shared);
    let settings = Settings { patience: Duration::from_secs(1), ..settings(&cache) };
    let url = location(&format!("http://{}/models/a", server.address));
    let error = message(fetch_with(&settings, &url, None));
    assert!(error.contains("/models/a/model.onnx: "), "{error}");
    let left: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["files"]);
    shared.lock().breaks_off = false;
    let fetched = fetch_with(&settings, &url, None).unwrap();
    assert_is_model(&fetched.directory, &files());
}

#[test]
fn a_bucket_is_read_with_the_keys_of_the_environment() {
    let (bucket, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let directory = bucket.path().join("models/some/tiny");
    fs::create_dir_all(&directory).unwrap();
    for (name, bytes) in files() {
        fs::write(directory.join(name), bytes).unwrap();
    }
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(bucket.path()).unwrap());
    service.set_auth(SimpleAuth::from_single("key", "secret"));
    let failed = async |_| StatusCode::INTERNAL_SERVER_ERROR;
    let server = Server::start(Router::new().fallback_service(HandleError::new(service.build(), failed)));

    let endpoint = format!("http://{}", server.address);
    let with = |secret: &str| {
        let aws = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ];
        Settings { aws: aws.map(|(name, value)| (name.into(), value.into())).into(), ..settings(&cache) }
    };
    let fetched = fetch_with(&with("secret"), &location("s3://models/some/tiny"), None).unwrap();
    assert_is_model(&fetched.directory, &files());
    assert!(fetched.revision.is_some());
    assert_eq!(fetch_with(&with("secret"), &location("s3://models/some/tiny/"), None).unwrap(), fetched);

    let error = message(fetch_with(&with("secret"), &location("s3://models/other"), None));
    assert!(error.contains("s3://models/other/config.json is not there"), "{error}");
    let error = message(fetch_with(&with("wrong"), &location("s3://models/some/tiny"), None));
    assert!(error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
}

#[test]
fn a_thread_of_a_runtime_may_fetch_too() {
    let (shared, cache) = (Shared::new(files()), tempfile::tempdir().unwrap());
    let server = plain(&shared);
    let url = location(&format!("http://{}/models/a", server.address));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(async { fetch_with(&settings(&cache), &url, None) }).is_ok());
}

#[test]
fn a_directory_is_taken_as_it_is() {
    let fetched = fetch_with(&Settings::default(), &location("models/tagbert-small"), None).unwrap();
    assert_eq!(fetched, Fetched { directory: "models/tagbert-small".into(), revision: None });
}
