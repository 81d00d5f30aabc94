"""The picture that ``jobgate top`` draws. Values in, rich renderables out.

Everything that a job or its operator wrote (ids, hosts) goes in as text: neither rich's
markup nor a terminal's escapes in it have any effect.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobgate.launch.summary import format_rate, printable

from .top_model import Refusal, Row, Sum

MAX_REFUSALS = 5
WIDE_COLUMNS = 110
"""From here on there is room for limits and gauges."""
_GAUGE_WIDTH = 8
#: Columns that everything but the job's id takes.
_WIDE_REST, _NARROW_REST = 106, 66
_HELD_LEAST = 0.05
_COLOURS = {"down": "blue", "up": "yellow"}


def screen(
    rows: Sequence[Row],
    total: Sum,
    refusals: Sequence[Refusal],
    *,
    clock: str,
    width: int,
    height: int | None = None,
    note: str = "",
) -> RenderableType:
    """Draw everything.

    Args:
        rows: In the order to show.
        total: Of all rows.
        refusals: The most frequent, those first.
        clock: Time of the look.
        width: Columns there are.
        height: Lines there are; ``None``: as many as it takes.
        note: What is wrong, or which keys there are.
    """
    bottom = [_refusals(refusals[:MAX_REFUSALS])] if refusals else []
    taken = 4 + (1 + min(len(refusals), MAX_REFUSALS) if refusals else 0) + bool(note)
    shown = rows if height is None else rows[: max(1, height - taken - 1)]
    parts: list[RenderableType] = [_head(total, clock), Text(), _jobs(shown, width)]
    if len(shown) < len(rows):
        parts.append(Text(f"... and {len(rows) - len(shown)} more", style="dim"))
    if not rows:
        parts.append(Text("No jobs.", style="dim"))
    parts += [Text(), *bottom] if bottom else []
    if note:
        parts.append(Text(printable(note), style="dim"))
    return Group(*parts)


def _head(total: Sum, clock: str) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    text.append("jobgate", style="bold")
    text.append(f"  {_counted(total.jobs, 'job')}, {_counted(total.connections, 'connection')}")
    text.append(f"  down {format_rate(total.down)}", style=_COLOURS["down"])
    text.append(f"  up {format_rate(total.up)}", style=_COLOURS["up"])
    text.append(f"  refused {total.refused}", style="red" if total.refused else "")
    text.append(f"  held back {total.held:.1f}", style="magenta")
    text.append(f"  {clock}", style="dim")
    return text


def _jobs(rows: Sequence[Row], width: int) -> Table:
    wide = width >= WIDE_COLUMNS
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    job_width = width - (_WIDE_REST if wide else _NARROW_REST)
    table.add_column("JOB", no_wrap=True, overflow="crop", max_width=max(8, min(job_width, 40)))
    for name in ("DOWN", "UP"):
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("OF" if wide else "", justify="right", no_wrap=True)
        if wide:
            table.add_column("", no_wrap=True)
    for name in ("CONN", "HELD", "REQUESTS", "REFUSED") if wide else ("CONN", "HELD", "REFUSED"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, wide))
    return table


def _cells(row: Row, wide: bool) -> list[RenderableType]:
    look = row.look
    gone = "" if look.state == "active" else f" ({look.state})"
    cells: list[RenderableType] = [Text(printable(look.id + gone), style="dim" if gone else "bold")]
    cells += _flow(row.down, look.rate_down, _COLOURS["down"], wide)
    cells += _flow(row.up, look.rate_up, _COLOURS["up"], wide)
    cells.append(Text(str(look.connections)))
    cells.append(Text("-" if row.held < _HELD_LEAST else f"{row.held:.1f}", style="magenta"))
    if wide:
        cells.append(Text(str(look.requests)))
    cells.append(Text(str(look.refused), style="red" if look.refused else "dim"))
    return cells


def _flow(now: float, limit: float | None, colour: str, wide: bool) -> list[RenderableType]:
    rate = Text(format_rate(now), style=colour if now else "dim")
    if not wide:
        return [rate, Text("" if limit is None else f"{now / limit:.0%}", style="dim")]
    if limit is None:
        return [rate, Text("unlimited", style="dim"), Text()]
    gauge = ProgressBar(limit, min(now, limit), _GAUGE_WIDTH, complete_style=colour, finished_style=colour)
    return [rate, Text(format_rate(limit), style="dim"), gauge]


def _refusals(refusals: Sequence[Refusal]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("REFUSED", no_wrap=True, overflow="crop", max_width=48)
    table.add_column("TIMES", justify="right")
    table.add_column("REASON", no_wrap=True)
    table.add_column("JOB", no_wrap=True, overflow="crop", max_width=32)
    for refusal in refusals:
        texts = (refusal.authority, str(refusal.times), refusal.reason, refusal.job)
        table.add_row(*(Text(printable(text)) for text in texts))
    return table


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
