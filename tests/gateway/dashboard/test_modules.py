"""The pure modules of the dashboard, run by the browser that will run them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from jobgate.gateway.dashboard import add_routes
from support.browser import browser
from support.web_thread import served

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of the dashboard's own origin on which nothing runs."""
    app = web.Application()
    add_routes(app)
    with served(app) as address, browser() as chromium:
        page = chromium.new_page()
        page.goto(f"{address}/dashboard/icon.svg")
        yield page


def call(page: Page, module: str, name: str, *arguments: object) -> object:
    """Call an exported function."""
    result: object = page.evaluate(
        "async ([module, name, args]) => (await import(`/dashboard/${module}.js`))[name](...args)",
        [module, name, list(arguments)],
    )
    return result


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("rate", 0, "0 bit/s"),
        ("rate", 1, "8 bit/s"),
        ("rate", 125_000, "1.00 Mbit/s"),
        ("rate", 1_250_000, "10.0 Mbit/s"),
        ("rate", 124_999, "1.00 Mbit/s"),
        ("rate", 12_500_000_000, "100 Gbit/s"),
        ("limit", 1_250_000, "10 Mbit/s"),
        ("limit", 187_500, "1.5 Mbit/s"),
        ("limit", None, "unlimited"),
        ("bytes", 999, "999 B"),
        ("bytes", 999.6, "1.00 kB"),
        ("bytes", 999_499, "999 kB"),
        ("bytes", 999_500, "1.00 MB"),
        ("bytes", 1.5e18, "1500 PB"),
        ("count", 999, "999"),
        ("count", 1234567, "1\u2009234\u2009567"),
        ("seconds", 0.04, "0.0 s"),
        ("seconds", 9.96, "10 s"),
        ("seconds", 119.4, "119 s"),
        ("seconds", 120, "2 min 0 s"),
        ("seconds", 7200, "2 h 0 min"),
        ("seconds", 200_000, "2 d 8 h"),
        ("percent", 0, "0\u00a0%"),
        ("percent", 0.001, "<\u00a01\u00a0%"),
        ("percent", 1, "100\u00a0%"),
        ("clock", "not a date", "–"),
    ],
)
def test_number_is_written_for_people(page: Page, name: str, value: object, text: str) -> None:
    assert call(page, "format", name, value) == text


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [("a.test", 443, "a.test:443"), ("2001:db8::1", 80, "[2001:db8::1]:80"), (None, None, "–")],
    ids=["name", "ipv6", "none"],
)
def test_authority_is_one_word(page: Page, host: str | None, port: int | None, text: str) -> None:
    assert call(page, "format", "authority", host, port) == text


_FEED = """async ([pieces]) => {
    const { EventParser } = await import("/dashboard/sse.js");
    const parser = new EventParser();
    return pieces.flatMap((piece) => parser.feed(piece)).map(({ type, data }) => [type, data]);
}"""

