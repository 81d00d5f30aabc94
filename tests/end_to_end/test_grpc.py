"""gRPC over the gate by environment alone: HTTP/2 inside TLS inside CONNECT, credentials and all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from support.net import free_port
from support.serve import COMMAND, ENVIRONMENT, Served, serve

grpc = pytest.importorskip("grpc")

CALL = """
import sys, grpc
target, authority = sys.argv[1:]
with open(authority, "rb") as bundle:
    credentials = grpc.ssl_channel_credentials(bundle.read())
with grpc.secure_channel(target, credentials) as channel:
    call = channel.unary_unary("/test.Echo/Say", lambda text: text.encode(), lambda data: data.decode())
    try:
        print(call("hello", timeout=20))
    except grpc.RpcError as error:
        sys.exit(error.details())
"""
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


@contextmanager
def echo_server(authority: trustme.CA) -> Iterator[int]:
    """Serve one method that answers what it is told."""
    certificate = authority.issue_cert("ok.test", "evil.test")
    key, chain = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    handlers = {"Say": grpc.unary_unary_rpc_method_handler(lambda request, context: request)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port: int = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


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
