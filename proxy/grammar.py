"""The grammar of message heads, as expressions over raw bytes, and what breaks it.

Stricter than the RFCs wherever parsers are known to differ. Possessive repeats keep
every expression linear: no input makes one go back.
"""

from __future__ import annotations

import re

# RFC 9110 §5.6.2 token; §5.5 field-value with obs-text; no obs-fold (RFC 9112 §5.2).
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_FIELD_LINES = rb"(?:%s++:%s*+\r\n)*+" % (_TOKEN, _TEXT)
# RFC 9112 §3: single spaces; the target is printable ASCII, its form is judged later.
_REQUEST_LINE = rb"(%s++) ([!-~]++) HTTP/([0-9])\.([0-9])\r\n" % _TOKEN
# RFC 9112 §4, and the space before an empty phrase may be missing.
_STATUS_LINE = rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: (%s*+))?+\r\n" % _TEXT

REQUEST = re.compile(rb"%s%s\r\n" % (_REQUEST_LINE, _FIELD_LINES))
RESPONSE = re.compile(rb"%s%s\r\n" % (_STATUS_LINE, _FIELD_LINES))
REQUEST_LINE = re.compile(_REQUEST_LINE)
FIELD_LINE = re.compile(rb"%s++:%s*+" % (_TOKEN, _TEXT))
#: Name and value of each field of a block that ``REQUEST`` or ``RESPONSE`` accepted.
FIELD = re.compile(rb"(%s++):[ \t]*+(%s*+)\r\n" % (_TOKEN, _TEXT))
TRAILING_BLANKS = re.compile(rb"[ \t]++\r\n")
#: Whole lines and the beginning of one: no control character, CR and LF only as line ends.
LINES = re.compile(rb"(?:%s++|\r\n)*+\r?+" % _TEXT)

#: How much of a method is looked at before it is whole; the longest registered one has 17 letters.
MAX_METHOD_BYTES = 64
#: What the beginning of a request can look like, one empty line before it included.
METHOD_START = re.compile(rb"\r?\Z|\r\n\Z|(?:\r\n)?%s{1,%d}+(?:\Z| |%s)" % (_TOKEN, MAX_METHOD_BYTES, _TOKEN))

NOT_HTTP = "This is not an HTTP request: a request begins with its method."
STRAY_BYTE = "The head has a control character, or a CR or LF that is no line end."
_REQUEST_LINE_FORM = 'The request line is not "method target HTTP/1.1" with single spaces'


def request_problem(raw: bytes) -> str:
    """Say why ``REQUEST`` refuses a head, without quoting it."""
    line, _, rest = raw.partition(b"\r\n")
    if not METHOD_START.match(line):
        return NOT_HTTP
    if not LINES.fullmatch(raw):
        return STRAY_BYTE
    if not REQUEST_LINE.fullmatch(line + b"\r\n"):
        return request_line_problem(line)
    for field_line in rest.removesuffix(b"\r\n\r\n").split(b"\r\n"):
        if not FIELD_LINE.fullmatch(field_line):
            return _field_problem(field_line)
    return "The head has no blank line at its end."


def request_line_problem(line: bytes) -> str:
    """Say why ``REQUEST_LINE`` refuses a line without its CRLF."""
    words = line.split(b" ")
    if len(words) != 3 or b"" in words or b"\t" in line:
        return f"{_REQUEST_LINE_FORM}."
    if not words[1].isascii():
        return "The request target is not ASCII: percent-encode it."
    if not words[2].startswith(b"HTTP/"):
        return f"{_REQUEST_LINE_FORM}: the version is missing."
    return f"{_REQUEST_LINE_FORM}: the method or the version is malformed."


def _field_problem(line: bytes) -> str:
    name, colon, _ = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        return "A field is folded over several lines: write it on one."
    if not colon:
        return "A field has no colon."
    if not name:
        return "A field has an empty name."
    if name[-1:] in (b" ", b"\t"):
        return "A field has a blank before its colon."
    return "A field name is not a token."
