"""Readers of single values."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from jobgate.config import readers
from jobgate.config.members import MemberErrors
from jobgate.config.policy import Network, Tls


@pytest.mark.parametrize("value", [4, 10, 7])
def test_integer_takes_its_range(value: int) -> None:
    assert readers.integer(4, 10)(value) == value


@pytest.mark.parametrize(
    "value",
    [3, 11, 7.0, "7", True, None, [7], 16**5000],
    ids=["below", "above", "float", "text", "true", "none", "list", "thousands-of-digits"],
)
def test_integer_refuses(value: object) -> None:
    with pytest.raises(ValueError, match="expected a"):
        readers.integer(4, 10)(value)


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_number_takes_whole_and_broken(value: float) -> None:
    assert readers.number(0, 1)(value) == value


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "1", True, None])
def test_number_refuses(value: object) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        readers.number(0, 1)(value)


@pytest.mark.parametrize("value", [0.001, 5, 31_536_000])
def test_read_seconds_takes(value: float) -> None:
    assert readers.read_seconds(value) == value


@pytest.mark.parametrize("value", [0, 0.0, -1, math.inf, math.nan, "5", True, 1e9])
def test_read_seconds_refuses(value: object) -> None:
    with pytest.raises(ValueError, match=r"above 0|expected a number"):
        readers.read_seconds(value)


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (readers.read_rate, "10mbit", 1_250_000.0),
        (readers.read_network, "full", Network.FULL),
        (readers.read_tls, "any", Tls.ANY),
        (readers.read_networks, ["none", "http"], (Network.NONE, Network.HTTP)),
        (readers.read_job_id, "a.b_c-1", "a.b_c-1"),
        (readers.read_job_id, "a" * 128, "a" * 128),
        (readers.read_listen, "", ""),
        (readers.read_listen, "[0::1]:0", "[::1]:0"),
        (readers.read_via, "", ""),
        (readers.read_via, "gate-1", "gate-1"),
        (readers.read_note, "ask ops@example.com", "ask ops@example.com"),
        (readers.read_job_header, "", ""),
        (readers.read_job_header, "X-Bacalhau-Job-ID", "X-Bacalhau-Job-ID"),
        (readers.read_path, "-", "-"),
        (readers.read_environment, {"A_1": "x y", "_b": ""}, {"A_1": "x y", "_b": ""}),
        (readers.read_labels, {"any key": "x"}, {"any key": "x"}),
        (readers.read_path, "/var/log/jobgate.log", "/var/log/jobgate.log"),
        (
            readers.read_no_proxy,
            ["10.0.0.0/8", "192.0.2.7", "::1", ".internal.test", "Host.Test"],
            ("10.0.0.0/8", "192.0.2.7", "::1", ".internal.test", "host.test"),
        ),
    ],
)
def test_reader_takes(read: Callable[[object], object], value: object, expected: object) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (readers.read_rate, True),
        (readers.read_rate, None),
        (readers.read_rate, "fast"),
        (readers.read_network, "HTTP"),
        (readers.read_network, "bridge"),
        (readers.read_network, 1),
        (readers.read_tls, "REQUIRE"),
        (readers.read_tls, None),
        (readers.read_networks, "http"),
        (readers.read_rules, "example.com"),
        (readers.read_rules, [1]),
        (readers.read_ports, "443"),
        (readers.read_ports, [True]),
        (readers.read_ports, [4.0]),
        (readers.read_ports, ["443", 0]),
        (readers.read_addresses, "10.0.0.0/8"),
        (readers.read_addresses, ["10.0.0.1/8"]),
        (readers.read_no_proxy, ["*"]),
        (readers.read_no_proxy, ["10."]),
        (readers.read_no_proxy, ["a.b,c.d"]),
        (readers.read_no_proxy, ["a.b:80"]),
        (readers.read_no_proxy, ["10.0.0.0/8:80"]),
        (readers.read_servers, ["dns.example"]),
        (readers.read_hosts, []),
        (readers.read_hosts, {"ok.test": "127.0.0.1"}),
        (readers.read_hosts, {"ok.test": []}),
        (readers.read_hosts, {"ok.test": ["ok.test"]}),
        (readers.read_hosts, {"127.0.0.1": ["127.0.0.1"]}),
        (readers.read_hosts, {"*.test": ["127.0.0.1"]}),
        (readers.read_hosts, {"ok.test": ["127.0.0.1"], "OK.test.": ["127.0.0.2"]}),
        (readers.read_environment, {"A B": ""}),
        (readers.read_environment, {"1A": ""}),
        (readers.read_environment, {"": ""}),
        (readers.read_environment, {"A=B": ""}),
        (readers.read_environment, {"A": 1}),
        (readers.read_environment, {"A": "\0"}),
        (readers.read_environment, "A=B"),
        (readers.read_labels, {"a": 1}),
        (readers.read_labels, {"a": "\x1b[2J"}),
        (readers.read_labels, {"a\n": "x"}),
        (readers.read_labels, {"": "x"}),
        (readers.read_labels, {"a": "x" * 201}),
        (readers.read_job_id, ""),
        (readers.read_job_id, "a b"),
        (readers.read_job_id, "a" * 129),
        (readers.read_job_id, "a\n"),
        (readers.read_job_id, "é"),
        (readers.read_job_id, "a/b"),
        (readers.read_listen, "localhost:3128"),
        (readers.read_listen, 3128),
        (readers.read_via, "two words"),
        (readers.read_via, "a\r\nb"),
        (readers.read_note, "two\nlines"),
        (readers.read_note, "é"),
        (readers.read_note, "a" * 201),
        (readers.read_job_header, "X Job"),
        (readers.read_job_header, "X-Job:"),
        (readers.read_job_header, "Host"),
        (readers.read_job_header, "connection"),
        (readers.read_job_header, "Content-Length"),
        (readers.read_job_header, "transfer-encoding"),
        (readers.read_job_header, "Proxy-Authorization"),
        (readers.read_path, ""),
        (readers.read_path, "a\0b"),
    ],
)
def test_reader_refuses(read: Callable[[object], object], value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(value)


def test_read_rules_names_the_entry_and_its_place() -> None:
    with pytest.raises(MemberErrors) as caught:
        readers.read_rules(["ok.test", "a.b", "*.example.com"])
    assert caught.value.errors == [("[2]", '"*.example.com": write ".example.com"')]


def test_read_hosts_is_canonical_and_immutable() -> None:
    hosts = readers.read_hosts({"OK.test.": ["127.0.0.1", "::1"]})
    assert {name: [str(address) for address in found] for name, found in hosts.items()} == {
        "ok.test": ["127.0.0.1", "::1"]
    }
    assert not hasattr(hosts, "__setitem__")


def test_read_servers_has_port_53_by_default() -> None:
    assert [str(server) for server in readers.read_servers(["192.0.2.53", "[::1]:5353"])] == [
        "192.0.2.53:53",
        "[::1]:5353",
    ]


def test_read_ports_joins_entries() -> None:
    assert str(readers.read_ports([443, "80", "1024-65535"])) == "80,443,1024-65535"


def test_read_addresses_keeps_order() -> None:
    assert [str(rule) for rule in readers.read_addresses(["::1", "10.0.0.0/8"])] == ["::1", "10.0.0.0/8"]


def test_read_node_rules_takes_patterns_beside_rules() -> None:
    allowed = readers.read_node_rules([".example.com", r"regex:^a[0-9]\.example\.net$", "regex:8443"])
    assert allowed.entries() == [".example.com", "regex:8443", r"regex:^a[0-9]\.example\.net$"]


def test_read_node_rules_names_a_bad_pattern_and_its_place() -> None:
    with pytest.raises(MemberErrors) as caught:
        readers.read_node_rules(["ok.test", "regex:example.com"])
    assert caught.value.errors == [
        (
            "[1]",
            '"regex:example.com": an expression is anchored at both ends: write "regex:^...$"',
        )
    ]


def test_read_rules_takes_no_pattern() -> None:
    with pytest.raises(MemberErrors, match="only the node's own allow list"):
        readers.read_rules([r"regex:^a[0-9]\.example\.net$"])
