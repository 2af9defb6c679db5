//! What `deploy/` ships, checked without a cluster and without an image builder.

mod support;

use std::fs;
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

const CONFIG_MAP: &str = "deploy/kubernetes/configmap.yaml";
const WORKLOADS: [&str; 2] = ["deploy/kubernetes/deployment.yaml", "deploy/kubernetes/job.yaml"];

/// A manifest as JSON; or nothing, where Python's YAML is not there.
fn manifest(test: &str, path: &str) -> Option<Value> {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    Some(serde_json::from_str(&tool(test, "python", &["-c", script, path])?).unwrap())
}

#[test]
fn manifests_are_valid_kubernetes() {
    let args = ["--strict", CONFIG_MAP, WORKLOADS[0], WORKLOADS[1]];
    let _ = tool("manifests_are_valid_kubernetes", "kubernetes-validate", &args);
}

#[test]
fn config_map_holds_the_production_configuration() {
    let Some(config_map) = manifest("config_map_holds_the_production_configuration", CONFIG_MAP) else { return };
    let same = config_map["data"]["config.yaml"] == read("configs/production.yaml");
    assert!(same, "configs/production.yaml has changed: run scripts/configmap.sh");
}

#[test]
fn pods_have_no_rights_and_write_nothing() {
    for path in WORKLOADS {
        let Some(workload) = manifest("pods_have_no_rights_and_write_nothing", path) else { return };
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{path}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{path}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{path}");
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["allowPrivilegeEscalation"], false, "{path}");
        assert_eq!(container["readOnlyRootFilesystem"], true, "{path}");
        assert_eq!(container["capabilities"], json!({ "drop": ["ALL"] }), "{path}");
        let user = pod["securityContext"]["runAsUser"].as_u64().unwrap();
        assert!(read("deploy/Dockerfile").contains(&format!("\nUSER {user}:{user}\n")), "{path}: not the image's user");
    }
}

#[test]
fn a_stopping_pod_is_given_the_time_to_drain() {
    let config = Config::load(&root().join("configs/production.yaml"), &[]).unwrap();
    for path in WORKLOADS {
        let Some(workload) = manifest("a_stopping_pod_is_given_the_time_to_drain", path) else { return };
        let grace = &workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        assert!(grace.as_u64().unwrap() > config.shutdown.timeout.as_secs(), "{path}: killed while it drains");
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
    assert!(read("deploy/Dockerfile").contains(&format!("FROM rust:{channel}-")), "not Rust {channel}");
}

#[test]
fn image_sends_no_telemetry() {
    assert!(read("deploy/Dockerfile").contains("ORT_DISABLE_TELEMETRY=1"), "ONNX Runtime reports to its makers");
}
