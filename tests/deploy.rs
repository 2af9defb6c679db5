//! What `deploy/` ships, checked without a cluster, without an image builder and without Helm. `make deploy-test` goes on
//! from here: the chart, of which these manifests are rendered, and a real API server.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use support::{fetched, root};
use tagbert::config::Config;

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Runs a checker of `.cache/tools-venv` in the root, and returns what it printed; or nothing, where it is not there.
fn tool(test: &str, name: &str, args: &[&str]) -> Option<String> {
    let path = root().join(".cache/tools-venv/bin").join(name);
    if !fetched(test, &path) {
        return None;
    }
    let output = Command::new(path).args(args).current_dir(root()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {printed}{}", String::from_utf8_lossy(&output.stderr));
    Some(printed)
}

const WORKER: &str = "deploy/kustomize/base/worker.yaml";
const JOB: &str = "deploy/kustomize/overlays/job/job.yaml";

/// What runs the worker, in each of them, as JSON; or nothing, where Python's YAML is not there.
fn workloads(test: &str) -> Option<Vec<Value>> {
    let script = "import json, sys, yaml; \
        json.dump([each for path in sys.argv[1:] for each in yaml.safe_load_all(open(path))], sys.stdout)";
    let all: Vec<Value> = serde_json::from_str(&tool(test, "python", &["-c", script, WORKER, JOB])?).unwrap();
    let with_pods: Vec<_> = all.into_iter().filter(|object| object["spec"]["template"].is_object()).collect();
    let kinds: Vec<_> = with_pods.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Deployment", "Job"]);
    Some(with_pods)
}

#[test]
fn manifests_are_valid_kubernetes() {
    let _ = tool("manifests_are_valid_kubernetes", "kubernetes-validate", &["--strict", WORKER, JOB]);
}

#[test]
fn configurations_are_what_the_schema_says_that_editors_read() {
    let script = "import json, sys, yaml, jsonschema
schema = json.load(open('schemas/config.json'))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
bad = [f'{path}: {error.message}' for path in sys.argv[1:] for error in validator.iter_errors(yaml.safe_load(open(path)))]
wrong = list(validator.iter_errors({'batch': {'tokns': 1}, 'tests': [{'name': 'a'}]}))
print(len(wrong), *bad)";
    let copies = ["deploy/kustomize/base/config.yaml", "deploy/helm/tagbert/files/config.yaml"].map(ToOwned::to_owned);
    let mut files = copies.to_vec();
    for (folder, schema) in [("configs", "../schemas"), ("configs/examples", "../../schemas")] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        for file in entries.filter(|path| path.is_file()) {
            let name = format!("{folder}/{}", file.file_name().unwrap().to_str().unwrap());
            let line = format!("# yaml-language-server: $schema={schema}/config.json\n");
            assert!(read(&name).starts_with(&line), "{name}");
            files.push(name);
        }
    }
    let args: Vec<_> = ["-c", script].into_iter().chain(files.iter().map(String::as_str)).collect();
    if let Some(printed) = tool("configurations_are_what_the_schema_says_that_editors_read", "python", &args) {
        // An unknown key, and a case without an input and without an expectation, are mistakes to it.
        assert_eq!(printed.trim(), "3", "{printed}");
    }
}

#[test]
fn manifests_and_chart_hold_the_production_configuration() {
    let production = read("configs/production.yaml");
    let (_, without_schema) = production.split_once('\n').unwrap();
    for copy in ["deploy/kustomize/base/config.yaml", "deploy/helm/tagbert/files/config.yaml"] {
        let same = read(copy) == without_schema;
        assert!(same, "{copy}: configs/production.yaml has changed: run scripts/manifests.py");
    }
}

#[test]
fn pods_have_no_rights_and_write_to_their_cache_alone() {
    for workload in workloads("pods_have_no_rights_and_write_to_their_cache_alone").unwrap_or_default() {
        let pod = &workload["spec"]["template"]["spec"];
        // No user, so that OpenShift can give one.
        let context = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
        assert_eq!(pod["securityContext"], context);
        assert_eq!(pod["automountServiceAccountToken"], false);
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        let writable: Vec<_> =
            mounts.filter(|mount| mount["readOnly"] != true).map(|mount| &mount["mountPath"]).collect();
        assert_eq!(writable, ["/var/cache/tagbert"]);
    }
}

