"""The page in a browser, over a control API that says what the tests want."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.browser import Complaints, browser
from support.played_api import PlayedApi, decision, job, refusal
from support.web_thread import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MARKUP = '<img src=x onerror="window.owned=1"><script>owned=1</script>&lt;b&gt;\'"`${owned=1}</td></textarea>'
PLACES = ["#/", "#/jobs/a", "#/decisions", "#/refused"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@contextmanager
def opened(
    chromium: Browser, api: PlayedApi, place: str = "#/", *, dark: bool = False, token: str = ""
) -> Iterator[Page]:
    """A page over the API that must not complain."""
    context = chromium.new_context(color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_default_timeout(10_000)
    complaints = Complaints(page)
    if token:
        page.add_init_script(f"sessionStorage.setItem('jobgate-token', '{token}')")
    with served(api.app()) as address:
        page.goto(f"{address}/{place}")
        page.wait_for_selector(".status.live")
        yield page
        context.close()
    assert complaints.texts == []


def hostile() -> PlayedApi:
    """Every text that can be markup is."""
    api = PlayedApi(
        [
            job(
                "a",
                origin=MARKUP,
                listen=MARKUP,
                state=MARKUP,
                problem=MARKUP,
                settings={"domains": [MARKUP], "labels": {MARKUP: MARKUP}, "tls": MARKUP, "expires": MARKUP},
                live={"requests": 5, "refused": 5},
            ),
            job("b", settings={"mode": "report"}),
        ]
    )
    api.refused = [refusal(f"{MARKUP}:443", "not-listed", proposals=[MARKUP]), refusal("x:1", MARKUP)]
    api.lines = [
        decision("1", "a", host=MARKUP, method=MARKUP, rule=MARKUP, client=MARKUP),
        decision("2", MARKUP, decision="deny", reason=MARKUP, ts=MARKUP),
        {"event": "close", "id": "1", "reason": MARKUP, "bytes_up": 0, "bytes_down": 0, "duration_s": 0.0},
    ]
    return api


@pytest.mark.parametrize("place", PLACES)
def test_nothing_that_is_said_becomes_markup(chromium: Browser, place: str) -> None:
    with opened(chromium, hostile(), place) as page:
        page.wait_for_selector(".feed tbody tr, .refused li")
        page.wait_for_selector(f"main >> text={MARKUP[:20]}")
        assert page.evaluate("window.owned") is None
        assert page.locator("main img, main script, main b, main textarea").count() == 0


def test_dialog_of_a_hostile_refusal_is_text(chromium: Browser) -> None:
    with opened(chromium, hostile(), "#/refused") as page:
        page.click(".refused >> text=Allow…")
        page.wait_for_selector("dialog .block")
        assert MARKUP.replace('"', '\\"') in (page.text_content("dialog .block") or "")
        assert page.locator("dialog img, dialog script, dialog b").count() == 0
        page.keyboard.press("Escape")
        page.click(".refused >> text=Why?")
        page.wait_for_selector("dialog >> text=No entry in the job's domains would change this.")


def test_job_of_a_hostile_address_is_missing(chromium: Browser) -> None:
    with opened(chromium, PlayedApi([job("a")]), "#/jobs/%3Cimg%20src=x%3E") as page:
        page.wait_for_selector("text=There is no job called <img src=x> (any more).")
        assert page.locator("main img").count() == 0


# --- what there is to see where there is nothing


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("#/", "No jobs"),
        ("#/", "Nothing refused"),
        ("#/", "No decisions yet"),
        ("#/decisions", "Nothing to show"),
        ("#/refused", "Nothing refused"),
        ("#/jobs/gone", "There is no job called gone"),
        ("#/unknown", "No jobs"),
    ],
)
def test_empty_gateway_says_so(chromium: Browser, place: str, text: str) -> None:
    with opened(chromium, PlayedApi(), place) as page:
        page.wait_for_selector(f"text={text}")


@pytest.mark.parametrize(
    ("node", "text"),
    [({"draining": True}, "about to stop"), ({"mode": "report"}, "in report mode")],
    ids=["draining", "report"],
)
def test_state_of_the_node_is_told(chromium: Browser, node: dict[str, object], text: str) -> None:
    api = PlayedApi()
    api.node |= node
    with opened(chromium, api) as page:
        page.wait_for_selector(f"[role=alert] >> text={text}")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("denied", "Deny beats allow"),
        ("address", "allow_addresses"),
        ("self", "jobgate itself"),
        ("not-tls", 'tls = "any"'),
        ("quota", "spent its quota"),
        ("not-listed", "No entry in the job's domains"),
    ],
)
def test_refusal_without_a_remedy_is_explained(chromium: Browser, reason: str, text: str) -> None:
    api = PlayedApi([job("a", live={"requests": 1, "refused": 1})])
    api.refused = [refusal("evil.test:443", reason)]
    with opened(chromium, api) as page:
        page.click("text=Why?")
        page.wait_for_selector(f"dialog >> text={text}")


# --- many jobs


def test_thousand_jobs_are_asked_for_in_pages_and_shown_in_part(chromium: Browser) -> None:
    api = PlayedApi([job(f"batch-{number:04}") for number in range(1000)])
    with opened(chromium, api) as page:
        rows = page.locator(".jobs tbody tr")
        page.wait_for_selector("text=Show all 1\u2009000")
        assert rows.count() == 50
        page.fill("[aria-label='Filter jobs']", "batch-0999")
        assert rows.locator("th a").all_text_contents() == ["batch-0999"]
        page.fill("[aria-label='Filter jobs']", "")
        page.click("text=Show all")
        page.wait_for_selector("text=batch-0999")
        assert rows.count() == 1000


def test_feed_keeps_a_bounded_number(chromium: Browser) -> None:
    api = PlayedApi([job("a")])
    api.lines = [decision(f"{number:05}", "a") for number in range(1500)]
    with opened(chromium, api, "#/decisions") as page:
        page.wait_for_selector("text=250 shown of the last 1\u2009000")
        assert page.locator(".feed tbody tr").count() == 250


# --- contrast

_CONTRAST = """(selector) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const channels = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const over = (top, below) =>
        below.map((value, index) => top[index] * top[3] / 255 + value * (1 - top[3] / 255));
    const behind = (element) => {
        const own = channels(getComputedStyle(element).backgroundColor);
        if (own[3] === 255) return own.slice(0, 3);
        return over(own, element.parentElement ? behind(element.parentElement) : [255, 255, 255]);
    };
    const luminance = (colour) => colour
        .map((value) => value / 255)
        .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const shown = [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
    return shown.map((element) => {
        const style = getComputedStyle(element);
        const below = behind(element);
        const text = over(channels(element instanceof SVGElement ? style.fill : style.color), below);
        const [light, dark] = [luminance(text), luminance(below)].sort((a, b) => b - a);
        return [(light + 0.05) / (dark + 0.05), element.outerHTML.slice(0, 200)];
    });
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_text_can_be_read(chromium: Browser, place: str, dark: bool) -> None:
    api = hostile()
    api.jobs += [job("c", settings={"mode": "report"}, live={"requests": 9, "refused": 2, "connections": 3})]
    with opened(chromium, api, place, dark=dark, token="any") as page:
        page.wait_for_selector(".feed tbody tr, .refused li")
        texts = "a, h1, h2, p, td, th, dd, dt, button, span, text, .badge"
        found = page.evaluate(_CONTRAST, texts)
        assert len(found) > 30
        assert [entry for entry in found if entry[0] < 4.5] == []
