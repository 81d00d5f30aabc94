"""Tunnels through the node's upstream proxy: the request, the answers, the deadline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from jobgate.config.address_rule import AddressRule
from jobgate.config.gateway import UpstreamSettings
from jobgate.config.host import Address, Authority, Host, Name, parse_authority
from jobgate.config.rules import RuleSet
from jobgate.config.settings import DnsSettings
from jobgate.config.upstream import DIRECT_NOTHING, DirectHosts, UpstreamProxy
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.head import HeadLimits
from jobgate.proxy.resolver import Resolver
from jobgate.proxy.upstream import UpstreamDialer, ask_for_tunnel, connect_request, in_order, worth_another

LIMITS = HeadLimits(4096, 2048, 32)
ORIGIN = Authority(ip_address("192.0.2.7"), 443)
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize(
    ("authority", "authorization", "expected"),
    [
        pytest.param(
            "192.0.2.7:443", b"", b"CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n", id="ipv4"
        ),
        pytest.param(
            "[2001:db8::1]:80",
            b"",
            b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n",
            id="ipv6",
        ),
        pytest.param(
            "192.0.2.7:443",
            b"Basic dTpw",
            b"CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n"
            b"Proxy-Authorization: Basic dTpw\r\n\r\n",
            id="credentials",
        ),
    ],
)
def test_the_request_names_an_address(authority: str, authorization: bytes, expected: bytes) -> None:
    assert connect_request(parse_authority(authority.encode(), None), authorization) == expected


def test_ipv4_is_asked_for_first_and_not_everything_is_tried() -> None:
    texts = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]
    assert [str(address) for address in in_order([ip_address(text) for text in texts])] == [
        "192.0.2.1",
        "192.0.2.2",
        "2001:db8::1",
    ]


async def tunnel(answer: bytes, *, end: bool = False) -> tuple[bytes, bytes]:
    """Ask a proxy that answers these bytes; return what it was asked, and what is left to read."""
    near, far = socket.socketpair()
    for sock in (near, far):
        sock.setblocking(False)
    loop = asyncio.get_running_loop()
    with near, far:
        await loop.sock_sendall(far, answer)
        if end:
            far.shutdown(socket.SHUT_WR)
        await ask_for_tunnel(near, ORIGIN, b"", LIMITS)
        asked = await loop.sock_recv(far, 4096)
        far.shutdown(socket.SHUT_WR)
        return asked, await loop.sock_recv(near, 4096)


async def test_bytes_behind_the_answer_belong_to_the_origin() -> None:
    asked, left = await tunnel(OK + b"220 origin speaks first\r\n")
    assert asked.startswith(b"CONNECT 192.0.2.7:443 ")
    assert left == b"220 origin speaks first\r\n"


async def test_interim_responses_are_skipped() -> None:
    assert (await tunnel(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK))[1] == b""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b"HTTP/1.1 403 Forbidden\r\n\r\n", Reason.CONNECT_REFUSED, id="refused"),
        pytest.param(b"HTTP/1.1 407 Who\r\n\r\n", Reason.CONNECT_REFUSED, id="credentials"),
        pytest.param(b"HTTP/1.1 502 Bad\r\n\r\n", Reason.CONNECT_UNREACHABLE, id="unreachable"),
        pytest.param(b"HTTP/1.1 503 Busy\r\n\r\n", Reason.CONNECT_UNREACHABLE, id="busy"),
        pytest.param(b"HTTP/1.1 504 Late\r\n\r\n", Reason.CONNECT_TIMEOUT, id="late"),
        pytest.param(b"HTTP/1.1 302 Log in\r\n\r\n", Reason.UPSTREAM_INVALID, id="redirect"),
        pytest.param(b"HTTP/1.1 103 Hint\r\n\r\n" * 4, Reason.UPSTREAM_INVALID, id="interim-only"),
        pytest.param(b"SSH-2.0-server\r\n", Reason.UPSTREAM_INVALID, id="no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 8000, Reason.UPSTREAM_INVALID, id="endless-head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", Reason.UPSTREAM_CLOSED, id="cut"),
        pytest.param(b"", Reason.UPSTREAM_CLOSED, id="nothing"),
    ],
)
async def test_an_answer_that_is_no_tunnel_has_its_reason(answer: bytes, reason: Reason) -> None:
    with pytest.raises(ProxyError) as caught:
        await tunnel(answer, end=True)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("reason", "another"),
    [(Reason.CONNECT_REFUSED, True), (Reason.CONNECT_TIMEOUT, True), (Reason.UPSTREAM_INVALID, False)],
    ids=str,
)
def test_another_address_is_tried_where_one_failed(reason: Reason, another: bool) -> None:
    assert worth_another(reason) is another


async def test_an_answer_in_single_bytes_is_read_to_its_end_and_no_further() -> None:
    near, far = socket.socketpair()
    for sock in (near, far):
        sock.setblocking(False)
    loop = asyncio.get_running_loop()
    with near, far:
        asking = loop.create_task(ask_for_tunnel(near, ORIGIN, b"", LIMITS))
        for byte in OK + b"hello":
            await loop.sock_sendall(far, bytes((byte,)))
            await asyncio.sleep(0)
        await asking
        assert await loop.sock_recv(near, 100) == b"hello"


class Proxies:
    """Stands for the upstream proxy: each connection gets the next answer."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.dialled: list[tuple[str, int]] = []
        self.ends: list[socket.socket] = []

    async def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> socket.socket:
        self.dialled.append((str(addresses[0]), port))
        near, far = socket.socketpair()
        near.setblocking(False)
        self.ends.append(far)
        far.sendall(self._answers.pop(0))
        return near

    def asked(self) -> list[bytes]:
        """First lines of the requests, one a connection."""
        return [end.recv(4096).split(b"\r\n")[0] for end in self.ends]

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def resolver() -> Resolver:
    hosts = {Name("corp.test"): (ip_address("10.0.0.1"),)}
    return Resolver(DnsSettings(hosts=hosts))


