"""The archive: what is in it, that it is made again to the byte, and that it runs where nothing is installed."""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import release
from release import ARCHIVE, DIST, NAME, PACKAGE, ROOT, SYSTEMS, VERSION, Machine


class Contents(unittest.TestCase):
    def test_all_that_a_user_looks_for_is_there(self):
        for name in ["tagbert", "libonnxruntime.so", "models/tagbert-small/model.onnx", "models/tagbert-tiny/model.onnx",
                     "models/recipe/quantise.py",
                     "configs/production.yaml", "schemas/record.json", "corpus/demo.jsonl", "docs/INSTALL.md", "LICENSE", "NOTICE",
                     "licenses/crates.txt", "licenses/onnxruntime/ThirdPartyNotices.txt", "sbom.cdx.json", "man/man1/tagbert.1",
                     "completions/bash/tagbert", "completions/zsh/_tagbert", "completions/fish/tagbert.fish", "systemd/tagbert.service"]:
            self.assertIn(name, release.files())

    def test_what_makes_static_int8_has_beside_it_what_it_imports(self):
        stems = {path.stem for path in (ROOT / "models/recipe").glob("*.py")}
        there = {Path(name).stem for name in release.files() if name.startswith("models/recipe/") and name.endswith(".py")}
        self.assertIn("quantise", there)
        for name in there:
            nodes = list(ast.walk(ast.parse((ROOT / f"models/recipe/{name}.py").read_text())))
            imported = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
            imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
            self.assertLessEqual(imported & stems, there, name)

    def test_what_the_docs_name_of_deploy_is_there(self):
        # The second is of 0.1.0.
        of_the_repository = {"deploy/tests/snapshots", "deploy/kubernetes"}
        there = set(release.files()) | {f"{parent}" for name in release.files() for parent in Path(name).parents}
        documents = [DIST / NAME / "README.md", *(DIST / NAME / "docs").glob("*.md")]
        named = {each.rstrip("./") for path in documents for each in re.findall(r"\bdeploy/[\w./-]+", path.read_text())}
        self.assertLessEqual({"deploy/helm/tagbert", "deploy/kustomize", "deploy/compose.yaml", "deploy/Dockerfile"}, named)
        self.assertEqual(named - of_the_repository - there, set())

    def test_what_is_deployed_is_that_of_the_repository(self):
        for name in ["helm", "kustomize", "connect", "spark", "compose.yaml"]:
            done = subprocess.run(["git", "ls-files", f"deploy/{name}"], cwd=ROOT, check=True, capture_output=True, text=True)
            for file in done.stdout.splitlines():
                self.assertEqual((DIST / NAME / file).read_bytes(), (ROOT / file).read_bytes(), file)

    def test_what_is_deployed_refers_to_nothing_outside(self):
        folder = DIST / NAME
        found = []
        for path in (folder / "deploy/kustomize").rglob("kustomization.yaml"):
            for line in path.read_text().splitlines():
                if match := re.fullmatch(r"\s*- (?:path: )?([\w./-]+\.yaml|\.\.?/[\w./-]+)", line):
                    found.append(path.parent / match[1])
        compose = (folder / "deploy/compose.yaml").read_text()
        context = re.search(r"^ +context: (.+)$", compose, re.MULTILINE)[1]
        found.append(folder / "deploy" / context / re.search(r"^ +dockerfile: (.+)$", compose, re.MULTILINE)[1])
        # (That it names no other file: deploy/tests/test_compose.py.)
        self.assertLessEqual({"base", "worker.yaml", "config.yaml", "gpu.yaml", "job.yaml", "Dockerfile"}, {path.name for path in found})
        for path in found:
            self.assertTrue(path.exists() and path.resolve().is_relative_to(folder.resolve()), path)
        # The image that compose builds: of this folder, since there is no source.
        dockerfile = (folder / "deploy/Dockerfile").read_text()
        self.assertIn("\nFROM unpacked AS release\n", dockerfile)
        self.assertNotIn("SOURCE}", dockerfile)

    def test_nothing_of_the_corpora_that_are_not_ours_is_in_it(self):
        with tarfile.open(ARCHIVE) as archive:
            documents = archive.extractfile(f"{NAME}/corpus/demo.jsonl").read().decode().splitlines()
        self.assertEqual({json.loads(line)["corpus"]["source"] for line in documents}, {"messages"})

    def test_files_are_of_root_and_of_one_time(self):
        with tarfile.open(ARCHIVE) as archive:
            entries = archive.getmembers()
        self.assertEqual({(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries}, {(0, 0, "", "")})
        self.assertEqual(len({entry.mtime for entry in entries}), 1)
        self.assertEqual({entry.mode for entry in entries} - {0o644, 0o755}, set())
        self.assertEqual([entry.name for entry in entries if entry.isfile() and entry.mode & 0o100], [f"{NAME}/tagbert"])

    def test_checksums_are_those_of_the_files(self):
        done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=DIST, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for name in [ARCHIVE.name, PACKAGE.name, f"{NAME}.cdx.json"]:
            self.assertIn(f"{name}: OK", done.stdout)

    def test_the_same_binary_gives_the_same_bytes(self):
        with tarfile.open(ARCHIVE) as archive:
            # What was committed since then has another.
            time = archive.next().mtime
        with tempfile.TemporaryDirectory() as folder:
            # Another place, another umask.
            subprocess.run([sys.executable, ROOT / "scripts/dist/release.py", DIST / NAME / "tagbert", "--to", folder], check=True,
                           stdout=subprocess.DEVNULL, umask=0o077, env=os.environ | {"SOURCE_DATE_EPOCH": str(time)})
            for path in [ARCHIVE, PACKAGE, DIST / "SHA256SUMS"]:
                again = hashlib.sha256((Path(folder) / path.name).read_bytes()).hexdigest()
                self.assertEqual(again, hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


class Needs(unittest.TestCase):
    def test_what_a_bare_system_lacks_is_refused(self):
        # The interpreter of this test was built for this machine: a newer glibc, and libraries.
        done = subprocess.run([sys.executable, ROOT / "scripts/dist/needs.py", sys.executable], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"GLIBC_2\.\d+ .*: newer than 2\.28|a bare system does not have it")


class Bare(unittest.TestCase):
    def test_it_runs_from_its_folder_without_a_network_as_anybody(self):
        for name in SYSTEMS:
            with self.subTest(name), Machine(name) as machine:
                machine.unpack()
                done = machine.run(f"cd /opt/{NAME} && ./tagbert --version && ./tagbert demo --documents 60")
                self.assertEqual(done.returncode, 0, done.stderr[-2000:])
                self.assertRegex(done.stdout, rf"^tagbert {VERSION} \([0-9a-f]{{12}}(-dirty)? \d{{4}}-\d\d-\d\d\)\nlibrdkafka 2.*\nonnxruntime 1")
                self.assertIn("60 in = 60 out + 0 dead letters", done.stdout)
                self.assertIn("every document is accounted for", done.stdout)

    def test_it_runs_from_anywhere(self):
        with Machine("bookworm") as machine:
            machine.unpack()
            machine.run(f"ln -s /opt/{NAME}/tagbert /usr/local/bin/tagbert", user=None)
            done = machine.run("cd / && tagbert tag", stdin='{"id": 1, "text": "WIN a FREE prize!!! Click here now"}\n')
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["tags"]["spam"]["label"], "spam")
            done = machine.run("cd / && tagbert demo --documents 20")
            self.assertIn("every document is accounted for", done.stdout, done.stderr[-2000:])

    def test_a_model_is_tried_in_a_process_of_its_own(self):
        with Machine("bookworm") as machine:
            machine.unpack()
            done = machine.run(f"cd /opt/{NAME} && ./tagbert model inspect models/tagbert-tiny")
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
