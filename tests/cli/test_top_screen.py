"""The picture of ``jobgate top`` as text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from jobgate.cli.top_model import Look, Refusal, Row, sum_of
from jobgate.cli.top_screen import screen

ESCAPES = "\x1b]0;owned\x07\x1b[31m\r\n\x9b2J"


def row(id: str = "train-42", *, state: str = "active", down: float = 0.0, limit: float | None = None) -> Row:
    return Row(Look(id, state, 4, 9, 2, 0, 0, None, limit, 0.0, 0.0), up=0.0, down=down, held=1.25)


def drawn(
    rows: list[Row],
    refusals: list[Refusal] | None = None,
    *,
    width: int = 130,
    height: int | None = None,
    note: str = "",
    encoding: str = "utf-8",
) -> str:
    """What a console without a terminal behind it gets."""
    out = io.BytesIO()
    with io.TextIOWrapper(out, encoding=encoding, newline="") as text:
        console = Console(file=text, width=width)
        picture = screen(
            rows, sum_of(rows), refusals or [], clock="14:25:07", width=width, height=height, note=note
        )
        console.print(picture)
        text.flush()
        return out.getvalue().decode(encoding)


def test_row_shows_rate_limit_and_counts() -> None:
    text = drawn([row(down=1_250_000.0, limit=2_500_000.0)])
    line = next(line for line in text.splitlines() if line.startswith("train-42"))
    assert "10 Mbit/s" in line
    assert "20 Mbit/s" in line
    assert line.split()[-4:] == ["4", "1.2", "9", "2"]
    assert text.startswith("jobgate  1 job, 4 connections  down 10 Mbit/s")
    assert "14:25:07" in text.splitlines()[0]


def test_narrow_terminal_gets_percent_and_no_longer_line() -> None:
    text = drawn([row("job-with-a-very-long-name-indeed", down=625_000.0, limit=1_250_000.0)], width=80)
    assert " 50%" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "CONN  HELD  REFUSED" in text


def test_job_that_is_not_served_says_so() -> None:
    assert "train-42 (expired)" in drawn([row(state="expired")])


def test_no_jobs_is_said() -> None:
    assert "No jobs." in drawn([])


def test_rows_beyond_the_height_are_counted() -> None:
    rows = [row(f"job-{number:02}") for number in range(50)]
    text = drawn(rows, [Refusal("a", "b.test:443", "not-listed", 1)], height=20, note="q quits")
    shown = sum(line.startswith("job-") for line in text.splitlines())
    assert f"... and {50 - shown} more" in text
    assert len(text.splitlines()) <= 20


def test_refusals_are_listed() -> None:
    text = drawn([row()], [Refusal("train-42", "evil.test:443", "not-listed", 12)])
    assert text.splitlines()[-1].split() == ["evil.test:443", "12", "not-listed", "train-42"]


@pytest.mark.parametrize("width", [80, 130])
def test_nothing_that_a_job_says_reaches_the_terminal_as_an_escape(width: int) -> None:
    rows = [row(f"a{ESCAPES}")]
    refusals = [Refusal(f"j{ESCAPES}", f"h{ESCAPES}", f"r{ESCAPES}", 1)]
    text = drawn(rows, refusals, width=width, note=f"n{ESCAPES}")
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\r"}


@pytest.mark.parametrize("markup", ["[red]x", "[/]", "[link=file:///etc]x", "\\[bold]"])
def test_markup_is_text(markup: str) -> None:
    assert markup in drawn([row(markup)], [Refusal("j", markup, "port", 1)])


def test_ascii_terminal_gets_ascii() -> None:
    text = drawn([row(down=1.0, limit=2.0)], [Refusal("j", "h:443", "port", 1)], encoding="ascii", height=3)
    assert text.isascii()
