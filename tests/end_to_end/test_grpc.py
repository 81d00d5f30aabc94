"""gRPC over the gate by environment alone: HTTP/2 inside TLS inside CONNECT, credentials and all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from support.grpc_echo import CALL, echo_server
from support.net import free_port
from support.serve import COMMAND, ENVIRONMENT, Served, serve

pytest.importorskip("grpc")

CONFIGURATION = """
[listen]
control = ""
proxy = ["127.0.0.1:{shared}"]
[node]
allow_addresses = ["127.0.0.1:{port}"]
[dns]
hosts = {{ "ok.test" = ["127.0.0.1"], "evil.test" = ["127.0.0.1"] }}
[[job]]
id = "first"
network = "http"
listen = "127.0.0.1:{own}"
domains = ["ok.test:{port}"]
[[job]]
id = "known"
network = "http"
token = "s3cret"
domains = ["ok.test:{port}"]
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC server on loopback, and a gate in front of it."""

    gate: Served
    port: int
    authority: Path
    configuration: Path

    def call(self, job: str, name: str = "ok.test", **changed: str) -> subprocess.CompletedProcess[str]:
        """Call the server as a job, with what ``jobgate env`` prints."""
        printed = [*COMMAND, "env", job, "--config", str(self.configuration), "--format", "json"]
        variables: dict[str, str] = json.loads(
            subprocess.run(printed, capture_output=True, check=True, text=True, env=ENVIRONMENT).stdout
        )
        return subprocess.run(
            [sys.executable, "-c", CALL, f"{name}:{self.port}", str(self.authority)],
            env={"PATH": os.environ["PATH"], **variables, **changed},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("grpc")
    authority = trustme.CA()
    bundle, configuration = folder / "authority.pem", folder / "jobgate.toml"
    authority.cert_pem.write_to_path(str(bundle))
    with echo_server(authority) as port:
        configuration.write_text(CONFIGURATION.format(shared=free_port(), own=free_port(), port=port))
        with serve(configuration) as gate:
            yield Service(gate, port, bundle, configuration)


@pytest.mark.parametrize("job", ["first", "known"], ids=["own-listener", "token"])
def test_call_arrives_and_is_the_jobs(service: Service, job: str) -> None:
    done = service.call(job)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert service.gate.line_with(event="decision", host="ok.test", job=job, decision="allow")


def test_call_without_the_token_is_refused(service: Service) -> None:
    known = service.call("known")
    assert known.returncode == 0, known.stderr
    proxy = f"http://127.0.0.1:{_shared_port(service.configuration)}"
    done = service.call("known", **dict.fromkeys(("http_proxy", "https_proxy"), proxy))
    assert done.returncode != 0
    assert service.gate.line_with(event="decision", job="", reason="auth")


def test_call_to_another_host_is_refused(service: Service) -> None:
    assert service.call("first", "evil.test").returncode != 0
    assert service.gate.line_with(event="decision", host="evil.test", reason="not-listed")


def _shared_port(configuration: Path) -> str:
    line = next(line for line in configuration.read_text().splitlines() if line.startswith("proxy"))
    return line.rpartition(":")[2].rstrip('"]')
