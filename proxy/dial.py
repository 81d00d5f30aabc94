"""Open one TCP connection to exactly one of the vetted addresses (happy eyeballs, RFC 8305).

Edge: sockets and the loop. Names are never seen here and nothing is looked up: the
kernel is given the address itself. ``loop.sock_connect`` is avoided, because uvloop
hands the address to ``getaddrinfo`` once more.
"""

from __future__ import annotations

import asyncio
import errno
import math
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Address, ip_address
from itertools import chain, zip_longest
from typing import Protocol

from jobgate.config.host import Address

from .alarms import own_alarms
from .buffers import bound_receive_buffer
from .errors import ProxyError, Reason
from .sockets import StreamSocket

# RFC 8305 §5 and §8, "Connection Attempt Delay": 250 ms recommended.
ATTEMPT_DELAY_S = 0.25
#: Attempts of one dial that run at once, each a descriptor: the oldest gives way, after 2 s. A name may lead
#: to many addresses that never answer.
MAX_ATTEMPTS = 8

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Connect = Callable[[socket.socket, tuple[str, int]], Awaitable[None]]
Attempt = Callable[[Address], Coroutine[None, None, socket.socket]]


class Dialer(Protocol):
    """Opens a connection to one of the vetted addresses; ``dial`` outside tests."""

    def __call__(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> Awaitable[socket.socket]:
        """Return a connected non-blocking socket, or raise ``ProxyError``."""


_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# A reset between the handshake and our look at the peer.
_CLOSED_AT_ONCE = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN})
_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EINTR})
_STREAM = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK)
# The reason that tells most wins where several addresses failed differently.
_TELLING = (
    Reason.OVERLOADED,
    Reason.CONNECT_REFUSED,
    Reason.UPSTREAM_CLOSED,
    Reason.ADDRESS,
    Reason.CONNECT_TIMEOUT,
    Reason.CONNECT_UNREACHABLE,
)
_DETAILS = {
    Reason.OVERLOADED: "The gate has no socket left for this connection. Try again later.",
    Reason.CONNECT_REFUSED: "The origin refused the connection: nothing listens on this port.",
    Reason.UPSTREAM_CLOSED: "The origin closed the connection at once.",
    Reason.ADDRESS: "The connection reached another address than the one that was checked.",
    Reason.CONNECT_TIMEOUT: "The origin did not answer in time.",
    Reason.CONNECT_UNREACHABLE: "There is no route to the origin.",
}


def dial(
    addresses: Sequence[Address],
    port: int,
    *,
    timeout_s: float,
    receive_buffer_bytes: int | None,
    attempt_delay_s: float = ATTEMPT_DELAY_S,
    connect: Connect | None = None,
) -> Coroutine[None, None, socket.socket]:
    """Return a connected non-blocking TCP socket with ``TCP_NODELAY``; the caller owns it.

    The families take turns in the given order; the next address is tried when the
    last one has failed or has not answered for ``attempt_delay_s``. The first
    connection wins and all others are closed, also when the call is cancelled.

    Args:
        addresses: Vetted addresses, at least one; no other address is ever dialled.
        port: TCP port.
        timeout_s: Deadline of the whole dial in seconds.
        receive_buffer_bytes: ``SO_RCVBUF``, set before connecting; ``None`` leaves it to the kernel.
        attempt_delay_s: Seconds between the starts of two attempts.
        connect: Connects a socket; for tests.

    Raises:
        ProxyError: ``connect-refused``, ``connect-unreachable``, ``connect-timeout``,
            ``upstream-closed`` (reset at once), ``overloaded`` (no descriptor or memory),
            ``address`` (peer is not the address asked for).

    Source: RFC 8305 §4, §5.
    """
    if len(addresses) == 1 and connect is None:  # the usual case: no race, and a deadline of its own
        return _open(addresses[0], port, receive_buffer_bytes, None, timeout_s)
    attempt = partial(_open, port=port, receive_buffer_bytes=receive_buffer_bytes, connect=connect)
    return _first(addresses, attempt, timeout_s, attempt_delay_s)


