from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from jobgate.config.host import Authority
from jobgate.config.policy import Policy
from jobgate.proxy.carrier import Carrier
from jobgate.proxy.decision import Kind
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.head import parse_request_head
from jobgate.proxy.job import Job
from jobgate.proxy.journal import Journal
from jobgate.proxy.underway import UnderWay
from jobgate.proxy.usage import Usage
from support.clock import VirtualClock
from support.pipeline import LIMITS
from support.policies import connect, policy

LISTED, REVOKED = policy("a.test"), policy("b.test")


@dataclass
class FakeJob:
    policy: Policy = LISTED
    gone: Reason | None = None


@dataclass
class FakeTunnel:
    moved_bytes: tuple[int, int]


@dataclass
class FakeCarrier:
    waits: tuple[float, float] = 0.0, 0.0
    tunnel: FakeTunnel | None = None

    def take_waits(self) -> tuple[float, float]:
        return self.waits


REQUEST = parse_request_head(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", LIMITS)


class Scene:
    """One connection's requests, and what they wait for."""

    def __init__(self) -> None:
        self.under_way = UnderWay()
        self.carries = FakeCarrier()
        self.carrier = cast(Carrier, self.carries)

    def begin(self, authority: str = "a.test:443", *, status: int | None = None) -> Exchange:
        exchange = Exchange("job", "192.0.2.7:49152", Usage(), Journal(), VirtualClock().time)
        target = connect(authority)
        exchange.asks(Kind.CONNECT, b"CONNECT", Authority(target.host, target.port))
        exchange.status = status
        self.under_way.begin(REQUEST, exchange)
        return exchange

    def overrule(
        self, job: FakeJob | None = None, *, is_judging: bool = False, spares_running: bool = False
    ) -> bool:
        asked = cast(Job, job or FakeJob(REVOKED))
        return self.under_way.overrule(
            asked, lambda *_: False, is_judging=is_judging, spares_running=spares_running
        )


def test_record_has_what_the_lanes_held_back_for_it() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.carries.waits = 0.5, 2.0
    scene.under_way.finish(Reason.DONE, scene.carrier)
    assert (exchange.wait_up_s, exchange.wait_down_s, exchange.end) == (0.5, 2.0, Reason.DONE)
    assert scene.under_way.record is None


def test_record_of_a_tunnel_has_what_it_moved() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.carries.tunnel = FakeTunnel((7, 9))
    scene.under_way.finish(Reason.DONE, scene.carrier)
    assert (exchange.bytes_up, exchange.bytes_down) == (7, 9)


def test_nothing_is_finished_twice() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.under_way.finish(Reason.DONE, scene.carrier)
    scene.under_way.finish(Reason.DRAINED, scene.carrier)
    scene.under_way.leave(Reason.DRAINED)
    assert exchange.end is Reason.DONE


def test_connect_to_port_80_stays_open_while_requests_in_it_come_and_go() -> None:
    scene = Scene()
    outer = scene.begin("a.test:80", status=200)
    inside = Authority(connect("a.test:80").host, 80)
    scene.under_way.enter(inside)
    scene.under_way.finish(Reason.DONE, scene.carrier)
    inner = scene.begin("a.test:80")
    assert (scene.under_way.inside, scene.under_way.record) == (inside, inner)
    scene.under_way.finish(Reason.DONE, scene.carrier)
    assert (inner.end, outer.end, scene.under_way.record) == (Reason.DONE, None, outer)
    scene.under_way.leave(Reason.NOT_HTTP)
    assert outer.end is Reason.NOT_HTTP


def test_what_is_allowed_still_is_not_overruled() -> None:
    scene = Scene()
    assert not scene.overrule()  # nothing is under way
    scene.begin()
    assert not scene.overrule(FakeJob())
    assert (scene.under_way.refusal, scene.under_way.cut_reason) == (None, Reason.DRAINED)


@pytest.mark.parametrize(
    ("status", "is_judging", "is_overruled"), [(None, False, True), (200, False, False), (200, True, True)]
)
def test_what_runs_may_be_spared_and_what_is_judged_does_not_run_yet(
    status: int | None, is_judging: bool, is_overruled: bool
) -> None:
    scene = Scene()
    scene.begin(status=status)
    assert scene.overrule(is_judging=is_judging, spares_running=True) is is_overruled


def test_job_that_is_gone_spares_nothing() -> None:
    scene = Scene()
    scene.begin(status=200)
    assert scene.overrule(FakeJob(gone=Reason.QUOTA), spares_running=True)
    assert scene.under_way.cut_reason is Reason.QUOTA


def test_it_is_overruled_once_and_the_first_reason_counts() -> None:
    scene = Scene()
    scene.begin()
    assert scene.overrule(FakeJob(gone=Reason.QUOTA))
    assert not scene.overrule()
    assert scene.under_way.cut_reason is Reason.QUOTA


def test_refusal_is_told_only_before_an_answer_and_outside_a_connect() -> None:
    scene = Scene()
    exchange = scene.begin()
    scene.overrule()
    refusal = scene.under_way.refusal
    assert isinstance(refusal, ProxyError)
    assert (refusal.reason, scene.under_way.cut_reason) == (Reason.NOT_LISTED, Reason.REVOKED)
    exchange.status = 200
    assert scene.under_way.refusal is None
    exchange.status = None
    scene.under_way.enter(Authority(connect("a.test:80").host, 80))
    assert scene.under_way.refusal is None
