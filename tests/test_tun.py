"""The bad link of the soak: what it does to packets, and that packets cross it."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from support import tun
from support.tun import DelayLine, Faults

needs_tun = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None or not Path("/dev/net/tun").exists(),
    reason="needs root, ip(8) and /dev/net/tun",
)


def _line(faults: Faults) -> DelayLine:
    return DelayLine(faults, random.Random(1))  # noqa: S311 (no secret)


def _arrivals(line: DelayLine) -> list[tuple[float, bytes]]:
    arrived: list[tuple[float, bytes]] = []
    while not math.isinf(at := line.next_at):
        arrived += [(at, packet) for packet in line.due(at)]
    return arrived


def _numbered(count: int) -> list[bytes]:
    return [number.to_bytes(2, "big") for number in range(count)]


def _through(faults: Faults, count: int) -> list[tuple[float, bytes]]:
    """Put one packet in each millisecond."""
    line = _line(faults)
    for number, packet in enumerate(_numbered(count)):
        line.put(packet, number / 1000)
    return _arrivals(line)


def test_line_delays_each_packet_by_the_delay() -> None:
    line = _line(Faults(delay_s=0.5))
    line.put(b"a", 1.0)
    assert line.next_at == 1.5
    assert line.due(1.4999) == []
    assert line.due(1.5) == [b"a"]
    assert math.isinf(line.next_at)


def test_line_with_jitter_varies_delays_and_keeps_the_order() -> None:
    arrived = _through(Faults(delay_s=0.02, jitter_s=0.01), 1000)
    delays = [at - number / 1000 for number, (at, _) in enumerate(arrived)]
    assert [packet for _, packet in arrived] == _numbered(1000)
    assert 0.01 <= min(delays) < 0.02 < max(delays) <= 0.03


def test_line_loses_the_share_that_was_asked_for() -> None:
    arrived = _through(Faults(loss=0.02, queue_packets=10_000), 10_000)
    assert 9_750 < len(arrived) < 9_850
    assert [packet for _, packet in arrived] == sorted(packet for _, packet in arrived)


def test_line_lets_packets_be_overtaken_and_loses_none() -> None:
    faults = Faults(delay_s=0.02, late=0.01, late_s=0.0055, queue_packets=10_000)
    arrived = [packet for _, packet in _through(faults, 10_000)]
    overtaken = sum(before > after for before, after in pairwise(arrived))
    assert sorted(arrived) == _numbered(10_000)
    assert 50 < overtaken < 150


def test_line_passes_no_more_than_its_rate() -> None:
    line = _line(Faults(rate_bytes_per_s=1000.0))
    for _ in range(10):
        line.put(bytes(100), 0.0)
    assert [at for at, _ in _arrivals(line)] == pytest.approx([0.1 * n for n in range(1, 11)])


def test_line_that_is_full_loses_what_comes() -> None:
    line = _line(Faults(delay_s=1.0, queue_packets=3))
    for packet in _numbered(5):
        line.put(packet, 0.0)
    assert line.due(1.0) == _numbered(3)
    line.put(b"next", 1.0)
    assert line.due(2.0) == [b"next"]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    _ip("netns", "add", name)
    try:
        yield name
    finally:
        _ip("netns", "del", name)


@contextmanager
def _link(left: str, right: str, delay_s: float) -> Iterator[None]:
    """Connect two namespaces: 192.0.2.1 is on the left, 192.0.2.2 on the right."""
    description = json.dumps({"ends": ["left0", "right0"], "delay_s": delay_s})
    command = ["ip", "netns", "exec", left, sys.executable, tun.__file__, description]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        _ip("-n", left, "link", "set", "right0", "netns", right)
        for namespace, device, address in ((left, "left0", "192.0.2.1"), (right, "right0", "192.0.2.2")):
            _ip("-n", namespace, "address", "add", f"{address}/30", "dev", device)
            _ip("-n", namespace, "link", "set", device, "up")
        yield
        assert process.poll() is None
        process.communicate()  # the end of its input ends it
    assert process.returncode == 0


_CONNECT = """\
import socket, time
before = time.monotonic()
error = socket.socket().connect_ex(("192.0.2.2", 9))
print(error, time.monotonic() - before)
"""


@needs_tun
def test_process_carries_packets_both_ways_and_late() -> None:
    names = [f"jobgate-tun-{os.getpid()}-{side}" for side in ("left", "right")]
    with ExitStack() as stack:
        left, right = (stack.enter_context(_namespace(name)) for name in names)
        stack.enter_context(_link(left, right, 0.1))
        command = ["ip", "netns", "exec", left, sys.executable, "-c", _CONNECT]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    error, took_s = done.stdout.split()
    assert int(error) == 111, "a closed port on the other side refuses"
    assert 0.2 <= float(took_s) < 5.0
