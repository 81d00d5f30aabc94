"""The black-box cases of ``tests/data/requests.jsonl``: reading and judging.

A case gives a policy, a DNS and the bytes of a client; it expects statuses, dials,
queries and what the origin may and may not have received.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path

import cattrs

from .client import Response
from .http_origin import ReceivedRequest

DATA = Path(__file__).parent.parent / "data" / "requests.jsonl"


@dataclass(frozen=True, slots=True)
class Policy:
    """One job's lists; ``allow_private`` lifts the address guard for loopback only."""

    allow: list[str]
    allow_private: bool
    deny: list[str] = field(default_factory=list)
    ports: list[int] | None = None

    def toml(self) -> str:
        """Return the configuration file with this job."""
        lines = ["[node]"]
        if self.allow_private:
            lines.append('allow_addresses = ["127.0.0.0/8", "::1"]')
        if self.ports is not None:
            lines.append(f"connect_ports = {self.ports}")
            lines.append(f"http_ports = {self.ports}")
        lines.append("[[job]]")
        lines.append('id = "case"')
        lines.append('listen = "127.0.0.1:0"')
        lines.append('network = "http"')
        lines.append(f"domains = {json.dumps(self.allow, ensure_ascii=False)}")
        lines.append(f"deny = {json.dumps(self.deny, ensure_ascii=False)}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Following:
    """What is expected of a response behind the first one."""

    status: list[int]
    or_close: bool


@dataclass(frozen=True, slots=True)
class Expect:
    """What must come out; ``origin_*`` and ``tunnel_*`` only count if a connection was made."""

    status: list[int]
    or_close: bool
    upstream_connects: int
    dial_never: list[str] = field(default_factory=list)
    closes: bool = False
    then: list[Following] = field(default_factory=list)
    no_dns: bool = False
    response_lacks: list[str] = field(default_factory=list)
    no_body: bool = False
    no_1xx: bool = False
    origin_line: str | None = None
    origin_has: dict[str, str] = field(default_factory=dict)
    origin_names: list[str] = field(default_factory=list)
    origin_lacks: list[str] = field(default_factory=list)
    origin_has_b64: list[str] = field(default_factory=list)
    origin_lacks_b64: list[str] = field(default_factory=list)
    origin_body_b64: str | None = None
    origin_requests: int | None = None
    origin_complete: bool = True
    tunnel_b64: str | None = None
    tunnel_silent: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the file."""

    id: str
    policy: Policy
    dns: dict[str, list[str]]
    request_b64: str
    expect: Expect
    needs: list[str] = field(default_factory=list)
    policy_may_fail: bool = False
    half_close: bool = False

    @property
    def request(self) -> bytes:
        """The bytes that the client sends in one go."""
        return b64decode(self.request_b64)

    @property
    def methods(self) -> list[str]:
        """Methods of the heads in the request, for parsing the answers."""
        heads = [line.split(b" ") for line in self.request.split(b"\r\n")]
        named = [words[0] for words in heads if len(words) == 3 and words[2].startswith(b"HTTP/1.")]
        return [method.decode("latin-1") for method in named if method.isalpha()]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out."""

    responses: list[Response]
    closed_by_gate: bool
    leftover: bytes
    dials: list[tuple[str, int]]
    queries: list[str]
    origin_connections: int
    origin_requests: list[ReceivedRequest]
    origin_raw: bytes


def load() -> list[Case]:
    """Return all cases, in the order of the file."""
    with DATA.open(encoding="utf-8") as lines:
        return [cattrs.structure(json.loads(line), Case) for line in lines]


def problems(case: Case, expect: Expect, outcome: Outcome) -> list[str]:
    """Return every difference between what was expected and what came out."""
    found = [*_response_problems(case, expect, outcome), *_network_problems(case, expect, outcome)]
    if outcome.origin_connections:
        found += _origin_problems(expect, outcome)
    return found


def _response_problems(case: Case, expect: Expect, outcome: Outcome) -> list[str]:
    found: list[str] = []
    wanted = [Following(expect.status, expect.or_close), *expect.then]
    for position, following in enumerate(wanted):
        if position >= len(outcome.responses):
            if not following.or_close:
                found.append(f"response {position}: none")
            break
        status = outcome.responses[position].status
        if status not in following.status:
            found.append(f"response {position}: {status}, expected one of {following.status}")
    if expect.closes and not outcome.closed_by_gate:
        found.append("the connection was not closed")
    if outcome.leftover:
        found.append(f"more came: {outcome.leftover[:200]!r}")
    if outcome.responses:
        first = outcome.responses[0]
        found += [f"{name} in the response" for name in expect.response_lacks if first.values(name)]
        if expect.no_1xx and first.interim:
            found.append(f"interim responses {first.interim}")
        if expect.no_body and first.body:
            found.append("the response has content")
    return found


def _network_problems(case: Case, expect: Expect, outcome: Outcome) -> list[str]:
    found: list[str] = []
    dials = len(outcome.dials)
    relayed = any(response.values("x-origin") for response in outcome.responses) or (
        case.request.startswith(b"CONNECT") and bool(outcome.responses) and outcome.responses[0].status == 200
    )
    if dials > expect.upstream_connects or (relayed and expect.upstream_connects and not dials):
        found.append(f"dials {outcome.dials}, expected {expect.upstream_connects}")
    found += [f"dialled {address}" for address, _ in outcome.dials if address in expect.dial_never]
    if expect.no_dns and outcome.queries:
        found.append(f"asked the DNS for {outcome.queries}")
    return found


def _origin_problems(expect: Expect, outcome: Outcome) -> list[str]:
    found = [*_origin_head_problems(expect, outcome)]
    raw, requests = outcome.origin_raw, outcome.origin_requests
    found += [
        f"{b64decode(text)!r} did not arrive" for text in expect.origin_has_b64 if b64decode(text) not in raw
    ]
    found += [f"{b64decode(text)!r} arrived" for text in expect.origin_lacks_b64 if b64decode(text) in raw]
    if expect.origin_body_b64 is not None:
        wanted = b64decode(expect.origin_body_b64)
        content = bytes(requests[0].body) if requests else b""
        # A request that was refused in the middle of its content arrived cut, and looks cut.
        cut = bool(requests) and not requests[0].complete
        if not (wanted.startswith(content) if cut else content == wanted):
            found.append(f"content {content!r} arrived")
    if expect.origin_requests is not None and len(requests) != expect.origin_requests:
        found.append(f"{len(requests)} requests arrived")
    if not expect.origin_complete and any(request.complete for request in requests):
        found.append("a cut request looked complete to the origin")
    if expect.tunnel_b64 is not None and raw != b64decode(expect.tunnel_b64):
        found.append(f"{raw!r} went through the tunnel")
    if expect.tunnel_silent and raw:
        found.append("bytes went through the tunnel")
    return found


def _origin_head_problems(expect: Expect, outcome: Outcome) -> list[str]:
    found: list[str] = []
    line = outcome.origin_raw.split(b"\r\n", 1)[0].decode("latin-1")
    if expect.origin_line is not None and line != expect.origin_line:
        found.append(f"request-line {line!r} arrived")
    for request in outcome.origin_requests[:1]:
        for name, wanted in expect.origin_has.items():
            values = [value.decode("latin-1") for value in request.values(name.encode())]
            same = [_canonical(name, value) for value in values] == [_canonical(name, wanted)]
            if not same:
                found.append(f"{name}: {values} arrived, expected {wanted!r}")
        found += [f"{name} is missing" for name in expect.origin_names if not request.values(name.encode())]
    for request in outcome.origin_requests:
        found += [f"{name} arrived" for name in expect.origin_lacks if request.values(name.encode())]
    return found


def _canonical(name: str, value: str) -> str:
    return value.lower().removesuffix(":80") if name == "host" else value
