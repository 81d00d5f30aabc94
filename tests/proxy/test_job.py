from __future__ import annotations

import math
from dataclasses import replace

import pytest

from jobgate.config.load import load_text
from jobgate.config.policy import Network, Policy, PolicyError, narrow
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings, Settings
from jobgate.proxy.errors import Reason
from jobgate.proxy.job import Commons, Job, nobody
from jobgate.proxy.lifetime import Clocks
from jobgate.proxy.pool import IdleBudget
from jobgate.proxy.usage import JobCounters
from jobgate.ratelimit.pacer import Pacer
from jobgate.ratelimit.total import NodeTotal
from support.clock import VirtualClock

KIB = 1024
NOW = 1_795_181_107.0


class Rig:
    """One job with all that jobs share, in virtual time."""

    def __init__(self, text: str = "", *, tables: str = "", restored: JobCounters | None = None) -> None:
        self.clock, self.wall = VirtualClock(), VirtualClock(NOW)
        self.node = load_text(
            f'{tables}\n[[job]]\nid = "train-1"\nnetwork = "http"\nlisten = "127.0.0.1:0"\n'
            f'domains = ["ok.test"]\n{text}'
        )
        self.over: list[Job] = []
        pacer = Pacer(self.clock.time, self.clock.call_at)
        clocks = Clocks(
            self.wall.time,
            self.clock.time,
            lambda delay_s, callback: self.clock.call_at(self.clock.now + delay_s, callback),
        )
        self.commons = Commons(
            memoryview(bytearray(64 * KIB)),
            pacer,
            IdleBudget(10),
            NodeTotal(math.inf, pacer),
            NodeTotal(math.inf, pacer),
            clocks,
        )
        self.job = Job(
            self.node.jobs[0], self.node, self.commons, restored=restored, on_over=self.over.append
        )

    def change(self, settings: JobSettings | None = None, node: Settings | None = None) -> bool:
        """Change the job, the node, or nothing."""
        settings, node = settings or self.job.settings, node or self.node
        policy = Policy(narrow(settings.policy, node.node.policy), node.node.policy)
        return self.job.change(settings, policy, node)

    def spend(self, amount_bytes: int) -> None:
        """Upload, as far as tokens and quota go."""
        lane = self.job.up.lane()
        lane.request(amount_bytes, lambda: None)
        lane.cancel()
        self.clock.advance(0.01)


def domains(settings: JobSettings, *entries: str) -> JobSettings:
    """The same job with other domains."""
    return replace(settings, policy=replace(settings.policy, domains=RuleSet.parse(entries)))


# --- as it is added


def test_directions_have_buckets_of_their_own() -> None:
    job = Rig().job
    up, down = job.up.lane(), job.down.lane()
    while up.request(32 * KIB, lambda: None):
        pass
    assert down.request(32 * KIB, lambda: None)


@pytest.mark.parametrize(
    ("own", "limit", "cap"), [(10, 20, 10), (20, 10, 10), (7, 7, 7)], ids=["own", "limit", "equal"]
)
def test_smaller_cap_of_connections_wins_and_twice_as_many_are_heard(own: int, limit: int, cap: int) -> None:
    caps = Rig(f"max_connections = {own}", tables=f"[limits]\nmax_connections_per_job = {limit}").job.caps
    assert (caps.connections, caps.heard) == (cap, 2 * cap)


def test_rate_is_bounded_by_the_node() -> None:
    bounded = Rig('rate_up = "unlimited"', tables='[node]\nmax_rate_up = "8mbit"').job
    assert bounded.up.receive_buffer_bytes == 500_000


def test_domain_outside_the_node_is_an_error() -> None:
    rig = Rig()
    node = load_text('[node]\nallow = ["other.test"]')
    with pytest.raises(PolicyError, match=r"ok\.test"):
        Job(rig.job.settings, node, rig.commons, on_over=rig.over.append)


@pytest.mark.parametrize(
    ("text", "header"),
    [('job_header = "X-Job"', (b"X-Job", b"train-1")), ("", None)],
    ids=["named", "absent"],
)
def test_job_header_names_the_job(text: str, header: tuple[bytes, bytes] | None) -> None:
    assert Rig(text).job.header == header


def test_counters_go_on_from_what_was_restored() -> None:
    rig = Rig(restored=JobCounters(100, 200, 3, 1, NOW - 60.0))
    rig.spend(11)
    rig.job.usage.decide("allow")
    assert rig.job.counters() == JobCounters(111, 200, 4, 1, NOW - 60.0)


def test_counters_begin_now() -> None:
    assert Rig().job.counters() == JobCounters(0, 0, 0, 0, NOW)


# --- as it changes


