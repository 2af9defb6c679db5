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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import crates

@dataclass(frozen=True)
class Library:
    """A library in C that a crate compiles in."""
    name: str
    # None: that of the crate, which says it for the library, too.
    license: str | None
    # The pattern of its version, whose groups are joined by dots: in the crate's own, or in a header that the crate brings.
    version: str
    header: str | None = None
    # Vendor and product as the NVD's dictionary has them, by which scanners match; it lacks those without.
    cpe: str | None = None


def macros(*names: str) -> str:
    """A version of which a header defines each number by itself."""
    return ".*?".join(rf"#define\s+{name}\s+(\d+)" for name in names)


COMPILED_IN = {
    "aws-lc-sys": [
        Library("aws-lc", None, r'AWSLC_VERSION_NUMBER_STRING "([^"]+)"', "aws-lc/include/openssl/base.h", cpe="amazon:aws_libcrypto"),
        Library("jitterentropy", "BSD-3-Clause", macros("JENT_MAJVERSION", "JENT_MINVERSION", "JENT_PATCHLEVEL"),
                "aws-lc/third_party/jitterentropy/jitterentropy-library/jitterentropy.h"),
    ],
    "curl-sys": [Library("curl", "curl", r"\+curl-(.+)", cpe="haxx:curl")],
    "libz-sys": [Library("zlib", "Zlib", r'#define ZLIB_VERSION "([^"]+)"', "src/zlib/zlib.h", cpe="zlib:zlib")],
    "onig_sys": [
        Library("oniguruma", "BSD-2-Clause", macros(*(f"ONIGURUMA_VERSION_{part}" for part in ["MAJOR", "MINOR", "TEENY"])),
                "oniguruma/src/oniguruma.h", cpe="oniguruma_project:oniguruma"),
    ],
    "openssl-src": [Library("openssl", "Apache-2.0", r"\+(.+)", cpe="openssl:openssl")],
    # It also has single files of others (snappy, tinycthread …) that tell no version; their licences are in licenses/crates.txt.
    "rdkafka-sys": [
        Library("librdkafka", "BSD-2-Clause", r"\+(.+)"),
        Library("cjson", "MIT", macros(*(f"CJSON_VERSION_{part}" for part in ["MAJOR", "MINOR", "PATCH"])), "librdkafka/src/cJSON.h",
                cpe="davegamble:cjson"),
        Library("lz4", "BSD-2-Clause", macros(*(f"LZ4_VERSION_{part}" for part in ["MAJOR", "MINOR", "RELEASE"])), "librdkafka/src/lz4.h",
                cpe="lz4_project:lz4"),
        Library("nanopb", "Zlib", r'NANOPB_VERSION "nanopb-([^"]+)"', "librdkafka/src/nanopb/pb.h", cpe="nanopb_project:nanopb"),
    ],
    "tikv-jemalloc-sys": [Library("jemalloc", "BSD-2-Clause", r"\+([\d.]+)")],
    "zstd-sys": [Library("zstd", "BSD-3-Clause", r"\+zstd\.(.+)", cpe="facebook:zstandard")],
}

# Crates that look as if they did, and compile in nothing of others, with the reason.
NOTHING_OF_OTHERS = {
    "aws-lc-rs": "aws-lc-sys does",
    "blake3": "its C and assembly are its own",
    "openssl-sys": "openssl-src does",
    "ort-sys": "ONNX Runtime is loaded when it runs",
    "prettyplease": "`links` keeps it from being there twice",
    "rayon-core": "`links` keeps it from being there twice",
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


def compiled_in(crate: crates.Crate, library: Library) -> dict:
    header = crate.directory / library.header if library.header else None
    if header and not header.is_file():
        sys.exit(f"error: {crate.name} {crate.version} has no {library.header}, where the version of {library.name} stood: "
                 "say in COMPILED_IN where it stands now (scripts/dist/sbom.py)")
    found = re.search(library.version, header.read_text(errors="replace") if header else crate.version, re.DOTALL)
    if not found:
        sys.exit(f"error: {header or f'{crate.name} {crate.version}'} does not tell which {library.name} it is: "
                 "say in COMPILED_IN how it does now (scripts/dist/sbom.py)")
    version = ".".join(found.groups())
    license = library.license or crate.license
    component = {
        "type": "library",
        "bom-ref": f"pkg:generic/{library.name}@{version}",
        "name": library.name,
        "version": version,
        "licenses": [{"expression": license} if " " in license else {"license": {"id": license}}],
        "purl": f"pkg:generic/{library.name}@{version}",
    }
    if library.cpe:
        # What comes before a release is an update there (0.4.8-dev).
        number, _, update = version.partition("-")
        component["cpe"] = f"cpe:2.3:a:{library.cpe}:{number}:{update or '*'}:*:*:*:*:*:*"
    return component


def libraries() -> dict[str, list[dict]]:
    """The libraries in C, by the crate that compiles them in. A crate that is not known is refused, so that none is forgotten."""
    linked = {crate.name: crate for crate in crates.others()}
    if lacking := (COMPILED_IN.keys() | NOTHING_OF_OTHERS.keys()) - linked.keys():
        sys.exit(f"error: {', '.join(sorted(lacking))}: not linked any more? Take it out of COMPILED_IN or NOTHING_OF_OTHERS (scripts/dist/sbom.py)")
    if unknown := {name for name, crate in linked.items() if crate.native} - COMPILED_IN.keys() - NOTHING_OF_OTHERS.keys():
        sys.exit(f"error: {', '.join(sorted(unknown))}: which library in C does it compile in? "
                 "Say so in COMPILED_IN, or in NOTHING_OF_OTHERS that there is none (scripts/dist/sbom.py)")
    return {name: [compiled_in(linked[name], library) for library in of] for name, of in COMPILED_IN.items()}


def runtime(folder: Path) -> dict:
    """ONNX Runtime, with its libraries; by those one sees whether it is the package for GPUs."""
    pin = re.search(r"^readonly ORT_VERSION=(.+)$", (crates.ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)[1]
    there = sorted(folder.glob("libonnxruntime*.so"))
    if folder / "libonnxruntime.so" not in there:
        sys.exit(f"error: there is no libonnxruntime.so in {folder}: scripts/setup.sh runtime")
    name = "onnxruntime-gpu" if folder / "libonnxruntime_providers_cuda.so" in there else "onnxruntime"
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{pin}",
        "name": name,
        "version": pin,
        "licenses": [{"license": {"id": "MIT"}}],
        "purl": f"pkg:pypi/{name}@{pin}",
        "components": [{"type": "file", "name": path.name, "hashes": digest(path)} for path in there],
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
    inside = libraries()
    beside = [runtime(folder), *(model(path.parent) for path in sorted((folder / "models").glob("*/model.onnx")))]
    needs = {purl(each.name, each.version): [purl(*need) for need in each.needs] for each in crates.linked()}
    for crate in crates.others():
        needs[purl(crate.name, crate.version)] += [each["bom-ref"] for each in inside.get(crate.name, [])]
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
        "components": [*(of_crate(crate) for crate in crates.others()), *(each for of in inside.values() for each in of), *beside],
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
