from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from jobgate.config.host import Name
from jobgate.config.load import ConfigError, load_text
from jobgate.config.settings import Settings
from jobgate.gateway.reload import SettledFile, in_force, needs_restart
from jobgate.gateway.views import Origin, State
from jobgate.proxy.resolver import Resolution
from support.gate import FakeResolver
from support.registry import DOCUMENT, World, status, world

NODE = """
[node]
{node}
[listen]
control = ""
"""
JOB = """
[[job]]
id = "{id}"
network = "http"
listen = "{listen}"
domains = ["{domain}"]
rate_up = "{rate}"
"""


def node(text: str = "") -> str:
    return NODE.format(node=text)


def job(id: str, listen: str = "127.0.0.1:0", domain: str = "a.test", rate: str = "10mbit") -> str:
    return JOB.format(id=id, listen=listen, domain=domain, rate=rate)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobgate.toml"


def free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    places = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in sockets]
    for sock in sockets:
        sock.close()
    return places


async def problems_of(here: World, configuration: str) -> list[str]:
    here.write(configuration)
    with pytest.raises(ConfigError) as caught:
        await here.registry.reload()
    return caught.value.problems


# --- jobs of the file -----------------------------------------------------------------


async def test_report_names_what_changed(file: Path) -> None:
    async with world(node() + job("a") + job("b") + job("c"), file=file) as here:
        here.write(node('deny = ["x.test"]') + job("c", domain=".a.test") + job("d") + job("b"))
        report = await here.registry.reload()
        assert report.added == ("d",)
        assert report.changed == ("c",)
        assert report.removed == ("a",)
        assert report.weakenings == ('job c: domains: ".a.test" may be reached',)
        assert (report.refused, report.needs_restart) == ((), ())
        assert sorted(here.gate.jobs) == ["b", "c", "d"]
        assert [str(rule) for rule in here.registry.settings.node.deny] == ["x.test"]
        assert here.events("policy") == [
            {"action": "weaken", "what": 'job c: domains: ".a.test" may be reached'},
            {
                "action": "reload",
                "added": ["d"],
                "changed": ["c"],
                "removed": ["a"],
                "refused": [],
                "needs_restart": [],
            },
        ]


async def test_same_file_again_changes_nothing(file: Path) -> None:
    async with world(node() + job("a"), file=file) as here:
        before = here.registry.get("a")
        assert not any(await here.registry.reload())
        assert here.registry.get("a") == before


async def test_job_keeps_its_listener(file: Path) -> None:
    async with world(node() + job("a"), file=file) as here:
        listener, listen = listener_of(here, "a"), here.registry.get("a").listen
        here.write(node() + job("a", domain="b.test"))
        await here.registry.reload()
        assert (listener_of(here, "a"), here.registry.get("a").listen) == (listener, listen)
        assert await status(listen, "a.test:443") == 403


async def test_listener_of_a_renamed_job_goes_on(file: Path) -> None:
    (place,) = free_ports(1)
    async with world(node() + job("old", place), file=file) as here:
        here.write(node() + job("new", place))
        report = await here.registry.reload()
        assert (report.added, report.removed) == (("new",), ("old",))
        assert await status(place, "b.test:443") == 403
        assert here.log.decisions[-1]["job"] == "new"


async def test_jobs_swap_their_listeners(file: Path, tmp_path: Path) -> None:
    one, two = f"unix:{tmp_path}/one", f"unix:{tmp_path}/two"
    async with world(node() + job("a", one) + job("b", two), file=file) as here:
        here.write(node() + job("a", two) + job("b", one))
        report = await here.registry.reload()
        assert report.changed == ("a", "b")
        assert await status(one, "b.test:443") == 403
        assert await status(two, "b.test:443") == 403
        assert [line["job"] for line in here.log.decisions] == ["b", "a"]
        assert sorted(path for path in os.listdir(tmp_path) if path != "jobgate.toml") == ["one", "two"]


async def test_job_that_moves_leaves_its_place(file: Path, tmp_path: Path) -> None:
    async with world(node() + job("a", f"unix:{tmp_path}/one"), file=file) as here:
        here.write(node() + job("a", f"unix:{tmp_path}/two"))
        await here.registry.reload()
        assert sorted(os.listdir(tmp_path)) == ["jobgate.toml", "two"]
        assert await status(f"unix:{tmp_path}/one") is None


async def test_removed_job_is_not_served(file: Path) -> None:
    async with world(node() + job("a") + job("b"), file=file) as here:
        listen = here.registry.get("a").listen
        here.write(node() + job("b"))
        await here.registry.reload()
        assert await status(listen) is None


