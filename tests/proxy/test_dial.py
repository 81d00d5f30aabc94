"""Dialling: one address, several, failures, deadlines, and nothing left open."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from jobgate.config.host import Address
from jobgate.proxy import dial as module
from jobgate.proxy.dial import Connect, connect_socket, dial, interleave
from jobgate.proxy.errors import ProxyError, Reason
from support.net import silent_port
from support.sockets import open_sockets

LOOPBACK = ip_address("127.0.0.1")
OTHER = ip_address("127.0.0.2")
LOOPBACK_V6 = ip_address("::1")
LONG_S = 60.0
SHORT_S = 0.02


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def port(listener: socket.socket) -> int:
    found: int = listener.getsockname()[1]
    return found


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is bound, so that nobody else gets it, and does not listen."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


class Network:
    """Connects by a script: an address is silent, fails, or is reached at another address.

    Args:
        script: From the address asked for to ``None`` (never answers), an error
            number, or the loopback address where a listener really is.
    """

    def __init__(self, script: dict[Address, Address | int | None]) -> None:
        self._script = {str(address): outcome for address, outcome in script.items()}
        self.tried: list[str] = []

    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        self.tried.append(address[0])
        outcome = self._script[address[0]]
        if outcome is None:
            await asyncio.get_running_loop().create_future()
        elif isinstance(outcome, int):
            raise OSError(outcome, os.strerror(outcome))
        else:
            await connect_socket(sock, (str(outcome), address[1]))


async def connected(
    addresses: list[Address],
    port: int,
    connect: Connect | None = None,
    *,
    timeout_s: float = LONG_S,
    delay_s: float = 0.0,
) -> socket.socket:
    return await dial(
        addresses,
        port,
        timeout_s=timeout_s,
        receive_buffer_bytes=None,
        attempt_delay_s=delay_s,
        connect=connect,
    )


async def refusal(
    addresses: list[Address], port: int, connect: Connect | None = None, timeout_s: float = LONG_S
) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await connected(addresses, port, connect, timeout_s=timeout_s)
    return caught.value


async def test_dial_returns_a_connected_socket(listener: socket.socket, port: int) -> None:
    with await connected([LOOPBACK], port) as sock:
        accepted, address = listener.accept()
        accepted.close()
        assert address == sock.getsockname()
        assert sock.getpeername() == ("127.0.0.1", port)
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert not os.get_inheritable(sock.fileno())


async def test_dial_reaches_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with await connected([LOOPBACK_V6], port) as sock:
            assert sock.getpeername()[:2] == ("::1", port)


async def test_dial_sets_the_receive_buffer_before_connecting(port: int) -> None:
    seen: list[int] = []

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
        await connect_socket(sock, address)

    for size in (32768, 65536):
        sock = await dial([LOOPBACK], port, timeout_s=LONG_S, receive_buffer_bytes=size, connect=connect)
        sock.close()
    assert seen[1] == 2 * seen[0]


async def test_dial_of_a_closed_port_is_refused(closed_port: int) -> None:
    before = open_sockets()
    assert (await refusal([LOOPBACK], closed_port)).reason is Reason.CONNECT_REFUSED
    assert open_sockets() == before


ERRORS = [
    (errno.ECONNREFUSED, Reason.CONNECT_REFUSED),
    (errno.ETIMEDOUT, Reason.CONNECT_TIMEOUT),
    (errno.ENETUNREACH, Reason.CONNECT_UNREACHABLE),
    (errno.EHOSTUNREACH, Reason.CONNECT_UNREACHABLE),
    (errno.EACCES, Reason.CONNECT_UNREACHABLE),
    (errno.EPERM, Reason.CONNECT_UNREACHABLE),
    (errno.EADDRNOTAVAIL, Reason.CONNECT_UNREACHABLE),
    (errno.ECONNRESET, Reason.UPSTREAM_CLOSED),
    (errno.ENOTCONN, Reason.UPSTREAM_CLOSED),
    (errno.EMFILE, Reason.OVERLOADED),
    (errno.ENFILE, Reason.OVERLOADED),
    (errno.ENOBUFS, Reason.OVERLOADED),
    (errno.ENOMEM, Reason.OVERLOADED),
]


@pytest.mark.parametrize(("code", "reason"), ERRORS, ids=[errno.errorcode[code] for code, _ in ERRORS])
async def test_dial_translates_system_errors(code: int, reason: Reason) -> None:
    before = open_sockets()
    failure = await refusal([LOOPBACK], 443, Network({LOOPBACK: code}).connect)
    assert failure.reason is reason
    assert "127.0.0.1" not in failure.detail
    assert open_sockets() == before


async def test_dial_of_an_address_that_the_kernel_refuses_at_once_is_unreachable() -> None:
    assert (await refusal([ip_address("255.255.255.255")], 443)).reason is Reason.CONNECT_UNREACHABLE


async def test_dial_without_descriptors_is_overloaded() -> None:
    def none_left(*args: object) -> None:
        raise OSError(errno.EMFILE, "none left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "StreamSocket", none_left)
        assert (await refusal([LOOPBACK], 443)).reason is Reason.OVERLOADED


async def test_dial_closes_a_socket_that_takes_no_options() -> None:
    before = open_sockets()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "TCP_NODELAY", 9999)
        assert (await refusal([LOOPBACK], 443)).reason is Reason.CONNECT_UNREACHABLE
    assert open_sockets() == before


async def test_dial_of_a_silent_address_ends_at_the_deadline() -> None:
    before = open_sockets()
    failure = await refusal([LOOPBACK], 443, Network({LOOPBACK: None}).connect, SHORT_S)
    assert failure.reason is Reason.CONNECT_TIMEOUT
    assert open_sockets() == before


async def test_dial_of_one_address_that_does_not_answer_ends_at_the_deadline() -> None:
    with silent_port() as port:
        before = open_sockets()
        assert (await refusal([LOOPBACK], port, timeout_s=SHORT_S)).reason is Reason.CONNECT_TIMEOUT
        assert open_sockets() == before


async def test_dial_refuses_a_peer_that_was_not_asked_for(port: int) -> None:
    before = open_sockets()
    failure = await refusal([OTHER], port, Network({OTHER: LOOPBACK}).connect)
    assert failure.reason is Reason.ADDRESS
    assert open_sockets() == before


async def test_dial_compares_addresses_not_their_spelling(listener: socket.socket, port: int) -> None:
    (await connected([ip_address("::ffff:127.0.0.1")], port)).close()


async def test_dial_refuses_a_connection_to_itself(closed_port: int) -> None:
    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        await connect_socket(sock, sock.getsockname())

    assert (await refusal([LOOPBACK], closed_port, connect)).reason is Reason.CONNECT_REFUSED


V4 = [ip_address(f"192.0.2.{n}") for n in range(1, 5)]
V6 = [ip_address(f"2001:db8::{n}") for n in range(1, 5)]
ORDERS = [
    ("one family", V4, V4),
    ("v6 first", [*V6[:2], *V4[:2]], [V6[0], V4[0], V6[1], V4[1]]),
    ("v4 first", [*V4[:2], *V6[:2]], [V4[0], V6[0], V4[1], V6[1]]),
    ("uneven", [V6[0], *V4[:3]], [V6[0], *V4[:3]]),
    ("uneven, first longer", [*V6[:3], V4[0]], [V6[0], V4[0], V6[1], V6[2]]),
]


@pytest.mark.parametrize(("given", "expected"), [c[1:] for c in ORDERS], ids=[c[0] for c in ORDERS])
def test_interleave_lets_families_take_turns(given: list[Address], expected: list[Address]) -> None:
    assert interleave(given) == expected


async def test_f12_silent_address_is_passed_over_after_the_delay(port: int) -> None:
    network = Network({LOOPBACK_V6: None, LOOPBACK: LOOPBACK})
    sock = await connected([LOOPBACK_V6, LOOPBACK], port, network.connect)
    assert sock.getpeername() == ("127.0.0.1", port)
    sock.close()
    assert network.tried == ["::1", "127.0.0.1"]


async def test_f12_deadline_holds_over_all_addresses() -> None:
    before = open_sockets()
    network = Network(dict.fromkeys([*V4, *V6]))
    failure = await refusal([*V4, *V6], 443, network.connect, 0.5)  # for all to be tried
    assert failure.reason is Reason.CONNECT_TIMEOUT
    assert len(network.tried) == 8
    await asyncio.sleep(0)
    assert open_sockets() == before


async def test_many_silent_addresses_take_few_descriptors_and_the_last_one_is_reached(port: int) -> None:
    silent = [ip_address(f"127.0.1.{number}") for number in range(1, 64)]
    before, most = open_sockets(), 0
    network = Network({**dict.fromkeys(silent), LOOPBACK: LOOPBACK})

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        nonlocal most
        most = max(most, len(open_sockets() - before))
        await network.connect(sock, address)

    with await connected([*silent, LOOPBACK], port, connect):
        assert len(network.tried) == 64
        assert most <= module.MAX_ATTEMPTS + 1  # one that gives way closes with the next turn of the loop


async def test_f13_next_address_is_tried_at_once_after_a_failure(port: int) -> None:
    network = Network({OTHER: errno.ECONNREFUSED, LOOPBACK: LOOPBACK})
    sock = await connected([OTHER, LOOPBACK], port, network.connect, delay_s=LONG_S)
    sock.close()
    assert network.tried == ["127.0.0.2", "127.0.0.1"]


async def test_f13_slow_address_wins_after_the_last_one_failed(port: int) -> None:
    failed = asyncio.Event()

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.2":
            failed.set()
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        await failed.wait()
        await asyncio.sleep(0)
        await connect_socket(sock, address)

    sock = await connected([LOOPBACK, OTHER], port, connect)
    assert sock.getpeername() == ("127.0.0.1", port)
    sock.close()


async def test_first_address_alone_is_tried_within_the_delay(port: int) -> None:
    network = Network({LOOPBACK: LOOPBACK, OTHER: None})
    sock = await connected([LOOPBACK, OTHER], port, network.connect, delay_s=LONG_S)
    sock.close()
    assert network.tried == ["127.0.0.1"]


MIXED = [
    ("refused tells more than no route", [errno.ENETUNREACH, errno.ECONNREFUSED], Reason.CONNECT_REFUSED),
    ("time-out tells more than no route", [errno.ETIMEDOUT, errno.ENETUNREACH], Reason.CONNECT_TIMEOUT),
    ("overload tells most", [errno.ECONNREFUSED, errno.EMFILE], Reason.OVERLOADED),
    ("no route at all", [errno.ENETUNREACH, errno.EHOSTUNREACH], Reason.CONNECT_UNREACHABLE),
]


@pytest.mark.parametrize(("codes", "reason"), [c[1:] for c in MIXED], ids=[c[0] for c in MIXED])
async def test_dial_reports_the_most_telling_failure(codes: list[int], reason: Reason) -> None:
    script: dict[Address, Address | int | None] = dict(zip(V4, codes, strict=False))
    assert (await refusal(list(script), 443, Network(script).connect)).reason is reason


async def test_dial_that_connects_twice_keeps_one(listener: socket.socket, port: int) -> None:
    """Both connect in the same turn of the loop: the loser is closed, not leaked."""
    before = open_sockets()
    gate = asyncio.Event()
    waiting: list[str] = []

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        await connect_socket(sock, address)
        waiting.append(address[0])
        if len(waiting) == 2:
            gate.set()
        await gate.wait()

    with socket.create_server(("127.0.0.2", port)):
        sock = await connected([LOOPBACK, OTHER], port, connect)
        sock.close()
    await asyncio.sleep(0)
    assert sorted(waiting) == ["127.0.0.1", "127.0.0.2"]
    assert open_sockets() == before


@pytest.mark.parametrize("addresses", [[LOOPBACK], [LOOPBACK, OTHER, LOOPBACK_V6]], ids=["one", "many"])
async def test_cancelled_dial_leaves_nothing(addresses: list[Address]) -> None:
    before = open_sockets()
    tasks = asyncio.all_tasks()
    reached = asyncio.Event()

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == str(addresses[-1]):
            reached.set()
        await asyncio.get_running_loop().create_future()

    dialling = asyncio.ensure_future(connected(addresses, 443, connect))
    await reached.wait()
    dialling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialling
    await asyncio.sleep(0)
    assert open_sockets() == before
    assert asyncio.all_tasks() == tasks


async def test_connect_cancelled_on_the_way_leaves_the_loop_clean(listener: socket.socket, port: int) -> None:
    """The descriptor is free for the next socket: a writer left behind would wake the wrong one."""
    with silent_port() as silent:
        before = open_sockets()
        dialling = asyncio.ensure_future(connected([LOOPBACK], silent))
        await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert open_sockets() == before
        (await connected([LOOPBACK], port)).close()


async def test_connect_that_is_over_at_once_takes_no_turn_of_the_loop(
    listener: socket.socket, port: int
) -> None:
    dialling = dial([LOOPBACK], port, timeout_s=LONG_S, receive_buffer_bytes=None)
    with pytest.raises(StopIteration) as stopped:
        dialling.__await__().__next__()
    stopped.value.value.close()


async def test_dial_cancelled_while_it_connects_closes_the_connection(
    listener: socket.socket, port: int
) -> None:
    """The attempt has ended well, and the dial is cancelled before it sees that."""
    before = open_sockets()

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        await connect_socket(sock, address)
        asyncio.get_running_loop().call_soon(dialling.cancel)

    dialling = asyncio.ensure_future(connected([LOOPBACK, OTHER], port, connect, delay_s=LONG_S))
    with pytest.raises(asyncio.CancelledError):
        await dialling
    assert open_sockets() == before
