from __future__ import annotations

import pytest

from jobgate.config.convert import Problem
from jobgate.config.load import load_text
from jobgate.config.policy import JobPolicy, Network, NodePolicy
from jobgate.config.rules import RuleSet
from jobgate.config.settings import JobSettings
from jobgate.gateway.places import opened
from jobgate.gateway.views import Entry, JobProblems, Origin, ReadOnlyJob, State, UnknownJob
from jobgate.proxy.usage import JobCounters

NOW = 1000.0


def entry(*domains: str, network: Network = Network.HTTP, rate_up: float = 1e6) -> Entry:
    policy = JobPolicy(network, RuleSet.parse(domains), rate_up=rate_up)
    return Entry.new(JobSettings("train", policy, listen="127.0.0.1:0"), Origin.API, NOW)


def node(text: str) -> NodePolicy:
    return load_text(f"[node]\n{text}\n").node.policy


@pytest.mark.parametrize(
    ("text", "left", "problem"),
    [
        ("", ["a.test", ".b.test"], ""),
        ('allow = ["a.test"]', ["a.test"], '".b.test" is not covered by the node\'s allow list'),
        (
            'allow = [".test.test"]',
            None,
            '"a.test" is not covered by the node\'s allow list; ".b.test" is not',
        ),
        ('networks = ["none"]', None, 'the node does not accept "http", only: none'),
        ('networks = ["none"]\nallow = ["a.test"]', None, 'the node does not accept "http", only: none; ".b'),
    ],
    ids=["all", "some", "no domain", "no network", "neither"],
)
def test_what_the_node_leaves_of_a_job(text: str, left: list[str] | None, problem: str) -> None:
    settings, found = entry("a.test", ".b.test").within(node(text))
    assert (None if settings is None else [str(rule) for rule in settings.policy.domains]) == left
    assert found.startswith(problem)
    assert bool(found) is bool(problem)


def test_rate_is_lowered_without_a_word() -> None:
    settings, problem = entry("a.test").within(node('max_rate_up = "1mbit"'))
    assert settings is not None
    assert (settings.policy.rate_up, problem) == (125_000, "")


def test_job_without_network_is_within_every_node_that_accepts_it() -> None:
    settings, problem = entry(network=Network.NONE).within(node('allow = ["a.test"]'))
    assert (settings is not None, problem) == (True, "")


def test_job_that_is_not_served_is_shown_with_what_is_known() -> None:
    shown = entry("a.test")
    shown.counters = JobCounters(1, 2, 3, 1, NOW)
    shown.problem, shown.refused = "no", True
    view = shown.view(None)
    assert (view.state, view.problem, view.listen, view.connections) == (State.REFUSED, "no", None, 0)
    assert (view.counters, view.created_at, view.document["domains"]) == (shown.counters, NOW, ["a.test"])


def test_new_job_starts_where_the_store_left_it() -> None:
    counted = JobCounters(1, 2, 3, 1, 500.0)
    job = entry("a.test").asked
    assert Entry.new(job, Origin.FILE, NOW, counted).counters == counted
    assert Entry.new(job, Origin.FILE, NOW, counted).stored == counted
    assert Entry.new(job, Origin.FILE, NOW).counters == JobCounters(0, 0, 0, 0, NOW)
    assert Entry.new(job, Origin.FILE, NOW).stored is None


def test_job_is_kept_with_where_it_listens() -> None:
    kept = entry("a.test")
    assert kept.stored_job().listen == ""
    with opened([kept.asked]) as places:
        kept.place = places["train"]
    assert kept.stored_job() == ("train", kept.view(None).document, None, NOW, str(kept.place.where))
    kept.place.discard()


def test_listener_stays_where_the_job_asks_for_the_same() -> None:
    kept = entry("a.test")
    with opened([kept.asked]) as places:
        kept.place = places["train"]
    assert kept.place_for(entry("b.test").asked) is kept.place
    assert kept.place_for(JobSettings("train", kept.asked.policy, listen="127.0.0.2:0")) is None
    assert kept.place_for(entry(network=Network.NONE).asked) is None
    kept.place.discard()
    kept.place = None
    assert kept.place_for(kept.asked) is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UnknownJob("a"), 'no job "a"'),
        (ReadOnlyJob("a"), 'job "a" is in the configuration file: change it there and reload'),
        (JobProblems([Problem("id", "missing"), Problem("listen", "in use")]), "id: missing\nlisten: in use"),
    ],
    ids=["unknown", "read-only", "problems"],
)
def test_error_says_what_to_do(error: Exception, text: str) -> None:
    assert str(error) == text
