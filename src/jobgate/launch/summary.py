"""What the user reads when a job has ended: what it moved, reached, and was refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_LINES = 20
"""Hosts listed of each kind; the rest is a number."""
_BOLD, _GREEN, _RED, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[0m"
_UNITS = ("B", "kB", "MB", "GB", "TB")
_RATE_UNITS = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")


@dataclass(frozen=True, slots=True)
class ReachedHost:
    """Traffic with one ``host:port``."""

    authority: str
    requests: int
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True)
class RefusedHost:
    """Requests to one ``host:port`` that were refused for one reason.

    Attributes:
        remedy: What would allow them; empty if nothing that a user decides.
    """

    authority: str
    reason: str
    requests: int
    remedy: str


@dataclass(frozen=True, slots=True)
class Summary:
    """One job, after its end.

    Attributes:
        failed: Allowed, but the name or the host did not answer.
        note: The node's word to those who were refused, such as whom to ask.
    """

    duration_s: float
    bytes_up: int
    bytes_down: int
    reached: Sequence[ReachedHost] = ()
    refused: Sequence[RefusedHost] = ()
    failed: Sequence[RefusedHost] = ()
    note: str = ""


def render(summary: Summary, *, colour: bool) -> str:
    """Lay the summary out as lines, most traffic and most refusals first."""
    rate_up, rate_down = (
        moved / summary.duration_s if summary.duration_s > 0 else 0.0
        for moved in (summary.bytes_up, summary.bytes_down)
    )
    head = (
        f"jobgate: {format_seconds(summary.duration_s)}, "
        f"{format_bytes(summary.bytes_up)} up ({format_rate(rate_up)}), "
        f"{format_bytes(summary.bytes_down)} down ({format_rate(rate_down)})"
    )
    lines = [
        _painted(head, _BOLD, colour),
        *_section("reached", _reached_rows(summary.reached), _GREEN, colour),
        *_section("failed ", _refused_rows(summary.failed), _RED, colour),
        *_section("refused", _refused_rows(summary.refused), _RED, colour),
    ]
    if summary.note and summary.refused:
        lines.append(f"  {printable(summary.note)}")
    return "\n".join(lines) + "\n"


def format_bytes(count: float) -> str:
    """Three digits and a decimal unit: ``999 B``, ``1.23 MB``."""
    return _scaled(count, _UNITS)


def format_rate(bytes_per_s: float) -> str:
    """Three digits in bits per second: ``9.84 Mbit/s``."""
    return _scaled(bytes_per_s * 8, _RATE_UNITS)


def format_seconds(seconds: float) -> str:
    """``0.42 s``, ``75.3 s``; from two minutes on ``2 min 5 s``, from two hours on ``2 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _scaled(value: float, units: Sequence[str]) -> str:
    index = 0
    # 999.5 would be written as 1e+03.
    while value >= 999.5 and index < len(units) - 1:
        value /= 1000
        index += 1
    return f"{value:.0f} {units[0]}" if index == 0 else f"{value:.3g} {units[index]}"


def _reached_rows(hosts: Sequence[ReachedHost]) -> list[tuple[str, ...]]:
    ranked = sorted(hosts, key=lambda host: (-host.bytes_up - host.bytes_down, host.authority))
    return [
        (
            host.authority,
            _counted(host.requests, "request"),
            f"{format_bytes(host.bytes_up)} up",
            f"{format_bytes(host.bytes_down)} down",
        )
        for host in ranked
    ]


def _refused_rows(hosts: Sequence[RefusedHost]) -> list[tuple[str, ...]]:
    ranked = sorted(hosts, key=lambda host: (-host.requests, host.authority, host.reason))
    return [(host.authority, _counted(host.requests, "request"), host.reason, host.remedy) for host in ranked]


def _section(title: str, rows: Sequence[tuple[str, ...]], ink: str, colour: bool) -> list[str]:
    shown = [tuple(map(printable, row)) for row in rows[:MAX_LINES]]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [
        f"  {_painted(title, ink, colour)}  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]
    if len(rows) > MAX_LINES:
        lines.append(f"  {_painted(title, ink, colour)}  and {_counted(len(rows) - MAX_LINES, 'host')} more")
    return lines


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _painted(text: str, ink: str, colour: bool) -> str:
    return f"{ink}{text}{_PLAIN}" if colour else text
