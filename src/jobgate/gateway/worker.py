"""A process that serves the jobs it is told: a gate, and a link to the main process (edge).

It heeds the link alone. Signals are for the main process; when that is gone, so is this one.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence

from jobgate import __version__
from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.errors import Reason
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal
from jobgate.proxy.listener import Listener
from jobgate.proxy.logwriter import LogWriter
from jobgate.proxy.sockets import StreamSocket
from jobgate.proxy.usage import JobCounters

from .draining import drain
from .feed import RECENT_LINES, Feed
from .lag import LoopLag
from .link import Link, LinkError, Message
from .parcel import unpacked
from .process import LOOPS, raise_descriptor_limit
from .report import JobRow, Report, row_of, usage_as_json

_ACCEPTED = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK)
#: A follower that has nothing to tell says nothing for so long.
FOLLOW_S = 60.0


class Worker:
    """What the main process says, done; what it asks, answered.

    Args:
        gate: Serves the jobs.
        link: To the main process.
        writer: The log.

    Attributes:
        closing: How long what runs may go on; done when the main process has said so.
        insisted: It said so again.
        lag: How late its loop is.
    """

    def __init__(self, gate: Gate, link: Link, writer: LogWriter) -> None:
        loop = asyncio.get_running_loop()
        self.closing: asyncio.Future[float] = loop.create_future()
        self.insisted = asyncio.Event()
        self.lag = LoopLag(time.monotonic, loop.call_later)
        self.lag.start()
        self._gate = gate
        self._link = link
        self._writer = writer
        self._feed = Feed(gate.jobs)
        self._listeners: dict[int, Listener] = {}
        self._rows: dict[str, JobRow] = {}
        self._following: asyncio.Task[None] | None = None
        if gate.settings.listen.control is not None:  # else nobody can ask for lines
            gate.journal.taps.append(self._feed.tap)

    async def run(self) -> None:
        """Do what is said until the other side ends.

        Raises:
            LinkError: It has.
        """
        while True:
            message = await self._link.receive()
            answer = self.heed(message)
            if answer is not None:
                await self._link.send(answer)

    def heed(self, message: Message) -> dict[str, object] | None:
        """Do one thing; an answer goes back."""
        body = message.body
        if "connections" in body:
            self._receive(body["connections"], message.descriptors)
            return None
        socks = [socket.socket(fileno=descriptor) for descriptor in message.descriptors]
        match body:
            case {"listen": int(number), "job": str(job_id), "elsewhere": bool(elsewhere)}:
                job = self._gate.jobs[job_id]
                self._listeners[number] = self._gate.listen(job, socks[0], elsewhere=elsewhere)
            case {"unlisten": int(number)}:
                self._gate.unlisten(self._listeners.pop(number))
            case {"mark": int(mark), **asked}:
                return {"mark": mark, **self._answer(asked)}
            case {"own": [str(host), int(port)], "there": bool(is_there)}:
                (self._gate.own.add if is_there else self._gate.own.discard)(host, port)
            case _:
                self._change(body)
        return None

    def _receive(self, connections: object, descriptors: Sequence[int]) -> None:
        """Take connections in that were accepted elsewhere: each its peer's address, family, and job."""
        if not isinstance(connections, list):
            raise LinkError("connections without addresses")
        gate = self._gate
        for (text, family, job_id), descriptor in zip(connections, descriptors, strict=True):
            # Not blocking, as the accept left it: nothing is to be asked or told.
            sock = StreamSocket(family, _ACCEPTED, 0, descriptor)
            gate.reception.accepted(gate.shared, sock, text, gate.jobs.get(job_id))

    def _change(self, body: Mapping[str, object]) -> None:
        """Change jobs, node, or what is done with connections."""
        gate = self._gate
        match body:
            case {"add": job, "counters": list(counters)}:
                gate.add_job(unpacked(job, JobSettings), restored=JobCounters(*counters))
            case {"change": job}:
                gate.change_job(unpacked(job, JobSettings))
            case {"remove": str(job_id), "reason": str(reason)}:
                self._rows.pop(job_id, None)
                gate.remove_job(job_id, next(found for found in Reason if found.token == reason))
                self._feed.forget(job_id)
            case {"node": node, "jobs": jobs}:
                gate.change_node(unpacked(node, Settings), unpacked(jobs, tuple))
            case {"share": float(share)}:
                gate.set_share(share)
            case {"part_of_total": [float(up), float(down)]}:
                gate.set_part_of_total(up, down)
            case {"follow": bool(follow)}:
                self._follow(follow)
            case {"do": str(what)}:
                self._do(what)
            case {"close": float(drain_s)}:
                self._close(drain_s)
            case _:
                raise LinkError(f"a worker does not understand {sorted(body)}")

    def _do(self, what: str) -> None:
        match what:
            case "detach":
                self._gate.detach()
            case "resume":
                self._gate.resume()
            case "part":
                self._gate.part()
            case "reopen":
                self._reopen()

    def _reopen(self) -> None:
        try:
            self._writer.reopen()
        except OSError:  # the main process, whose log it is as well, tells that
            return

    def _close(self, drain_s: float) -> None:
        if self.closing.done():
            self.insisted.set()
        else:
            self.closing.set_result(drain_s)

    # --- answers ----------------------------------------------------------------------

    def _answer(self, asked: Mapping[str, object]) -> dict[str, object]:
        match asked:
            case {"report": True}:
                return {"report": self.report().as_json()}
            case {"usage": str(job_id)}:
                job = self._gate.jobs.get(job_id)
                recent = self._feed.recent(job_id, RECENT_LINES)
                return {"usage": None if job is None else usage_as_json(job.usage), "recent": recent}
        return {}

    def report(self) -> Report:
        """Say what has changed since the last report."""
        gate, changed = self._gate, {}
        for job_id, job in gate.jobs.items():
            row = row_of(job)
            if row != self._rows.get(job_id):
                self._rows[job_id] = changed[job_id] = row
        return Report(
            jobs=changed,
            totals=gate.totals(),
            connections=gate.connections,
            outcomes=gate.resolver.outcomes,
            asking=gate.resolver.asking,
            remembered=gate.resolver.remembered,
            dropped=gate.journal.dropped,
            lost=gate.journal.lost,
            late=self.lag.buckets,
            late_s=self.lag.total_s,
            held_back=gate.waiting_for_total,
        )

    # --- following --------------------------------------------------------------------

    def _follow(self, follow: bool) -> None:
        """Pass every line on, or no more: there is somebody who wants them."""
        if not follow and self._following is not None:
            self._following.cancel()
            self._following = None
        elif follow and self._following is None:
            self._following = asyncio.get_running_loop().create_task(self._pass_lines())

    async def _pass_lines(self) -> None:
        with self._feed.follow() as follower:
            while True:
                news = await follower.news(FOLLOW_S)
                lines = [line.decode("ascii") for _, line in news.lines]
                try:
                    await self._link.send({"lines": lines, "lost": news.lost})
                except LinkError:
                    return