def test_change_takes_effect_everywhere_at_once() -> None:
    rig = Rig()
    changed = replace(
        domains(rig.job.settings, "other.test"), job_header="X-Job", max_connections=3, burst_bytes=10_000
    )
    changed = replace(changed, policy=replace(changed.policy, rate_up=8e6))
    assert rig.change(changed)
    job = rig.job
    assert job.settings == changed
    assert job.policy.job.domains == RuleSet.parse(["other.test"])
    assert (job.header, job.caps.connections) == ((b"X-Job", b"train-1"), 3)
    assert (job.up.piece_bytes, job.up.receive_buffer_bytes) == (5_000, 4_000_000)
    assert job.generation == 1


def test_change_of_the_node_takes_effect_everywhere_at_once() -> None:
    rig = Rig()
    node = load_text(
        '[node]\nmax_rate_down = "8mbit"\n'
        "[limits]\nmax_connections_per_job = 5\n[timeouts]\nkeepalive_s = 7.0"
    )
    assert rig.change(node=node)
    assert (rig.job.down.receive_buffer_bytes, rig.job.caps.connections) == (500_000, 5)
    assert rig.job.pool.keepalive_s == 7.0


@pytest.mark.parametrize("what", ["labels", "max_connections", "job_header"])
def test_change_that_refuses_nothing_asks_for_no_review(what: str) -> None:
    rig = Rig()
    values: dict[str, object] = {"labels": {"a": "b"}, "max_connections": 1, "job_header": "X-Job"}
    assert not rig.change(replace(rig.job.settings, **{what: values[what]}))  # type: ignore[arg-type]


async def test_limiters_keep_their_fill_unless_their_rate_changes() -> None:
    rig = Rig(tables="[limits]\nrequests_per_s_per_job = 1\ndns_names_per_s_per_job = 1")
    job = rig.job
    assert (job.requests.take(), job.dns_names.take()) == (0.0, 0.0)
    rig.change(domains(job.settings, "other.test"))
    assert job.requests.take() > 0
    rig.change(node=replace(rig.node, limits=replace(rig.node.limits, requests_per_s_per_job=2.0)))
    assert job.requests.take() == 0.0
    assert job.dns_names.take() > 0


# --- as it ends


def test_quota_that_is_spent_is_told_once_and_settled() -> None:
    rig = Rig("max_bytes_up = 1000")
    rig.spend(1000)
    assert rig.over == []
    rig.spend(1)
    rig.spend(1)
    assert rig.over == [rig.job]
    assert rig.job.settle()
    assert rig.job.gone is Reason.QUOTA
    assert not rig.job.settle()
    assert rig.job.generation == 1


@pytest.mark.parametrize("key", ["max_bytes_up", "max_bytes_down"])
def test_quota_that_was_spent_before_is_spent(key: str) -> None:
    restored = JobCounters(1000, 1000, 0, 0, NOW)
    assert Rig(f"{key} = 1000", restored=restored).job.gone is Reason.QUOTA
    assert Rig(f"{key} = 1001", restored=restored).job.gone is None


def test_larger_quota_serves_again() -> None:
    rig = Rig("max_bytes_up = 1000", restored=JobCounters(1000, 0, 0, 0, NOW))
    assert rig.change(replace(rig.job.settings, max_bytes_up=2000))
    assert rig.job.gone is None


def test_time_that_is_over_is_told_and_settled() -> None:
    rig = Rig("max_duration_s = 100")
    rig.clock.advance(99.0)
    assert rig.over == []
    rig.clock.advance(1.0)
    assert rig.over == [rig.job]
    assert rig.job.settle()
    assert rig.job.gone is Reason.QUOTA
    assert rig.change(replace(rig.job.settings, max_duration_s=0.0))
    assert rig.job.gone is None


def test_restart_does_not_renew_a_duration() -> None:
    restored = JobCounters(0, 0, 0, 0, NOW - 100.0)
    assert Rig("max_duration_s = 100", restored=restored).job.gone is Reason.QUOTA


def test_date_is_kept_whenever_the_job_began() -> None:
    rig = Rig()
    assert rig.change(replace(rig.job.settings, expires_at=NOW - 1.0))
    assert rig.job.gone is Reason.EXPIRED


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_JOB, Reason.EXPIRED], ids=["removed", "expired"])
def test_job_that_ended_for_good_stays_so_and_has_no_timer(reason: Reason) -> None:
    rig = Rig("max_duration_s = 100")
    rig.job.end(reason)
    assert rig.job.gone is reason
    rig.change(replace(rig.job.settings, max_bytes_up=1))
    assert rig.job.gone is reason
    rig.job.close()
    assert rig.clock.pending == []


@pytest.mark.parametrize("networks", ['["none"]', '["http"]', "[]"])
def test_nobody_is_there_whatever_networks_the_node_accepts(networks: str) -> None:
    rig = Rig()
    job = nobody(load_text(f"node.networks = {networks}"), rig.commons)
    assert (job.id, job.policy.job.network, job.gone) == ("", Network.NONE, None)
