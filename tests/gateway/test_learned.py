"""From what a job did to the smallest policy that allows it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

import pytest

from jobgate.config.host import Name
from jobgate.config.load import load_text
from jobgate.config.policy import Tls
from jobgate.gateway.learned import as_options, as_toml, learn
from jobgate.proxy.usage import Refused, Usage


def usage(reached: Sequence[str] = (), overlooked: Sequence[tuple[str, str, str]] = ()) -> Usage:
    counters = Usage()
    for authority in (*reached, *(authority for authority, reason, _ in overlooked if reason != "sni")):
        counters.add(authority, 1, 1)
    for authority, reason, kind in overlooked:
        counters.overlook(Refused(authority, reason, kind))
    return counters


@pytest.mark.parametrize(
    ("reached", "overlooked", "domains"),
    [
        pytest.param([], [], (), id="nothing"),
        pytest.param(["a.test:443", "b.test:80"], [], ("a.test", "b.test"), id="usual-ports"),
        pytest.param(["a.test:80", "a.test:443"], [], ("a.test",), id="both-ports-are-one-entry"),
        pytest.param(["a.test:8443"], [], ("a.test:8443",), id="a-port-whose-kind-is-not-known"),
        pytest.param(
            [], [("a.test:8080", "not-listed", "http")], ("a.test",), id="an-open-port-of-plain-http"
        ),
        pytest.param(
            [], [("a.test:8443", "not-listed", "connect")], ("a.test:8443",), id="a-closed-port-of-connect"
        ),
        pytest.param([], [("a.test:443", "port", "http")], ("a.test:443",), id="plain-http-on-443"),
        pytest.param(
            ["a.test:8080"], [("a.test:8080", "not-listed", "http")], ("a.test",), id="reached-in-report-mode"
        ),
        pytest.param(
            ["a.test:443"],
            [("cdn.test:443", "sni", "connect")],
            ("a.test", "cdn.test"),
            id="other-server-name",
        ),
        pytest.param(
            ["192.0.2.7:443", "[2001:db8::1]:443"], [], ("192.0.2.7", "2001:db8::1"), id="addresses"
        ),
    ],
)
def test_the_smallest_list(
    reached: list[str], overlooked: list[tuple[str, str, str]], domains: tuple[str, ...]
) -> None:
    assert learn(usage(reached, overlooked), Tls.REQUIRE).domains == tuple(sorted(domains))


def test_names_are_joined_only_below_a_suffix_that_was_asked_for() -> None:
    counters = usage(["a.x.test:443", "b.x.test:443", "b.x.test:8443", "y.test:443", "notx.test:443"])
    assert set(learn(counters, Tls.REQUIRE, suffixes=[Name("x.test")]).domains) == {
        ".x.test",
        ".x.test:8443",
        "notx.test",
        "y.test",
    }


def test_a_suffix_joins_each_port_by_itself() -> None:
    counters = usage(["a.x.test:8443", "b.x.test:8443"])
    assert learn(counters, Tls.REQUIRE, suffixes=[Name("x.test")]).domains == (".x.test:8443",)


def test_a_tunnel_without_tls_is_said_to_need_it() -> None:
    learned = learn(usage([], [("a.test:443", "not-tls", "connect")]), Tls.REQUIRE)
    assert learned.tls is Tls.ANY
    assert as_options(learned) == "--domain a.test --tls any"
    assert tomllib.loads(as_toml(learned)) == {"network": "http", "domains": ["a.test"], "tls": "any"}


def test_what_is_written_is_what_the_loader_reads() -> None:
    learned = learn(usage(["a.test:443", "[2001:db8::1]:8443"]), Tls.REQUIRE)
    (job,) = load_text(f'[[job]]\nid = "j"\nlisten = "127.0.0.1:3128"\n{as_toml(learned)}').jobs
    assert set(map(str, job.policy.domains)) == set(learned.domains)
    assert as_options(learned) == "--domain '[2001:db8::1]:8443' --domain a.test"


def test_what_passed_by_name_and_was_refused_by_address_is_not_learned() -> None:
    counters = Usage()
    counters.overlook(Refused("inside.test:443", "not-listed", "connect"))
    assert learn(counters, Tls.REQUIRE).domains == ()
