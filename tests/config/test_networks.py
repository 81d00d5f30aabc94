from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.networks import NetworkMap


def v4(text: str) -> IPv4Network:
    return IPv4Network(text)


def filled(*networks: str) -> NetworkMap[str]:
    found: NetworkMap[str] = NetworkMap()
    for network in networks:
        found.add(ipaddress.ip_network(network), network)
    return found


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("10.1.2.3", ["10.1.2.0/24", "10.0.0.0/8"], id="longest-first"),
        pytest.param("10.1.3.0", ["10.0.0.0/8"], id="above-the-edge"),
        pytest.param("10.1.1.255", ["10.0.0.0/8"], id="below-the-edge"),
        pytest.param("11.0.0.0", [], id="none"),
        pytest.param("192.0.2.7", ["192.0.2.7/32"], id="single-address"),
        pytest.param("2001:db8::1", ["2001:db8::/32", "::/0"], id="IPv6"),
        pytest.param("::a01:203", ["::/0"], id="IPv6-with-the-bits-of-IPv4"),
    ],
)
def test_find(address: str, expected: list[str]) -> None:
    networks = filled("10.0.0.0/8", "10.1.2.0/24", "192.0.2.7/32", "2001:db8::/32", "::/0")
    assert list(networks.find(ipaddress.ip_address(address))) == expected


def test_a_network_has_several_values_in_the_order_they_came() -> None:
    networks: NetworkMap[int] = NetworkMap()
    for value in (1, 2):
        networks.add(v4("10.0.0.0/8"), value)
    assert list(networks.find(IPv4Address("10.0.0.1"))) == [1, 2]
    networks.remove(v4("10.0.0.0/8"), 1)
    assert list(networks.find(IPv4Address("10.0.0.1"))) == [2]


@pytest.mark.parametrize("network", ["10.0.0.0/9", "11.0.0.0/8", "10.0.0.0/8", "::/0"])
def test_remove_of_what_is_not_there(network: str) -> None:
    networks = filled("10.0.0.0/8")
    with pytest.raises(KeyError):
        networks.remove(ipaddress.ip_network(network), "another")
    assert list(networks.find(IPv4Address("10.0.0.1"))) == ["10.0.0.0/8"]


def test_covering_gives_the_network_itself_and_those_around_it() -> None:
    networks = filled("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16")
    assert list(networks.covering(v4("10.1.0.0/16"))) == ["10.1.0.0/16", "10.0.0.0/8"]


FAMILIES = st.sampled_from([4, 6])


@st.composite
def networks_of(draw: st.DrawFn) -> IPv4Network | IPv6Network:
    """Networks that often hold each other: few bits differ."""
    if draw(FAMILIES) == 4:
        return IPv4Network((draw(st.integers(0, 7)) << 29, draw(st.integers(0, 4))), strict=False)
    return IPv6Network((draw(st.integers(0, 7)) << 125, draw(st.integers(0, 4))), strict=False)


@given(st.lists(networks_of(), max_size=8), st.lists(networks_of(), max_size=3), networks_of())
def test_find_and_covering_agree_with_a_scan(
    kept: list[IPv4Network | IPv6Network],
    removed: list[IPv4Network | IPv6Network],
    asked: IPv4Network | IPv6Network,
) -> None:
    networks: NetworkMap[IPv4Network | IPv6Network] = NetworkMap()
    for network in kept + removed:
        networks.add(network, network)
    for network in removed:
        networks.remove(network, network)
    same = [network for network in kept if network.version == asked.version]
    around = [network for network in same if asked.subnet_of(network)]  # type: ignore[arg-type]
    assert sorted(networks.covering(asked), key=str) == sorted(around, key=str)
    address = asked[0]
    found = list(networks.find(address))
    assert sorted(found, key=str) == sorted((one for one in same if address in one), key=str)
    assert found == sorted(found, key=lambda network: -network.prefixlen)
