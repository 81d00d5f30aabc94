"""A gateway that is killed at any moment loses no job, and at most the last second of its counters."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from support.killing import (
    ControlConnection,
    Promises,
    Seen,
    Traffic,
    found_jobs,
    gateway,
    running_threads,
)

#: A longer run is for a soak: JOBGATE_TEST_KILLS=200.
KILLS = int(os.environ.get("JOBGATE_TEST_KILLS", "5"))
#: Of load before each kill: counters are written each second.
LOAD_S = 2.2
#: A write that is due each second may begin late and takes a moment, on a machine that is busy.
LATE_S = 0.5

CONFIGURATION = """
[node]
allow_addresses = ["127.0.0.1"]
[listen]
control = "{folder}/control.sock"
[state]
path = "{folder}/state.db"
[dns.hosts]
"origin.test" = ["127.0.0.1"]
[[job]]
id = "filed"
network = "http"
listen = "127.0.0.1:0"
domains = ["origin.test:{port}"]
rate_up = "20mbit"
tls = "any"
"""


@pytest.fixture
def sink() -> Iterator[int]:
    """An origin that reads for ever; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def read_for_ever() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    while sock.recv(1 << 20):
                        pass

        with running_threads(read_for_ever):
            yield listener.getsockname()[1]
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.timeout(60 + 15 * KILLS)
def test_nothing_is_lost_by_kills_under_load(tmp_path: Path, sink: int) -> None:
    configuration, control = tmp_path / "jobgate.toml", tmp_path / "control.sock"
    configuration.write_text(CONFIGURATION.format(folder=tmp_path, port=sink))
    promises, floor = Promises(), 0
    chance = random.Random(0)  # noqa: S311 (no secret)
    for _ in range(KILLS):
        with gateway(configuration, control) as (served, connection):
            seen = Seen()
            seen.look(connection, "filed")
            assert seen.last >= floor
            promises.check(found_jobs(connection))
            traffic = Traffic(served.listeners["filed"], f"origin.test:{sink}")
            changes = partial(promises.change_for_ever, ControlConnection(control), chance)
            with running_threads(changes, traffic.send_for_ever):
                end = time.monotonic() + LOAD_S + chance.random()
                while time.monotonic() < end:
                    seen.look(connection, "filed")
                killed_at = time.monotonic()
                served.process.kill()
            assert promises.changes > 0
            floor = seen.at(killed_at - 1.0 - LATE_S)
            assert floor > 0
    with gateway(configuration, control) as (_, connection):
        seen.look(connection, "filed")
        assert seen.last >= floor
        promises.check(found_jobs(connection))
