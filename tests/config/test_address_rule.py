"""Address rules of the node."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.address_rule import AddressRule


@pytest.mark.parametrize(
    ("text", "canonical", "single"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("10.0.0.0/8", "10.0.0.0/8", False),
        ("192.0.2.7/32", "192.0.2.7", True),
        ("192.0.2.7:1234", "192.0.2.7:1234", True),
        ("10.0.0.0/8:8080", "10.0.0.0/8:8080", False),
        ("::1", "::1", True),
        ("[::1]:80", "[::1]:80", True),
        ("[::1]", "::1", True),
        ("FD00::/8", "fd00::/8", False),
        ("[fd00::/8]:80", "[fd00::/8]:80", False),
        ("0.0.0.0/0", "0.0.0.0/0", False),
        ("::/0", "::/0", False),
        (" 10.0.0.0/8 ", "10.0.0.0/8", False),
    ],
)
def test_parse_is_canonical(text: str, canonical: str, single: bool) -> None:
    rule = AddressRule.parse(text)
    assert (str(rule), rule.single) == (canonical, single)
    assert AddressRule.parse(canonical) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("10.0.0.1/8", 'write "10.0.0.0/8"', id="D-host-bits"),
        pytest.param("fd00::1/8", 'write "fd00::/8"', id="D-host-bits-v6"),
        pytest.param("10.0.0.0/33", "from 0 to 32", id="D-prefix-33"),
        pytest.param("::/129", "from 0 to 128", id="prefix-129"),
        pytest.param("10.0.0.0/08", "from 0 to 32", id="prefix-zero"),
        pytest.param("10.0.0.0/", "from 0 to 32", id="prefix-empty"),
        pytest.param("10.0.0.0/255.0.0.0", "from 0 to 32", id="netmask"),
        pytest.param("10.0.0.0/-1", "from 0 to 32", id="prefix-negative"),
        pytest.param("10.0.0.0/8/8", "from 0 to 32", id="two-prefixes"),
        pytest.param("example.com", "write an address", id="name"),
        pytest.param("", "write an address", id="empty"),
        pytest.param("10.0.0", "four decimal numbers", id="three-parts"),
        pytest.param("010.0.0.1", "four decimal numbers", id="octal"),
        pytest.param("10.0.0.1:0", "from 1 to 65535", id="port-0"),
        pytest.param("10.0.0.1:", "from 1 to 65535", id="port-empty"),
        pytest.param("10.0.0.1:１", "from 1 to 65535", id="port-wide"),
        pytest.param("[::1]80", "write an address", id="no-colon"),
        pytest.param("fe80::1%lo", "write an address", id="zone"),
        pytest.param("10.0.0.1\n", "write an address", id="newline"),
    ],
)
def test_parse_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AddressRule.parse(text)


@pytest.mark.parametrize(
    ("text", "address", "port", "inside"),
    [
        pytest.param("10.0.0.1:321", "10.0.0.1", 321, True, id="F1-port"),
        pytest.param("10.0.0.1:321", "10.0.0.1", 1, False, id="F1-other-port"),
        pytest.param("10.0.1.0/24", "10.0.1.0", 1, True, id="F2-first"),
        pytest.param("10.0.1.0/24", "10.0.1.255", 1, True, id="F2-last"),
        pytest.param("10.0.1.0/24", "10.0.2.0", 1, False, id="F2-behind"),
        pytest.param("10.0.1.0/24", "10.0.0.255", 1, False, id="F2-before"),
        pytest.param("1.1.1.1/32", "1.1.1.2", 1, False, id="F4-address"),
        pytest.param("0.0.0.0/0", "::ffff:10.0.0.1", 1, False, id="families-apart"),
        pytest.param("::1", "::1", 443, True, id="v6"),
    ],
)
def test_contains(text: str, address: str, port: int, inside: bool) -> None:
    assert AddressRule.parse(text).contains(ip_address(address), port) is inside


@given(st.text("0123456789abf.:/[]% x", max_size=24))
def test_parse_gives_a_rule_or_a_value_error(text: str) -> None:
    try:
        rule = AddressRule.parse(text)
    except ValueError:
        return
    assert AddressRule.parse(str(rule)) == rule
