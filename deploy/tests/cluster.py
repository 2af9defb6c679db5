"""A real API server on etcd, without controllers: what is accepted is real, and no pod ever runs."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tools import CRDS, TOOLS, run, tool

TOKEN = "not-a-secret"


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Cluster:
    """Starts both, and stops them at the end of a `with`."""

    def __enter__(self):
        apiserver = tool(TOOLS / "kube-apiserver")
        self.home = Path(tempfile.mkdtemp(prefix="tagbert-cluster-"))
        self.processes = []
        etcd, peer, port = free_ports(3)
        self.spawn(
            tool(Path(shutil.which("etcd") or TOOLS / "etcd")), "--data-dir", self.home / "etcd", "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{etcd}", "--advertise-client-urls", f"http://127.0.0.1:{etcd}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}")
        key, tokens = self.home / "key.pem", self.home / "tokens.csv"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        tokens.write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        self.spawn(
            apiserver, "--etcd-servers", f"http://127.0.0.1:{etcd}", "--cert-dir", self.home / "certs",
            "--bind-address", "127.0.0.1", "--secure-port", str(port), "--token-auth-file", tokens,
            "--service-account-issuer", "https://localhost", "--service-account-signing-key-file", key,
            "--service-account-key-file", key, "--service-cluster-ip-range", "10.0.0.0/24")
        self.kubeconfig = self.home / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here", "namespace": "nlp"}}],
            "clusters": [{"name": "here", "cluster": {
                "server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "here", "user": {"token": TOKEN}}]}))
        try:
            self.wait()
            self.prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for each in reversed(self.processes):
            each.terminate()
            each.wait(30)
        shutil.rmtree(self.home)

    def spawn(self, *command):
        with (self.home / f"{Path(command[0]).name}.log").open("w") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def wait(self):
        deadline = time.monotonic() + 180
        while self.kubectl("get", "--raw", "/readyz", check=False)[0]:
            dead = [each.args[0] for each in self.processes if each.poll() is not None]
            if dead or time.monotonic() > deadline:
                log = (self.home / "kube-apiserver.log").read_text()[-2000:]
                raise AssertionError(f"the API server is not ready (ended: {dead}): {log}")
            time.sleep(0.5)

    def prepare(self):
        """What a cluster has before anybody installs something."""
        for crd in CRDS:
            self.kubectl("apply", "-f", crd)
        for name in ("scaledobjects.keda.sh", "podmonitors.monitoring.coreos.com"):
            self.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{name}")
        self.apply(
            self.namespace("nlp"),
            {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "batch"}, "value": 10},
            {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "gvisor"}, "handler": "runsc"},
            # Pods are admitted with an account that is there: the chart's own, given ones, and what a controller makes.
            *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
              for name in ("rel-tagbert", "classifier", "tagger", "theirs", "default")))

    @staticmethod
    def namespace(name):
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}

    def kubectl(self, *args, stdin=None, check=True):
        return self.tool("kubectl", *args, stdin=stdin, check=check)

    def tool(self, name, *args, stdin=None, check=True):
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home)}
        code, out, error = run(tool(TOOLS / name), *args, stdin=stdin, env=env)
        if check and code:
            raise AssertionError(f"{name} {' '.join(map(str, args))}: {out}{error}")
        return code, out, error

    def apply(self, *objects, args=()):
        """Applies objects by the server, strictly; gives its warnings."""
        stdin = "\n---\n".join(json.dumps(each) for each in objects)
        return self.kubectl("apply", "--server-side", "--validate=strict", *args, "-f", "-", stdin=stdin)[2]

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json")[1])
