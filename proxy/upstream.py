"""A tunnel through the node's upstream proxy, in place of a connection to the origin (edge).

Everything is decided here as without it: by name, then by each address of the name.
The upstream proxy is asked for an address that passed, never for the name: what it
would resolve for itself, nobody has looked at.

Source: RFC 9110 §9.3.6 (CONNECT), §11.7.2 (Proxy-Authorization).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from jobgate.config.gateway import UpstreamSettings
from jobgate.config.host import Address, Authority, Host, Name

from .dial import Dialer
from .errors import ProxyError, Reason
from .head import HeadLimits, ResponseHead, check_partial_response, find_head_end, parse_response_head
from .resolver import Resolver

#: Addresses of one name that are tried one after the other.
MAX_ATTEMPTS = 3
#: Interim responses in front of the final one; nobody sends any to CONNECT.
_MAX_INTERIM = 4
#: After these another address of the name may still be reached.
_NEXT = frozenset(
    {Reason.CONNECT_REFUSED, Reason.CONNECT_UNREACHABLE, Reason.CONNECT_TIMEOUT, Reason.UPSTREAM_CLOSED}
)


def worth_another(reason: Reason) -> bool:
    """Say whether a failed tunnel to one address leaves hope for the next one."""
    return reason in _NEXT


def in_order(addresses: Sequence[Address]) -> list[Address]:
    """Choose what the upstream proxy is asked for: IPv4 first, which every one can reach."""
    return sorted(addresses, key=lambda address: not isinstance(address, IPv4Address))[:MAX_ATTEMPTS]


def connect_request(authority: Authority, authorization: bytes) -> bytes:
    """Write the request for a tunnel.

    Args:
        authority: Where it is to lead.
        authorization: Value of ``Proxy-Authorization``; empty: the upstream proxy asks for none.
    """
    where = str(authority).encode("ascii")
    credentials = b"Proxy-Authorization: %b\r\n" % authorization if authorization else b""
    return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (where, where, credentials)


def judge(response: ResponseHead) -> None:
    """Accept the answer to CONNECT.

    Raises:
        ProxyError: ``connect-refused``, ``connect-unreachable``, ``connect-timeout``,
            ``upstream-invalid``. Nothing of the answer's text is passed on.
    """
    status = response.status
    if 200 <= status < 300:
        return
    reason = Reason.CONNECT_REFUSED
    if status == 407:
        detail = "The node's upstream proxy wants other credentials (407): its operator has to set them."
    elif status in (502, 503):
        reason, detail = Reason.CONNECT_UNREACHABLE, f"The upstream proxy cannot reach the origin ({status})."
    elif status == 504:
        reason, detail = Reason.CONNECT_TIMEOUT, "The upstream proxy did not reach the origin in time (504)."
    elif status >= 400:
        detail = f"The upstream proxy refused the connection ({status})."
    else:
        reason, detail = Reason.UPSTREAM_INVALID, f"The upstream proxy answered CONNECT with {status}."
    raise ProxyError(reason, detail)


class Tunnelled(NamedTuple):
    """A connected socket, and the origin's address at the other end of the tunnel."""

    sock: socket.socket
    address: Address


