"""What a message head says about its content and its connection.

Owns the few fields that decide where a message ends and what becomes of the
connection. Whatever two parsers could read differently is an error here: both
lengths, a repeated length, a coding other than ``chunked``, a second ``Host``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from jobgate.config.host import Authority, HostError, parse_authority

from .errors import BadRequest, ProxyError, Reason

Headers: TypeAlias = list[tuple[bytes, bytes]]
Noted: TypeAlias = Mapping[bytes, Sequence[bytes]]


class Content(NamedTuple):
    """How content is delimited; ``length`` counts bytes and is 0 unless kind is ``length``."""

    kind: Literal["none", "length", "chunked", "until-close"]
    length: int = 0


NO_CONTENT = Content("none")
CHUNKED = Content("chunked")
UNTIL_CLOSE = Content("until-close")

#: Fields that decide about framing, routing or the connection; all others are only passed on.
_NOTED = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    )
)
#: 18 digits stay below 2**63 and below the number of digits that int() refuses to convert.
LENGTH = re.compile(rb"[0-9]{1,18}")
_NO_OPTIONS: frozenset[bytes] = frozenset()


class FieldNames(dict[bytes, bytes | None]):
    """Which of a set of names a field has, lower-case, by its name as sent; ``None``: none of them.

    Senders write few names, always alike: the answer is kept, for so many and so short ones.

    Args:
        names: Lower-case.
        prefixes: Likewise; what begins so counts, too.
    """

    MOST = 1000
    LONGEST_BYTES = 40

    def __init__(self, names: frozenset[bytes], prefixes: tuple[bytes, ...] = ()) -> None:
        super().__init__()
        self._names = names
        self._prefixes = prefixes

    def __missing__(self, name: bytes) -> bytes | None:
        key = name.lower()
        found = key if key in self._names or key.startswith(self._prefixes) else None
        if len(self) < self.MOST and len(name) <= self.LONGEST_BYTES:
            self[name] = found
        return found


#: Which of these a field is, by its name as sent.
NOTED_NAMES = FieldNames(_NOTED)


def note_fields(headers: Headers) -> Noted:
    """Collect the values of the fields that matter here, by lower-case name, in order."""
    noted: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        key = NOTED_NAMES[name]
        if key is not None:
            noted.setdefault(key, []).append(value)
    return noted


def list_elements(values: Sequence[bytes]) -> list[bytes]:
    """Split list-valued field lines into lower-case elements; empty ones are ignored.

    Source: RFC 9110 §5.6.1.2.
    """
    elements = (element.strip(b" \t") for element in b",".join(values).lower().split(b","))
    return [element for element in elements if element]


def connection_options(noted: Noted) -> frozenset[bytes]:
    """Name what ``Connection`` lists, lower-case; ``close`` of ``Proxy-Connection`` counts too.

    ``Proxy-Connection`` is no standard field: it may end a connection, never keep one.
    """
    values = noted.get(b"connection")
    options = _NO_OPTIONS
    if values is not None:
        value = b",".join(values)
        options = _options(value) if len(value) <= _LONGEST_KEPT_BYTES else frozenset(list_elements((value,)))
    if b"proxy-connection" in noted and b"close" in list_elements(noted[b"proxy-connection"]):
        options |= {b"close"}
    return options


# All but a handful of clients and servers send one of a handful of values. Longer ones are not kept:
# a job could fill a head with thousands of options, and the memory of all jobs with such heads.
_LONGEST_KEPT_BYTES = 64


@lru_cache(maxsize=256)
def _options(value: bytes) -> frozenset[bytes]:
    return frozenset(list_elements((value,)))


def declared_content(noted: Noted, minor: int) -> Content:
    """Read the framing that a head declares, without regard to method or status.

    ``Content-Length`` is one field with 1 to 18 ASCII digits; ``Transfer-Encoding`` is
    ``chunked`` alone, in HTTP/1.1 alone, and excludes the other.

    Raises:
        BadRequest: Anything ambiguous or invalid (400).
        ProxyError: ``transfer-coding`` for a coding in front of ``chunked`` (501).

    Source: RFC 9112 §6.1 to §6.3; stricter than RFC 9110 §8.6, which allows equal repeated lengths.
    """
    lengths = noted.get(b"content-length")
    codings = noted.get(b"transfer-encoding")
    if codings is None:
        if lengths is None:
            return NO_CONTENT
        if len(lengths) > 1:
            raise BadRequest("Content-Length is repeated: send it once")
        if not LENGTH.fullmatch(lengths[0]):
            raise BadRequest("Content-Length is not a decimal number of 1 to 18 digits")
        return Content("length", int(lengths[0]))
    if lengths is not None:
        raise BadRequest("Content-Length and Transfer-Encoding exclude each other")
    if minor == 0:
        raise BadRequest("Transfer-Encoding does not exist in HTTP/1.0")
    _check_codings(codings)
    return CHUNKED


def _check_codings(values: Sequence[bytes]) -> None:
    """Accept ``chunked`` and nothing else.

    Empty list elements are refused although RFC 9110 §5.6.1.2 skips them: parsers differ here.
    """
    codings = [coding.strip(b" \t") for coding in b",".join(values).lower().split(b",")]
    if codings == [b"chunked"]:
        return
    if codings[-1] != b"chunked":
        raise BadRequest("Transfer-Encoding does not end in chunked")
    if b"chunked" in codings[:-1] or b"" in codings:
        raise BadRequest("Transfer-Encoding names chunked more than once, or an empty coding")
    raise ProxyError(Reason.TRANSFER_CODING, "The only transfer coding understood here is chunked.")


def host_field(noted: Noted, minor: int) -> Authority | None:
    """Check the Host field, which serves only to be replaced; port 80 if it names none.

    Raises:
        BadRequest: Repeated, invalid, or missing in HTTP/1.1 (400).

    Source: RFC 9112 §3.2.
    """
    values = noted.get(b"host")
    if values is None:
        if minor == 1:
            raise BadRequest("HTTP/1.1 needs a Host field.")
        return None
    if len(values) > 1:
        raise BadRequest("Host is repeated: send it once.")
    try:
        return parse_authority(values[0], 80)
    except HostError as error:
        raise BadRequest(f"The Host field is invalid: {error}.") from None


def expects_continue(noted: Noted, minor: int, content: Content) -> bool:
    """Say whether the client waits for 100; other expectations are passed on unread.

    Source: RFC 9110 §10.1.1 (ignored in HTTP/1.0).
    """
    if minor == 0 or content.kind == "none":
        return False
    return b"100-continue" in list_elements(noted.get(b"expect", ()))


def asks_for_websocket(method: bytes, minor: int, noted: Noted, content: Content) -> bool:
    """Say whether a request can become a WebSocket; no other upgrade is passed on.

    Source: RFC 6455 §4.1, RFC 9110 §7.8 (ignored in HTTP/1.0).
    """
    if b"upgrade" not in noted or method != b"GET" or minor == 0 or content.kind != "none":
        return False
    return names_websocket(noted)


def names_websocket(noted: Noted) -> bool:
    """Say whether ``Upgrade`` names WebSocket alone and ``Connection`` lists it."""
    if list_elements(noted.get(b"upgrade", ())) != [b"websocket"]:
        return False
    return b"upgrade" in list_elements(noted.get(b"connection", ()))
