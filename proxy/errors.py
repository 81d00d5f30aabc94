"""The one error tree of the gate.

Every refusal and every failure is a ``ProxyError`` with a ``Reason``, or a ``Cut`` where
no reply can be written any more. The reason alone decides the status, the
``Proxy-Status`` error and the log (``replies.py``).
Errors of libraries and of the operating system are translated once, at the edge
that meets them.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a request was refused or an exchange ended; stable in heads, logs and metrics."""

    BAD_REQUEST = "bad-request"
    NOT_LISTED = "not-listed"
    DENIED = "denied"
    PORT = "port"
    ADDRESS = "address"
    SELF = "self"
    QUOTA = "quota"
    EXPIRED = "expired"
    UNKNOWN_JOB = "unknown-job"
    AUTH = "auth"
    METHOD = "method"
    METHOD_UNKNOWN = "method-unknown"
    TRANSFER_CODING = "transfer-coding"
    VERSION = "version"
    HEAD_TIMEOUT = "head-timeout"
    HEAD_TOO_LARGE = "head-too-large"
    TARGET_TOO_LONG = "target-too-long"
    CONTENT_TOO_LARGE = "content-too-large"
    CONNECTIONS = "connections"
    RATE = "rate"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    INTERNAL = "internal"
    DNS_NXDOMAIN = "dns-nxdomain"
    DNS_FAILURE = "dns-failure"
    DNS_TIMEOUT = "dns-timeout"
    CONNECT_REFUSED = "connect-refused"
    CONNECT_UNREACHABLE = "connect-unreachable"
    CONNECT_TIMEOUT = "connect-timeout"
    UPSTREAM_CLOSED = "upstream-closed"
    UPSTREAM_INVALID = "upstream-invalid"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    # Ends without a reply: the close line only.
    NOT_HTTP = "not-http"
    NOT_TLS = "not-tls"
    SNI = "sni"
    HELLO_TIMEOUT = "hello-timeout"
    IDLE = "idle"
    REVOKED = "revoked"
    DRAINED = "drained"
    DONE = "done"
    CLIENT_RESET = "client-reset"
    UPSTREAM_RESET = "upstream-reset"

    #: The word written to heads and logs: ``method`` names both 405 and 501.
    token: str

    def __init__(self, value: str) -> None:
        self.token = "method" if value == "method-unknown" else value


# How nearly every request ends: by names of their own, which cost no more than others. Before Python 3.12 a
# member asked of its class comes through a hook, and that some ten times for a tunnel.
DONE, DRAINED = Reason.DONE, Reason.DRAINED


class ProxyError(Exception):
    """A request or a connection that goes no further.

    Args:
        reason: What the client, the log and the metrics are told.
        detail: What was wrong and what to do, for the body: one sentence or two,
            without anything of the inside network. May quote the client's input
            only after it was validated (a canonical host) or with ``ascii()``.
        retry_after_s: When to try again, for the statuses that say so; 0 is not known.
    """

    def __init__(self, reason: Reason, detail: str = "", *, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s


class BadRequest(ProxyError):
    """The request breaks the grammar or a rule of the gate (400)."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.BAD_REQUEST, detail)


class Cut(Exception):
    """The exchange broke after the client was told something: only a reset is left to say."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