STREAM = (
    ': hello\n\nevent: decision\ndata: {"a":1}\n\ndata:one\ndata: two\nid: 7\n\nevent: nothing\n\ndata: x\n\n'
)
EVENTS = [["decision", '{"a":1}'], ["message", "one\ntwo"], ["message", "x"]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_stream_is_read_in_any_pieces(page: Page, end: str, size: int) -> None:
    text = STREAM.replace("\n", end) + (
        "data" if end == "\r" else ""
    )  # a CR at the end may be half of a CRLF
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert page.evaluate(_FEED, [pieces]) == EVENTS


def test_event_that_is_not_whole_is_kept(page: Page) -> None:
    assert page.evaluate(_FEED, [["data: half", "\n", " "]]) == []


_SERIES = """async ([capacity, looks]) => {
    const { Series } = await import("/dashboard/series.js");
    const series = new Series(capacity);
    for (const [at, down, up, waitDown, waitUp] of looks)
        series.push(at, { bytes_down: down, bytes_up: up, wait_down_s: waitDown, wait_up_s: waitUp });
    const samples = [];
    for (let index = 0; index < series.length; index += 1) samples.push(Object.values(series.sample(index)));
    return { samples, points: series.points("down", 3), summary: series.summary("down", 0) };
}"""


def test_counters_become_rates(page: Page) -> None:
    looks = [[1, 0, 0, 0, 0], [2, 100, 10, 0.5, 0], [4, 500, 10, 2.5, 0.2]]
    found = page.evaluate(_SERIES, [10, looks])
    assert found["samples"] == [[2, 100, 10, 0.5, 0], [4, 200, 0, 1, pytest.approx(0.1)]]
    assert found["points"] == [[4, 200]]
    assert found["summary"] == {"mean": 150, "peak": 200}


@pytest.mark.parametrize(
    ("looks", "rates"),
    [
        ([[1, 500, 0, 0, 0], [2, 100, 0, 0, 0], [3, 150, 0, 0, 0]], [50]),
        ([[1, 0, 0, 0, 0], [1, 100, 0, 0, 0], [2, 200, 0, 0, 0]], [200]),
        ([[5, 0, 0, 0, 0], [4, 100, 0, 0, 0]], []),
    ],
    ids=["counts anew", "twice the same time", "clock went back"],
)
def test_no_rate_is_made_up(page: Page, looks: list[list[float]], rates: list[float]) -> None:
    assert [sample[1] for sample in page.evaluate(_SERIES, [10, looks])["samples"]] == rates


def test_oldest_sample_gives_way(page: Page) -> None:
    looks = [[at, 100 * at, 0, 0, 0] for at in range(10)]
    found = page.evaluate(_SERIES, [4, looks])
    assert [sample[0] for sample in found["samples"]] == [6, 7, 8, 9]


@pytest.mark.parametrize(
    ("limit", "peak", "fit", "top"),
    [
        (1000, 0, False, 1140),
        (1000, 1100, False, 1155),
        (1000, 9000, False, 1500),
        (1_000_000, 100_000, True, 118_000),
        (None, 100_000, False, 118_000),
        (None, 0, False, 12_500),
    ],
    ids=["idle", "burst", "far above", "to the traffic", "no limit", "nothing"],
)
def test_scale_shows_the_limit(page: Page, limit: int | None, peak: int, fit: bool, top: float) -> None:
    assert call(page, "scale", "top", limit, peak, fit) == pytest.approx(top)


@pytest.mark.parametrize(
    ("top", "limit", "ticks"),
    [
        (1_425_000, 1_250_000, [625_000]),
        (1_475_000, None, [625_000, 1_250_000]),
        (12_500, None, [3125, 6250, 9375]),
    ],
    ids=["ten", "no limit", "least"],
)
def test_ticks_are_round_and_not_on_the_limit(
    page: Page, top: float, limit: float | None, ticks: list[float]
) -> None:
    assert call(page, "scale", "ticks", top, limit) == ticks


@pytest.mark.parametrize(
    ("kind", "host", "port", "url"),
    [
        ("connect", "www.example.com", 443, "https://www.example.com:443/"),
        ("http", "192.0.2.7", 8080, "http://192.0.2.7:8080/"),
        ("connect", "2001:db8::1", 8443, "https://[2001:db8::1]:8443/"),
    ],
    ids=["connect", "http", "ipv6"],
)
def test_refusal_is_asked_about_as_a_url(page: Page, kind: str, host: str, port: int, url: str) -> None:
    assert call(page, "rules", "urlOf", kind, host, port) == url


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (".example.com", "example.com and every name below it"),
        ("example.com", "that name only"),
        ("example.com:8443", "that name only, on that port"),
        (".example.com:8443", "example.com and every name below it, on port 8443"),
        ("192.0.2.7", "that address only"),
        ("2001:db8::1", "that address only"),
        ("[2001:db8::1]:443", "that address only, on that port"),
    ],
)
def test_entry_says_what_it_covers(page: Page, entry: str, text: str) -> None:
    assert call(page, "rules", "covers", entry) == text


def test_line_of_the_configuration_is_toml(page: Page) -> None:
    domains = call(page, "rules", "withEntry", [".a.test"], "b.test")
    assert call(page, "rules", "domainsLine", domains) == 'domains = [".a.test", "b.test"]'
    assert call(page, "rules", "withEntry", domains, "b.test") == domains


def test_policy_is_shown_without_what_says_nothing(page: Page) -> None:
    settings = {
        "domains": [".a.test"],
        "deny": [],
        "rate_up": 125000,
        "rate_down": "unlimited",
        "max_bytes_up": 0,
    }
    assert call(page, "policy", "policyRows", settings) == [
        ["Domains", [".a.test"]],
        ["Download rate", ["unlimited"]],
        ["Upload rate", ["1 Mbit/s"]],
    ]