async def test_request_under_way_is_decided_again(file: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    class SlowResolver(FakeResolver):
        async def resolve(self, name: Name, *, whole: bool = False) -> Resolution:
            asked.set()
            await go_on.wait()
            return await super().resolve(name, whole=whole)

    async with world(node() + job("a"), file=file, resolver=SlowResolver({}, others=["127.0.0.1"])) as here:
        asking = asyncio.create_task(status(here.registry.get("a").listen, "a.test:443"))
        await asked.wait()
        here.write(node() + job("a", domain="b.test"))
        await here.registry.reload()
        go_on.set()
        assert await asking == 403
        assert here.log.decisions[-1]["reason"] == "not-listed"


async def test_listener_that_cannot_be_opened_changes_nothing(file: Path, tmp_path: Path) -> None:
    async with world(node() + job("a") + job("b"), file=file) as here:
        before = here.registry.jobs()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            place = f"127.0.0.1:{taken.getsockname()[1]}"
            added = job("first", f"unix:{tmp_path}/first") + job("second", place)
            problems = await problems_of(here, node('deny = ["a.test"]') + job("a", domain="b.test") + added)
        assert problems == [f"job second: cannot listen on {place}: Address already in use"]
        assert here.registry.jobs() == before
        assert not here.registry.settings.node.deny
        assert os.listdir(tmp_path) == ["jobgate.toml"]
        assert here.events("policy") == [{"action": "keep", "problems": problems}]


async def test_all_problems_of_a_broken_file_are_told(file: Path) -> None:
    async with world(node() + job("a"), file=file) as here:
        problems = await problems_of(here, node("via = 7") + job("a", domain="*.x") + job("a"))
        assert [problem.split(": ")[1] for problem in problems] == [
            "node.via",
            "job[0].domains[0]",
            "job[1].id",
        ]
        assert here.registry.get("a").state is State.ACTIVE


async def test_without_a_file_there_is_nothing_to_reload() -> None:
    async with world(node()) as here:
        with pytest.raises(ConfigError, match=r"^there is no configuration file to read again$"):
            await here.registry.reload()


async def test_job_that_comes_back_goes_on_with_its_counters(file: Path, tmp_path: Path) -> None:
    state = tmp_path / "db"
    async with world(node() + job("a"), file=file, state=state) as here:
        await status(here.registry.get("a").listen, "b.test:443")
        await here.registry.write_counters()
        here.write(node() + job("b"))
        await here.registry.reload()
    async with world(node() + job("a"), file=file, state=state) as here:
        assert here.registry.get("a").counters.requests == 1


@pytest.mark.parametrize(("old", "new"), [("unlimited", "10mbit"), ("10mbit", "unlimited")])
async def test_kept_listener_follows_the_rate(file: Path, old: str, new: str) -> None:
    """What the kernel may hold of new connections, as if the listener had been opened with this rate."""
    async with world(node() + job("a", rate=old), file=file) as here:
        listener = listener_of(here, "a")
        here.write(node() + job("a", rate=new) + job("b", rate=new))
        await here.registry.reload()
        assert listener_of(here, "a") is listener
        if new == "10mbit":
            assert buffer_of(listener) == buffer_of(listener_of(here, "b"))
        else:
            assert buffer_of(listener) >= buffer_of(listener_of(here, "b"))


def listener_of(here: World, job_id: str) -> socket.socket:
    place = here.registry.roster.entry(job_id).place
    assert place is not None
    return place.sock


def buffer_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


# --- jobs of the API ------------------------------------------------------------------


async def test_reload_leaves_jobs_of_the_api(file: Path) -> None:
    async with world(node() + job("a"), file=file) as here:
        before, _ = await here.registry.put("train", DOCUMENT)
        here.write(node() + job("b"))
        await here.registry.reload()
        assert here.registry.get("train") == before


async def test_job_of_the_api_keeps_what_the_node_still_allows(file: Path) -> None:
    async with world(node() + job("a"), file=file) as here:
        asked = {**DOCUMENT, "domains": ["a.test", "b.test"], "rate_up": "20mbit"}
        before, _ = await here.registry.put("train", asked)
        here.write(node('allow = ["a.test"]\nmax_rate_up = "1mbit"') + job("a"))
        await here.registry.reload()
        after = here.registry.get("train")
        assert (after.state, after.listen, after.document) == (State.ACTIVE, before.listen, before.document)
        assert after.problem == '"b.test" is not covered by the node\'s allow list'
        policy = here.gate.jobs["train"].policy.job
        assert ([str(rule) for rule in policy.domains], policy.rate_up) == (["a.test"], 125_000)
        here.write(node() + job("a"))
        await here.registry.reload()
        assert here.registry.get("train") == before
        assert here.gate.jobs["train"].policy.job.rate_up == 2_500_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('allow = ["a.test"]', '"z.test" is not covered by the node\'s allow list'),
        ('networks = ["none"]', 'the node does not accept "http", only: none'),
    ],
    ids=["no domain is left", "network"],
)
async def test_job_of_the_api_that_the_node_accepts_no_more_is_refused(
    file: Path, text: str, problem: str
) -> None:
    async with world(node(), file=file) as here:
        before, _ = await here.registry.put("train", {**DOCUMENT, "domains": ["z.test"]})
        here.write(node(text))
        report = await here.registry.reload()
        refused = here.registry.get("train")
        assert report.refused == ("train",)
        assert (refused.state, refused.problem, refused.listen) == (State.REFUSED, problem, None)
        assert await status(before.listen) is None
        here.write(node())
        assert (await here.registry.reload()).refused == ()
        after = here.registry.get("train")
        assert (after.state, after.problem, after.document) == (State.ACTIVE, "", before.document)
        assert await status(after.listen, "b.test:443") == 403


