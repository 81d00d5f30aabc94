from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jobgate.proxy.errors import Reason
from jobgate.proxy.relay import Relay
from jobgate.proxy.tunnel import IdleWatch, Tunnel
from support.lanes import free_lane
from support.wait import until
from support.wires import FakeWire


class Rig:
    """A running tunnel between two fake wires."""

    def __init__(self, *, idle_s: float = 3600.0, half_closed_s: float = 3600.0) -> None:
        self.client, self.upstream = FakeWire(), FakeWire()
        up = Relay(self.client, self.upstream, lane=free_lane())
        down = Relay(self.upstream, self.client, lane=free_lane())
        self.tunnel = Tunnel(up, down, idle_s=idle_s, half_closed_s=half_closed_s)
        self.task = asyncio.get_running_loop().create_task(self.tunnel.run())

    @classmethod
    async def started(cls, **seconds: float) -> Rig:
        rig = cls(**seconds)
        await until(lambda: rig.upstream.reader is not None)
        return rig


async def test_run_relays_both_ways_and_closes_after_both_ends() -> None:
    rig = await Rig.started()
    rig.client.arrive(b"ping")
    rig.upstream.arrive(b"pong")
    rig.client.end()
    assert rig.upstream.calls == ["fin"]
    assert not rig.task.done()
    rig.upstream.arrive(b"late")
    rig.upstream.end()
    assert await rig.task is Reason.DONE
    assert rig.upstream.written == b"ping"
    assert rig.client.written == b"ponglate"
    assert rig.client.calls == ["close"]  # which sends the other FIN
    assert rig.upstream.calls == ["fin", "close"]


async def test_run_upstream_may_end_first() -> None:
    rig = await Rig.started()
    rig.upstream.end()
    rig.client.arrive(b"still here")
    rig.client.end()
    assert await rig.task is Reason.DONE
    assert rig.upstream.written == b"still here"


@pytest.mark.parametrize(
    ("who", "reason"),
    [("client", Reason.CLIENT_RESET), ("upstream", Reason.UPSTREAM_RESET)],
    ids=["client", "upstream"],
)
@pytest.mark.parametrize("half_closed", [False, True], ids=["open", "half-closed"])
async def test_run_reset_is_carried_to_both_sides(who: str, reason: Reason, half_closed: bool) -> None:
    rig = await Rig.started()
    wire: FakeWire = getattr(rig, who)
    if half_closed:
        wire.end()
    wire.break_()
    assert await rig.task is reason
    assert rig.client.calls[-1] == rig.upstream.calls[-1] == "reset"


async def test_run_idle_ends_with_a_reset() -> None:
    rig = await Rig.started(idle_s=0.02)
    assert await rig.task is Reason.IDLE
    assert rig.client.calls == ["reset"]


async def test_run_half_closed_has_its_own_patience() -> None:
    rig = await Rig.started(half_closed_s=0.02)
    rig.client.end()
    assert await rig.task is Reason.IDLE


async def test_run_traffic_in_one_direction_keeps_the_tunnel_alive() -> None:
    rig = await Rig.started(idle_s=0.3)  # no machine is late by that much
    for _ in range(40):
        rig.upstream.arrive(b"x")
        await asyncio.wait([rig.task], timeout=0.01)
    assert not rig.task.done()
    rig.tunnel.stop(Reason.DRAINED)
    assert await rig.task is Reason.DRAINED


async def test_run_cancelled_lets_go_of_both_wires() -> None:
    rig = await Rig.started()
    rig.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rig.task
    assert rig.client.reader is rig.upstream.reader is None


class FakeAlarms:
    """One alarm on a virtual clock, which is its own loop and handle."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: tuple[float, Callable[[], None]] | None = None

    @property
    def loop(self) -> FakeAlarms:
        return self

    def time(self) -> float:
        return self.now

    def at(self, when: float, callback: Callable[[], None]) -> FakeAlarms:
        self.due = when, callback
        return self

    def fire(self) -> None:
        assert self.due is not None
        (self.now, callback), self.due = self.due, None
        callback()


@pytest.mark.parametrize(
    ("idle_s", "shortest_s"), [(300.0, None), (310.0, 300.0), (3600.0, 300.0), (70.0, 300.0)]
)
def test_silence_is_noticed_at_most_a_quarter_of_the_shortest_late(
    idle_s: float, shortest_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms, told = FakeAlarms(), list[float]()
    monkeypatch.setattr("jobgate.proxy.tunnel.own_alarms", lambda: alarms)
    relay = Relay(FakeWire(), FakeWire(), lane=free_lane())
    IdleWatch((relay,), idle_s, lambda: told.append(alarms.now), shortest_s)
    last = alarms.now = 1.0
    relay.moved_bytes = 1
    while not told:
        alarms.fire()
    look_s = IdleWatch.GRAIN * min(idle_s, shortest_s or idle_s)
    assert last + idle_s <= told[0] <= last + idle_s + look_s
