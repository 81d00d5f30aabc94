"""A running ``jobgate serve``: the product as users start it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jobgate

COMMAND = [sys.executable, "-m", "jobgate"]
#: Where this very jobgate is imported from, be it a checkout or an installed package.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(jobgate.__file__).parents[1])}
_STOP_S = 10.0


class Served:
    """The process, and the lines that it has logged."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.listeners: dict[str, str] = {}
        self._lines: list[dict[str, object]] = []
        self._news = threading.Condition()
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, name="serve-log", daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[dict[str, object]]:
        """Everything logged so far."""
        with self._news:
            return list(self._lines)

    def until_ready(self, timeout_s: float = 20.0) -> None:
        """Wait for the line that names the listeners.

        Raises:
            RuntimeError: The process ended or was silent.
        """
        if not self._ready.wait(timeout_s) or not self.listeners:
            raise RuntimeError(f"jobgate serve did not become ready (exit code {self.process.poll()})")

    def line_with(self, timeout_s: float = 10.0, **fields: object) -> dict[str, object]:
        """Wait for a line with these fields.

        Raises:
            TimeoutError: There was none.
        """

        def find() -> dict[str, object] | None:
            matching = (line for line in self._lines if all(line.get(k) == v for k, v in fields.items()))
            return next(matching, None)

        with self._news:
            found = self._news.wait_for(find, timeout_s)
        if not found:
            raise TimeoutError(f"no line with {fields}")
        return found

    def _read(self) -> None:
        stdout = self.process.stdout
        if stdout is None:
            raise RuntimeError("standard output is not a pipe")
        for text in stdout:
            line: dict[str, object] = json.loads(text)
            with self._news:
                self._lines.append(line)
                if line["event"] == "ready" and isinstance(line["listen"], dict):
                    self.listeners = {str(job): str(listen) for job, listen in line["listen"].items()}
                    self._ready.set()
                self._news.notify_all()
        self._ready.set()


@contextmanager
def serve(
    configuration: Path, *options: str, inside: Sequence[str] = (), ready: bool = True
) -> Iterator[Served]:
    """Run ``jobgate serve`` until the context is left, behind a command that goes somewhere else first.

    Args:
        configuration: Its file.
        options: Of the command.
        inside: That command.
        ready: Wait until it says so on standard output.
    """
    process = subprocess.Popen(
        [*inside, *COMMAND, "serve", "--config", str(configuration), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    served = Served(process)
    try:
        if ready:
            served.until_ready()
        yield served
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        served._reader.join(_STOP_S)
        if process.stdout is not None:
            process.stdout.close()
