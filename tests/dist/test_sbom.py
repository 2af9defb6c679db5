"""The bill of materials: it names what is inside, as scanners look for it, and can't go stale in silence."""

import dataclasses
import hashlib
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from release import DIST, NAME, ROOT

sys.path.append(str(ROOT / "scripts/dist"))
import crates  # noqa: E402
import sbom  # noqa: E402


class Bill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        bill = json.loads((DIST / NAME / "sbom.cdx.json").read_text())
        cls.components = {each["name"]: each for each in bill["components"] if not each.get("purl", "").startswith("pkg:cargo/")}

    def test_each_library_in_c_has_a_version_and_a_licence(self):
        inside = {name for name, each in self.components.items() if each.get("purl", "").startswith("pkg:generic/")}
        self.assertEqual(inside, {"aws-lc", "cjson", "curl", "jemalloc", "jitterentropy", "librdkafka", "lz4", "nanopb", "oniguruma", "openssl",
                                  "zlib", "zstd"})
        for name in inside:
            self.assertRegex(self.components[name]["version"], r"^\d+\.\d+\.\d+(-dev)?$", name)
            self.assertTrue(self.components[name]["licenses"], name)

    def test_scanners_find_libraries_by_the_names_that_the_nvd_has(self):
        vendors = {"aws-lc": "amazon:aws_libcrypto", "cjson": "davegamble:cjson", "curl": "haxx:curl", "lz4": "lz4_project:lz4",
                   "nanopb": "nanopb_project:nanopb", "oniguruma": "oniguruma_project:oniguruma", "openssl": "openssl:openssl",
                   "zlib": "zlib:zlib", "zstd": "facebook:zstandard"}
        for name, vendor in vendors.items():
            number, _, update = self.components[name]["version"].partition("-")
            self.assertEqual(self.components[name].get("cpe"), f"cpe:2.3:a:{vendor}:{number}:{update or '*'}:*:*:*:*:*:*")

    def test_versions_are_those_that_the_binary_tells(self):
        said = subprocess.run([DIST / NAME / "tagbert", "--version"], check=True, capture_output=True, text=True).stdout
        for name in ["librdkafka", "onnxruntime"]:
            self.assertIn(f"{name} {self.components[name]['version']}", said)
        self.assertIn(f"OpenSSL {self.components['openssl']['version']} ".encode(), (DIST / NAME / "tagbert").read_bytes())

    def test_the_runtime_is_told_with_its_library(self):
        digest = hashlib.sha256((DIST / NAME / "libonnxruntime.so").read_bytes()).hexdigest()
        there = {each["name"]: each["hashes"] for each in self.components["onnxruntime"]["components"]}
        self.assertEqual(there, {"libonnxruntime.so": [{"alg": "SHA-256", "content": digest}]})


class Making(unittest.TestCase):
    def refused(self, call) -> str:
        """Why it was."""
        with self.assertRaises(SystemExit) as raised:
            call()
        return str(raised.exception.code)

    def test_a_crate_that_compiles_in_what_is_not_known_is_refused(self):
        new = dataclasses.replace(next(each for each in crates.others() if each.name == "zstd-sys"), name="snappy-sys")
        with mock.patch.object(crates, "others", return_value=(*crates.others(), new)):
            self.assertRegex(self.refused(sbom.libraries), r"snappy-sys: which library in C .* COMPILED_IN.*scripts/dist/sbom\.py")
        # Of others nothing is asked.
        with mock.patch.object(crates, "others", return_value=(*crates.others(), dataclasses.replace(new, native=False))):
            sbom.libraries()

    def test_a_crate_that_is_gone_is_taken_out(self):
        without = tuple(each for each in crates.others() if each.name != "zstd-sys")
        with mock.patch.object(crates, "others", return_value=without):
            self.assertRegex(self.refused(sbom.libraries), r"zstd-sys: not linked any more\? .*scripts/dist/sbom\.py")

    def test_crates_with_code_that_is_not_rust_are_seen_as_such(self):
        native = {each.name for each in crates.others() if each.native}
        # By what it links, by the compiler that its build script calls, by its name.
        self.assertLessEqual({"onig_sys", "blake3", "openssl-src"}, native)
        self.assertFalse({"serde", "tokio", "regex"} & native)

    def test_a_version_that_is_not_found_is_an_error_and_not_left_out(self):
        zlib = next(each for each in crates.others() if each.name == "libz-sys")
        library = sbom.COMPILED_IN["libz-sys"][0]
        for wrong, why in [({"header": "src/zlib/moved.h"}, r"libz-sys .* has no src/zlib/moved\.h"),
                           ({"version": "NO_SUCH_MACRO (.+)"}, r"src/zlib/zlib\.h does not tell which zlib it is")]:
            said = self.refused(lambda wrong=wrong: sbom.compiled_in(zlib, dataclasses.replace(library, **wrong)))
            self.assertRegex(said, why)

    def test_a_runtime_for_gpus_is_told_as_such_with_each_of_its_libraries(self):
        names = ["libonnxruntime.so", *(f"libonnxruntime_providers_{each}.so" for each in ["cuda", "shared", "tensorrt"])]
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                (Path(folder) / name).write_text(name)
            made = sbom.runtime(Path(folder))
        self.assertRegex(made["purl"], r"^pkg:pypi/onnxruntime-gpu@\d")
        self.assertEqual((made["name"], made["bom-ref"]), ("onnxruntime-gpu", made["purl"]))
        self.assertEqual({each["name"]: each["hashes"][0]["content"] for each in made["components"]},
                         {name: hashlib.sha256(name.encode()).hexdigest() for name in names})

    def test_a_folder_without_a_runtime_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn(f"no libonnxruntime.so in {folder}", self.refused(lambda: sbom.runtime(Path(folder))))


if __name__ == "__main__":
    unittest.main()
