"""What a job of ``jobgate run`` may reach in a test: two origins on loopback, under names of their own."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from .jobs import DEADLINE_S, common_folder, run
from .web_origin import WebOrigin, web_origin

FETCH = """
import sys, urllib.error, urllib.request
try:
    sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=20).read())
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code} {error.reason} {error.read().decode()}")
except urllib.error.URLError as error:
    sys.exit(f"{error.reason}")
"""


@dataclass(frozen=True, slots=True)
class World:
    """Two origins on loopback, and a configuration that lets names lead there."""

    origin: WebOrigin
    raw: socket.socket
    configuration: Path
    authority: Path

    @property
    def raw_port(self) -> int:
        port: int = self.raw.getsockname()[1]
        return port

    def url(self, scheme: str, name: str, path: str = "/bytes/5000") -> str:
        port = self.origin.plain_port if scheme == "http" else self.origin.tls_port
        return f"{scheme}://{name}:{port}{path}"

    def options(self, *domains: str) -> list[str]:
        """For a job with these domains; ``ok.test`` opens its TLS port, too."""
        entries = [*domains, *(f"{name}:{self.origin.tls_port}" for name in domains)]
        return ["--config", str(self.configuration), *(f"--domain={entry}" for entry in entries)]

    def fetch(
        self, identity: str, url: str, *options: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a job that fetches one URL."""
        chosen = options or tuple(self.options("ok.test"))
        job = [sys.executable, "-c", FETCH, url]
        return run(
            identity, *chosen, "--", *job, variables={"SSL_CERT_FILE": str(self.authority), **variables}
        )


CONFIGURATION = """
[node]
networks = ["none", "http", "full"]
allow_addresses = ["127.0.0.1:{plain}", "127.0.0.1:{tls}", "127.0.0.1:{raw}"]
refusal_note = "ask ops@example.com"
no_proxy = ["192.0.2.7"]
[dns.hosts]
"ok.test" = ["127.0.0.1"]
"other.test" = ["127.0.0.1"]
"inside.test" = ["127.0.0.2"]
[env]
PIP_INDEX_URL = "https://mirror.example/simple"
"""


@contextmanager
def running_world() -> Iterator[World]:
    """Start the origins and write the configuration."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("ok.test", "other.test").configure_cert(tls)
    with common_folder() as folder, web_origin(tls) as origin, socket.create_server(("127.0.0.1", 0)) as raw:
        raw.settimeout(DEADLINE_S)
        bundle, configuration = folder / "authority.pem", folder / "jobgate.toml"
        authority.cert_pem.write_to_path(str(bundle))
        ports = {"plain": origin.plain_port, "tls": origin.tls_port, "raw": raw.getsockname()[1]}
        configuration.write_text(CONFIGURATION.format(**ports))
        yield World(origin, raw, configuration, bundle)
