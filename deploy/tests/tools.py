"""Where the tools are, and how a test does without one."""

import json
import os
import shutil
import subprocess
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".cache/kubernetes"
CHART = ROOT / "deploy/helm/tagbert"
HELMS = ("helm", "helm3")
CRDS = sorted((ROOT / "deploy/tests/crds").glob("*.yaml"))


def tool(path):
    """A tool's path; without it the test is skipped, or under TAGBERT_REQUIRE has failed."""
    return there(path if path.exists() else None, path.relative_to(ROOT))


def program(name):
    """The same of a program that a Debian package brings."""
    return there(shutil.which(name), name)


def there(path, name):
    if path:
        return path
    why = f"no {name}: make deploy-test fetches it"
    if "TAGBERT_REQUIRE" in os.environ:
        raise AssertionError(why)
    print(f"SKIPPED: {why}")
    raise unittest.SkipTest(why)


def run(*command, stdin=None, env=None):
    """What a command prints, and its exit code; standard error behind standard output."""
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


class OnceEach(yaml.SafeLoader):
    """Refuses a key that is there twice, as Flux and kustomize do; Helm and YAML's own loader take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{twice} there twice, {node.start_mark}"
        return super().construct_mapping(node, deep)


def documents(text):
    return [each for each in yaml.load_all(text, OnceEach) if each]


class Refused(Exception):
    """The chart does not take these values."""


def render(values, *args, helm="helm", release="rel"):
    """The objects that the chart makes of these values."""
    brokers = {} if "kafka" in values else {"kafka": {"brokers": "kafka:9092"}}
    command = [tool(TOOLS / helm), "template", release, CHART, "--namespace", "nlp", "--values", "-", *args]
    code, rendered, error = run(*command, stdin=json.dumps({**brokers, **values}))
    if code:
        raise Refused(error)
    return documents(rendered)


def pod_template(each):
    """The pod that an object makes, or is; or None."""
    spec = each.get("spec", {})
    match each["kind"]:
        case "Pod":
            return {"metadata": each["metadata"], "spec": spec}
        case "CronJob":
            return spec["jobTemplate"]["spec"]["template"]
        case "ScaledJob":
            return spec["jobTargetRef"]["template"]
        case "Deployment" | "StatefulSet" | "Job":
            return spec["template"]
    return None


def of_kind(objects, kind):
    return next((each for each in objects if each["kind"] == kind), None)


def workload(objects):
    """What runs the worker: the one object with a pod that is no hook."""
    found = [each for each in objects if pod_template(each) and each["kind"] != "Pod"]
    assert len(found) == 1, [each["kind"] for each in objects]
    return found[0]


def container(objects):
    return pod_template(workload(objects))["spec"]["containers"][0]


def set_paths(values, above=()):
    """The values that are set, as paths; what is below a map of anything counts as that map."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from set_paths(value, (*above, key))
        yield (*above, key)
