"""The image, built from a bare Debian instead of a registry's, and run as an orchestrator would: as nobody, read-only."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from release import NOBODY, ROOT, VERSION, lacking, system

BASE = "localhost/bare-bookworm"


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
        bom = json.loads(Path(self.root + labels["org.cyclonedx.sbom"]).read_text())
        self.assertEqual(bom["metadata"]["component"]["version"], VERSION)

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
