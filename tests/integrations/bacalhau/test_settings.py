from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from jobgate.config.host import Name
from jobgate.config.policy import Network, Policy, Tls
from jobgate.config.settings import Settings
from jobgate.integrations.bacalhau.settings import SettingsError
from jobgate.proxy.decision import Kind, Target, decide
from jobgate.proxy.errors import Reason
from support.bacalhau import bacalhau_settings, variables

HOSTS = """
127.0.0.1 localhost
::1 localhost ip6-localhost
172.17.0.1 host.docker.internal
172.17.0.3 0123456789ab
10.0.0.5 inside.test db.inside.test
203.0.113.9 public.test
"""


def pinned(*domains: str, config: str = "") -> dict[str, str]:
    """Names of a job that may lead to private addresses, and to which."""
    (job,) = bacalhau_settings(variables(domains), hosts=HOSTS, config=config).jobs
    return {str(name): str(address) for name, address in job.policy.pinned}


def decided(settings: Settings, kind: Kind, host: str, port: int) -> Reason | None:
    (job,) = settings.jobs
    return decide(Policy(job.policy, settings.node.policy), Target(kind, Name(host), port)).reason


def test_job_is_known_by_its_network_and_gets_the_usual_rates() -> None:
    settings = bacalhau_settings(variables())
    (job,) = settings.jobs
    assert (job.id, job.listen, job.clients) == ("job-123", "[::]:8080", (ip_network("127.0.0.0/8"),))
    assert (job.policy.network, job.policy.tls) == (Network.HTTP, Tls.REQUIRE)
    assert job.job_header == "X-Bacalhau-Job-ID"


def test_rates_are_10_mbit_each_way_and_the_burst_is_small_r1_r2_r6() -> None:
    (job,) = bacalhau_settings(variables()).jobs
    assert (job.policy.rate_up, job.policy.rate_down, job.burst_bytes) == (1_250_000, 1_250_000, None)


PINS: dict[str, tuple[list[str], dict[str, str]]] = {
    "exact": (["host.docker.internal"], {"host.docker.internal": "172.17.0.1"}),
    "exact beside what covers it": ([".inside.test", "db.inside.test"], {"db.inside.test": "10.0.0.5"}),
    "suffix": ([".docker.internal", ".inside.test"], {}),
    "address": (["172.17.0.1"], {}),
    "not in the file": (["elsewhere.test"], {}),
    "two": (["inside.test", "host.docker.internal", "a.test"], {"inside.test": "10.0.0.5"}),
}


@pytest.mark.parametrize(("domains", "expected"), PINS.values(), ids=PINS)
def test_private_address_is_pinned_to_an_exact_name_of_the_hosts_file(
    domains: list[str], expected: dict[str, str]
) -> None:
    assert pinned(*domains).items() >= expected.items()
    assert set(pinned(*domains)) <= set(domains)


def test_pinned_names_are_never_asked_of_a_name_server() -> None:
    settings = bacalhau_settings(variables(["host.docker.internal", "a.test", ".inside.test"]), hosts=HOSTS)
    assert dict(settings.dns.hosts) == {"host.docker.internal": (ip_address("172.17.0.1"),)}


def test_operators_own_hosts_win_and_are_not_pinned() -> None:
    config = '[dns.hosts]\n"inside.test" = ["10.9.9.9"]\n"other.test" = ["192.0.2.1"]'
    settings = bacalhau_settings(variables(["inside.test"]), hosts=HOSTS, config=config)
    assert settings.dns.hosts[Name("inside.test")] == (ip_address("10.9.9.9"),)
    assert Name("other.test") in settings.dns.hosts
    assert pinned("inside.test", config=config) == {}


def test_api_of_the_host_is_denied_by_name_and_by_address() -> None:
    settings = bacalhau_settings(variables(["host.docker.internal"]), hosts=HOSTS)
    for kind in Kind:
        assert decided(settings, kind, "host.docker.internal", 1234) is Reason.DENIED
    assert decided(settings, Kind.HTTP, "host.docker.internal", 8000) is None
    assert [str(rule) for rule in settings.node.deny_addresses] == ["172.17.0.1:1234"]


def test_deny_lists_of_the_operator_stay() -> None:
    config = '[node]\ndeny = ["requester.demo.example"]\ndeny_addresses = ["192.0.2.0/24"]'
    settings = bacalhau_settings(variables([".demo.example"]), config=config, hosts=HOSTS)
    assert decided(settings, Kind.CONNECT, "requester.demo.example", 443) is Reason.DENIED
    assert decided(settings, Kind.CONNECT, "other.demo.example", 443) is None
    assert [str(rule) for rule in settings.node.deny_addresses] == ["192.0.2.0/24", "172.17.0.1:1234"]


def test_note_of_the_operator_follows_the_text_that_clients_look_for() -> None:
    settings = bacalhau_settings(variables(), config='[node]\nrefusal_note = "ask ops@example.com"')
    assert settings.node.refusal_note.splitlines() == [
        "ERROR: The requested URL could not be retrieved",
        "ask ops@example.com",
    ]


def test_rate_of_the_node_bounds_the_job() -> None:
    (job,) = bacalhau_settings(variables(), config='[node]\nmax_rate_up = "1mbit"').jobs
    assert (job.policy.rate_up, job.policy.rate_down) == (125_000, 1_250_000)


REFUSED = {
    "job": ('[[job]]\nid = "a"', "[[job]]: has no meaning for jobgate bacalhau"),
    "listen": (
        '[listen]\ncontrol = ""',
        "[listen]: has no meaning for jobgate bacalhau, which listens on port",
    ),
    "state": ('[state]\npath = "/s"', "[state]: has no meaning for jobgate bacalhau"),
    "env": ('[env]\nA = "b"', "[env]: has no meaning for jobgate bacalhau"),
    "outside the allow list": (
        '[node]\nallow = [".example.net"]',
        'the node does not take the job: domains: "example.com" is not covered by the node\'s allow list',
    ),
    "no network": ('[node]\nnetworks = ["none"]', "the node does not take the job: network: "),
}


@pytest.mark.parametrize(("config", "message"), REFUSED.values(), ids=REFUSED)
def test_configuration_that_does_not_go_with_it_is_refused(config: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        bacalhau_settings(variables(), config=config)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
