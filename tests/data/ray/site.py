"""The internet of the Ray tests: packages, uploads, a page; HTTP and HTTPS.

    python site.py FOLDER [ADDRESS HTTP_PORT HTTPS_PORT]

FOLDER has ``index/`` and ``uploads/``, and ``server.pem`` with certificate and key.
"""

from __future__ import annotations

import ssl
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])
ADDRESS, HTTP_PORT, HTTPS_PORT = sys.argv[2:] or ("127.0.0.1", "8080", "8443")
BULK_BYTES = 5_000_000


class Handler(SimpleHTTPRequestHandler):
    """Serves the index, takes uploads."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args, directory=str(FOLDER / "index"))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Serve ``/hello``, ``/bulk`` or a file."""
        if self.path in ("/hello", "/bulk"):
            content = b"hello" if self.path == "/hello" else bytes(BULK_BYTES)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            super().do_GET()

    def do_PUT(self) -> None:
        """Keep what is sent."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        (FOLDER / "uploads" / Path(self.path).name).write_bytes(content)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the process is ended."""
    plain = ThreadingHTTPServer((ADDRESS, int(HTTP_PORT)), Handler)
    secure = ThreadingHTTPServer((ADDRESS, int(HTTPS_PORT)), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "server.pem")
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    print("ready", flush=True)
    plain.serve_forever()


main()
