"""An engine's client that runs "containers" as processes of this machine (tests/data/docker/client.py)."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent.parent / "data" / "docker" / "client.py"


@dataclass(frozen=True, slots=True)
class FakeClient:
    """The client and what it remembers.

    Attributes:
        path: Of the program.
        state: Its folder.
    """

    path: str
    state: Path

    @property
    def calls(self) -> list[list[str]]:
        """All that it was asked, in order."""
        return [json.loads(line) for line in (self.state / "calls").read_text().splitlines()]

    @property
    def containers(self) -> list[str]:
        """Names of the containers that are there."""
        return sorted(path.name for path in self.state.glob("containers/*"))

    def fail(self, command: str, message: str) -> None:
        """Let a command fail from now on."""
        (self.state / f"answer-{command}").write_text(message)

    def left_behind(self, name: str, owner: str) -> None:
        """Put a container there whose launcher is ``owner``."""
        container = self.state / "containers" / name
        container.mkdir(parents=True)
        (container / "label").write_text(owner)
        (container / "run").write_text(f"jobgate.launcher={owner}\njobgate.run={name}")


def fake_client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """Make a client in a folder; programs find its state by their environment."""
    path = folder / "docker"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(PROGRAM))} "$@"\n')
    path.chmod(0o755)
    state = folder / "engine"
    state.mkdir()
    (state / "calls").touch()
    monkeypatch.setenv("FAKE_ENGINE", str(state))
    return FakeClient(str(path), state)
