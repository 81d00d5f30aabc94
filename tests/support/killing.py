"""A gateway under load that is killed, and what it had promised until then."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .serve import Served, serve

#: Far above what an answer takes.
ANSWER_S = 20.0
_PIECE = b"x" * 16384


class ControlConnection(http.client.HTTPConnection):
    """A connection to the control API on its socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(str(self._path))

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        """One request and its answer.

        Raises:
            OSError, http.client.HTTPException: There was none.
        """
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        self.request(method, path, content, {"Content-Type": kind} if content else {})
        response = self.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else {}


class Promises:
    """What the gateway has answered to: jobs with the label that they must have, and those that are gone.

    Attributes:
        unsure: The job of the change that had no answer: it may be in either state.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.unsure = ""
        self.changes = 0

    def change_for_ever(self, control: ControlConnection, chance: random.Random) -> None:
        """Add, change and remove jobs until the gateway is gone."""
        with suppress(OSError, http.client.HTTPException), control_closed(control):
            while True:
                self._change(control, chance)

    def _change(self, control: ControlConnection, chance: random.Random) -> None:
        self.changes += 1
        label = str(self.changes)
        known = chance.choice(sorted(self.jobs)) if self.jobs else ""
        kind = chance.choice(["add", "add", "patch", "remove"]) if known else "add"
        self.unsure = known if kind != "add" else f"job-{label}"
        path = f"/v1/jobs/{self.unsure}"
        if kind == "add":
            document = {"network": "http", "domains": ["a.test"], "listen": "127.0.0.1:0", "token": "secret"}
            status, _ = control.ask("PUT", path, {**document, "labels": {"change": label}})
        elif kind == "patch":
            status, _ = control.ask("PATCH", path, {"labels": {"change": label}})
        else:
            status, _ = control.ask("DELETE", path)
        assert status in (200, 201, 204), (kind, status)
        self.jobs[self.unsure] = label
        if kind == "remove":
            del self.jobs[self.unsure]
        self.unsure = ""

    def check(self, found: dict[str, str]) -> None:
        """Assert that all of it holds; what was unsure is as it was found from now on."""
        if self.unsure in found:
            self.jobs[self.unsure] = found[self.unsure]
        else:
            self.jobs.pop(self.unsure, None)
        self.unsure = ""
        assert found == self.jobs


@contextmanager
def control_closed(control: ControlConnection) -> Iterator[None]:
    try:
        yield
    finally:
        control.close()


def found_jobs(control: ControlConnection) -> dict[str, str]:
    """The jobs of the API with their label, all of them as they should be."""
    found: dict[str, str] = {}
    after = ""
    while True:
        _, page = control.ask("GET", f"/v1/jobs?limit=50&after={after}" if after else "/v1/jobs?limit=50")
        jobs = page["jobs"]
        assert isinstance(jobs, list)
        for job in jobs:
            if job["origin"] == "api":
                assert (job["state"], job["has_token"]) == ("active", True)
                found[job["id"]] = job["settings"]["labels"]["change"]
        if page["next"] is None:
            return found
        after = str(page["next"])


class Traffic:
    """Bytes through one tunnel of a job until it breaks.

    Args:
        listen: Of the job.
        authority: Of an origin that reads for ever.
    """

    def __init__(self, listen: str, authority: str) -> None:
        host, _, port = listen.rpartition(":")
        self._sock = socket.create_connection((host, int(port)), timeout=ANSWER_S)
        self._sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        assert self._sock.recv(4096).startswith(b"HTTP/1.1 200 ")

    def send_for_ever(self) -> None:
        """Send until the gateway is gone."""
        with self._sock, suppress(OSError):
            while True:
                self._sock.sendall(_PIECE)


class Seen:
    """A job's upload counter as it was seen, and when."""

    def __init__(self) -> None:
        self._values: list[tuple[float, int]] = []

    def look(self, control: ControlConnection, job_id: str) -> None:
        """Ask for it once."""
        before = time.monotonic()
        _, job = control.ask("GET", f"/v1/jobs/{job_id}")
        live = job["live"]
        assert isinstance(live, dict)
        self._values.append((before, int(live["bytes_up"])))

    @property
    def last(self) -> int:
        """The last value."""
        return self._values[-1][1]

    def at(self, moment: float) -> int:
        """What it was at least at a moment (monotonic)."""
        return max((value for when, value in self._values if when <= moment), default=0)


@contextmanager
def running_threads(*works: Callable[[], None]) -> Iterator[None]:
    """Run functions beside the block, which must make them end."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(ANSWER_S)


@contextmanager
def gateway(configuration: Path, control: Path) -> Iterator[tuple[Served, ControlConnection]]:
    """A gateway that may be killed inside the block, and a connection to its API."""
    with serve(configuration) as served:
        connection = ControlConnection(control)
        with control_closed(connection):
            yield served, connection
