"""The beginning of a tunnel: wait for the ClientHello and decide by its server name (edge).

Until the hello is accepted nothing is relayed in either direction. A refusal is said
in TLS or not at all, never in HTTP: the client was answered already.
"""

from __future__ import annotations

from typing import Protocol

from jobgate.config.host import Name
from jobgate.config.policy import Policy

from .clienthello import Hello, HelloReader, NoHello
from .decision import Decider, Kind, Target
from .errors import Reason
from .exchange import Exchange
from .wire import Wire

#: A fatal alert in a record of its own (RFC 8446 §6.2, RFC 6066 §3); every version of TLS reads 3.1.
UNRECOGNIZED_NAME = bytes.fromhex("15 0301 0002 02 70")

_REASONS = {
    NoHello.NOT_TLS: Reason.NOT_TLS,
    NoHello.MALFORMED: Reason.NOT_TLS,
    NoHello.BAD_NAME: Reason.SNI,
}
_RESETS = (Reason.CLIENT_RESET, Reason.UPSTREAM_RESET)


class Ruled(Protocol):
    """A job: its policy may change while a hello is awaited."""

    policy: Policy
    decider: Decider


async def check_hello(
    client: Wire, upstream: Wire, target: Target, job: Ruled, *, timeout_s: float, exchange: Exchange
) -> Reason | None:
    """Hold a tunnel back until its first bytes are a ClientHello that the job's policy allows.

    The bytes stay in the client's inbox, for the relay to pass on. In report mode they
    may be any.

    Args:
        client: Was told that the tunnel is there.
        upstream: Closed at the end if the tunnel is refused; the client's side only where
            there was a reset.
        target: Of the CONNECT.
        timeout_s: For the whole hello.
        exchange: Gets what the hello says.

    Returns:
        ``None`` to go on, else how the tunnel ended.
    """
    upstream.on_lost = lambda: client.abort(reset=True)  # wakes us
    hello = await _read(client, upstream, timeout_s)
    upstream.on_lost = None
    if isinstance(hello, Hello):
        exchange.server_name, exchange.ech = hello.server_name, hello.ech
    end, is_reported = _judge(hello, target, job)
    if end is None:
        return None
    if is_reported:
        exchange.overlook(end)
        return None
    if end is Reason.SNI:
        client.write(UNRECOGNIZED_NAME)
    if end in _RESETS:
        client.abort(reset=True)
    elif end is not Reason.DONE:
        exchange.refuse_tunnel(end)
    upstream.abort(reset=end in _RESETS)
    return end


def _judge(hello: Hello | Reason, target: Target, job: Ruled) -> tuple[Reason | None, bool]:
    """Judge the server name as if it were asked for; without one only an address can be meant.

    Returns:
        Why the tunnel may not go on, and whether that is only to be noted.
    """
    policy = job.policy
    if isinstance(hello, Reason):
        return hello, policy.reports(hello)
    if hello.server_name is None:
        return (Reason.SNI if isinstance(target.host, Name) else None), policy.reports(Reason.SNI)
    decision = job.decider.decide(policy, Target(Kind.CONNECT, hello.server_name, target.port))
    if decision.reason is None:
        return None, False
    return Reason.SNI, policy.reports(decision.reason, by_node=decision.by_node)


async def _read(client: Wire, upstream: Wire, timeout_s: float) -> Hello | Reason:
    """Read until there is a hello or none can come any more."""
    deadline = client.loop.time() + timeout_s
    reader = HelloReader()
    while True:
        if upstream.is_lost:
            return Reason.UPSTREAM_RESET
        hello = reader.read(client.inbox)
        if isinstance(hello, Hello):
            return hello
        if hello is not NoHello.INCOMPLETE:
            return _REASONS[hello]
        if client.is_lost:
            return Reason.CLIENT_RESET
        if client.at_eof:  # a tunnel that was opened in advance and never used is nobody's fault
            return Reason.NOT_TLS if client.inbox else Reason.DONE
        try:
            await client.more(deadline)
        except TimeoutError:
            return Reason.HELLO_TIMEOUT