async def work(descriptor: int, log: str) -> int:
    """Serve until told to end, or until the main process is gone; the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    link, writer = Link(socket.socket(fileno=descriptor)), LogWriter(log)
    journal = Journal(writer)
    try:
        await link.send({"worker": __version__})
        first = await link.receive()
        gate = Gate(unpacked(first.body["settings"], Settings), journal=journal)
        await serve(gate, Worker(gate, link, writer), link)
    except LinkError:
        return 1
    finally:
        journal.report_dropped()
        writer.close()
        link.close()
    return 0


async def serve(gate: Gate, worker: Worker, link: Link) -> None:
    """Do what the main process says until it says that this is the end; then let connections end.

    Raises:
        LinkError: It is gone.
    """
    running = asyncio.get_running_loop().create_task(worker.run())
    running.add_done_callback(lambda _: worker.insisted.set())
    waiting: set[asyncio.Future[float] | asyncio.Task[None]] = {running, worker.closing}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await drain(gate, worker.closing.result() if worker.closing.done() else 0.0, worker.insisted)
    if running.done():
        running.result()
    await link.send({"last": worker.report().as_json()})
    running.cancel()
    await asyncio.wait({running})


def main(descriptor: str, loop: str, log: str) -> None:
    """Run in a process of its own."""
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        code = runner.run(work(int(descriptor), log))
    sys.exit(code)