def through(
    proxies: Proxies, resolver: Resolver, *, no_proxy: DirectHosts = DIRECT_NOTHING
) -> UpstreamDialer:
    settings = UpstreamSettings(UpstreamProxy.parse("http://u:p@corp.test:3128"), no_proxy)
    return UpstreamDialer(settings, resolver, proxies, LIMITS)


async def opened(proxies: Proxies, resolver: Resolver, *texts: str, timeout_s: float = 5.0) -> str:
    """Open a tunnel to one of these addresses; say to which."""
    dialer = through(proxies, resolver)
    try:
        sock, address = await dialer.open(
            [ip_address(text) for text in texts], 443, timeout_s=timeout_s, receive_buffer_bytes=None
        )
        sock.close()
        return str(address)
    finally:
        await resolver.close()


async def test_the_proxy_may_have_a_private_address_that_no_job_could_reach(resolver: Resolver) -> None:
    proxies = Proxies(OK)
    assert await opened(proxies, resolver, "192.0.2.7") == "192.0.2.7"
    assert proxies.dialled == [("10.0.0.1", 3128)]
    assert proxies.asked() == [b"CONNECT 192.0.2.7:443 HTTP/1.1"]
    proxies.close()


async def test_the_next_address_is_asked_for_on_a_new_connection(resolver: Resolver) -> None:
    proxies = Proxies(b"HTTP/1.1 502 Bad\r\n\r\n", OK)
    assert await opened(proxies, resolver, "192.0.2.7", "192.0.2.8") == "192.0.2.8"
    assert proxies.asked() == [b"CONNECT 192.0.2.7:443 HTTP/1.1", b"CONNECT 192.0.2.8:443 HTTP/1.1"]
    proxies.close()


async def test_the_last_failure_is_told(resolver: Resolver) -> None:
    proxies = Proxies(b"HTTP/1.1 502 Bad\r\n\r\n", b"HTTP/1.1 504 Late\r\n\r\n")
    with pytest.raises(ProxyError) as caught:
        await opened(proxies, resolver, "192.0.2.7", "192.0.2.8")
    assert caught.value.reason is Reason.CONNECT_TIMEOUT
    proxies.close()


async def test_a_silent_proxy_is_not_waited_for_beyond_the_deadline(resolver: Resolver) -> None:
    proxies = Proxies(b"")
    with pytest.raises(ProxyError) as caught:
        await opened(proxies, resolver, "192.0.2.7", timeout_s=0.0)
    assert caught.value.reason is Reason.CONNECT_TIMEOUT
    proxies.close()


@pytest.mark.parametrize(
    ("host", "addresses", "served"),
    [
        pytest.param(Name("www.example.com"), ["192.0.2.7"], True, id="any-name"),
        pytest.param(Name("a.intra.test"), ["192.0.2.7"], False, id="excepted-name"),
        pytest.param(Name("www.example.com"), ["10.1.2.3"], False, id="excepted-address"),
        pytest.param(Name("www.example.com"), ["10.1.2.3", "192.0.2.7"], True, id="one-of-two"),
        pytest.param(ip_address("10.1.2.3"), ["10.1.2.3"], False, id="literal"),
    ],
)
async def test_exceptions_are_reached_directly(
    host: Host, addresses: list[str], served: bool, resolver: Resolver
) -> None:
    direct = DirectHosts(RuleSet.parse([".intra.test"]), (AddressRule.parse("10.0.0.0/8"),))
    dialer = through(Proxies(), resolver, no_proxy=direct)
    assert dialer.serves(host, [ip_address(text) for text in addresses]) is served
    await resolver.close()
