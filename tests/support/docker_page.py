"""The commands of a page, as a reader would copy them, and what it says that they print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
_PICKED = re.compile(r"127\.0\.0\.1:[0-9]+")
_MEASURED = re.compile(r"[0-9][0-9.]* ?([kMGT]?(bit/s|B)|s)\b")


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        command: For a shell, of several lines perhaps.
        output: Lines that it is said to print.
    """

    command: str
    output: tuple[str, ...]


def steps_of(page: Path) -> list[Step]:
    """All commands of a page, in order: lines behind ``$``, continued behind ``>``."""
    return [step for block in _BLOCK.findall(page.read_text()) for step in _steps_of(block)]


def _steps_of(block: str) -> list[Step]:
    commands: list[str] = []
    output: list[list[str]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append(line[2:])
            output.append([])
        elif line.startswith("> "):
            commands[-1] += "\n" + line[2:]
        else:
            output[-1].append(line)
    return [Step(command, tuple(lines)) for command, lines in zip(commands, output, strict=True)]


def shape(line: str) -> str:
    """A line without what was measured or picked, and without the width of its columns."""
    return " ".join(_PICKED.sub("PORT", _MEASURED.sub("N", line)).split())
