"""The step between the 200 and the relays, on wires without sockets; see also test_wire_hello.py."""

from __future__ import annotations

import ssl

import pytest

from jobgate.config.host import Name, parse_authority
from jobgate.proxy.decision import Decider, Kind
from jobgate.proxy.errors import Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.hello import UNRECOGNIZED_NAME, check_hello
from jobgate.proxy.journal import Journal
from jobgate.proxy.usage import Refused, Usage
from support.policies import in_report_mode, policy
from support.tls import GREASE, client_hello, hello_for, records
from support.wires import FakeWire

NAMELESS = records(client_hello((GREASE, b"")))


class Rig:
    """A tunnel that has been answered, and what its client has sent."""

    def __init__(self, sent: bytes = b"", *, target: str = "ok.test:443") -> None:
        self.client, self.upstream = FakeWire(), FakeWire()
        self.client.arrive(sent)
        self.usage = Usage()
        self.exchange = Exchange("job", "127.0.0.1:1", self.usage, Journal(None), lambda: 0.0)
        authority = parse_authority(target.encode(), None)
        self.target = self.exchange.asks(Kind.CONNECT, b"CONNECT", authority)

        self.decider = Decider()
        self.policy = policy(
            ".ok.test 192.0.2.7 other.test:8443", deny="bad.ok.test", connect_ports=[443, 8443]
        )

    async def check(self) -> Reason | None:
        return await check_hello(
            self.client, self.upstream, self.target, self, timeout_s=1.0, exchange=self.exchange
        )


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("ok.test:443", hello_for(b"ok.test")),
        ("ok.test:443", hello_for(b"sub.ok.test")),
        ("ok.test:8443", hello_for(b"other.test")),
        ("192.0.2.7:443", NAMELESS),
        ("192.0.2.7:443", hello_for(b"ok.test")),
        ("192.0.2.7:443", hello_for(b"192.0.2.7")),
    ],
    ids=["L1", "L4", "name-on-its-port", "L5-address", "address-and-a-name", "address-as-its-name"],
)
async def test_allowed_hello_stays_in_the_inbox_for_the_relay(target: str, sent: bytes) -> None:
    rig = Rig(sent, target=target)
    assert await rig.check() is None
    assert rig.client.inbox == sent
    assert rig.client.calls == rig.upstream.calls == []
    assert rig.client.written == rig.upstream.written == b""
    assert rig.usage.refused == {}


@pytest.mark.parametrize(
    ("target", "sent", "counted"),
    [
        ("ok.test:443", hello_for(b"evil.test"), "evil.test:443"),
        ("ok.test:443", hello_for(b"bad.ok.test"), "bad.ok.test:443"),
        ("ok.test:443", hello_for(b"other.test"), "other.test:443"),
        ("ok.test:443", hello_for(b"192.0.2.8"), "192.0.2.8:443"),
        ("192.0.2.7:443", hello_for(b"evil.test"), "evil.test:443"),
        ("ok.test:443", NAMELESS, "ok.test:443"),
        ("ok.test:443", records(client_hello(block=b"")), "ok.test:443"),
        ("192.0.2.7:443", hello_for(b"a..b"), "192.0.2.7:443"),
    ],
    ids=[
        "L3",
        "denied",
        "name-on-another-port",
        "other-address",
        "address-and-another-name",
        "L5-no-sni",
        "L5-no-extensions-block",
        "L12-bad-name",
    ],
)
async def test_refused_name_gets_the_alert_and_is_counted(target: str, sent: bytes, counted: str) -> None:
    rig = Rig(sent, target=target)
    assert await rig.check() is Reason.SNI
    assert rig.client.written == UNRECOGNIZED_NAME
    assert rig.client.calls == []  # the connection closes it in stages
    assert rig.upstream.calls == ["abort"]
    assert rig.upstream.written == b""
    assert rig.usage.refused == {Refused(counted, "sni", "connect"): 1}
    assert [(denial["host"], denial["reason"]) for denial in rig.usage.denials] == [
        (counted.removesuffix(":443"), "sni")
    ]


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_alert_tells_a_client_what_was_wrong(newest: ssl.TLSVersion) -> None:
    context = ssl.create_default_context()
    context.maximum_version = newest
    incoming = ssl.MemoryBIO()
    incoming.write(UNRECOGNIZED_NAME)
    client = context.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="evil.test")
    with pytest.raises(ssl.SSLError, match="unrecognized name"):
        client.do_handshake()


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", records(client_hello(kind=2)), records(client_hello(version=b"\x02\x00"))],
    ids=["L6", "L11-server-hello", "version-2"],
)
async def test_no_hello_is_refused_without_a_word(sent: bytes) -> None:
    rig = Rig(sent)
    assert await rig.check() is Reason.NOT_TLS
    assert rig.client.written == b""
    assert rig.upstream.calls == ["abort"]
    assert rig.usage.refused == {Refused("ok.test:443", "not-tls", "connect"): 1}