class UpstreamDialer:
    """Reaches origins through the node's upstream proxy.

    Its own address is the operator's choice and is not vetted.

    Args:
        settings: Which proxy, and what is reached without it.
        resolver: For the proxy's own name.
        dial: Opens the connection to the proxy.
        limits: For the heads of its answers.
    """

    def __init__(
        self, settings: UpstreamSettings, resolver: Resolver, dial: Dialer, limits: HeadLimits
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._dial = dial
        self._limits = limits

    def serves(self, host: Host, addresses: Sequence[Address]) -> bool:
        """Say whether an origin is reached through the proxy.

        Args:
            host: As the request names it.
            addresses: Of it, those that passed.
        """
        direct = self._settings.no_proxy
        if self._settings.proxy is None or host in direct:
            return False
        return not all(address in direct for address in addresses)

    async def open(
        self, addresses: Sequence[Address], port: int, *, timeout_s: float, receive_buffer_bytes: int | None
    ) -> Tunnelled:
        """Open a tunnel to the first of the addresses that the proxy reaches.

        Args:
            addresses: Vetted, at least one.
            timeout_s: For all attempts together.

        Raises:
            ProxyError: As ``judge``, ``upstream-closed``, ``overloaded``.
        """
        failure = _too_late()
        try:
            async with asyncio.timeout(timeout_s):
                for address in in_order(addresses):
                    try:
                        return await self._attempt(address, port, timeout_s, receive_buffer_bytes)
                    except ProxyError as error:
                        if not worth_another(error.reason):
                            raise
                        failure = error
        except TimeoutError:
            raise _too_late() from None
        raise failure

    async def _attempt(
        self, address: Address, port: int, timeout_s: float, buffer_bytes: int | None
    ) -> Tunnelled:
        proxy = self._settings.proxy
        assert proxy is not None  # noqa: S101 (for the type checker)
        try:
            sock = await self._dial(
                await self._addresses(proxy.host),
                proxy.port,
                timeout_s=timeout_s,
                receive_buffer_bytes=buffer_bytes,
            )
        except ProxyError as error:
            raise _unreached(error.reason) from None
        try:
            await ask_for_tunnel(sock, Authority(address, port), proxy.authorization, self._limits)
        except BaseException:
            sock.close()
            raise
        return Tunnelled(sock, address)

    async def _addresses(self, host: Host) -> Sequence[Address]:
        if isinstance(host, Name):
            return (await self._resolver.resolve(host)).addresses
        return (host,)


async def ask_for_tunnel(
    sock: socket.socket, authority: Authority, authorization: bytes, limits: HeadLimits
) -> None:
    """Turn a connection to the upstream proxy into one to the authority.

    What comes behind the answer's head stays in the socket: the origin may speak first.

    Args:
        sock: Connected, non-blocking; the caller sets the deadline.
        authority: An address that passed, and the port.
        authorization: Value of ``Proxy-Authorization``, or empty.
        limits: For the answer's head.

    Raises:
        ProxyError: As ``judge``, and ``upstream-closed``.
    """
    try:
        await asyncio.get_running_loop().sock_sendall(sock, connect_request(authority, authorization))
        for _ in range(_MAX_INTERIM):
            response = parse_response_head(await _head(sock, limits), limits, b"CONNECT")
            if response.status >= 200:
                judge(response)
                return
    except OSError:
        raise _closed() from None
    raise ProxyError(Reason.UPSTREAM_INVALID, "The upstream proxy sent too many interim responses.")


async def _head(sock: socket.socket, limits: HeadLimits) -> bytes:
    """Read exactly one head: what lies behind it is looked at, never taken."""
    head = bytearray()
    while True:
        await _readable(sock)
        try:
            seen = sock.recv(limits.max_head_bytes, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not seen:
            raise _closed()
        known = len(head)
        head += seen
        end = find_head_end(head, known)
        if end >= 0:
            del head[end:]
        sock.recv(len(head) - known)
        if end >= 0:
            return bytes(head)
        check_partial_response(head, limits, known)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, lambda: None if readable.done() else readable.set_result(None))
    try:
        await readable
    finally:
        loop.remove_reader(sock)


def _unreached(reason: Reason) -> ProxyError:
    """Say that there is no connection to the proxy, and nothing of where it is."""
    if reason is Reason.CONNECT_TIMEOUT:
        return _too_late()
    if reason in (Reason.CONNECT_REFUSED, Reason.OVERLOADED, Reason.DRAINING):
        return ProxyError(reason, "The node's upstream proxy does not take connections at the moment.")
    return ProxyError(Reason.CONNECT_UNREACHABLE, "The node's upstream proxy cannot be reached.")


def _closed() -> ProxyError:
    return ProxyError(Reason.UPSTREAM_CLOSED, "The upstream proxy closed the connection.")


def _too_late() -> ProxyError:
    return ProxyError(Reason.CONNECT_TIMEOUT, "The upstream proxy did not answer in time.")