#[test]
fn a_stopping_pod_is_given_the_time_to_drain() {
    let config = Config::load(&root().join("configs/production.yaml"), &[]).unwrap();
    for workload in workloads("a_stopping_pod_is_given_the_time_to_drain").unwrap_or_default() {
        let grace = &workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        assert!(
            grace.as_u64().unwrap() > config.shutdown.timeout.as_secs(),
            "{}: killed while it drains",
            workload["kind"]
        );
    }
}

#[test]
fn image_file_is_clean() {
    let _ = tool("image_file_is_clean", "hadolint", &["deploy/Dockerfile"]);
}

#[test]
fn image_is_built_by_the_toolchain_of_the_repository() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split_once("channel = \"").unwrap().1.split_once('"').unwrap().0;
    assert!(read("deploy/Dockerfile").contains(&format!("ARG RUST=rust:{channel}-")), "not Rust {channel}");
}

#[test]
fn image_and_charts_are_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("deploy/Dockerfile").contains(&format!("\nARG VERSION={version}\n")),
        "deploy/Dockerfile: not {version}"
    );
    let chart = read("deploy/helm/tagbert/Chart.yaml");
    for line in [format!("\nversion: {version}\n"), format!("\nappVersion: {version}\n")] {
        assert!(chart.contains(&line), "deploy/helm/tagbert/Chart.yaml: no{line}");
    }
}

#[test]
fn image_is_made_of_nothing_that_others_can_change() {
    let build = |base: &str| {
        let mut command = Command::new(root().join("scripts/image.sh"));
        // Whatever builds, it builds nothing.
        command.args(["--archive", "tagbert"]).env("BASE", base).env("BUILDER", "none");
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    for moving in ["", "debian:bookworm-slim", "debian:bookworm-slim@sha256:0123", "localhost.example.org/debian"] {
        assert!(build(moving).contains("@sha256:"), "{moving}: {}", build(moving));
    }
    let pinned = build(&format!("debian:bookworm-slim@sha256:{}", "0".repeat(64)));
    assert!(pinned.contains("no docker") || pinned.contains("no archive"), "{pinned}");
}

#[test]
fn image_from_source_says_what_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"];
        let done = Command::new("git").args(who).args(args).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    for path in ["scripts/image.sh", "deploy/Dockerfile", "Cargo.toml"] {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::copy(root().join(path), at(path)).unwrap();
    }
    // It prints what it is asked for, instead of building it.
    fs::create_dir(at("bin")).unwrap();
    fs::write(at("bin/docker"), "#!/bin/sh\necho \"$@\"\n").unwrap();
    fs::set_permissions(at("bin/docker"), PermissionsExt::from_mode(0o755)).unwrap();
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "all"]);
    let asked = || {
        let mut image = Command::new(at("scripts/image.sh"));
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
        image.arg("tagbert").env("PATH", path).env("BUILDER", "docker").env_remove("TAGBERT_COMMIT");
        let done = image.envs(["BASE", "RUST"].map(|name| (name, "localhost/bare"))).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    assert!(asked().contains(&format!("REVISION={commit} ")), "{}", asked());
    fs::write(at("more"), "").unwrap();
    assert!(asked().contains(&format!("REVISION={commit}-dirty ")), "{}", asked());
    // And the worker itself, by `--version`.
    let dockerfile = read("deploy/Dockerfile");
    let (compiled, _) = dockerfile.split_once("cargo build").unwrap();
    assert!(compiled.contains("\nARG REVISION\n") && compiled.contains("TAGBERT_COMMIT=\"$REVISION\""));
}

#[test]
fn image_has_a_user_by_its_number() {
    // `runAsNonRoot` can't tell what a name stands for.
    let dockerfile = read("deploy/Dockerfile");
    let user = dockerfile.lines().rev().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
}

#[test]
fn image_sends_no_telemetry() {
    assert!(read("deploy/Dockerfile").contains("ORT_DISABLE_TELEMETRY=1"), "ONNX Runtime reports to its makers");
}
