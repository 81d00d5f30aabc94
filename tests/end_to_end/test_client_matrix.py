"""Every client that is here, through the gate by its environment alone; the table of docs/clients.md.

``JOBGATE_WRITE_TABLE=1`` writes into the page what these clients show now.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from support.docker_engine import ROOT
from support.grpc_echo import echo_server
from support.matrix import (
    ALLOWED,
    REFUSED,
    Attempt,
    Client,
    Fetch,
    read_table,
    row_of,
    seen_with,
    write_table,
)
from support.matrix_clients import clients
from support.offers import offer_all
from support.site import Site, running_site

PAGE = ROOT / "docs/clients.md"
WRITE = bool(os.environ.get("JOBGATE_WRITE_TABLE"))
CLIENTS = clients()

pytestmark = pytest.mark.timeout(300)


@dataclass(slots=True)
class Matrix:
    """All attempts, each made once and when it is asked for."""

    site: Site
    folder: Path
    outcomes: dict[tuple[str, str, str], Attempt] = field(default_factory=dict)

    def attempt(self, client: Client, scheme: str, name: str) -> Attempt:
        key = (client.name, scheme, name)
        if key not in self.outcomes:
            self.outcomes[key] = client.fetch(self._fetch(client, scheme, name))
        return self.outcomes[key]

    def row(self, client: Client) -> list[str]:
        wanted = [(scheme, name) for scheme in client.schemes for name in (ALLOWED, REFUSED)]
        return row_of(client, {key: self.attempt(client, *key) for key in wanted})

    def _fetch(self, client: Client, scheme: str, name: str) -> Fetch:
        tools = self.folder / f"tools-{client.name.replace('/', '-')}"
        if not tools.exists():
            tools.mkdir()
            client.prepare(self.site, tools)
        folder = self.folder / f"attempt-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        if client.plain_tunnels and scheme == "http":
            host = f"tunnel.{name}" if name == ALLOWED else name
            return Fetch(self.site.with_plain_tunnels(), scheme, host, folder, tools)
        return Fetch(self.site, scheme, name, folder, tools)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    folder = tmp_path_factory.mktemp("matrix")
    authority = trustme.CA()
    with grpc_port(authority) as also, running_site(folder, authority, also) as site:
        origins = {"http": site.http("/files"), "https": site.https("/files")}
        offer_all(site.files, folder / "work", origins)
        yield Matrix(site, folder)


@contextmanager
def grpc_port(authority: trustme.CA) -> Iterator[tuple[int, ...]]:
    """The port of a gRPC server, where there can be one."""
    if importlib.util.find_spec("grpc") is None:
        yield ()
        return
    with echo_server(authority) as port:
        yield (port,)


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    if found.absent:
        pytest.skip(f"{found.name}: {found.absent}")
    return found


def test_allowed_works(matrix: Matrix, client: Client) -> None:
    for scheme in client.schemes:
        attempt = matrix.attempt(client, scheme, ALLOWED)
        assert attempt.exit_code == 0, f"{scheme}: {attempt.said}"


def test_refused_is_an_error_for_the_reason_that_the_log_tells(matrix: Matrix, client: Client) -> None:
    for scheme in client.schemes:
        attempt = matrix.attempt(client, scheme, REFUSED)
        assert attempt.exit_code != 0, f"{scheme}: {attempt.said}"
        line = matrix.site.gate.line_with(event="decision", host=REFUSED, decision="deny")
        assert line["reason"] == "not-listed"


@pytest.mark.skipif(WRITE, reason="the page is being written")
def test_page_says_what_the_client_shows(matrix: Matrix, client: Client) -> None:
    row = matrix.row(client)
    said = "\n".join(matrix.attempt(client, scheme, REFUSED).said for scheme in client.schemes)
    assert read_table(PAGE).get(client.name, [])[:-1] == row, said


@pytest.mark.skipif(not WRITE, reason="JOBGATE_WRITE_TABLE is not set")
def test_write_the_page(matrix: Matrix) -> None:
    present = [client for client in CLIENTS if not client.absent]
    rows = {client.name: [*matrix.row(client), seen_with(client)] for client in present}
    write_table(PAGE, rows, [client.name for client in CLIENTS])


def test_page_has_a_row_for_every_client() -> None:
    assert list(read_table(PAGE)) == [client.name for client in CLIENTS]