async def test_l8_end_inside_the_hello_is_no_hello() -> None:
    rig = Rig(b"\x16\x03\x01\x00\xff")
    rig.client.end()
    assert await rig.check() is Reason.NOT_TLS


async def test_end_before_the_first_byte_is_a_normal_end() -> None:
    rig = Rig()
    rig.client.end()
    assert await rig.check() is Reason.DONE
    assert rig.upstream.calls == ["abort"]
    assert rig.usage.refused == {}


async def test_end_right_behind_the_hello_is_for_the_relay() -> None:
    rig = Rig(hello_for(b"ok.test"))
    rig.client.end()
    assert await rig.check() is None


@pytest.mark.parametrize(
    ("who", "reason"),
    [("client", Reason.CLIENT_RESET), ("upstream", Reason.UPSTREAM_RESET)],
    ids=["client", "upstream"],
)
async def test_reset_before_the_hello_is_carried_to_both_sides(who: str, reason: Reason) -> None:
    rig = Rig(b"\x16")
    wire: FakeWire = getattr(rig, who)
    wire.break_()
    assert await rig.check() is reason
    assert rig.client.calls == rig.upstream.calls == ["reset"]
    assert rig.usage.refused == {}


async def test_reset_of_the_upstream_comes_before_what_the_hello_says() -> None:
    rig = Rig(hello_for(b"ok.test"))
    rig.upstream.break_()
    assert await rig.check() is Reason.UPSTREAM_RESET


async def test_exchange_knows_the_name() -> None:
    rig = Rig(hello_for(b"Sub.OK.test."))
    await rig.check()
    assert (rig.exchange.server_name, rig.exchange.ech) == (Name("sub.ok.test"), False)


# --- report mode


REPORTED: dict[str, tuple[bytes, str, Refused]] = {
    "not-tls": (b"SSH-2.0-x\r\n", "not-tls", Refused("ok.test:443", "not-tls", "connect")),
    "other-name": (hello_for(b"evil.test"), "sni", Refused("evil.test:443", "sni", "connect")),
    "no-name": (NAMELESS, "sni", Refused("ok.test:443", "sni", "connect")),
}


@pytest.mark.parametrize(("sent", "would", "counted"), REPORTED.values(), ids=REPORTED)
async def test_report_mode_passes_any_bytes_on_and_remembers(
    sent: bytes, would: str, counted: Refused
) -> None:
    rig = Rig(sent)
    rig.policy = in_report_mode(rig.policy)
    rig.exchange.allow()
    assert await rig.check() is None
    assert rig.client.inbox == sent
    assert rig.client.calls == rig.upstream.calls == []
    assert rig.exchange.would_end is Reason(would)
    assert rig.usage.overlooked == {counted: 1}
    assert rig.usage.refused == {}


async def test_report_mode_does_not_lift_a_deny_list() -> None:
    rig = Rig(hello_for(b"bad.ok.test"))
    rig.policy = in_report_mode(rig.policy)
    assert await rig.check() is Reason.SNI
    assert rig.usage.overlooked == {}
