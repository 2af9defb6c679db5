#!/usr/bin/env python3
"""Writes what follows from the chart and from configs/production.yaml: deploy/kustomize/, the chart's own configuration, and
deploy/tests/snapshots/, where a change of the chart shows what it changes.

    .cache/tools-venv/bin/python scripts/manifests.py [--check]

With --check nothing is written, and the exit code is 1 if something would be.
"""

import json
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "deploy/tests"))
from matrix import MATRIX  # noqa: E402
HELM = ROOT / ".cache/kubernetes/helm"
CHART = ROOT / "deploy/helm/tagbert"
BASE = ROOT / "deploy/kustomize/base"
OVERLAYS = ROOT / "deploy/kustomize/overlays"
SNAPSHOTS = ROOT / "deploy/tests/snapshots"
# Of the matrix: each kind, and each object that there can be.
SHOWN = ("all-statefulset", "cronjob", "job-range", "service-monitor", "keda", "keda-job")
HEADER = "# Rendered from deploy/helm/tagbert by scripts/manifests.py: change that, and run this.\n"

# What only Helm wants. The rest is what the manifests before the chart had: a selector can't be changed.
HELMS = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "app.kubernetes.io/version"}
# kustomize's ConfigMaps have a hash in their name, so that a change rolls the pods.
HELMS |= {"checksum/config"}
# What changes with each version and each word of the configuration.
PASSING = {"helm.sh/chart", "app.kubernetes.io/version", "checksum/config", "config.yaml"}


def render(*args, values=None):
    """The chart's objects."""
    command = [HELM, "template", "tagbert", CHART, "--set", "kafka.brokers=kafka:9092", "--values", "-", *args]
    rendered = subprocess.run(command, input=json.dumps(values or {}), check=True, stdout=subprocess.PIPE, text=True).stdout
    return [each for each in yaml.safe_load_all(rendered) if each]


def manifests(*args):
    """The same without hooks, and without what only Helm wants."""
    return without(HELMS, render("--no-hooks", *args))


def without(keys, value):
    """A value without these keys."""
    if isinstance(value, list):
        return [without(keys, each) for each in value]
    if isinstance(value, dict):
        return {key: without(keys, each) for key, each in value.items() if key not in keys}
    return value


def kustomized(value, name=None):
    """An object as kustomize wants it, which gives the namespace."""
    del value["metadata"]["namespace"]
    value["metadata"]["name"] = name or value["metadata"]["name"]
    return value


def text(*objects, **options):
    return HEADER + yaml.safe_dump_all(objects, sort_keys=False, width=120, **options)


def snapshot(name):
    """What the chart makes of these values of the matrix, short enough to be read in a diff."""
    objects = without(PASSING, render(values=MATRIX[name]))
    for each in objects:
        if each["kind"] == "Job":
            each["metadata"]["name"] = each["metadata"]["name"].rsplit("-", 1)[0] + "-HASH"
    return text(*objects, default_flow_style=None)


def configuration():
    """The production configuration, without the line that tells editors where its schema is: a copy is not edited."""
    lines = (ROOT / "configs/production.yaml").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("# yaml-language-server:"))


def files():
    """What is to be written, by its path."""
    kinds = {each["kind"]: kustomized(each) for each in manifests()}
    del kinds["ConfigMap"]
    order = ["ServiceAccount", "PodDisruptionBudget", "Deployment"]
    assert sorted(kinds) == sorted(order), sorted(kinds)
    yield BASE / "worker.yaml", text(*(kinds[kind] for kind in order))
    job = next(each for each in manifests("--set", "kind=Job") if each["kind"] == "Job")
    yield OVERLAYS / "job/job.yaml", text(kustomized(job, "tagbert"))
    production = configuration()
    yield BASE / "config.yaml", production
    yield CHART / "files/config.yaml", production
    for name in SHOWN:
        yield SNAPSHOTS / f"{name}.yaml", snapshot(name)


def main():
    check = sys.argv[1:] == ["--check"]
    # The chart renders its configuration, and so that comes first.
    if not check:
        (CHART / "files/config.yaml").write_text(configuration())
    stale = [path for path, wanted in files() if not path.exists() or path.read_text() != wanted]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the chart renders: run scripts/manifests.py", file=sys.stderr)
        return bool(stale)
    for path, wanted in files():
        path.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