async def test_refused_job_keeps_its_counters(file: Path, tmp_path: Path) -> None:
    async with world(node(), file=file, state=tmp_path / "db") as here:
        view, _ = await here.registry.put("train", DOCUMENT)
        await status(view.listen, "b.test:443")
        here.write(node('networks = ["none"]'))
        await here.registry.reload()
        assert here.registry.get("train").counters.requests == 1
    async with world(node('networks = ["none"]'), file=file, state=tmp_path / "db") as here:
        assert here.registry.get("train").state is State.REFUSED
        here.write(node())
        await here.registry.reload()
        assert here.registry.get("train").counters.requests == 1


async def test_job_of_the_api_that_the_file_takes_over_is_not_interrupted(file: Path, tmp_path: Path) -> None:
    (place,) = free_ports(1)
    async with world(node(), file=file, state=tmp_path / "db") as here:
        await here.registry.put("train", {**DOCUMENT, "listen": place})
        await status(place, "b.test:443")
        here.write(node() + job("train", place, domain="b.test"))
        report = await here.registry.reload()
        assert report.changed == ("train",)
        assert 'job train: domains: "b.test" may be reached' in report.weakenings
        view = here.registry.get("train")
        assert (view.origin, view.listen, view.counters.requests) == (Origin.FILE, place, 1)
    async with world(node(), file=file, state=tmp_path / "db") as here:
        assert here.registry.jobs() == []


async def test_file_does_not_get_what_a_job_of_the_api_has(file: Path) -> None:
    (place,) = free_ports(1)
    async with world(node(), file=file) as here:
        await here.registry.put("train", {**DOCUMENT, "listen": place})
        assert await problems_of(here, node() + job("a", place)) == [
            f'job "a".listen: "{place}" is the listener of job "train" already, of the control API'
        ]


# --- pure -----------------------------------------------------------------------------


def test_keys_that_need_a_restart_are_named_and_stay() -> None:
    old = load_text(node())
    new = load_text(
        """
        [node]
        via = "other"
        [listen]
        control = "/run/other.sock"
        proxy = ["127.0.0.1:3999"]
        [log]
        path = "/var/log/other"
        [state]
        path = "/var/lib/other"
        [dns]
        cache_entries = 7
        [limits]
        relay_buffer_bytes = 8192
        max_fields = 64
        """
    )
    assert needs_restart(old, new) == [
        "listen.control",
        "listen.proxy",
        "log.path",
        "state.path",
        "dns.cache_entries",
        "limits.relay_buffer_bytes",
    ]
    running = in_force(old, new)
    assert (running.node.via, running.limits.max_fields) == ("other", 64)
    assert needs_restart(old, running) == []
    assert needs_restart(running, new) == needs_restart(old, new)


def test_settings_without_a_change_need_no_restart() -> None:
    assert needs_restart(Settings(), replace(Settings(), jobs=load_text(node() + job("a")).jobs)) == []


def test_file_is_settled_when_it_stands_still(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    file = SettledFile(str(path))
    assert [file.look(), file.look()] == [False, False]
    path.write_text("12")
    assert file.look() is False
    path.write_text("123")
    assert [file.look(), file.look(), file.look()] == [False, True, False]


def test_file_that_is_replaced_or_comes_back_has_changed(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("1")
    file = SettledFile(str(path))
    other.write_text("2")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert [file.look(), file.look(), file.look()] == [False, True, False]
    path.unlink()
    assert [file.look(), file.look(), file.look()] == [False, True, False]
    path.write_text("1")
    assert [file.look(), file.look()] == [False, True]
