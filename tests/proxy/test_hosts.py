"""What is read from ``/etc/hosts`` and ``/etc/resolv.conf``, and what is left out."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.endpoints import Endpoint
from jobgate.proxy.hosts import LOCAL_NAMESERVER, parse_hosts, parse_nameservers

HOSTS = [
    ("one", "192.0.2.7 n.test", {"n.test": ["192.0.2.7"]}),
    ("aliases", "192.0.2.7\tn.test  m.test o\n", {name: ["192.0.2.7"] for name in ("n.test", "m.test", "o")}),
    ("both families", "127.0.0.1 localhost\n::1 localhost", {"localhost": ["127.0.0.1", "::1"]}),
    ("twice the same", "192.0.2.7 n.test\n192.0.2.7 n.test", {"n.test": ["192.0.2.7"]}),
    ("case and final dot", "192.0.2.7 N.Test.", {"n.test": ["192.0.2.7"]}),
    ("comment", "# 192.0.2.7 a.test\n192.0.2.7 n.test # m.test", {"n.test": ["192.0.2.7"]}),
    ("carriage return", "192.0.2.7 n.test\r\n", {"n.test": ["192.0.2.7"]}),
    ("bad address", "192.0.2.300 n.test\n127.1 n.test\n0177.0.0.1 n.test", {}),
    ("zone", "fe80::1%lo0 n.test", {}),
    ("no name", "192.0.2.7\n\n   \n", {}),
    ("not ASCII", "192.0.2.7 bücher.test n.test", {"n.test": ["192.0.2.7"]}),
    ("only a dot", "192.0.2.7 .", {}),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in HOSTS], ids=[case[0] for case in HOSTS])
def test_parse_hosts(text: str, expected: dict[str, list[str]]) -> None:
    found = {name: [str(address) for address in addresses] for name, addresses in parse_hosts(text).items()}
    assert found == expected


NAMESERVERS = [
    ("one", "nameserver 192.0.2.53", ["192.0.2.53"]),
    ("v6", "nameserver 2001:db8::53", ["2001:db8::53"]),
    ("zone", "nameserver fe80::1%eth0", ["fe80::1%eth0"]),
    ("others", "search ok.test\noptions ndots:5\nnameserver 192.0.2.53 # x\ndomain test", ["192.0.2.53"]),
    ("comment", "#nameserver 192.0.2.1\n;nameserver 192.0.2.2\nnameserver 192.0.2.3", ["192.0.2.3"]),
    ("a name", "nameserver ns.test\nnameserver 192.0.2.53", ["192.0.2.53"]),
    ("no address", "nameserver\nnameserver 192.0.2.53", ["192.0.2.53"]),
    ("more than three", "nameserver 192.0.2.53\n" * 4, ["192.0.2.53"] * 3),
]


@pytest.mark.parametrize(
    ("text", "expected"), [case[1:] for case in NAMESERVERS], ids=[case[0] for case in NAMESERVERS]
)
def test_parse_nameservers(text: str, expected: list[str]) -> None:
    assert parse_nameservers(text) == tuple(Endpoint(ip_address(address), 53) for address in expected)


def test_parse_nameservers_of_an_empty_file_is_the_local_host() -> None:
    assert parse_nameservers("") == (LOCAL_NAMESERVER,)


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert all(name.isascii() and addresses for name, addresses in parse_hosts(text).items())
    assert parse_nameservers(text)