async def _first(
    addresses: Sequence[Address], attempt: Attempt, timeout_s: float, attempt_delay_s: float
) -> socket.socket:
    try:
        async with asyncio.timeout(timeout_s):
            if len(addresses) == 1:
                return await attempt(addresses[0])
            return await _race(interleave(addresses), attempt, attempt_delay_s)
    except TimeoutError:
        raise _failure(Reason.CONNECT_TIMEOUT) from None


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Let the families take turns, beginning with the family of the first address (RFC 8305 §4)."""
    first = [address for address in addresses if address.version == addresses[0].version]
    second = [address for address in addresses if address.version != addresses[0].version]
    return [address for address in chain.from_iterable(zip_longest(first, second)) if address is not None]


async def _open(
    address: Address,
    port: int,
    receive_buffer_bytes: int | None,
    connect: Connect | None = None,
    timeout_s: float = math.inf,
) -> socket.socket:
    """Open one socket to one address."""
    try:
        sock = _tcp_socket(address, receive_buffer_bytes)
    except OSError as error:
        raise _failure(_reason_of(error)) from error
    text = _text(address)
    try:
        if connect is None:
            peer = _connect_at_once(sock, (text, port)) or await _connected(sock, timeout_s)
        else:
            await connect(sock, (text, port))
            peer = sock.getpeername()
        _check_peer(sock, peer, address, text)
    except OSError as error:
        sock.close()
        raise _failure(_reason_of(error)) from error
    except BaseException:
        sock.close()
        raise
    return sock


# Jobs dial few addresses again and again.
@lru_cache(maxsize=1024)
def _text(address: Address) -> str:
    return str(address)


def _tcp_socket(address: Address, receive_buffer_bytes: int | None) -> socket.socket:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    sock = StreamSocket(family, _STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer_bytes is not None:
            bound_receive_buffer(sock, receive_buffer_bytes)
    except OSError:
        sock.close()
        raise
    return sock


async def connect_socket(
    sock: socket.socket, address: SocketAddress, *, timeout_s: float = math.inf
) -> SocketAddress:
    """Connect a non-blocking socket to a numeric address; return what the kernel says it is connected to.

    Raises:
        OSError: Not connected, ``TimeoutError`` included; the caller closes the socket.
    """
    return _connect_at_once(sock, address) or await _connected(sock, timeout_s)


def _connect_at_once(sock: socket.socket, address: SocketAddress) -> SocketAddress | None:
    """Connect, and look: inside one host the handshake is over before ``connect`` returns."""
    code = sock.connect_ex(address)
    if code and code not in _IN_PROGRESS:
        raise OSError(code, "connect failed")
    try:
        peer: SocketAddress = sock.getpeername()
    except OSError:
        return None
    return peer


async def _connected(sock: socket.socket, timeout_s: float) -> SocketAddress:
    """Wait for the end of the handshake."""
    await _until_writable(sock, timeout_s)
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "connect failed")
    peer: SocketAddress = sock.getpeername()
    return peer


async def _until_writable(sock: socket.socket, timeout_s: float) -> None:
    alarms = own_alarms()
    loop = alarms.loop
    writable: asyncio.Future[None] = loop.create_future()
    alarm = None if math.isinf(timeout_s) else alarms.at(loop.time() + timeout_s, partial(_give_up, writable))
    loop.add_writer(sock, _finish, writable)
    try:
        await writable
    finally:
        loop.remove_writer(sock)
        if alarm is not None:
            alarm.cancel()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _give_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError(errno.ETIMEDOUT, "no answer in time"))


def _check_peer(sock: socket.socket, peer: SocketAddress, address: Address, text: str) -> None:
    if peer[0] != text and ip_address(peer[0]) != address:
        raise _failure(Reason.ADDRESS)
    if sock.getsockname() == peer:
        # TCP simultaneous open: a free local port was both ends; nobody listens there.
        raise _failure(Reason.CONNECT_REFUSED)


async def _race(queue: list[Address], attempt: Attempt, delay_s: float) -> socket.socket:
    queue.reverse()
    running: list[asyncio.Task[socket.socket]] = []  # in the order of their starts
    failures: list[ProxyError] = []
    try:
        while queue or running:
            if queue:
                if len(running) == MAX_ATTEMPTS:
                    _abandon([running.pop(0)])
                    failures.append(_failure(Reason.CONNECT_TIMEOUT))
                running.append(asyncio.create_task(attempt(queue.pop()), name="jobgate-dial"))
            done, _ = await asyncio.wait(
                running, timeout=delay_s if queue else None, return_when=asyncio.FIRST_COMPLETED
            )
            running = [task for task in running if task not in done]
            winner = _first_connected(done, failures)
            if winner is not None:
                return winner
    finally:
        _abandon(running)
    raise min(failures, key=lambda failure: _TELLING.index(failure.reason))


def _first_connected(
    done: set[asyncio.Task[socket.socket]], failures: list[ProxyError]
) -> socket.socket | None:
    winner: socket.socket | None = None
    for task in done:
        try:
            connected = task.result()
        except ProxyError as failure:
            failures.append(failure)
            continue
        if winner is None:
            winner = connected
        else:
            connected.close()
    return winner


def _abandon(tasks: Iterable[asyncio.Task[socket.socket]]) -> None:
    """Close the losers: a cancelled attempt closes its own socket, a finished one is closed here.

    Nothing is awaited, so that a cancellation cannot come between and lose the winner.
    """
    for task in tasks:
        if not task.cancel() and task.exception() is None:
            task.result().close()


def _reason_of(error: OSError) -> Reason:
    if error.errno == errno.ECONNREFUSED:
        return Reason.CONNECT_REFUSED
    if error.errno in _CLOSED_AT_ONCE:
        return Reason.UPSTREAM_CLOSED
    if error.errno == errno.ETIMEDOUT:
        return Reason.CONNECT_TIMEOUT
    if error.errno in _EXHAUSTED:
        return Reason.OVERLOADED
    return Reason.CONNECT_UNREACHABLE


def _failure(reason: Reason) -> ProxyError:
    return ProxyError(reason, _DETAILS[reason])
