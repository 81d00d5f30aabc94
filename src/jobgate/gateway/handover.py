"""What one process of a gateway gives the next: its listeners, what it knows of jobs, who still drains."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from jobgate.proxy.usage import JobCounters

from .inherited import Inherited
from .link import MAX_DESCRIPTORS, Link, LinkError, Message
from .stored import StoredJob


@dataclass(slots=True)
class Handover:
    """All of it.

    Attributes:
        listeners: Listening sockets; who gives them keeps them open, too.
        jobs: Those of the control API.
        counters: Of all jobs, at this moment.
        drainers: Links to processes before this one, which still let tunnels end.
    """

    listeners: list[Inherited] = field(default_factory=list)
    jobs: list[StoredJob] = field(default_factory=list)
    counters: dict[str, JobCounters] = field(default_factory=dict)
    drainers: list[Link] = field(default_factory=list)

    def close(self) -> None:
        """Close all that is open in it."""
        for listener in self.listeners:
            listener.sock.close()
        for drainer in self.drainers:
            drainer.close()


async def give(link: Link, handover: Handover) -> None:
    """Send everything.

    Raises:
        LinkError: The other process has ended.
    """
    listeners = handover.listeners
    for start in range(0, len(listeners), MAX_DESCRIPTORS):
        some = listeners[start : start + MAX_DESCRIPTORS]
        places = [[found.netns, found.name] for found in some]
        await link.send({"listeners": places}, [found.sock.fileno() for found in some])
    for job in handover.jobs:
        await link.send({"job": written(job)})
    for job_id, counters in handover.counters.items():
        await link.send({"counters": counters._asdict(), "of": job_id})
    for drainer in handover.drainers:
        await link.send({"drainer": True}, [drainer.fileno()])
    await link.send({"whole": True})


async def take(link: Link) -> Handover:
    """Receive everything.

    Raises:
        LinkError: It did not come, or is not understood; then nothing stays open.
    """
    taken = Handover()
    with contextlib.ExitStack() as undo:
        undo.callback(taken.close)
        while "whole" not in (message := await link.receive()).body:
            if "error" in message.body:
                raise LinkError(str(message.body["error"]))
            _take(taken, message)
        undo.pop_all()
    return taken


def _take(taken: Handover, message: Message) -> None:
    """Take in one part.

    Raises:
        LinkError: It is not understood.
    """
    socks = [socket.socket(fileno=descriptor) for descriptor in message.descriptors]
    try:
        match message.body:
            case {"listeners": list(places)}:
                named = zip(socks, map(_place, places), strict=True)
                taken.listeners += [Inherited(sock, netns, name) for sock, (netns, name) in named]
            case {"drainer": True}:
                taken.drainers += map(Link, socks)
            case {"job": dict(job)}:
                taken.jobs.append(read(job))
            case {"counters": dict(counters), "of": str(job_id)}:
                taken.counters[job_id] = _counters(counters)
            case _:
                raise _not_understood()
    except (LinkError, ValueError) as error:
        for sock in socks:
            sock.close()
        raise _not_understood() from error


def _place(place: object) -> tuple[str, str]:
    match place:
        case [str(netns), str(name)]:
            return netns, name
    raise _not_understood()


def written(job: StoredJob) -> dict[str, object]:
    """Write a job as JSON can say it."""
    return {**job._asdict(), "token_hash": None if job.token_hash is None else job.token_hash.hex()}


def read(job: Mapping[str, object]) -> StoredJob:
    """Read it again.

    Raises:
        LinkError, ValueError: It is none.
    """
    match job:
        case {
            "id": str(job_id),
            "document": dict(document),
            "token_hash": str() | None as token_hash,
            "created_at": int() | float() as created_at,
            "listen": str(listen),
        }:
            hashed = None if token_hash is None else bytes.fromhex(token_hash)
            return StoredJob(job_id, document, hashed, created_at, listen)
    raise _not_understood()


def _counters(counters: dict[str, object]) -> JobCounters:
    match counters:
        case {
            "bytes_up": int(bytes_up),
            "bytes_down": int(bytes_down),
            "requests": int(requests),
            "refused": int(refused),
            "started_at": int() | float() as started_at,
        }:
            return JobCounters(bytes_up, bytes_down, requests, refused, started_at)
    raise _not_understood()


def _not_understood() -> LinkError:
    return LinkError("a handover that is not understood here")
