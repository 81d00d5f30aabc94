"""The dashboard in headless Chromium, over a real gateway with live traffic.

Screenshots are kept in the folder that ``JOBGATE_SCREENSHOTS`` names, else thrown away.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from jobgate.ratelimit.bucket import default_burst_bytes
from support.browser import Complaints, browser
from support.forwarder import Forwarder, forwarder
from support.serve import Served, serve
from support.traffic import Stream, Traffic, traffic

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TOKEN = "0123456789abcdef-of-the-tests"
DEADLINE_MS = 15_000
#: Of the job that is always at its limit, in bytes/s: 4 Mbit/s.
BUSY_RATE = 500_000
_ANSWERED = re.compile(r"^Failed to load resource: .*(status of 40[13] |net::ERR_)")


def answered(text: str) -> bool:
    """Expect what the browser itself says of answers that are no success."""
    return _ANSWERED.search(text) is not None


pytestmark = pytest.mark.timeout(180)


class Shoot(Protocol):
    """Keeps a picture of a page."""

    def __call__(self, page: Page, name: str) -> None: ...


@dataclass(frozen=True)
class World:
    """Everything that runs.

    Attributes:
        address: Of the control API, as a URL.
        socket: Of the gateway that has a unix socket.
    """

    address: str
    socket: Path
    served: Served
    on_path: Served
    load: Traffic

    def api(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Ask the control API."""
        request = Request(  # noqa: S310  our own address
            f"{self.address}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            found: dict[str, object] = json.loads(answer.read() or b"{}")
            return found

    def put(self, job: str, **settings: object) -> int:
        """Add a job; the port of its listener."""
        document = {"network": "http", "listen": "127.0.0.1:0", **settings}
        return int(str(self.api("PUT", f"/v1/jobs/{job}", document)["listen"]).rpartition(":")[2])

    def url(self, host: str, size: int = 0) -> str:
        """What a job asks for."""
        return f"http://{host}:{self.load.origin_port}/{size}"


def configuration(origin_port: int, control: str, more: str = "") -> str:
    hosts = ["mirror.test", "data.test", "extra.test"]
    return f"""
[node]
allow_addresses = ["127.0.0.1:{origin_port}"]
[dns]
servers = ["127.0.0.1:9"]
hosts = {{ {", ".join(f'"{host}" = ["127.0.0.1"]' for host in hosts)} }}
[listen]
control = "{control}"
{more}
[[job]]
id = "of-the-file"
network = "http"
listen = "127.0.0.1:0"
domains = ["mirror.test"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("dashboard")
    token_file = folder / "token"
    token_file.touch(0o600)
    token_file.write_text(TOKEN)
    with traffic() as load:
        on_tcp = folder / "tcp.toml"
        on_tcp.write_text(
            configuration(load.origin_port, "127.0.0.1:0", f'control_token_file = "{token_file}"')
        )
        on_path = folder / "path.toml"
        on_path.write_text(configuration(load.origin_port, f"unix:{folder}/control.sock"))
        with serve(on_tcp) as served, serve(on_path) as other:
            control = served.line_with(event="ready")["control"]
            world = World(f"http://{control}", folder / "control.sock", served, other, load)
            start_traffic(world)
            yield world


def start_traffic(world: World) -> None:
    """Keep one job at its limit, another far below it, a third in report mode."""
    busy = world.put(
        "train-42", domains=["mirror.test", "data.test"], rate_down=BUSY_RATE, labels={"team": "vision"}
    )
    calm = world.put("etl-nightly", domains=["mirror.test"], rate_down="40mbit")
    learning = world.put("agent-7f3a", domains=["mirror.test"], mode="report")
    far = int(world.served.listeners["of-the-file"].rpartition(":")[2])
    world.load.start(
        *[Stream(busy, [world.url("data.test", 400_000)])] * 3,
        Stream(busy, [world.url("mirror.test", 10)], 0.4, upload_bytes=60_000),
        Stream(busy, [world.url("extra.test"), "http://telemetry.test/", world.url("extra.test")], 0.5),
        Stream(calm, [world.url("mirror.test", 300_000)], 0.3),
        Stream(learning, [world.url("mirror.test", 3000), world.url("extra.test", 5000)], 0.4),
        Stream(far, [world.url("mirror.test", 20_000), world.url("extra.test")], 0.7),
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    folder = Path(os.environ.get("JOBGATE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        path = folder / f"dashboard-{name}.png"
        page.screenshot(path=path)
        assert path.stat().st_size > 10_000

    return keep


@contextmanager
def opened(
    chromium: Browser,
    address: str,
    *,
    token: str = TOKEN,
    dark: bool = False,
    width: int = 1440,
    height: int = 900,
    complaints: Callable[[str], bool] = lambda text: False,
) -> Iterator[Page]:
    """A page that complains of nothing but what ``complaints`` expects."""
    size = {"width": width, "height": height}
    context = chromium.new_context(viewport=size, color_scheme="dark" if dark else "light")  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    found = Complaints(page)
    if token:
        page.add_init_script(f"sessionStorage.setItem('jobgate-token', '{token}')")
    page.goto(address)
    try:
        yield page
    finally:
        context.close()
    assert [text for text in found.texts if not complaints(text)] == []


def is_live(page: Page) -> None:
    """Wait until the page has the jobs and follows the decisions."""
    page.wait_for_selector(".status.live")


# --- the token


def test_page_asks_for_the_token_and_takes_only_the_right_one(chromium: Browser, world: World) -> None:
    with opened(chromium, world.address, token="", complaints=answered) as page:
        page.wait_for_selector("text=This gate asks for its token")
        assert page.locator("table").count() == 0
        page.fill("#token", "a-token-of-another-gate")
        page.click("text=Continue")
        page.wait_for_selector("text=This token is not accepted")
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        is_live(page)
        assert page.locator(".jobs tbody tr").count() == 4
        assert page.context.cookies() == []
        assert TOKEN not in page.url
        page.reload()
        is_live(page)  # kept for this tab
        page.click("text=Changes allowed")
        page.click("text=Forget the token")
        page.wait_for_selector("text=This gate asks for its token")


# --- plots


def path_of(page: Page, selector: str) -> str:
    return page.locator(selector).first.get_attribute("d") or ""


def drawn(page: Page, plot: str) -> list[tuple[float, float]]:
    """What the samples of a large plot of two minutes show, but for the first: its width is not drawn.

    Returns:
        Of each the rate, in parts of the limit, and how far what passed is above what the limit lets pass
        in the sample's time, in seconds of it; both at least, since drawn is one digit behind the point.
    """
    paths = [f"{plot} .{name}" for name in ("line", "limit", "grid .base")]
    line, limit, base = page.evaluate(  # at once: with the next sample the scale may be another
        "(paths) => paths.map((path) => document.querySelector(path).getAttribute('d'))", paths
    )
    (limit_y,) = re.findall(r" ([\d.]+)H", limit)
    left, foot, right = map(float, re.findall(r"[\d.]+", base))
    found = []
    for (before, _), (x, y) in pairwise(tuple(map(float, dot.split(" "))) for dot in line[1:].split("L")):
        share = (foot - y - 0.05) / (foot - float(limit_y))
        width = x - before - math.copysign(0.1, share - 1)
        if x > before:  # else it begins a step, whose end has its width
            found.append((share, (share - 1) * width * 120 / (right - left)))
    return found


def test_plots_move_below_the_limit(chromium: Browser, world: World, shoot: Shoot) -> None:
    with opened(chromium, f"{world.address}/#/jobs/train-42", height=1100) as page:
        line = ".plot.down .line"
        page.wait_for_function(
            "(line) => document.querySelector(line)?.getAttribute('d').split('L').length > 4", arg=line
        )
        before = path_of(page, line)
        page.wait_for_function(
            "([line, old]) => document.querySelector(line).getAttribute('d') !== old", arg=[line, before]
        )
        assert page.text_content(".plot.down .limit-text") == "limit 4 Mbit/s"
        samples = drawn(page, ".plot.down")
        assert max(share for share, _ in samples) > 0.75  # it is at its limit
        ahead = 0.0  # seconds that it is ahead of its limit: what was saved before, and never more
        for _, above in samples:
            ahead = max(0.0, ahead + above)
            assert ahead * BUSY_RATE <= default_burst_bytes(BUSY_RATE)
        page.wait_for_selector(".plot.down .held rect:not(.track)")  # and held back by it
        assert "held back" in (page.text_content(".plot-card.down .plot-facts") or "")
        page.hover(".plot.down svg")
        assert "Mbit/s" in (page.text_content(".plot.down .readout") or "")
        page.click("text=To the traffic")
        page.click("text=15 min")
        assert "−15 min" in (page.text_content(".plot.down svg") or "")
        page.click("text=2 min")
        page.click("text=To the limit")
        page.mouse.move(0, 0)
        shoot(page, "job")


def test_list_shows_every_job_with_both_directions(chromium: Browser, world: World, shoot: Shoot) -> None:
    with opened(chromium, world.address) as page:
        is_live(page)
        page.wait_for_selector(".refused li")
        rows = page.locator(".jobs tbody tr")
        assert rows.locator("th a").all_text_contents() == [
            "agent-7f3a",
            "etl-nightly",
            "of-the-file",
            "train-42",
        ]
        assert rows.nth(3).locator(".spark .limit").first.get_attribute("d")
        line = ".jobs tr:nth-child(4) .down .line"
        page.wait_for_function(
            "(line) => document.querySelector(line).getAttribute('d').length > 30", arg=line
        )
        assert "Report only" in (rows.nth(0).text_content() or "")
        assert "team=vision" in (rows.nth(3).text_content() or "")
        page.click("text=Refused >> nth=-1")
        page.fill("[aria-label='Filter jobs']", "vision")
        assert rows.locator("th a").all_text_contents() == ["train-42"]
        page.fill("[aria-label='Filter jobs']", "nothing like it")
        page.wait_for_selector("text=No job matches")
        page.fill("[aria-label='Filter jobs']", "")
        page.click("thead >> text=Download")
        page.wait_for_selector("th[aria-sort=descending] >> text=Download")
        page.click("thead >> text=Job")
        shoot(page, "jobs")


# --- a refusal and its remedy


def test_refused_host_is_allowed_by_the_proposed_rule(chromium: Browser, world: World, shoot: Shoot) -> None:
    proxy = world.put("remedy", domains=["mirror.test"])
    url = world.url("extra.test", 10)
    assert world.load.ask(proxy, url) == 403
    with opened(chromium, f"{world.address}/#/jobs/remedy") as page:
        page.click(".refused [aria-label^='Propose a rule for extra.test']")
        dialog = page.locator("dialog")
        assert "is not in this job's domains" in (dialog.text_content() or "")
        assert dialog.locator(".block").first.text_content() == 'domains = ["mirror.test", "extra.test"]'
        assert "PATCH /v1/jobs/remedy" in (dialog.locator(".block").nth(1).text_content() or "")
        shoot(page, "proposal")
        dialog.locator("text=Apply").click()
        page.wait_for_selector("text=extra.test is now in the domains of remedy.")
        assert world.load.ask(proxy, url) == 200
        settings = world.api("GET", "/v1/jobs/remedy")["settings"]
        assert isinstance(settings, dict)
        assert settings["domains"] == ["mirror.test", "extra.test"]
        page.wait_for_selector(".policy >> text=extra.test")
    world.api("DELETE", "/v1/jobs/remedy")


def test_rule_of_somebody_else_is_not_overwritten(chromium: Browser, world: World) -> None:
    proxy = world.put("shared", domains=["mirror.test"])
    assert world.load.ask(proxy, world.url("extra.test")) == 403
    with opened(chromium, f"{world.address}/#/jobs/shared") as page:
        page.click(".refused [aria-label^='Propose a rule for extra.test']")
        world.api("PATCH", "/v1/jobs/shared", {"domains": ["mirror.test", "data.test"]})
        page.click("dialog >> text=Apply")
        page.wait_for_selector("text=is now in the domains of shared.")
    settings = world.api("GET", "/v1/jobs/shared")["settings"]
    assert isinstance(settings, dict)
    assert settings["domains"] == ["mirror.test", "data.test", "extra.test"]
    world.api("DELETE", "/v1/jobs/shared")


def test_job_of_the_file_gets_a_line_to_copy(chromium: Browser, world: World) -> None:
    with opened(chromium, f"{world.address}/#/jobs/of-the-file") as page:
        page.click(".refused [aria-label^='Propose a rule for extra.test']")
        page.wait_for_selector("dialog >> text=jobgate reload")
        assert page.locator("dialog >> text=Apply").count() == 0
        page.click("dialog >> text=Cancel")
        page.locator("dialog").wait_for(state="detached")


# --- decisions


def only_rows_with(page: Page, text: str) -> None:
    """Wait until every row of the feed has the text."""
    rows = "[...document.querySelectorAll('.feed tbody tr')]"
    page.wait_for_function(f"(text) => {rows}.every((row) => row.textContent.includes(text))", arg=text)


def test_feed_is_live_and_filtered(chromium: Browser, world: World, shoot: Shoot) -> None:
    with opened(chromium, f"{world.address}/#/decisions") as page:
        rows = page.locator(".feed tbody tr")
        page.wait_for_function("() => document.querySelectorAll('.feed tbody tr').length > 12")
        shoot(page, "decisions")
        page.fill("[aria-label='Filter decisions']", "extra.test train-42")
        only_rows_with(page, "extra.test")
        assert rows.count() > 0
        assert page.url.endswith("#/decisions?q=extra.test+train-42")
        page.fill("[aria-label='Filter decisions']", "")
        page.click("[aria-label=Outcome] >> text=/^Refused$/")
        only_rows_with(page, "Refused")
        page.click("[aria-label=Outcome] >> text=Would refuse")
        page.wait_for_selector(".feed .badge.note")
        assert set(rows.locator(".job").all_text_contents()) == {"agent-7f3a"}
        page.click("[aria-label=Outcome] >> text=/^All$/")
        page.keyboard.press("p")
        count = rows.count()
        page.wait_for_selector("text=/Resume \\([1-9]/")
        assert rows.count() == count
        page.click("text=/Resume/")
        page.wait_for_function(
            "(count) => document.querySelectorAll('.feed tbody tr').length > count", arg=count
        )


def test_entry_tells_how_it_ended(chromium: Browser, world: World) -> None:
    with opened(chromium, f"{world.address}/#/decisions?q=data.test") as page:
        page.wait_for_selector(".feed .end >> text=/400 kB ↓/")


# --- people


def test_keyboard_reaches_everything(chromium: Browser, world: World) -> None:
    def focused() -> str:
        return str(page.evaluate("document.activeElement.textContent || document.activeElement.ariaLabel"))

    with opened(chromium, world.address) as page:
        is_live(page)
        order = []
        for _ in range(8):
            page.keyboard.press("Tab")
            order.append(focused())
        assert order == [
            "Skip to content",
            "jobgate",
            "Jobs",
            "Decisions",
            "Refused",
            "Changes allowed",
            "Theme",
            "Keys",
        ]
        page.keyboard.press("Tab")
        assert focused() == "Filter jobs"
        page.keyboard.type("train")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        assert focused() == "agent-7f3a"
        page.keyboard.press("Enter")
        page.wait_for_selector("h1 >> text=agent-7f3a")
        page.keyboard.press("g")
        page.keyboard.press("d")
        page.wait_for_selector("h1 >> text=Decisions")
        page.keyboard.press("/")
        assert focused() == "Filter decisions"
        page.keyboard.type("?tgp")
        assert page.locator("dialog").count() == 0  # letters in a field are letters
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.wait_for_selector("dialog >> text=Keys of one letter are on")
        page.uncheck("dialog input")
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        assert focused() != "Filter decisions"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_theme_follows_the_system_and_the_switch(
    chromium: Browser, world: World, shoot: Shoot, dark: bool
) -> None:
    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    with opened(chromium, world.address, dark=dark) as page:
        is_live(page)
        page.wait_for_selector(".feed tbody tr:nth-child(8)")
        by_system = background()
        shoot(page, "dark" if dark else "light")
        page.click("[aria-label=Theme]")
        page.wait_for_selector("html[data-theme=light]")
        assert (background() == by_system) is not dark
        page.click("[aria-label=Theme]")
        page.wait_for_selector("html[data-theme=dark]")
        assert (background() == by_system) is dark
        page.reload()
        page.wait_for_selector("html[data-theme=dark]")


@pytest.mark.parametrize("place", ["#/", "#/jobs/train-42", "#/decisions", "#/refused"])
@pytest.mark.parametrize("width", [390, 768, 1000, 1241, 1321, 1440])
def test_no_page_is_wider_than_the_screen(
    chromium: Browser, world: World, shoot: Shoot, place: str, width: int
) -> None:
    with opened(chromium, f"{world.address}/{place}", width=width) as page:
        is_live(page)
        page.wait_for_selector(".feed tbody tr, .refused li")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cards = page.locator(".card, .tile").filter(visible=True)
        assert not cards.evaluate_all("(cards) => cards.some((card) => card.scrollWidth > card.clientWidth)")
        if (place, width) == ("#/", 390):
            shoot(page, "phone")


@pytest.mark.parametrize(("width", "has_room"), [(1000, True), (1320, True), (1321, False), (1421, True)])
def test_last_decisions_tell_how_they_ended_where_there_is_room(
    chromium: Browser, world: World, width: int, has_room: bool
) -> None:
    with opened(chromium, world.address, width=width) as page:
        page.wait_for_selector(".feed tbody tr")
        assert page.locator(".feed th.end").is_visible() is has_room


@pytest.mark.parametrize("width", [390, 1440])
def test_tiles_at_the_left_have_the_line_of_their_card_alone(
    chromium: Browser, world: World, width: int
) -> None:
    with opened(chromium, world.address, width=width) as page:
        is_live(page)
        at_the_left = "(tiles) => tiles.filter((tile) => tile.offsetLeft === tiles[0].offsetLeft)"
        lines = page.locator(".tile").evaluate_all(
            f"(tiles) => ({at_the_left})(tiles).map((tile) => getComputedStyle(tile).borderLeftWidth)"
        )
        assert lines == ["0px"] * (3 if width == 390 else 1)


# --- over ssh, without a token


@pytest.fixture
def tunnel(world: World) -> Iterator[Forwarder]:
    with forwarder(world.socket) as running:
        yield running


def test_page_without_a_token_only_reads(chromium: Browser, tunnel: Forwarder, world: World) -> None:
    proxy = int(world.on_path.listeners["of-the-file"].rpartition(":")[2])
    assert world.load.ask(proxy, world.url("extra.test")) == 403
    address = f"http://127.0.0.1:{tunnel.port}"
    with opened(chromium, address, token="", complaints=answered) as page:
        is_live(page)
        page.wait_for_selector("text=Read-only")
        page.click(".refused [aria-label^='Propose a rule for extra.test']")
        page.wait_for_selector("dialog >> text=jobgate reload")
        page.click("dialog >> text=Cancel")
        change = "async () => (await fetch('v1/jobs/new', {method: 'PUT', body: '{}'})).status"
        assert page.evaluate(change) == 403


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_page_of_another_origin_changes_nothing(
    chromium: Browser, world: World, tunnel: Forwarder, method: str
) -> None:
    with opened(
        chromium, f"http://127.0.0.1:{tunnel.port}/dashboard/icon.svg", complaints=lambda _: True
    ) as page:
        send = "([url, method]) => fetch(url, {method, mode: 'no-cors', body: '{}'}).catch(() => null)"
        page.evaluate(send, [f"{world.address}/v1/jobs/by-another", method])
    with pytest.raises(HTTPError, match="404"):
        world.api("GET", "/v1/jobs/by-another")


def test_page_tells_that_the_gate_is_gone_and_goes_on_by_itself(chromium: Browser, tunnel: Forwarder) -> None:
    with opened(
        chromium,
        f"http://127.0.0.1:{tunnel.port}",
        token="",
        complaints=answered,
    ) as page:
        is_live(page)
        tunnel.cut()
        page.wait_for_selector(".status.lost >> text=Reconnecting")
        page.wait_for_selector("[role=alert] >> text=goes on by itself")
        assert page.locator(".jobs tbody tr").count() == 1  # what was known stays
        tunnel.mend()
        is_live(page)
        page.wait_for_selector("[role=alert]", state="hidden")
