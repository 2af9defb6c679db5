"""The image, built from a bare Debian instead of a registry's, and run as an orchestrator would: as nobody, read-only."""

import datetime
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from release import ARCHIVE, DIST, NAME, NOBODY, ROOT, VERSION, lacking, system

BASE = "localhost/bare-bookworm"


class Script(unittest.TestCase):
    """scripts/image.sh, in a folder with an archive of its own and without git, by a builder that only says what it was told."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tagbert-image-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ["scripts/image.sh", "deploy/Dockerfile", "Cargo.toml"]:
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        inside = self.folder / NAME
        inside.mkdir()
        (inside / "tagbert").write_text(f"#!/bin/sh\necho 'tagbert {VERSION} (0123456789ab 2026-01-02)'\n")
        (inside / "tagbert").chmod(0o755)
        (inside / "libonnxruntime.so").touch()
        for path in inside.iterdir():
            os.utime(path, (1767312000, 1767312000))
        (self.folder / "target/dist").mkdir(parents=True)
        with tarfile.open(self.folder / f"target/dist/{NAME}.tar.gz", "w:gz") as archive:
            archive.add(inside, NAME)
        (self.folder / "bin").mkdir()
        (self.folder / "bin/buildah").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
        (self.folder / "bin/buildah").chmod(0o755)

    def script(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "BUILDER": "buildah", "BASE": BASE, **environment}
        return subprocess.run([self.folder / "scripts/image.sh", *arguments], env=environment, capture_output=True, text=True)

    def test_commit_and_time_are_both_the_archives(self):
        done = self.script("--archive", "tagbert")
        self.assertIn("REVISION=0123456789ab\n", done.stdout, done.stderr)
        self.assertIn("CREATED=2026-01-02T00:00:00Z\n", done.stdout)
        # Whoever gives a time has it.
        self.assertIn("CREATED=1970-01-01T00:01:00Z\n", self.script("--archive", "tagbert", SOURCE_DATE_EPOCH="60").stdout)

    def test_an_archive_is_no_image_for_gpus_and_it_says_so(self):
        for options in [["--build-arg", "RUNTIME=runtime-gpu"], ["--build-arg=RUNTIME=runtime-gpu"], ["--pull-never", "--build-arg", "RUNTIME"]]:
            done = self.script("--archive", "tagbert", *options)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, r"^error: RUNTIME .* --archive.*leave --archive out.*docs/GPU\.md")
        for options in [["--build-arg", "RUNTIME=runtime"], ["--label", "RUNTIME=runtime-gpu"]]:
            self.assertEqual(self.script("--archive", "tagbert", *options).returncode, 0)
        from_source = self.script("tagbert", "--build-arg", "RUNTIME=runtime-gpu", RUST="localhost/rust", TAGBERT_COMMIT="x", SOURCE_DATE_EPOCH="60")
        self.assertIn("RUNTIME=runtime-gpu\n", from_source.stdout, from_source.stderr)


class Dockerfile(unittest.TestCase):
    def test_all_that_an_image_has_is_of_one_release(self):
        last = re.split(r"^FROM .*$", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)[-1]
        copied = re.findall(r"^(?:COPY|ADD) .*$", last, re.MULTILINE)
        self.assertEqual(len(copied), 2)
        for line in copied:
            self.assertTrue(line.startswith("COPY --from=release /opt/tagbert*"), line)

    def test_it_is_not_built_for_gpus_without_their_libraries(self):
        # By the line itself: whoever calls docker is not seen by scripts/image.sh.
        text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
        line = re.search(r'^RUN (\[ "\$RUNTIME" .+)$', text, re.MULTILINE)[1]
        with tempfile.TemporaryDirectory() as folder:
            def build(runtime: str) -> subprocess.CompletedProcess:
                return subprocess.run(["sh", "-c", line], cwd=folder, env=os.environ | {"RUNTIME": runtime}, capture_output=True, text=True)

            self.assertEqual(build("runtime").returncode, 0)
            refused = build("runtime-gpu")
            self.assertEqual((refused.returncode, "build it from source (docs/GPU.md)" in refused.stderr), (1, True), refused.stderr)
            (Path(folder) / "libonnxruntime_providers_cuda.so").touch()
            self.assertEqual(build("runtime-gpu").returncode, 0)


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("buildah"):
            lacking("no buildah")
        cls.folder = Path(tempfile.mkdtemp(prefix="tagbert-image-"))
        cls.folder.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        # Its own store: what else is on this machine is not touched.
        cls.environment = os.environ | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot", "BUILDER": "buildah", "BASE": BASE}
        settings = cls.folder / "storage.conf"
        settings.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{cls.folder}/store"\nrunroot = "{cls.folder}/run"\n')
        cls.environment["CONTAINERS_STORAGE_CONF"] = str(settings)
        container = cls.buildah("from", "scratch")
        root = cls.buildah("mount", container)
        subprocess.run(["cp", "-a", f"{system('bookworm')}/.", root], check=True)
        for name in os.listdir("/etc/apt/apt.conf.d"):
            shutil.copy(f"/etc/apt/apt.conf.d/{name}", f"{root}/etc/apt/apt.conf.d/")
        cls.buildah("umount", container)
        cls.buildah("commit", "--rm", container, BASE)
        built = subprocess.run([ROOT / "scripts/image.sh", "--archive", "tagbert", "--pull-never"], cwd=ROOT, env=cls.environment,
                               capture_output=True, text=True)
        assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
        cls.config = json.loads(cls.buildah("inspect", "--type", "image", "tagbert"))["Docker"]["config"]
        cls.container = cls.buildah("from", "--pull-never", "tagbert")
        cls.root = cls.buildah("mount", cls.container)

    @classmethod
    def buildah(cls, *arguments: str) -> str:
        return subprocess.run(["buildah", *arguments], env=cls.environment, check=True, capture_output=True, text=True).stdout.strip()

    def start(self, *command: str, before: str = "", **options) -> subprocess.Popen:
        """In the image as it says, read-only, without a network but a loopback."""
        inside = f'ip link set lo up; mount --bind "$0" "$0"; mount -t proc proc "$0/proc"; mount -o remount,bind,ro "$0"; {before}exec chroot "$@"'
        environment = dict(line.split("=", 1) for line in self.config["Env"])
        # dash in /opt/tagbert, since chroot begins in /.
        enter = f'cd {self.config["WorkingDir"]} && exec "$@"'
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "sh", "-c", inside, self.root, f"--userspec={NOBODY}", self.root,
             "/bin/sh", "-c", enter, "sh", *command],
            env=environment | {"PATH": f"{environment['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def run_it(self, *command: str) -> tuple[int, str]:
        process = self.start(*command)
        out, err = process.communicate(timeout=600)
        return process.returncode, out + err

    def test_it_says_what_it_is_made_of(self):
        labels = self.config["Labels"]
        said = {name: labels[f"org.opencontainers.image.{name}"] for name in ["version", "revision", "base.name", "licenses"]}
        # What is committed by now may be another.
        self.assertRegex(self.run_it(*self.config["Entrypoint"], "--version")[1], rf"\({said.pop('revision')} ")
        self.assertEqual(said, {"version": VERSION, "base.name": BASE, "licenses": "Apache-2.0"})
        with tarfile.open(ARCHIVE) as archive:
            time = datetime.datetime.fromtimestamp(archive.next().mtime, datetime.UTC)
        self.assertEqual(labels["org.opencontainers.image.created"], f"{time:%Y-%m-%dT%H:%M:%SZ}")
        bom = json.loads(Path(self.root + labels["org.cyclonedx.sbom"]).read_text())
        self.assertEqual(bom["metadata"]["component"]["version"], VERSION)

    def test_its_configuration_is_the_archives(self):
        self.assertEqual(Path(self.root, "etc/tagbert/config.yaml").read_bytes(), (DIST / NAME / "configs/production.yaml").read_bytes())

    def test_an_unpacked_archive_makes_the_same_of_itself(self):
        folder = DIST / NAME
        self.buildah("build", "--pull-never", "--build-arg", f"BASE={BASE}", "--file", f"{folder}/deploy/Dockerfile", "--tag", "unpacked", str(folder))
        container = self.buildah("from", "--pull-never", "unpacked")
        there = self.buildah("mount", container)
        for name in ["opt/tagbert", "etc/tagbert"]:
            done = subprocess.run(["diff", "--recursive", "--brief", f"{there}/{name}", f"{self.root}/{name}"], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.buildah("rm", container)

    def test_it_runs_read_only_as_a_user_without_rights(self):
        self.assertEqual(self.config["User"], NOBODY)
        code, said = self.run_it(*self.config["Entrypoint"], "--version")
        self.assertEqual((code, said.split(" (")[0]), (0, f"tagbert {VERSION}"), said)
        code, said = self.run_it("sh", "-c", "touch /opt/tagbert/x || touch /tmp/x")
        self.assertIn("Read-only file system", said)
        code, said = self.run_it(*self.config["Entrypoint"], "demo", "--documents", "40")
        self.assertEqual(code, 0, said)
        self.assertIn("every document is accounted for", said)

    def test_its_health_is_checked_from_inside(self):
        health = self.config["Healthcheck"]["Test"]
        self.assertEqual(health[0], "CMD")
        # Nobody is there.
        self.assertNotEqual(self.run_it(*health[1:])[0], 0)
        # The brokers are away, but it is alive: both in one, as there is one loopback.
        alive = 'tagbert "$@" & for each in $(seq 60); do sleep 1; HEALTH && exit 0; done; exit 1'
        check = " ".join("'" + part.replace("'", "'\\''") + "'" for part in health[1:])
        for port in [[], ["env", "TAGBERT__HTTP__LISTEN=127.0.0.1:9090"]]:
            code, said = self.run_it(*port, "sh", "-c", alive.replace("HEALTH", check), "sh", *self.config["Cmd"],
                                     "--set", "kafka.brokers=localhost:1")
            self.assertEqual(code, 0, said)

    def test_it_is_small(self):
        sizes = {}
        for folder in ["opt/tagbert", "usr", "var", "etc"]:
            used = subprocess.run(["du", "-sx", "--block-size=1M", f"{self.root}/{folder}"], check=True, capture_output=True, text=True).stdout
            sizes[folder] = int(used.split()[0])
        # What comes on top of the base: three layers, of which ours is the largest.
        print(f"the image holds (MiB): {sizes}")
        self.assertLess(sizes["opt/tagbert"], 260)
        self.assertLessEqual(sizes["var"], 10)


if __name__ == "__main__":
    unittest.main()
