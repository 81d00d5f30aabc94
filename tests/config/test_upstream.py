from __future__ import annotations

import base64
from ipaddress import ip_address

import pytest

from jobgate.config.address_rule import AddressRule
from jobgate.config.host import Host, Name
from jobgate.config.rules import RuleSet
from jobgate.config.upstream import DIRECT_NOTHING, DirectHosts, UpstreamProxy


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("http://corp:3128", UpstreamProxy(Name("corp"), 3128), id="name"),
        pytest.param("http://Corp.Example:3128/", UpstreamProxy(Name("corp.example"), 3128), id="slash"),
        pytest.param("http://192.0.2.7:80", UpstreamProxy(ip_address("192.0.2.7"), 80), id="IPv4"),
        pytest.param("http://[::1]:3128", UpstreamProxy(ip_address("::1"), 3128), id="IPv6"),
        pytest.param("http://u:p@corp:1", UpstreamProxy(Name("corp"), 1, basic("u:p")), id="credentials"),
        pytest.param("http://u@corp:1", UpstreamProxy(Name("corp"), 1, basic("u:")), id="no-password"),
        pytest.param("http://u:a:b@corp:1", UpstreamProxy(Name("corp"), 1, basic("u:a:b")), id="colon"),
        pytest.param(
            "http://u:p%40%3A%c3%a9%25@corp:1", UpstreamProxy(Name("corp"), 1, basic("u:p@:é%")), id="encoded"
        ),
        pytest.param("http://u:p@ss@corp:1", UpstreamProxy(Name("corp"), 1, basic("u:p@ss")), id="at-sign"),
    ],
)
def test_parse(text: str, expected: UpstreamProxy) -> None:
    assert UpstreamProxy.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("s3cret:s3cret@corp:3128", id="no-scheme"),
        pytest.param("https://s3cret@corp:3128", id="https"),
        pytest.param("http://u:s3cret@corp", id="no-port"),
        pytest.param("http://u:s3cret@corp:0", id="port-0"),
        pytest.param("http://u:s3cret@corp:3128/path", id="path"),
        pytest.param("http://u:s3cret@corp:3128?q", id="query"),
        pytest.param("http://u:s3cret@127.1:3128", id="short-address"),
        pytest.param("http://u:s3cret@cörp:3128", id="not-ASCII"),
        pytest.param("http://u%3a:s3cret@corp:3128", id="colon-in-user"),
        pytest.param("http://u:s3cret%0d%0a@corp:3128", id="control-character"),
        pytest.param("http://u:s3cret@", id="no-host"),
        pytest.param(" http://u:s3cret@corp:3128", id="space"),
    ],
)
def test_parse_refuses_and_shows_nothing_of_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|user name") as caught:
        UpstreamProxy.parse(text)
    assert "s3cret" not in str(caught.value)


def test_credentials_are_never_shown() -> None:
    proxy = UpstreamProxy.parse("http://user:s3cret@corp:3128")
    assert str(proxy) == "http://corp:3128"
    for shown in (repr(proxy), str(proxy), f"{proxy}"):
        assert "s3cret" not in shown
        assert base64.b64encode(b"user:s3cret").decode() not in shown


DIRECT = DirectHosts(
    RuleSet.parse(["a.test", ".b.test"]), (AddressRule.parse("10.0.0.0/8"), AddressRule.parse("2001:db8::1"))
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (Name("a.test"), True),
        (Name("x.a.test"), False),
        (Name("b.test"), True),
        (Name("x.b.test"), True),
        (ip_address("10.255.255.255"), True),
        (ip_address("11.0.0.0"), False),
        (ip_address("2001:db8::1"), True),
        (ip_address("2001:db8::2"), False),
    ],
    ids=str,
)
def test_direct_hosts(host: Host, expected: bool) -> None:
    assert (host in DIRECT) is expected
    assert host not in DIRECT_NOTHING
