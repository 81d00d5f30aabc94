"""The lines of the log: values in, one line of JSON out.

Pure. Every value that may come from outside is capped and written with
``ensure_ascii``, so that no input ends a line, forges a field or reaches a
terminal; an id is the journal's own, and hexadecimal. Credentials, paths and
queries have no field here.

Written by format, not by a dict and ``json.dumps``: 1 against 3.5 us a line. What is
the same for many lines of many jobs is cached; who asks is written anew, for less than
a cache costs that would also keep what is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

from jobgate.config.host import Host, host_text

from .errors import Reason

if TYPE_CHECKING:
    from .decision import Target
    from .exchange import Exchange

MAX_VALUE_CHARS = 300
"""Longest value: a rule of a 253 octet name with dot and port fits."""

_WAITS = '"dns_s":%.6f,"connect_s":%.6f,"wait_up_s":%.6f,"wait_down_s":%.6f'
_NO_WAITS = _WAITS % (0.0, 0.0, 0.0, 0.0)  # which most requests on kept connections have


HALF_US = 5e-4
"""In milliseconds, and added to a time before these are cut to whole ones: no float is exact."""


def timestamp(now: float) -> str:
    """Seconds since the epoch as ``2026-11-20T13:25:07.123Z``."""
    return timestamp_ms(int(now * 1e3 + HALF_US))


def timestamp_ms(milliseconds: int) -> str:
    """Milliseconds since the epoch in the same form."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def bare_host(host: Host) -> str:
    """Write a host as it stands alone, IPv6 without brackets."""
    return host_text(host).strip("[]")


def decision_line(ts: str, exchange: Exchange) -> bytes:
    """Say what was asked for and decided.

    ``kind`` to ``port`` are null for a head that did not parse. ``would`` is only there where
    report mode let pass what ``reason`` refuses, ``dropped`` only where the name has addresses
    that no job may reach.
    """
    e = exchange
    decided = _decided(e.target, e.method, e.refused, e.would_refuse, e.rule)
    extra = f',"dropped":{json.dumps(e.dropped, separators=(",", ":"))}' if e.dropped else ""
    return (
        f'{{"v":1,"ts":"{ts}","event":"decision","id":"{e.id}",'
        f'"job":{encode_basestring_ascii(e.job_id[:MAX_VALUE_CHARS])},'
        f'"client":{encode_basestring_ascii(e.client[:MAX_VALUE_CHARS])},{decided}{extra}}}\n'
    ).encode("ascii")


def close_line(ts: str, exchange: Exchange) -> bytes:
    """Say how it ended.

    ``address`` is null if nothing was dialled, ``status`` if nothing was answered. Only there
    where it says something: ``sni``, what the ClientHello names if that is another name than
    the tunnel's; ``ech``, it has an encrypted part; ``would``, why the tunnel would have been
    closed after it, were the policy not in report mode.
    """
    e = exchange
    extra = ""
    if e.server_name is not None and e.target is not None and e.server_name != e.target.host:
        extra = f',"sni":{_host(e.server_name)}'
    if e.ech:
        extra += ',"ech":true'
    if e.would_end is not None:
        extra += f',"would":{_reason(e.would_end)}'
    waits = _NO_WAITS
    if e.connect_s or e.dns_s or e.wait_up_s or e.wait_down_s:
        waits = _WAITS % (e.dns_s, e.connect_s, e.wait_up_s, e.wait_down_s)
    return (
        f'{{"v":1,"ts":"{ts}","event":"close","id":"{e.id}",'
        f'"job":{encode_basestring_ascii(e.job_id[:MAX_VALUE_CHARS])},'
        f"{_ended(e.address, e.status, e.end)},"
        f'"bytes_up":{e.bytes_up},"bytes_down":{e.bytes_down},'
        f'"duration_s":{e.duration_s:.6f},{waits}{extra}}}\n'
    ).encode("ascii")


def ready_line(ts: str, listen: Mapping[str, str], besides: Mapping[str, object]) -> bytes:
    """Say where each job's listener accepts, and where the gateway listens besides, by its own keys."""
    record = {"v": 1, "ts": ts, "event": "ready", "listen": dict(listen), **besides}
    return (json.dumps(record, separators=(",", ":")) + "\n").encode("ascii")


def dropped_line(ts: str, lines: int, job: str | None) -> bytes:
    """Say how many lines are missing: of one job above its share, or (None) lost by the log itself."""
    return f'{{"v":1,"ts":"{ts}","event":"dropped","job":{_text(job)},"lines":{lines}}}\n'.encode("ascii")


def event_line(ts: str, event: str, fields: Mapping[str, object]) -> bytes:
    """Say that something happened to the gate itself; the fields are the operator's, or ids, and bounded."""
    record = {"v": 1, "ts": ts, "event": event, **fields}
    return (json.dumps(record, separators=(",", ":")) + "\n").encode("ascii")


# Jobs ask for few things again and again, and most end alike.
@lru_cache(maxsize=1024)
def _decided(
    target: Target | None, method: str, refused: Reason | None, would: Reason | None, rule: str | None
) -> str:
    """Write what was asked for and what was decided about it."""
    kind, host, port = (None, None, None) if target is None else target
    reason, verdict, extra = refused, "deny", ""
    if reason is None:
        reason, verdict = would, "allow"
        extra = "" if reason is None else ',"would":"deny"'
    return (
        f'"kind":{_text(kind)},"method":{_text(method or None)},"host":{_host(host)},'
        f'"port":{"null" if port is None else port},"decision":"{verdict}",'
        f'"reason":{_reason(reason)},"rule":{_text(rule)}{extra}'
    )


@lru_cache(maxsize=1024)
def _ended(address: str | None, status: int | None, end: Reason | None) -> str:
    """Write where it led and how it ended."""
    return (
        f'"address":{_text(address)},"status":{"null" if status is None else status},"reason":{_reason(end)}'
    )


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value[:MAX_VALUE_CHARS])


def _host(host: Host | None) -> str:
    return "null" if host is None else _text(bare_host(host))


def _reason(reason: Reason | None) -> str:
    return "null" if reason is None else f'"{reason.token}"'
