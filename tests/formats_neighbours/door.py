"""A door before a registry: TLS, and whoever comes in has to say who they are, or show a certificate.

    door.py PORT REGISTRY CERTIFICATE KEY AUTHORIZATION [AUTHORITY]

Prints a line for each that is let in, and what they asked for.
"""

import ssl
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, registry, certificate, key, authorization = sys.argv[1:6]
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
if len(sys.argv) > 6:
    tls.load_verify_locations(sys.argv[6])
    tls.verify_mode = ssl.CERT_REQUIRED


class Door(BaseHTTPRequestHandler):
    def ask(self):
        if self.headers.get("authorization", "") != authorization:
            self.send_response(401)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        to = urllib.request.Request(registry + self.path, data=body or None, method=self.command)
        to.add_header("content-type", "application/json")
        try:
            answer = urllib.request.urlopen(to)
        except urllib.error.HTTPError as error:
            answer = error
        said = answer.read()
        self.send_response(answer.status)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
        print(self.command, self.path, flush=True)

    do_GET = do_POST = ask

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(port)), Door)
server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
