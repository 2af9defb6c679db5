"""The service, under a real systemd, as the package installs it: its sandbox lets it work, and it stops cleanly."""

import os
import re
import shlex
import shutil
import subprocess
import time
import unittest
from pathlib import Path

from release import PACKAGE, ROOT, Machine, lacking

INSTALL = (ROOT / "docs/INSTALL.md").read_text()

# Control groups of the first kind are not there for systemd where it does not run itself; of this test alone.
BOOT = """
if ! mountpoint -q /sys/fs/cgroup/systemd && [ -d /sys/fs/cgroup/memory ]; then
    mkdir -p /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd || true
fi
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --boot --console=pipe --directory "$0"
"""


def blocks(language: str) -> list[str]:
    """What docs/INSTALL.md has of it."""
    return re.findall(rf"^```{language}\n(.*?)^```$", INSTALL, re.MULTILINE | re.DOTALL)


def started_alike() -> list[str]:
    """The commands of docs/INSTALL.md that are started as the service is."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.join(shlex.split(line, comments=True)) for line in lines if line.startswith("systemd-run ")]


class Documents(unittest.TestCase):
    def test_checks_and_jobs_are_started_with_all_that_the_unit_has_for_models(self):
        unit = re.findall(r"^(\w+)=(.+)$", (ROOT / "deploy/systemd/tagbert.service").read_text(), re.MULTILINE)
        wanted = [f"--property={name}={value}" for name, value in unit if name in {"DynamicUser", "EnvironmentFile", "CacheDirectory"}]
        wanted += [f"--setenv={each}" for name, value in unit if name == "Environment" for each in value.split()]
        self.assertEqual(len(started_alike()), 2)
        for command in started_alike():
            self.assertLessEqual({*wanted, "--property=User=tagbert"}, set(shlex.split(command)))


class Service(unittest.TestCase):
    def setUp(self):
        self.machine = Machine("service")
        self.addCleanup(self.machine.__exit__)
        done = self.machine.install(PACKAGE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # The container has a /tmp of its own.
        shutil.copy(PACKAGE, self.machine.root / "var/lib/package.deb")
        # A broker that is never there: the worker waits for it, and is alive.
        (self.machine.root / "etc/default/tagbert").write_text("KAFKA_BOOTSTRAP_SERVERS=localhost:1\n")
        self.boot()

    def boot(self):
        hierarchy = os.environ | ({"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0"} if os.path.isdir("/sys/fs/cgroup/memory") else {})
        self.nspawn = subprocess.Popen(["unshare", "--mount", "sh", "-c", BOOT, self.machine.root], env=hierarchy, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.halt)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.nspawn.poll() is None:
            if self.first_process() and self.run_in("systemctl is-system-running")[1].strip() in {"running", "degraded"}:
                return
            time.sleep(1)
        lacking(f"systemd does not come up in a container here: {self.nspawn.stderr.read() if self.nspawn.poll() is not None else 'too slow'}")

    def halt(self):
        if self.nspawn.poll() is None:
            self.nspawn.terminate()
            self.nspawn.wait(timeout=150)
        self.nspawn.stderr.close()

    def first_process(self) -> str | None:
        try:
            children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        except OSError:
            return None
        return children[0] if children else None

    def run_in(self, command: str) -> tuple[int, str]:
        done = subprocess.run(["nsenter", "--all", f"--target={self.first_process()}", "/bin/sh", "-c", command], capture_output=True, text=True,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, timeout=200)
        return done.returncode, done.stdout + done.stderr

    def wait_for(self, command: str, text: str) -> str:
        deadline, said = time.monotonic() + 120, ""
        while time.monotonic() < deadline:
            said = self.run_in(command)[1]
            if text in said:
                return said
            time.sleep(1)
        self.fail(f"{command}: no {text!r} in {said[-3000:]}")

    def show(self, name: str) -> str:
        return self.run_in(f"systemctl show --value --property={name} tagbert")[1].strip()

    def test_it_runs_reloads_and_stops(self):
        self.assertEqual(self.show("ActiveState"), "inactive", "it was started before anybody had said so")
        self.assertEqual(self.run_in("systemctl start tagbert")[0], 0)
        log = "journalctl --no-pager --unit tagbert"
        # It loads the model, in a process of its own first, and then looks for the brokers.
        self.wait_for(log, "loaded in")
        self.assertEqual(self.show("ActiveState"), "active", self.run_in(log)[1])
        self.assertEqual(self.run_in("systemctl reload tagbert"), (0, ""))
        before = time.monotonic()
        self.assertEqual(self.run_in("systemctl stop tagbert"), (0, ""))
        self.assertLess(time.monotonic() - before, 60, self.run_in("journalctl --no-pager | tail -60")[1])
        self.assertEqual((self.show("Result"), self.show("ExecMainStatus")), ("success", "0"), self.run_in(log)[1])
        said = self.run_in(log)[1]
        for word in ["Operation not permitted", "Permission denied", "Failed to", "panicked", "core-dump"]:
            self.assertNotIn(word, said)

    def test_a_bad_configuration_is_not_tried_again(self):
        self.run_in("echo 'batch: {tokenz: 1}' > /etc/tagbert/config.yaml; systemctl start tagbert")
        self.wait_for("systemctl show --property=ActiveState tagbert", "failed")
        time.sleep(7)
        self.assertEqual((self.show("ExecMainStatus"), self.show("NRestarts")), ("2", "0"))
        self.assertIn("tokenz", self.run_in("journalctl --no-pager --unit tagbert")[1])

    def test_a_start_fails_if_the_configuration_or_the_model_is_refused(self):
        # The second mistake is seen when the model is loaded.
        for wrong in ["batch: {tokenz: 1}", "routes: [{when: 'spam.label == \"spma\"', drop: true}]"]:
            code, said = self.run_in(f"echo '{wrong}' > /etc/tagbert/config.yaml; systemctl start tagbert")
            self.assertNotEqual(code, 0, wrong)
            self.assertIn("journalctl", said)
            self.assertEqual((self.show("ExecMainStatus"), self.show("NRestarts")), ("2", "0"), wrong)

    def test_a_reload_before_there_is_a_model_harms_nothing(self):
        self.run_in("systemctl start --no-block tagbert; sleep .3; systemctl reload tagbert")
        self.wait_for("journalctl --no-pager --unit tagbert", "loaded in")
        self.assertEqual((self.show("ActiveState"), self.show("NRestarts")), ("active", "0"))

    def test_one_that_was_killed_comes_again(self):
        self.run_in("systemctl start tagbert; systemctl kill --signal=KILL tagbert")
        self.wait_for("systemctl show --property=NRestarts,ActiveState tagbert", "NRestarts=1\nActiveState=active")

    def test_an_upgrade_restarts_what_runs_and_starts_nothing_else(self):
        self.assertEqual(self.run_in("dpkg --install /var/lib/package.deb")[0], 0)
        self.assertEqual(self.show("ActiveState"), "inactive")
        self.run_in("systemctl start tagbert")
        first = self.show("MainPID")
        code, said = self.run_in("dpkg --install /var/lib/package.deb")
        self.assertEqual(code, 0, said)
        self.assertEqual(self.show("ActiveState"), "active")
        self.assertNotEqual(self.show("MainPID"), first)
        # One that refuses the configuration is upgraded all the same, and it is said.
        self.run_in("echo 'batch: {tokenz: 1}' > /etc/tagbert/config.yaml")
        code, said = self.run_in("dpkg --force-confold --install /var/lib/package.deb")
        self.assertEqual(code, 0, said)
        self.assertIn("the worker did not start again: journalctl -u tagbert", said)
        self.assertEqual(self.run_in("dpkg --purge tagbert")[0], 0)
        self.assertNotIn("tagbert", self.run_in("systemctl list-units --all --no-legend; ps -e")[1])

    def test_checks_and_jobs_have_the_environment_of_the_service(self):
        # The service runs meanwhile.
        self.assertEqual(self.run_in("systemctl start tagbert")[0], 0)
        for command in started_alike():
            code, said = self.run_in(command)
            self.assertEqual(code, 1, said)
            self.assertRegex(said, r"no connection to localhost:1\b")

    def test_checks_and_jobs_share_the_cache_of_a_service_that_runs(self):
        self.assertEqual(self.run_in("systemctl start tagbert")[0], 0)
        owner = "stat -c %u /var/cache/private/tagbert"
        before = self.run_in(owner)
        for command in started_alike():
            options, _ = command.split(" tagbert ", 1)
            write = 'mkdir -p "$HF_HOME" && touch "$HF_HOME/model" "$TAGBERT_CACHE/model" && stat -c %u "$HF_HOME/model"'
            code, said = self.run_in(f"{options} sh -c {shlex.quote(write)}")
            self.assertEqual((code, said.splitlines()[0]), (0, before[1].strip()), said)
            self.assertEqual(self.run_in(owner), before, "the service lost its cache")
        self.assertEqual(self.run_in("ls /var/cache/tagbert /var/cache/tagbert/huggingface")[0], 0)

    def test_a_runtime_beside_the_packages_outlives_an_upgrade(self):
        # As docs/INSTALL.md has it for a GPU; the CPU's library stands for the other.
        drop_in = next(each for each in blocks("ini") if "ORT_DYLIB_PATH" in each)
        library = re.search(r"ORT_DYLIB_PATH=(\S+)", drop_in)[1]
        self.run_in(f"install -D /usr/lib/tagbert/libonnxruntime.so {library}; mkdir -p /etc/systemd/system/tagbert.service.d")
        (self.machine.root / "etc/systemd/system/tagbert.service.d/gpu.conf").write_text(drop_in)
        loaded = """
            systemctl daemon-reload; systemctl restart tagbert
            grep -o '/.*libonnxruntime.so' "/proc/$(systemctl show --value --property=MainPID tagbert)/maps" | sort -u"""
        self.assertEqual(self.run_in(loaded), (0, f"{library}\n"))
        self.run_in(f"echo >> {library}")
        changed = self.run_in(f"sha256sum {library}")
        self.assertEqual(self.run_in("dpkg --install /var/lib/package.deb")[0], 0)
        self.assertEqual(self.run_in(f"sha256sum {library}"), changed, "the upgrade wrote over it")
        self.assertEqual(self.run_in(loaded), (0, f"{library}\n"))

    def test_secrets_are_roots_and_reach_it(self):
        self.run_in("""
            echo geheim > /etc/tagbert/sasl-password; chmod 600 /etc/tagbert/sasl-password
            mkdir -p /etc/systemd/system/tagbert.service.d
            cat > /etc/systemd/system/tagbert.service.d/secret.conf <<'UNIT'
[Service]
LoadCredential=sasl-password:/etc/tagbert/sasl-password
Environment=TAGBERT__KAFKA__PROPERTIES__SECURITY__PROTOCOL=SASL_SSL TAGBERT__KAFKA__PROPERTIES__SASL__MECHANISM=PLAIN
Environment=TAGBERT__KAFKA__PROPERTIES__SASL__USERNAME=me TAGBERT__KAFKA__PROPERTIES__SASL__PASSWORD_FILE=/run/credentials/tagbert.service/sasl-password
UNIT
            systemctl daemon-reload; systemctl start tagbert""")
        self.wait_for("journalctl --no-pager --unit tagbert", "loaded in")
        self.assertEqual(self.show("ActiveState"), "active", self.run_in("journalctl --no-pager --unit tagbert")[1])


if __name__ == "__main__":
    unittest.main()
