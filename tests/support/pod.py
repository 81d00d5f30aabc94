"""A pod's network namespace with a cable to an outside that watches, and answers on TCP."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import way_out
from .docker_engine import ADMIN_PATH
from .netns import Namespace, connect, namespace

OUTSIDE4, POD4 = "10.55.0.1", "10.55.0.2"
OUTSIDE6, POD6 = "fd55::1", "fd55::2"
INTERFACE = "pod0"
WAY_OUT = str(Path(way_out.__file__))

needs_nft = pytest.mark.skipif(
    shutil.which("nft", path=ADMIN_PATH) is None, reason="needs nft (package nftables)"
)

_SERVER = """
import http.server, socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "7"); self.end_headers()
        self.wfile.write(b"outside")
    def log_message(self, *args): pass
with Server(("::", 8080), Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
"""


class Pod:
    """Both ends."""

    def __init__(self, inside: Namespace, outside: Namespace) -> None:
        self.inside = inside
        self.outside = outside

    def jobgate(self, *args: str, wrap: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run jobgate inside; ``wrap`` goes before it."""
        command = self.inside.command(*wrap, sys.executable, "-m", "jobgate", *args)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def try_all(self, uid: int) -> tuple[dict[str, str], list[str]]:
        """Make every attempt as a user; return its outcomes, and what of them arrived outside."""
        with _started(self.outside.command(sys.executable, WAY_OUT, "watch", INTERFACE)) as watcher:
            arguments = (str(uid), INTERFACE, OUTSIDE4, OUTSIDE6)
            outcomes = json.loads(self.inside.run(sys.executable, WAY_OUT, "try", *arguments))
            seen, _ = watcher.communicate("end\n", timeout=30)
        return outcomes, json.loads(seen)

    def counters(self) -> dict[str, int]:
        """Packets by the comments of the rules that count them."""
        listed: list[dict[str, object]] = []
        for family in ("inet", "netdev"):
            listed += json.loads(self.inside.run("nft", "-j", "list", "table", family, "jobgate"))["nftables"]
        rules = [item["rule"] for item in listed if "rule" in item]
        found: dict[str, int] = {}
        for rule in rules:
            assert isinstance(rule, dict)
            counts = [part["counter"]["packets"] for part in rule["expr"] if "counter" in part]
            found |= {rule.get("comment", ""): count for count in counts}
        return found


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that says ``ready``, until the end."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@contextmanager
def pod() -> Iterator[Pod]:
    """Make both namespaces, the cable, and a server of HTTP outside."""
    with namespace() as inside, namespace() as outside:
        connect(inside, f"{POD4}/24", outside, f"{OUTSIDE4}/24", INTERFACE)
        for end, address in ((inside, POD6), (outside, OUTSIDE6)):
            end.run("ip", "address", "add", f"{address}/64", "dev", INTERFACE, "nodad")
        with _started(outside.command(sys.executable, "-c", _SERVER)):
            yield Pod(inside, outside)
