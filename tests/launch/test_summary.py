from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.launch.summary import (
    MAX_LINES,
    ReachedHost,
    RefusedHost,
    Summary,
    format_bytes,
    format_rate,
    format_seconds,
    printable,
    render,
)

SUMMARY = Summary(
    duration_s=10.0,
    bytes_up=4_500,
    bytes_down=12_300_000,
    reached=[
        ReachedHost("a.example.com:80", 1, 500, 300_000),
        ReachedHost("www.example.com:443", 3, 4_000, 12_000_000),
    ],
    refused=[
        RefusedHost(
            "[2001:db8::1]:80", "address", 1, "its address must be in [node] allow_addresses of --config"
        ),
        RefusedHost("www.example.org:443", "not-listed", 2, "--domain www.example.org"),
    ],
)


def test_render_lays_out_what_the_job_did() -> None:
    assert render(SUMMARY, colour=False) == (
        "jobgate: 10 s, 4.5 kB up (3.6 kbit/s), 12.3 MB down (9.84 Mbit/s)\n"
        "  reached  www.example.com:443  3 requests  4 kB up   12 MB down\n"
        "  reached  a.example.com:80     1 request   500 B up  300 kB down\n"
        "  refused  www.example.org:443  2 requests  not-listed  --domain www.example.org\n"
        "  refused  [2001:db8::1]:80     1 request   address     "
        "its address must be in [node] allow_addresses of --config\n"
    )


def test_render_of_a_job_without_traffic_is_one_line() -> None:
    assert render(Summary(0.0, 0, 0), colour=False) == "jobgate: 0 s, 0 B up (0 bit/s), 0 B down (0 bit/s)\n"


def test_render_colours_only_when_asked() -> None:
    assert "\x1b[31mrefused\x1b[0m  www.example.org:443" in render(SUMMARY, colour=True)
    assert "\x1b" not in render(SUMMARY, colour=False)


def test_render_shows_the_note_only_to_those_who_were_refused() -> None:
    refused = Summary(1.0, 0, 0, refused=SUMMARY.refused, note="ask ops@example.com")
    assert render(refused, colour=False).endswith("\n  ask ops@example.com\n")
    assert "ask" not in render(Summary(1.0, 0, 0, note="ask ops@example.com"), colour=False)


def test_render_bounds_the_number_of_hosts() -> None:
    hosts = [ReachedHost(f"h{number}.example:443", 1, 0, number) for number in range(MAX_LINES + 3)]
    lines = render(Summary(1.0, 0, 0, reached=hosts), colour=False).splitlines()
    assert len(lines) == 1 + MAX_LINES + 1
    assert lines[1].split()[1] == f"h{MAX_LINES + 2}.example:443"
    assert lines[-1] == "  reached  and 3 hosts more"


def test_render_lets_nothing_through_that_a_terminal_obeys() -> None:
    refused = [RefusedHost("\x1b]0;x\x07.example:443", "not-listed", 1, "\x9b1m")]
    text = render(Summary(1.0, 0, 0, refused=refused, note="\x1b[2J"), colour=False)
    assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (12_345_678, "12.3 MB"),
    ],
)
def test_format_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_format_rate_counts_bits() -> None:
    assert format_rate(1_250_000) == "10 Mbit/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0423, "0.0423 s"), (75.34, "75.3 s"), (119.9, "120 s"), (125.2, "2 min 5 s"), (7500, "2 h 5 min")],
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.floats(min_value=0, max_value=1e15))
def test_format_bytes_has_at_most_three_digits_and_a_unit(count: float) -> None:
    number, unit = format_bytes(count).split()
    assert "e" not in number or unit == "TB"
    assert float(number) < 1000 or unit == "TB"


@given(st.text())
def test_printable_keeps_the_length(text: str) -> None:
    assert len(printable(text)) == len(text)
    assert printable(text).isprintable()


def test_render_shows_what_was_allowed_and_failed() -> None:
    failed = [RefusedHost("www.example.com:443", "dns-nxdomain", 2, "")]
    text = render(Summary(1.0, 0, 0, failed=failed), colour=False)
    assert "  failed   www.example.com:443  2 requests  dns-nxdomain\n" in text
