"""The Debian package: it installs where nothing is, keeps what an administrator has written, and leaves nothing behind."""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from release import PACKAGE, VERSION, Machine

CONFIG = "etc/tagbert/config.yaml"
ENVIRONMENT = "etc/default/tagbert"


def newer(to: Path) -> Path:
    """The package of a later version, with another configuration."""
    root = to / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", PACKAGE, root], check=True)
    control = root / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}", "Version: 99.0.0"))
    for name in [CONFIG, ENVIRONMENT]:
        with (root / name).open("a") as file:
            file.write("# of 99.0.0\n")
    package = to / "newer.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, package], check=True, stdout=subprocess.DEVNULL)
    return package


class Package(unittest.TestCase):
    def test_it_is_installed_used_and_removed(self):
        with Machine("bookworm") as machine:
            before = machine.run("find /etc /usr /var -xdev | grep -v '^/var/lib/dpkg\\|^/var/log\\|^/var/cache/ldconfig' | sort", user=None).stdout
            done = machine.install(PACKAGE)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

            done = machine.run("cd / && tagbert --version && tagbert demo --documents 20")
            self.assertEqual(done.returncode, 0, done.stderr[-2000:])
            self.assertIn(f"tagbert {VERSION} (", done.stdout)
            done = machine.run("cd / && tagbert tag", stdin='{"id": 1, "text": "Lunch in Berlin?"}\n')
            self.assertEqual(json.loads(done.stdout)["model"]["name"], "tagbert-small", done.stderr)
            # What the unit starts, as it starts it.
            done = machine.run(f"cd /usr/lib/tagbert && KAFKA_BOOTSTRAP_SERVERS=localhost:1 tagbert check --config /{CONFIG}")
            self.assertEqual((done.returncode, "no connection" in done.stderr), (1, True), done.stderr)
            written = machine.run("find / -xdev -user 65532 -not -path '/proc/*'", user=None).stdout
            self.assertEqual(written, "", "it has written files")

            done = machine.run("dpkg --purge tagbert", user=None)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            after = machine.run("find /etc /usr /var -xdev | grep -v '^/var/lib/dpkg\\|^/var/log\\|^/var/cache/ldconfig' | sort", user=None).stdout
            self.assertEqual(after, before)

    def test_an_upgrade_keeps_a_configuration_that_was_written(self):
        with tempfile.TemporaryDirectory() as folder, Machine("bookworm") as machine:
            later = newer(Path(folder))
            self.assertEqual(machine.install(PACKAGE).returncode, 0)
            config = machine.root / CONFIG
            config.write_text("kafka: {group: mine}\n")
            done = machine.install(later, "--force-confdef", "--force-confold")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(config.read_text(), "kafka: {group: mine}\n")
            self.assertIn("of 99.0.0", (machine.root / f"{CONFIG}.dpkg-dist").read_text())

    def test_an_upgrade_renews_a_configuration_that_was_not(self):
        with tempfile.TemporaryDirectory() as folder, Machine("bookworm") as machine:
            later = newer(Path(folder))
            self.assertEqual(machine.install(PACKAGE).returncode, 0)
            self.assertEqual(machine.install(later).returncode, 0)
            self.assertIn("of 99.0.0", (machine.root / CONFIG).read_text())

    def test_what_the_docs_name_of_deploy_is_beside_them(self):
        listed = subprocess.run(["dpkg-deb", "--contents", PACKAGE], check=True, capture_output=True, text=True).stdout
        for name in ["helm/tagbert/Chart.yaml", "kustomize/overlays/cpu/kustomization.yaml", "spark/tagged_to_table.py", "connect/worker.properties"]:
            self.assertIn(f" ./usr/share/doc/tagbert/deploy/{name}\n", listed)
        # They make an image of the archive's folder.
        for name in ["Dockerfile", "compose.yaml"]:
            self.assertNotIn(name, listed)

    def test_what_may_have_secrets_is_read_by_root_alone(self):
        with Machine("bookworm") as machine:
            self.assertEqual(machine.install(PACKAGE).returncode, 0)
            self.assertEqual(machine.run(f"stat -c '%a %U:%G' /{ENVIRONMENT}", user=None).stdout, "640 root:root\n")
            self.assertNotEqual(machine.run(f"cat /{ENVIRONMENT}").returncode, 0)

    def test_an_upgrade_keeps_the_mode_that_an_administrator_gave(self):
        with tempfile.TemporaryDirectory() as folder, Machine("bookworm") as machine:
            later = newer(Path(folder))
            self.assertEqual(machine.install(PACKAGE).returncode, 0)
            # As 0.2.0 had it.
            machine.run(f"chmod 644 /{ENVIRONMENT}", user=None)
            self.assertEqual(machine.install(later).returncode, 0)
            self.assertIn("of 99.0.0", (machine.root / ENVIRONMENT).read_text())
            self.assertEqual(machine.run(f"stat -c %a /{ENVIRONMENT}", user=None).stdout, "644\n")


if __name__ == "__main__":
    unittest.main()
