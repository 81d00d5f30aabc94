"""One gate and one origin for all real clients: ``jobgate serve`` in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme

from .net import free_port
from .serve import COMMAND, ENVIRONMENT, Served, serve
from .web_origin import WebOrigin, web_origin

#: Has to be encoded in a URL; a generator of tokens makes simpler ones.
TOKEN = "p@ss:w/rd%+~"


@dataclass(frozen=True, slots=True)
class Site:
    """What a client's test needs.

    Attributes:
        origin: Its ports.
        gate: The running gate.
        files: Folder served below ``/files/``.
        authority: Certificate of the authority that signed the origin's.
        environment: What ``jobgate env`` prints, and where each client finds the authority.
        plain_tunnels: The same for a job whose tunnels may carry anything.
        known: The same for a job that shares its listener and is known by its token.
        also: Further TLS ports of the listed host, which somebody else serves.
    """

    origin: WebOrigin
    gate: Served
    files: Path
    authority: Path
    environment: dict[str, str]
    plain_tunnels: dict[str, str]
    known: dict[str, str]
    also: tuple[int, ...] = ()

    def with_plain_tunnels(self) -> Site:
        """As the job whose tunnels may carry anything: some clients tunnel ``http://`` and ``ws://`` too."""
        return replace(self, environment=self.plain_tunnels)

    def with_credentials(self) -> Site:
        """As the job that is known by its token."""
        return replace(self, environment=self.known)

    def http(self, path: str, name: str = "ok.test") -> str:
        """Return a plain URL of the origin."""
        return f"http://{name}:{self.origin.plain_port}{path}"

    def https(self, path: str, name: str = "ok.test") -> str:
        """Return a TLS URL of the origin."""
        return f"https://{name}:{self.origin.tls_port}{path}"

    def run(
        self, command: list[str], content: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a client with nothing but the environment of a job."""
        return subprocess.run(command, input=content, capture_output=True, timeout=60, env=self.environment)


def _configuration(
    origin: WebOrigin, port: int, plain_port: int, shared_port: int, also: Sequence[int] = ()
) -> str:
    plain, secure = origin.plain_port, origin.tls_port
    addresses = "".join(f', "127.0.0.1:{more}"' for more in also)
    domains = "".join(f', "ok.test:{more}"' for more in also)
    return f"""
[listen]
control = ""
proxy = ["127.0.0.1:{shared_port}"]
[node]
allow_addresses = ["127.0.0.1:{plain}", "127.0.0.1:{secure}"{addresses}]
[dns]
hosts = {{ "ok.test" = ["127.0.0.1"], "tunnel.ok.test" = ["127.0.0.1"], "evil.test" = ["127.0.0.1"] }}
[[job]]
id = "job"
network = "http"
listen = "127.0.0.1:{port}"
domains = ["ok.test", "ok.test:{secure}"{domains}]
[[job]]
id = "plain-tunnels"
network = "http"
listen = "127.0.0.1:{plain_port}"
domains = ["tunnel.ok.test:{plain}"]
tls = "any"
[[job]]
id = "known"
network = "http"
token = {json.dumps(TOKEN)}
domains = ["ok.test", "ok.test:{secure}"]
[[job]]
id = "neighbour"
network = "http"
clients = ["127.200.0.0/16"]
domains = ["ok.test", "ok.test:{secure}"]
"""


def _job_environment(job: str, configuration: Path, home: Path, authority: Path) -> dict[str, str]:
    """Take the variables of the product, and add what tells each client whom to trust."""
    command = [*COMMAND, "env", job, "--config", str(configuration), "--format", "json"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, env=ENVIRONMENT).stdout
    variables: dict[str, str] = json.loads(printed)
    trusted = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "NODE_EXTRA_CA_CERTS": str(authority),
        **dict.fromkeys(trusted, str(authority)),
        **variables,
    }


@contextmanager
def running_site(
    folder: Path, authority: trustme.CA | None = None, also: Sequence[int] = ()
) -> Iterator[Site]:
    """Start an origin and a gate that know nothing of each other but the gate's rules.

    Args:
        folder: For all their files.
        authority: Signs the origin's certificate.
        also: Further TLS ports of the listed host, which somebody else serves.
    """
    authority = authority or trustme.CA()
    bundle = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("ok.test", "*.ok.test", "evil.test").configure_cert(tls)
    files = folder / "files"
    files.mkdir()
    home = folder / "home"
    home.mkdir()
    (home / ".wgetrc").write_text(f"ca_certificate = {bundle}\n")
    with web_origin(tls, files) as origin:
        configuration = folder / "jobgate.toml"
        configuration.write_text(_configuration(origin, free_port(), free_port(), free_port(), also))
        with serve(configuration) as gate:
            own, plain_tunnels, known = (
                _job_environment(job, configuration, home, bundle)
                for job in ("job", "plain-tunnels", "known")
            )
            yield Site(origin, gate, files, bundle, own, plain_tunnels, known, tuple(also))


def need(program: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def need_node() -> str:
    """Return the path of a Node whose ``fetch`` reads the environment, or skip the test."""
    path = need("node")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < 24:
        pytest.skip(f"node {version.strip()} does not read NODE_USE_ENV_PROXY")
    return path
