"""OpenSSL is compiled in, and would look for certificate authorities where it was built: it must look where systems have them."""

import contextlib
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from release import NAME, Machine

PLACES = {
    "Debian": "/etc/ssl/certs/ca-certificates.crt",
    "Red Hat": "/etc/pki/tls/certs/ca-bundle.crt",
    "SUSE": "/etc/ssl/ca-bundle.pem",
    "Alpine": "/etc/ssl/cert.pem",
}


class Authority:
    """A certificate authority that no system knows, and a certificate for localhost."""

    def __init__(self, folder: Path):
        self.certificate, self.key, self.chain = folder / "ca.pem", folder / "key.pem", folder / "server.pem"
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        quiet = {"check": True, "capture_output": True}
        subprocess.run([*openssl, "-subj", "/CN=test authority", "-keyout", folder / "ca.key", "-out", self.certificate], **quiet)
        subprocess.run([*openssl, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE",
                        "-CA", self.certificate, "-CAkey", folder / "ca.key", "-keyout", self.key, "-out", self.chain], **quiet)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


@contextlib.contextmanager
def broker(authority: Authority):
    """Something that speaks TLS and then hangs up; gives its port, and how handshakes went."""
    went: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with authority.context().wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1)
                    went.append("done")
            except OSError as error:
                went.append(str(error))

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], went
    finally:
        listener.close()


@contextlib.contextmanager
def provider(authority: Authority):
    """An OIDC provider, that gives a token which is none; gives its port, and the paths that it was asked for."""
    asked: list[str] = []

    class Tokens(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            body = json.dumps({"access_token": "x.y.z", "token_type": "Bearer", "expires_in": 60}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    server.socket = authority.context().wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()


class Trust(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = Path(tempfile.mkdtemp(prefix="tagbert-dist-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.authority = Authority(folder)

    def check(self, place: str | None, *settings: str) -> str:
        """`tagbert check` on a system that has the authority there; what it said."""
        with Machine("bookworm") as machine:
            machine.unpack()
            for each in PLACES.values():
                (machine.root / each[1:]).unlink(missing_ok=True)
            (machine.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
            if place:
                target = machine.root / place[1:]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.authority.certificate, target)
                target.chmod(0o644)
            options = " ".join(f"--set '{setting}'" for setting in settings)
            done = machine.run(f"cd /opt/{NAME} && ./tagbert check --config configs/local.yaml --set model.path=models/tagbert-tiny {options}",
                               network=True)
            # It is no broker.
            self.assertEqual(done.returncode, 1, done.stderr)
            return done.stderr

    def test_brokers_are_trusted_by_the_authorities_of_each_system(self):
        for name, place in PLACES.items():
            with self.subTest(name), broker(self.authority) as (port, went):
                self.check(place, f"kafka.brokers=localhost:{port}", "kafka.properties.security.protocol=SSL")
                self.assertIn("done", went)

    def test_a_broker_of_another_authority_is_refused(self):
        with broker(self.authority) as (port, went):
            said = self.check(None, f"kafka.brokers=localhost:{port}", "kafka.properties.security.protocol=SSL")
            self.assertNotIn("done", went)
            self.assertIn("certificate verify failed", said)

    def test_so_is_whoever_gives_tokens(self):
        properties = ["security.protocol=SASL_SSL", "sasl.mechanism=OAUTHBEARER", "sasl.oauthbearer.method=oidc",
                      "sasl.oauthbearer.client.id=a", "sasl.oauthbearer.client.secret=b"]
        for place, trusted in [(PLACES["Debian"], True), (PLACES["Red Hat"], True), (None, False)]:
            with self.subTest(place), broker(self.authority) as (port, _), provider(self.authority) as (tokens, asked):
                endpoint = f"sasl.oauthbearer.token.endpoint.url=https://localhost:{tokens}/token"
                self.check(place, f"kafka.brokers=localhost:{port}", *(f"kafka.properties.{each}" for each in [*properties, endpoint]))
                self.assertEqual("/token" in asked, trusted)


if __name__ == "__main__":
    unittest.main()
