"""What name servers said, as values: one reply for each family, one answer for the name."""

from __future__ import annotations

from enum import StrEnum
from itertools import chain, zip_longest
from typing import NamedTuple

from jobgate.config.host import Address

from .errors import ProxyError, Reason

# More addresses than happy eyeballs could ever try; bounds what an answer costs.
MAX_ADDRESSES = 64

# An answer that lacks a family (its query failed or was late) is asked again soon.
INCOMPLETE_TTL_S = 5.0


class RecordType(StrEnum):
    """The two questions asked about a name."""

    A = "A"
    AAAA = "AAAA"


class Outcome(StrEnum):
    """How one question ended."""

    ADDRESSES = "addresses"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    FAILED = "failed"
    TIMED_OUT = "timed-out"


class Reply(NamedTuple):
    """The end of one question: addresses exactly if the outcome says so; the TTL in seconds."""

    outcome: Outcome
    addresses: tuple[Address, ...] = ()
    ttl_s: float = 0.0


class Answer(NamedTuple):
    """What is known of a name: addresses, or the reason why there are none.

    Args:
        addresses: Not vetted; the families take turns, IPv6 first, at most ``MAX_ADDRESSES``.
        ttl_s: Seconds that it may be kept; 0: not at all.
        reason: Without addresses: ``dns-nxdomain``, ``dns-failure`` or ``dns-timeout``. With
            addresses: why those of one family are missing, ``None`` if these are all.
        detail: What to tell the client where there is no address.
    """

    addresses: tuple[Address, ...]
    ttl_s: float = 0.0
    reason: Reason | None = None
    detail: str = ""

    @property
    def is_incomplete(self) -> bool:
        """One family came and the other did not."""
        return bool(self.addresses) and self.reason is not None


def incomplete(name: str, reason: Reason) -> ProxyError:
    """Return the failure of a name of which one family came, of no use, and the other did not."""
    return ProxyError(reason, f"The name servers gave only some of the addresses of {name}.")


def combine(name: str, ipv4: Reply, ipv6: Reply) -> Answer:
    """Make one answer of both replies: addresses of either family are enough.

    Without any address, "does not exist" of either family stands (RFC 8020); "no
    address" must be said by both; else silence of one is a timeout and the rest a failure.
    """
    replies = (ipv6, ipv4)
    found = [reply for reply in replies if reply.outcome is Outcome.ADDRESSES]
    outcomes = {reply.outcome for reply in replies}
    if found:
        turns = chain.from_iterable(zip_longest(*(reply.addresses for reply in found)))
        addresses = tuple(address for address in turns if address is not None)[:MAX_ADDRESSES]
        ttl_s = min(reply.ttl_s for reply in found)
        if outcomes & {Outcome.FAILED, Outcome.TIMED_OUT}:
            missing = Reason.DNS_TIMEOUT if Outcome.TIMED_OUT in outcomes else Reason.DNS_FAILURE
            return Answer(addresses, min(ttl_s, INCOMPLETE_TTL_S), missing)
        return Answer(addresses, ttl_s)
    if Outcome.NXDOMAIN in outcomes:
        ttl_s = min(reply.ttl_s for reply in replies if reply.outcome is Outcome.NXDOMAIN)
        return Answer((), ttl_s, Reason.DNS_NXDOMAIN, f"The name {name} does not exist.")
    if outcomes == {Outcome.NODATA}:
        ttl_s = min(ipv4.ttl_s, ipv6.ttl_s)
        return Answer((), ttl_s, Reason.DNS_NXDOMAIN, f"The name {name} exists but has no address.")
    if Outcome.TIMED_OUT in outcomes:
        return Answer((), 0.0, Reason.DNS_TIMEOUT, f"No name server answered in time for {name}.")
    return Answer((), 0.0, Reason.DNS_FAILURE, f"The name servers could not resolve {name}.")
