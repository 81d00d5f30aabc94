"""``jobgate demo``: one allowed and one refused request through ``jobgate run``, offline.

A TLS origin on loopback stands for the internet. Its certificate and key are public and
good for ``allowed.demo.test`` only.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path
from threading import Thread

import click

ALLOWED = "allowed.demo.test"
REFUSED = "refused.demo.test"
CONTENT = b"Hello from the origin.\n"

CLIENT = '''\
"""The job of the demo: an ordinary program that knows nothing of jobgate."""

import ssl
import sys
import urllib.error
import urllib.request

context = ssl.create_default_context(cafile=sys.argv[1])
results = []
for url in sys.argv[2:]:
    try:
        with urllib.request.urlopen(url, timeout=20, context=context) as response:
            results.append(response.status == 200)
            print(f"job: {url} -> {response.status} {response.read().decode().strip()}", flush=True)
    except urllib.error.URLError as error:
        results.append(False)
        print(f"job: {url} -> {error.reason}", flush=True)
sys.exit(results != [True, False])
'''
"""Exits with 0 if the first request got its answer and the second one did not."""


class Origin(BaseHTTPRequestHandler):
    """Answers every GET with the same text."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the demo shows the client's side."""


@contextlib.contextmanager
def tls_origin(certificate: Path) -> Iterator[int]:
    """Serve HTTPS on loopback; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def configuration(port: int) -> str:
    """What the node of the demo allows: its own origin, which is on a loopback address."""
    return (
        "[node]\n"
        f"connect_ports = [{port}]\n"
        f'allow_addresses = ["127.0.0.1:{port}"]\n'
        "[dns.hosts]\n"
        f'"{ALLOWED}" = ["127.0.0.1"]\n'
        f'"{REFUSED}" = ["127.0.0.1"]\n'
    )


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without ``JOBGATE_*``: the user's own settings are no part of the demo."""
    return {name: value for name, value in environment.items() if not name.startswith("JOBGATE_")}


def run_demo(folder: Path) -> int:
    """Run the job behind its gate; the exit code of ``jobgate run``."""
    data = files("jobgate.cli") / "demo_data"
    with as_file(data / "ca.pem") as ca, as_file(data / "origin.pem") as origin, tls_origin(origin) as port:
        config = folder / "jobgate.toml"
        config.write_text(configuration(port))
        client = folder / "client.py"
        client.write_text(CLIENT)
        job = [
            sys.executable,
            str(client),
            str(ca),
            f"https://{ALLOWED}:{port}/",
            f"https://{REFUSED}:{port}/",
        ]
        run = ["run", "--config", str(config), "--domain", ALLOWED, "--summary", "--", *job]
        click.echo(f"$ jobgate {shlex.join(run)}")
        command = [sys.executable, "-m", "jobgate", *run]
        environment = child_environment(os.environ)
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603  our own program


@click.command(epilog="Example: jobgate demo")
def command() -> None:
    """Show one allowed and one refused request through `jobgate run`; needs no network.

    Exits with 0 if the gate did what it should.
    """
    with tempfile.TemporaryDirectory(prefix="jobgate-demo-") as folder:
        code = run_demo(Path(folder))
    if code:
        raise click.ClickException(f"the demo failed: `jobgate run` ended with {code}")
