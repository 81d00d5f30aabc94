"""Fixtures of the tests that start jobs."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import probe
from support.jobs import COMMAND, DEADLINE_S, IDENTITIES, Findings, as_identity, environment


@pytest.fixture(params=IDENTITIES)
def identity(request: pytest.FixtureRequest) -> str:
    """Who starts the job: a user without any capability, and root."""
    return str(request.param)


@pytest.fixture(scope="session")
def places() -> Iterator[dict[str, str]]:
    """Listeners of the host that a job must not reach."""
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tcp6 = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        name = f"jobgate-test-{secrets.token_hex(8)}"
        abstract.bind("\0" + name)
        abstract.listen()
        yield {"tcp": str(tcp.getsockname()[1]), "tcp6": str(tcp6.getsockname()[1]), "abstract": name}


def look_around(identity: str, places: dict[str, str]) -> Findings:
    """Run the probe as a job without network, with a descriptor too many open in its launcher."""
    arguments = [f"{name}={value}" for name, value in places.items()]
    job = [sys.executable, probe.__file__, str(os.getpid()), *arguments]
    spare, other = os.pipe()
    try:
        done = subprocess.run(
            as_identity(identity, [*COMMAND, "run", "--", *job]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=DEADLINE_S,
            env=environment(),
            pass_fds=(spare,),
            check=True,
        )
    finally:
        os.close(spare)
        os.close(other)
    findings: Findings = json.loads(done.stdout)
    return findings


@pytest.fixture(scope="session", params=IDENTITIES)
def findings(request: pytest.FixtureRequest, places: dict[str, str]) -> Findings:
    """What a job of each identity sees; one job for all tests that ask."""
    return look_around(str(request.param), places)


@pytest.fixture(scope="session")
def root_findings(places: dict[str, str]) -> Findings:
    """What root's job sees."""
    return look_around("root", places)


@pytest.fixture(scope="session")
def host_namespaces() -> dict[str, str]:
    """The namespaces of the tests themselves."""
    return {path.name: os.readlink(path) for path in Path("/proc/self/ns").iterdir()}
