"""What a client shows of itself: ``Proxy-Authorization: Basic``. Pure.

Source: RFC 9110 §11.6.2 (one field, one credential), §11.7.2; RFC 7617 §2.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from .framing import Headers

_FIELD = b"proxy-authorization"
_LINE = b"\r\n%s:" % _FIELD
# RFC 4648 §4, whole and padded. The longest job id and the longest token make 516 characters.
_BASE64 = rb"(?:[A-Za-z0-9+/]{4}){0,256}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
# All of it without regard to case would take twice as long.
_BASIC = re.compile(rb"(?i:basic) +(%s)" % _BASE64)


class Credentials(NamedTuple):
    """A user and a password as they came; the password may have any octets and colons."""

    job_id: bytes
    token: bytes

    def __repr__(self) -> str:
        return "Credentials(...)"


def credential_fields(headers: Headers) -> Headers:
    """Pick out what ``read_credentials`` reads."""
    return [field for field in headers if field[0].lower() == _FIELD]


def peek_fields(raw: bytes) -> Headers:
    """Pick the same out of a head that nobody has judged: good enough to choose who is to judge it."""
    lower, found, start = raw.lower(), [], 0
    while (start := lower.find(_LINE, start)) >= 0:
        start += len(_LINE)
        found.append((_FIELD, raw[start:].partition(b"\r\n")[0].strip(b" \t")))
    return found


def read_credentials(headers: Headers) -> Credentials | None:
    """Read the credentials of a request.

    Returns:
        ``None`` where there are none: no field, two of them, another scheme, bad base64,
        or no colon. What cannot be read says nothing, so it is answered like nothing.
    """
    fields = credential_fields(headers)
    match = _BASIC.fullmatch(fields[0][1]) if len(fields) == 1 else None
    if match is None:
        return None
    job_id, colon, token = binascii.a2b_base64(match[1]).partition(b":")
    return Credentials(job_id, token) if colon else None
