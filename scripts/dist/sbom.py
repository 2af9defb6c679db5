#!/usr/bin/env python3
"""The software bill of materials of a release, as CycloneDX 1.6: crates, libraries in C, ONNX Runtime, models.

    scripts/dist/sbom.py --epoch SECONDS --check .cache/dist FOLDER > sbom.cdx.json

FOLDER is the release's, with the runtime and the models that are named. The same input gives the same bytes.
"""

import argparse
import hashlib
import json
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import crates

# What crates compile in, by the crate: name, licence, and where its version stands.
COMPILED_IN = {
    "openssl-src": ("openssl", "Apache-2.0", r"\+(.+)"),
    "curl-sys": ("curl", "curl", r"\+curl-(.+)"),
    "rdkafka-sys": ("librdkafka", "BSD-2-Clause", r"\+(.+)"),
    "zstd-sys": ("zstd", "BSD-3-Clause", r"\+zstd\.(.+)"),
    "tikv-jemalloc-sys": ("jemalloc", "BSD-2-Clause", r"\+([\d.]+)"),
}


def digest(path: Path) -> list[dict]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def purl(name: str, version: str) -> str:
    return f"pkg:cargo/{name}@{version.replace('+', '%2B')}"


def of_crate(crate: crates.Crate) -> dict:
    component = {
        "type": "library",
        "bom-ref": purl(crate.name, crate.version),
        "name": crate.name,
        "version": crate.version,
        "description": crate.description,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": crate.checksum}] if crate.checksum else [],
        "licenses": [{"expression": crate.license}] if crate.license else [],
        "purl": purl(crate.name, crate.version),
        "externalReferences": [{"type": "vcs", "url": crate.repository}] if crate.repository else [],
    }
    return {key: value for key, value in component.items() if value}


def compiled_in(crate: crates.Crate) -> dict:
    name, license, pattern = COMPILED_IN[crate.name]
    version = re.search(pattern, crate.version)
    if not version:
        sys.exit(f"error: {crate.name} {crate.version}: which {name} is that? (scripts/dist/sbom.py)")
    return {
        "type": "library",
        "bom-ref": f"pkg:generic/{name}@{version[1]}",
        "name": name,
        "version": version[1],
        "licenses": [{"license": {"id": license}}],
        "purl": f"pkg:generic/{name}@{version[1]}",
    }


def runtime(folder: Path) -> dict:
    pin = re.search(r"^readonly ORT_VERSION=(.+)$", (crates.ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)[1]
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/onnxruntime@{pin}",
        "name": "onnxruntime",
        "version": pin,
        "hashes": digest(folder / "libonnxruntime.so"),
        "licenses": [{"license": {"id": "MIT"}}],
        "purl": f"pkg:pypi/onnxruntime@{pin}",
    }


def model(folder: Path) -> dict:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{folder.name}",
        "name": folder.name,
        "hashes": digest(folder / "model.onnx"),
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }


def bill(folder: Path, epoch: int) -> dict:
    own = of_crate(crates.tagbert()) | {"type": "application"}
    inside = {crate.name: compiled_in(crate) for crate in crates.others() if crate.name in COMPILED_IN}
    if lacking := COMPILED_IN.keys() - inside.keys():
        sys.exit(f"error: {', '.join(sorted(lacking))}: not linked any more? (scripts/dist/sbom.py)")
    beside = [runtime(folder), *(model(path.parent) for path in sorted((folder / "models").glob("*/model.onnx")))]
    needs = {purl(each.name, each.version): [purl(*need) for need in each.needs] for each in crates.linked()}
    for crate in crates.others():
        if crate.name in inside:
            needs[purl(crate.name, crate.version)].append(inside[crate.name]["bom-ref"])
    needs[own["bom-ref"]] += [each["bom-ref"] for each in beside]
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": own,
        },
        "components": [*(of_crate(crate) for crate in crates.others()), *inside.values(), *beside],
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(needs.items())],
    }
    # Not random: it is that of these very contents.
    bill["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True)).urn
    return bill


def check(bill: dict, schemas: Path) -> None:
    """Against CycloneDX's schema, and for references that lead nowhere, which it does not see."""
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    read = {path.name: json.loads(path.read_text()) for path in schemas.glob("*.schema.json")}
    # They name each other by their files' names.
    own = "http://cyclonedx.org/schema/"
    registry = Registry().with_resources([(own + name, Resource.from_contents(schema)) for name, schema in read.items()])
    Draft7Validator(read["bom-1.6.SNAPSHOT.schema.json"], registry=registry).validate(bill)
    there = {bill["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in bill["components"])}
    lost = {on for each in bill["dependencies"] for on in [each["ref"], *each["dependsOn"]]} - there
    if lost:
        sys.exit(f"error: the SBOM depends on what it does not have: {', '.join(sorted(lost))}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--check", type=Path)
    options = parser.parse_args()
    made = bill(options.folder, options.epoch)
    if options.check:
        check(made, options.check)
    json.dump(made, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
