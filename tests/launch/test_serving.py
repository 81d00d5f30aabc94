from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable

import pytest

from jobgate.config.policy import JobPolicy
from jobgate.config.settings import JobSettings
from jobgate.launch.serving import listen, until_ended


class FakeJob:
    """Ends after a number of bytes came on a pipe."""

    def __init__(self, steps: int) -> None:
        self.exit_code: int | None = None
        self.calls = 0
        self._steps = steps
        self.reader, self.writer = os.pipe()

    def sources(self) -> dict[int, Callable[[], None]]:
        return {self.reader: self._step}

    def _step(self) -> None:
        os.read(self.reader, 1)
        self.calls += 1
        if self.calls == self._steps:
            self.exit_code = 0


@pytest.mark.parametrize("steps", [1, 3])
async def test_until_ended_calls_the_sources_until_there_is_an_exit_code(steps: int) -> None:
    job = FakeJob(steps)
    os.write(job.writer, b"x" * 10)
    await until_ended(job)
    assert job.calls == steps
    # Nothing reads any more.
    os.write(job.writer, b"x")
    os.close(job.reader)
    os.close(job.writer)


@pytest.mark.parametrize(
    ("rate", "at_least", "at_most"),
    [(1_250_000.0, 128 * 1024, 2_500_000), (math.inf, 0, 64 << 20)],
    ids=["10mbit", "unlimited"],
)
def test_listen_bounds_the_buffer_of_a_limited_job(rate: float, at_least: int, at_most: int) -> None:
    with socket.socket() as untouched, socket.socket() as proxy, socket.socket() as client:
        proxy.bind(("127.0.0.1", 0))
        listen(proxy, JobSettings("run", JobPolicy(rate_up=rate)))
        client.connect(proxy.getsockname())
        accepted, _ = proxy.accept()
        size = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        accepted.close()
        default = untouched.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert at_least <= size <= at_most
    assert (size == default) == math.isinf(rate)
