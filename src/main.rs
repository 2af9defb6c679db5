//! The `tagbert` command: see `tagbert --help`.

use std::process::ExitCode;

use clap::Parser;
use tagbert::commands::cli::{Cli, Command};
use tagbert::{commands, telemetry};
use tikv_jemallocator::Jemalloc;

/// What one thread makes of a document, another frees: the system's allocator is slow at that (docs/decisions/0012).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Large pieces of memory go back to the system at once, others within a second.
#[expect(unsafe_code, reason = "it is by this name that jemalloc finds it")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; 46] = b"dirty_decay_ms:1000,oversize_threshold:262144\0";

fn main() -> ExitCode {
    forget_what_is_empty();
    keep_onnxruntime_silent();
    trust_what_others_trust();
    let cli = Cli::parse();
    // A service tells what it does; a command tells what went wrong, and once: ONNX Runtime also logs what it returns.
    let filter = if matches!(cli.command, Some(Command::Run(_))) {
        "warn,tagbert=info,opentelemetry_sdk=error"
    } else {
        "warn,ort::logging=off"
    };
    telemetry::log(filter);
    // Those that `FAILPOINTS` names, if this binary was built with them.
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    commands::run(cli)
}

/// A variable that is set to nothing counts as not set, as Compose and charts leave many: some of our libraries would take it
/// for a path, a host or a filter. In our own keys, though, it is the empty text, which some may be.
#[expect(
    unsafe_code,
    reason = "the libraries read the environment, and no thread runs yet that could read it meanwhile"
)]
fn forget_what_is_empty() {
    const OURS: &[u8] = b"TAGBERT__";
    for (name, _) in std::env::vars_os().filter(|(_, value)| value.is_empty()) {
        let bytes = name.as_encoded_bytes();
        let is_ours = bytes.get(..OURS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OURS));
        // Such a name can't be removed, and nobody reads it.
        if !is_ours && !bytes.contains(&b'=') {
            // SAFETY: this is the first statement of `main`, so there is only one thread.
            unsafe { std::env::remove_var(name) };
        }
    }
}

/// ONNX Runtime reports to its makers, and does so before a program can tell it not to; this variable can.
#[expect(
    unsafe_code,
    reason = "ONNX Runtime reads the environment, and no thread runs yet that could read it meanwhile"
)]
fn keep_onnxruntime_silent() {
    // SAFETY: so far `main` has only called a function that starts no thread.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

/// Where systems have their certificate authorities (Debian, Red Hat, SUSE, Alpine), for a release: the OpenSSL that it has
/// compiled in would look where it was built.
const SYSTEMS_AUTHORITIES: &[&str] = if cfg!(feature = "dist") {
    &[
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ]
} else {
    &[]
};

/// Certificate authorities have a variable that the libraries for TLS read, and others that people have set for Python's
/// requests and for curl.
#[expect(
    unsafe_code,
    reason = "those libraries read the environment, and no thread runs yet that could read it meanwhile"
)]
fn trust_what_others_trust() {
    if std::env::var_os("SSL_CERT_FILE").is_some() || std::env::var_os("SSL_CERT_DIR").is_some() {
        return;
    }
    let named = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().filter_map(std::env::var_os);
    let bundles = named.chain(SYSTEMS_AUTHORITIES.iter().map(Into::into));
    if let Some(bundle) = bundles.map(std::path::PathBuf::from).find(|bundle| bundle.exists()) {
        let name = if bundle.is_dir() { "SSL_CERT_DIR" } else { "SSL_CERT_FILE" };
        // SAFETY: so far `main` has only called functions that start no thread.
        unsafe { std::env::set_var(name, bundle) };
    }
}
