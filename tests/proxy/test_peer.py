from __future__ import annotations

from ipaddress import IPv6Network, ip_address

import pytest

from jobgate.proxy.peer import Origin, Peer


@pytest.mark.parametrize(
    ("peer", "source", "origin"),
    [
        pytest.param(Peer("192.0.2.7:49152"), "192.0.2.7", ip_address("192.0.2.7"), id="IPv4"),
        pytest.param(
            Peer("[2001:db8::7]:49152"), "2001:db8::7", IPv6Network("2001:db8::/64"), id="IPv6-with-its-link"
        ),
        pytest.param(Peer("[fe80::7%eth0]:1"), "fe80::7", IPv6Network("fe80::/64"), id="IPv6-with-a-zone"),
        pytest.param(Peer("[::ffff:192.0.2.7]:1"), "192.0.2.7", ip_address("192.0.2.7"), id="IPv4-mapped"),
        pytest.param(Peer("unix", 1000), None, 1000, id="unix"),
        pytest.param(Peer("unix", 0), None, 0, id="unix-root"),
    ],
)
def test_source_and_origin(peer: Peer, source: str | None, origin: Origin) -> None:
    assert peer.source == (None if source is None else ip_address(source))
    assert peer.origin == origin
