"""Whose containers these are, as a label tells it, and whether that launcher is still there.

A process is known by its number and its start, since numbers are used again. Launchers
of another machine or another PID namespace cannot be seen, so theirs are left alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_FIELDS = 4
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Owner:
    """A launcher.

    Attributes:
        boot: The boot of the kernel that it runs on (a UUID).
        namespace: Number of its PID namespace.
        pid: Its number in there.
        start_ticks: When it began, in clock ticks since the boot.
    """

    boot: str
    namespace: int
    pid: int
    start_ticks: int

    @classmethod
    def parse(cls, label: str) -> Self | None:
        """Read the label; ``None`` if it is something else."""
        fields = label.split("/")
        if len(fields) != _FIELDS or not all(
            field.isdecimal() and len(field) <= _MAX_DIGITS for field in fields[1:]
        ):
            return None
        return cls(fields[0], *map(int, fields[1:]))

    @classmethod
    def this_process(cls, proc: Path = Path("/proc")) -> Self:
        """Whoever calls.

        Raises:
            OSError: ``/proc`` is not mounted.
        """
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (proc / "self/ns/pid").stat().st_ino
        return cls(boot, namespace, os.getpid(), _start_ticks((proc / "self/stat").read_text()))

    def __str__(self) -> str:
        return f"{self.boot}/{self.namespace}/{self.pid}/{self.start_ticks}"

    def is_gone(self, seen_from: Owner, proc: Path = Path("/proc")) -> bool:
        """Whether this launcher has ended for certain."""
        if (self.boot, self.namespace) != (seen_from.boot, seen_from.namespace):
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):  # a number that no process has
            return True
        except PermissionError:
            pass  # somebody else's process of that number
        try:
            status = (proc / f"{self.pid}/stat").read_text()
        except ProcessLookupError:
            return True
        except OSError:
            return False  # hidden from us
        return _has_ended(status) or _start_ticks(status) != self.start_ticks


def _has_ended(text: str) -> bool:
    """Whether nobody has taken note of its end yet: field 3 of ``/proc/PID/stat``."""
    return text.rpartition(")")[2].split()[0] in ("Z", "X")


def _start_ticks(text: str) -> int:
    """Field 22 of ``/proc/PID/stat`` (proc(5)); the second may hold spaces and parentheses."""
    return int(text.rpartition(")")[2].split()[19])
