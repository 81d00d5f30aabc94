"""A bad link between two network namespaces: delay, jitter, loss, reordering, a bottleneck.

Made of pairs of TUN devices and this process between them, because many kernels have
no netem; so the figures are the same with every kernel. Started in a namespace, it makes the
devices there; whoever started it moves them where they belong and raises them.
Standard library only:

    python tun.py '{"ends": ["left0", "right0"], "delay_s": 0.02, "loss": 0.01}' ...

prints ``ready``, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import json
import math
import os
import random
import select
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

#: linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MAX_PACKET_BYTES = 65535
#: Packets read from one device before others get their turn.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to the packets of one direction.

    Attributes:
        delay_s: One way.
        jitter_s: Each packet takes up to this much longer or shorter, but none overtakes by it.
        loss: Share of packets that vanish.
        late: Share of packets that others overtake …
        late_s: … because they take this much longer.
        rate_bytes_per_s: Of the bottleneck.
        queue_packets: What is on its way at most; what comes then is lost.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    late: float = 0.0
    late_s: float = 0.0
    rate_bytes_per_s: float = math.inf
    queue_packets: int = 1000


class DelayLine:
    """One direction of a link; time is passed in."""

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self._faults = faults
        self._chance = chance
        self._queue: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._free_at = self._last_at = -math.inf

    @property
    def next_at(self) -> float:
        """When the next packet is due; infinity if there is none."""
        return self._queue[0][0] if self._queue else math.inf

    def put(self, packet: bytes, now: float) -> None:
        """Take a packet in, or lose it."""
        faults = self._faults
        if self._chance.random() < faults.loss or len(self._queue) >= faults.queue_packets:
            return
        self._free_at = max(now, self._free_at) + len(packet) / faults.rate_bytes_per_s
        at = self._free_at + faults.delay_s + self._chance.uniform(-faults.jitter_s, faults.jitter_s)
        at = max(at, self._last_at, now)
        if self._chance.random() < faults.late:
            at += faults.late_s
        else:
            self._last_at = at
        self._count += 1
        heapq.heappush(self._queue, (at, self._count, packet))

    def due(self, now: float) -> list[bytes]:
        """Take out the packets that have arrived, in the order they do."""
        arrived: list[bytes] = []
        while self._queue and self._queue[0][0] <= now:
            arrived.append(heapq.heappop(self._queue)[2])
        return arrived


def open_tun(name: str) -> int:
    """Make a TUN device in this network namespace; return its non-blocking descriptor.

    Raises:
        OSError: There is no ``/dev/net/tun``, or this process may not.
    """
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@dataclass(frozen=True, slots=True)
class Way:
    """From one device to another."""

    source: int
    target: int
    line: DelayLine

    def take_in(self, now: float) -> None:
        """Read what the kernel has sent into the device."""
        with contextlib.suppress(OSError):  # nothing more, or the device is down
            for _ in range(_BATCH):
                self.line.put(os.read(self.source, _MAX_PACKET_BYTES), now)

    def let_out(self, now: float) -> None:
        """Hand over what has arrived; a device that is down loses it."""
        for packet in self.line.due(now):
            with contextlib.suppress(OSError):
                os.write(self.target, packet)


def carry(ways: Sequence[Way], stop: int) -> None:
    """Move packets until ``stop`` has something to read, or its end."""
    by_source = {way.source: way for way in ways}
    with select.epoll() as poll:
        poll.register(stop, select.EPOLLIN)
        for way in ways:
            poll.register(way.source, select.EPOLLIN)
        while True:
            wait_s = min(way.line.next_at for way in ways) - time.monotonic()
            ready = poll.poll(None if math.isinf(wait_s) else max(0.0, wait_s))
            now = time.monotonic()
            for descriptor, _ in ready:
                if descriptor == stop:
                    return
                by_source[descriptor].take_in(now)
            for way in ways:
                way.let_out(now)


def main(links: Sequence[str]) -> None:
    """Make the links that are described in JSON, and carry."""
    ways: list[Way] = []
    for text in links:
        described = json.loads(text)
        left, right = (open_tun(name) for name in described.pop("ends"))
        faults = Faults(**described)
        for source, target in ((left, right), (right, left)):
            chance = random.Random(len(ways))  # noqa: S311 (no secret)
            ways.append(Way(source, target, DelayLine(faults, chance)))
    os.write(1, b"ready\n")
    carry(ways, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
