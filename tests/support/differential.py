"""What the gate decided on, compared with what an independent parser reads from what it wrote.

The fields that must arrive are worked out here once more, from the raw head and by
splitting lines, so that neither llhttp nor the gate's own code is asked again.
"""

from __future__ import annotations

import re

from .pipeline import JOB_HEADER, VIA, Download, Request
from .readers import Fields, Seen, read_request, read_response

# RFC 9110 §7.6.1, RFC 9112 appendix C.2.2, h2c's setting; framing is written anew.
_HOP_BY_HOP = {
    b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    b"content-length", b"http2-settings",
}  # fmt: skip
_WEBSOCKET = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
_CHUNKED = (b"Transfer-Encoding", b"chunked")


def check_request(request: Request) -> Seen:
    """The origin reads the request that was decided on, whole exactly if it was, and nothing else."""
    method, target, version = request.raw.removeprefix(b"\r\n").split(b"\r\n", 1)[0].split(b" ")
    assert (request.head.method, request.head.target) == (method, target), "another line was decided on"
    seen = read_request(request.written)
    assert seen.start == (method, origin_form(method, target)), "the origin reads another line"
    assert seen.minor == b"1.1", "the version is our own"
    assert seen.fields == _request_fields(request, version), "the origin reads other fields"
    assert seen.whole == request.whole, "cut and whole are not told apart"
    assert seen.rest == b"", "the origin reads a second request"
    return seen


def check_response(download: Download, method: bytes, client_minor: int) -> Seen | None:
    """The client reads the response that the upstream was understood to give; ``None`` if none was."""
    if not download.heads or 101 != download.heads[-1].status < 200:
        return None
    final, raw = download.heads[-1], download.raws[-1]
    plain = final.content.kind == "until-close" or (final.content.kind == "chunked" and not client_minor)
    seen = read_response(
        download.written, method, ended=plain and download.whole, upgrade=final.status == 101
    )
    before = [b"%d" % head.status for head in download.heads[:-1]] if client_minor else []
    assert [interim.start[0] for interim in seen.interim] == before, "interim responses are lost or made up"
    _, status, phrase = (*raw.split(b"\r\n", 1)[0].split(b" ", 2), b"")[:3]
    assert seen.start == (status, phrase), "the client reads another status"
    assert seen.fields == _response_fields(download, client_minor), "the client reads other fields"
    assert seen.whole == download.whole, "cut and whole are not told apart"
    assert seen.rest == b"", "the client reads a second response"
    return seen


def origin_form(method: bytes, target: bytes) -> bytes:
    """Return what stands in a request line to the origin, worked out from the target as it came."""
    match = re.fullmatch(rb"[Hh][Tt][Tt][Pp]://[^/?]*(.*)", target)
    assert match, "a target that is no absolute-form was passed on"
    if not match[1]:
        return b"*" if method == b"OPTIONS" else b"/"
    return match[1] if match[1].startswith(b"/") else b"/" + match[1]


def raw_fields(raw: bytes) -> Fields:
    """Split the fields of a head that was taken, by lines and colons only."""
    lines = raw.removeprefix(b"\r\n").split(b"\r\n")[1:-2]
    return [(name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for key, value in fields if key.lower() == name]


def _end_to_end(fields: Fields) -> Fields:
    """Drop hop-by-hop fields and those that ``Connection`` names."""
    named = b",".join(_values(fields, b"connection")).lower().split(b",")
    dropped = _HOP_BY_HOP | {name.strip(b" \t") for name in named}
    return [
        (name, value)
        for name, value in fields
        if name.lower() not in dropped and not name.lower().startswith(b"proxy-auth")
    ]


def _request_fields(request: Request, version: bytes) -> Fields:
    fields = raw_fields(request.raw)
    old = version == b"HTTP/1.0"
    ours = {b"host", JOB_HEADER[0].lower(), *([b"expect"] if old else [])}
    kept = [(name, value) for name, value in _end_to_end(fields) if name.lower() not in ours]
    if request.head.method == b"OPTIONS":
        kept = [
            (name, _one_less(value) if name.lower() == b"max-forwards" else value) for name, value in kept
        ]
    host = str(request.authority).removesuffix(":80").encode("ascii")
    lengths = [(b"Content-Length", b"%d" % int(value)) for value in _values(fields, b"content-length")]
    framing = [_CHUNKED] if _values(fields, b"transfer-encoding") else lengths
    upgrade = _WEBSOCKET if request.head.upgrade else []
    via = (b"Via", b"1.%d %b" % (not old, VIA))
    return [(b"Host", host), *kept, via, JOB_HEADER, *framing, *upgrade]


def _one_less(value: bytes) -> bytes:
    return b"%d" % max(0, int(value) - 1) if re.fullmatch(rb"[0-9]{1,9}", value) else value


def _response_fields(download: Download, client_minor: int) -> Fields:
    head, fields = download.heads[-1], raw_fields(download.raws[-1])
    kept = [
        (name, value) for name, value in _end_to_end(fields) if not name.lower().startswith(b"x-jobgate-")
    ]
    via = (b"Via", b"1.%d %b" % (not download.raws[-1].startswith(b"HTTP/1.0"), VIA))
    kind = head.content.kind
    framing: Fields = []
    if kind == "chunked":
        framing = [_CHUNKED] if client_minor else []
    elif head.status == 205:
        framing = [(b"Content-Length", b"%d" % head.content.length)]
    elif head.status >= 200 and head.status != 204:
        framing = [(b"Content-Length", value) for value in _values(fields, b"content-length")]
        if kind == "length":
            framing = [(b"Content-Length", b"%d" % head.content.length)]
    if head.status == 101:
        return [*kept, via, *framing, *_WEBSOCKET]
    closes = kind == "until-close" or not client_minor
    return [*kept, via, *framing, *([(b"Connection", b"close")] if closes else [])]
