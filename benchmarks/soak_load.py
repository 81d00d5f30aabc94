"""The clients of the soak: every kind of load at once, until the time is over.

Started by ``soak.py`` in the clients' namespace. Says ``quiet`` when all clients are
gone, then waits for a line: the gate is about to be stopped, and transfers begin that it must let
end. Says ``open`` when they are under way, and at last the tally, in JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import soak_breaks
import soak_changes
import soak_transfers
from soak_client import Broken, Job, Moved, Operation, Refused, Wrong
from soak_content import Ended, content, digest
from soak_policy import EXTRA

#: No operation takes so long unless something hangs.
_OPERATION_S = 90.0
_KEPT_MESSAGES = 20


@dataclass(frozen=True, slots=True)
class Load:
    """A kind of load.

    Attributes:
        workers: Job to how many do it at the same time.
        pause_s: Between two turns of a worker.
    """

    run: Callable[[Operation], Awaitable[None]]
    workers: dict[str, int]
    pause_s: float


REVOCABLE_LOAD, PASSING_LOAD = "names denied now and then", "job that comes and goes"
LOADS = {
    "bulk down": Load(soak_transfers.bulk_down, {"limited": 2, "unlimited": 1, "small": 1}, 0.2),
    "bulk up": Load(soak_transfers.bulk_up, {"limited": 2, "unlimited": 1, "small": 1}, 0.2),
    "short tunnels": Load(soak_transfers.short_tunnel, {"limited": 2, "unlimited": 4, "small": 1}, 0.1),
    "keep-alive GETs": Load(soak_transfers.keep_alive_gets, {"limited": 1, "unlimited": 2}, 0.1),
    "uploads, chunked and not": Load(soak_transfers.chunked_uploads, {"limited": 1, "unlimited": 1}, 0.2),
    "half-closed by client": Load(soak_transfers.half_closed, {"limited": 1, "unlimited": 1}, 0.3),
    "half-closed by origin": Load(soak_transfers.half_closed_by_origin, {"unlimited": 1, "small": 1}, 0.3),
    "slow readers": Load(soak_transfers.slow_reader, {"limited": 2, "unlimited": 2}, 0.2),
    "websocket": Load(soak_transfers.websocket, {"limited": 1, "unlimited": 1}, 0.3),
    "refused requests": Load(soak_breaks.refused, {"limited": 1, "unlimited": 1, "small": 1}, 0.3),
    "fresh names": Load(soak_breaks.names, {"limited": 1, "unlimited": 3, "small": 1}, 0.2),
    "broken connections": Load(soak_breaks.breaks, {"limited": 2, "unlimited": 4, "small": 1}, 0.1),
    "port with resets": Load(soak_breaks.resets, {"limited": 1, "unlimited": 1}, 0.3),
    REVOCABLE_LOAD: Load(soak_changes.revocable, {"limited": 1, "unlimited": 2, "small": 1}, 0.3),
    PASSING_LOAD: Load(soak_changes.passing, {"passing": 2}, 0.5),
}


@dataclass(slots=True)
class Tally:
    """What came of one kind of load."""

    ok: int = 0
    intended: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    messages: list[str] = field(default_factory=list)
    moved: Moved = field(default_factory=Moved)
    latencies_s: list[float] = field(default_factory=list)

    def note_wrong(self, message: str) -> None:
        """Count something that must not be."""
        self.wrong += 1
        if len(self.messages) < _KEPT_MESSAGES:
            self.messages.append(message)

    def described(self) -> dict[str, object]:
        """Give the figures, for JSON."""
        ordered = sorted(self.latencies_s) or [0.0]
        return {
            "ok": self.ok,
            "intended": dict(self.intended),
            "wrong": self.wrong,
            "messages": self.messages,
            "bytes_up": self.moved.up_bytes,
            "bytes_down": self.moved.down_bytes,
            "p50_s": ordered[len(ordered) // 2],
            "p99_s": ordered[len(ordered) * 99 // 100],
        }


async def once(load: Load, job: Job, tally: Tally) -> None:
    """Do it once, and judge."""
    operation = Operation(job, tally.moved)
    started = time.monotonic()
    place = f"{time.strftime('%H:%M:%S')} job {job.name} operation {operation.seed}"
    try:
        async with asyncio.timeout(_OPERATION_S):
            await load.run(operation)
        tally.ok += 1
    except Broken as broken:
        tally.intended[str(broken)] += 1
    except Refused as refused:
        if refused.reason == "dns-timeout":  # the link has lost each of the queries
            tally.intended["lost queries"] += 1
        else:
            tally.note_wrong(f"{place}: answered {refused}")
    except (Wrong, OSError, Ended, ValueError, EOFError) as error:
        tally.note_wrong(f"{place}: {type(error).__name__}: {error} after {time.monotonic() - started:.3f} s")
    tally.latencies_s.append(time.monotonic() - started)


async def work(load: Load, job: Job, tally: Tally, until: float) -> None:
    """Do it again and again."""
    while time.monotonic() < until:
        await once(load, job, tally)
        await asyncio.sleep(load.pause_s)


async def outlive(job: Job, size: int, is_open: asyncio.Barrier, tally: Tally) -> None:
    """Be in the middle of a download when the gate is told to stop, and get all of it."""
    operation = Operation(job, tally.moved)
    started = time.monotonic()
    try:
        async with asyncio.timeout(_OPERATION_S), operation.tunnel() as stream:
            await stream.send(b"DOWN %d %d\n" % (operation.seed, size))
            data = await stream.reader.readexactly(1000)
            await is_open.wait()
            data += await stream.reader.read(-1)
        if data != content(operation.seed, size) + digest(operation.seed, size).encode():
            raise Wrong(f"{len(data)} bytes came of {size}, or others")
        tally.moved.down_bytes += size
        tally.ok += 1
    except (Wrong, Refused, OSError, Ended, EOFError) as error:
        tally.note_wrong(f"{job.name}: {error!r}")
    tally.latencies_s.append(time.monotonic() - started)


async def main(seconds: float, jobs: list[Job]) -> dict[str, dict[str, object]]:
    """Run the load, then the end."""
    by_name = {job.name: job for job in jobs}
    tallies = {name: Tally() for name in LOADS}
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for name, load in LOADS.items():
            for job, count in load.workers.items():
                for _ in range(count):
                    group.create_task(work(load, by_name[job], tallies[name], until))
    print("quiet", flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        return {}
    ending = tallies["transfers while the gate drains"] = Tally()
    lasting = [job for job in jobs if job.name != EXTRA.name]
    is_open = asyncio.Barrier(len(lasting) + 1)
    async with asyncio.TaskGroup() as group:
        for last, size in zip(lasting, (3_000_000, 1_000_000, 400_000), strict=True):
            group.create_task(outlive(last, size, is_open, ending))
        async with asyncio.timeout(_OPERATION_S):
            await is_open.wait()
        print("open", flush=True)
    return {name: tally.described() for name, tally in tallies.items()}


if __name__ == "__main__":
    described = [Job(*entry) for entry in json.loads(sys.argv[2])]
    print(json.dumps(asyncio.run(main(float(sys.argv[1]), described))), flush=True)
