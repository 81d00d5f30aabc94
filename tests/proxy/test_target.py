"""Request targets: rows A1–A24 and B1–B21 of the case list that are decided by the target alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Authority, parse_authority
from jobgate.proxy.errors import BadRequest, ProxyError, Reason
from jobgate.proxy.exchange import Exchange
from jobgate.proxy.head import HeadLimits, RequestHead, parse_request_head
from jobgate.proxy.journal import Journal
from jobgate.proxy.target import (
    Absolute,
    asked,
    parse_absolute,
    parse_connect,
    parse_origin,
    refuse_target,
)
from jobgate.proxy.usage import Usage
from support.clock import VirtualClock
from support.policies import connect, http

CONNECT_GOOD = {
    "A1 usual": (b"ok.test:443", "ok.test:443"),
    "A3 final dot": (b"ok.test.:443", "ok.test:443"),
    "A4 letter case": (b"OK.TeSt:443", "ok.test:443"),
    "A9 IPv6": (b"[2001:DB8::1337]:443", "[2001:db8::1337]:443"),
    "A10 IPv6 spelled long": (b"[2001:db8:0:0::1]:443", "[2001:db8::1]:443"),
    "A20 A-label": (b"xn--jv8h.example.com:123", "xn--jv8h.example.com:123"),
    "A21 underscore": (b"foo_bar.ok.test:443", "foo_bar.ok.test:443"),
    "IPv4": (b"192.0.2.7:65535", "192.0.2.7:65535"),
}

CONNECT_BAD = {
    "A2 no port": b"ok.test",
    "A5 name in brackets": b"[ok.test]:443",
    "A6 two pairs of brackets": b"[[ok.test]]:443",
    "A7 empty": b"",
    "A7 colon": b":",
    "A7 two colons": b"::",
    "A7 no host": b":443",
    "A8 bare IPv6": b"2001:DB8::1337",
    "A8 bare loopback": b"::1:443",
    "A11 91337": b"ok.test:91337",
    "A11 65536": b"ok.test:65536",
    "A11 negative": b"ok.test:-12",
    "A11 plus": b"ok.test:+443",
    "A11 word": b"ok.test:https",
    "A11 space inside": b"ok.test:4 43",
    "A11 space behind": b"ok.test:443 ",
    "A11 empty port": b"ok.test:",
    "A11 wraps": b"ok.test:65979",
    "A11 long": b"ok.test:" + b"4" * 250,
    "A12 zero": b"ok.test:0",
    "A13 007": b"ok.test:007",
    "A13 0443": b"ok.test:0443",
    "A14 NUL": b"evil.test\x00.ok.test:443",
    "A15 control": b"evil\x01.test:443",
    "A15 DEL": b"ok.test\x7f:443",
    "A15 tab": b"evil.test\t.ok.test:443",
    "A15 space": b"evil.test .ok.test:443",
    "A16 percent dot": b"evil%2etest:443",
    "A16 percent NUL": b"ok%00.test:443",
    "A17 backslash": b"ok.test\\@evil.test:443",
    "A17 slash": b"evil.test/ok.test:443",
    "A17 hash": b"evil.test#ok.test:443",
    "A17 question mark": b"evil.test?ok.test:443",
    "A18 userinfo": b"user:pw@ok.test:443",
    "A19 label of 64": b"a" * 64 + b".ok.test:443",
    "A19 name of 254": b".".join([b"a" * 49] * 5) + b".abcd:443",
    "A19 one label of 254": b"a" * 254 + b":443",
    "A20 UTF-8": "🔐.example.com:123".encode(),
    "A22 two ports": b"ok.test:443:443",
    "A23 URL": b"http://ok.test:443",
    "A23 path": b"/foo",
    "A24 encoded zone": b"[fe80::1%25eth0]:443",
    "A24 zone": b"[fe80::1%eth0]:443",
    "number": b"2130706433:443",
    "hex": b"0x7f.1:443",
    "octal": b"010.0.0.1:443",
    "two dots": b"a..ok.test:443",
}


@pytest.mark.parametrize(("target", "authority"), CONNECT_GOOD.values(), ids=CONNECT_GOOD)
def test_parse_connect_makes_one_spelling(target: bytes, authority: str) -> None:
    assert str(parse_connect(target)) == authority
    assert refuse_target(b"CONNECT", target) is None


@pytest.mark.parametrize("target", CONNECT_BAD.values(), ids=CONNECT_BAD)
def test_parse_connect_refuses(target: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_connect(target)
    assert isinstance(refuse_target(b"CONNECT", target), BadRequest)


ABSOLUTE_GOOD = {
    "B1 path and query": (b"http://ok.test:8080/alpha?x=1", "ok.test:8080", b"/alpha?x=1"),
    "B2 no path": (b"http://ok.test:8080", "ok.test:8080", b""),
    "B3 query only": (b"http://ok.test:8080?key=val", "ok.test:8080", b"?key=val"),
    "B5 letter case": (b"HTTP://OK.TEST/", "ok.test:80", b"/"),
    "B9 default port": (b"http://ok.test:80/", "ok.test:80", b"/"),
    "B14 final dot and port": (b"http://Api.OK.test.:8080/x", "api.ok.test:8080", b"/x"),
    "B15 IPv6": (b"http://[2001:DB8::1]/", "[2001:db8::1]:80", b"/"),
    "B15 IPv6 and port": (b"http://[2001:DB8::1]:8080", "[2001:db8::1]:8080", b""),
    "B19 raw bytes": (
        b"http://ok.test/a%2Fb/../c//d?x=%7e&y=a+b;z",
        "ok.test:80",
        b"/a%2Fb/../c//d?x=%7e&y=a+b;z",
    ),
    "empty port": (b"http://ok.test:/", "ok.test:80", b"/"),
    "URL in the path": (b"http://ok.test/http://evil.test/", "ok.test:80", b"/http://evil.test/"),
    "at sign in the path": (b"http://ok.test/@evil.test", "ok.test:80", b"/@evil.test"),
    "slash in the query": (b"http://ok.test?a=/b?c", "ok.test:80", b"?a=/b?c"),
    "characters beyond the URI": (b'http://ok.test/{a}|b\\c^"<>`', "ok.test:80", b'/{a}|b\\c^"<>`'),
}

ABSOLUTE_BAD = {
    "B4 fragment": (b"http://ok.test/#secret", "fragment"),
    "B4 fragment behind the host": (b"http://evil.test#.ok.test/", "fragment"),
    "B6 ftp": (b"ftp://ok.test/r", "Only http://"),
    "B6 gopher": (b"gopher://ok.test/", "Only http://"),
    "B6 ws": (b"ws://ok.test/", "Only http://"),
    "B6 file": (b"file:///etc/passwd", "Only http://"),
    "B6 longer scheme": (b"httpx://ok.test/", "Only http://"),
    "B7 https": (b"https://ok.test/", "CONNECT"),
    "B7 HTTPS": (b"HTTPS://ok.test:80/", "CONNECT"),
    "B13 userinfo": (b"http://user:pw@ok.test/", "credentials"),
    "B13 host as userinfo": (b"http://ok.test:80@evil.test/", "credentials"),
    "B13 backslash": (b"http://evil.test\\@ok.test/", "credentials"),
    "B16 origin-form": (b"/", "forward proxy"),
    "B17 URL in an origin-form path": (b"/fetch/http://evil.test", "forward proxy"),
    "B18 asterisk": (b"*", "itself"),
    "B18 asterisk and path": (b"*/test", "not a URL"),
    "B20 space": (b"http://ok .test/", "host"),
    "B20 UTF-8": ("http://bücher.test/".encode(), "A-label"),
    "B21 no host": (b"http:///path", "empty"),
    "B21 port alone": (b"http://:80/", "empty"),
    "B21 one slash": (b"http:/ok.test/", "not a URL"),
    "B21 backslashes": (b"http:\\\\ok.test/", "not a URL"),
    "B21 nothing": (b"http://", "empty"),
    "two colons": (b"http://ok.test::/", "port"),
    "authority-form": (b"ok.test:80", "not a URL"),
    "path in brackets": (b"http://[::1/]", "IPv6"),
    "empty": (b"", "not a URL"),
}


@pytest.mark.parametrize(("target", "authority", "path"), ABSOLUTE_GOOD.values(), ids=ABSOLUTE_GOOD)
def test_parse_absolute_keeps_the_path_and_makes_one_authority(
    target: bytes, authority: str, path: bytes
) -> None:
    absolute = parse_absolute(target)
    assert (str(absolute.authority), absolute.path) == (authority, path)
    assert refuse_target(b"GET", target) is None


@pytest.mark.parametrize(("target", "hint"), ABSOLUTE_BAD.values(), ids=ABSOLUTE_BAD)
def test_parse_absolute_refuses_with_a_hint(target: bytes, hint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_absolute(target)
    assert hint in caught.value.detail


@pytest.mark.parametrize("target", [b"/", b"/a?b", b"//ok.test/"])
def test_parse_origin_takes_paths(target: bytes) -> None:
    assert parse_origin(target) == target


@pytest.mark.parametrize("target", [b"", b"*", b"http://ok.test/", b"ok.test:80", b"/#a"])
def test_parse_origin_refuses_all_else(target: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_origin(target)


def absolute_or_error(target: bytes) -> Absolute | BadRequest:
    try:
        return parse_absolute(target)
    except BadRequest as error:
        return error


def authority_or_error(target: bytes) -> Authority | BadRequest:
    try:
        return parse_connect(target)
    except BadRequest as error:
        return error


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"http://" + tail))
def test_any_bytes_are_a_target_or_a_bad_request(target: bytes) -> None:
    found = absolute_or_error(target)
    if isinstance(found, BadRequest):
        assert found.detail.isprintable()
    else:
        assert target.endswith(found.path)
        assert found.path[:1] in (b"", b"/", b"?")
        assert 1 <= found.authority.port <= 65535


@given(st.binary(max_size=80) | st.text("ab.:[]@%0", max_size=20).map(str.encode))
def test_any_bytes_are_an_authority_or_a_bad_request(target: bytes) -> None:
    found = authority_or_error(target)
    if isinstance(found, BadRequest):
        assert found.detail.isprintable()
    else:
        assert parse_connect(str(found).encode()) == found


INSIDE = parse_authority(b"ok.test:80", None)


def begun() -> Exchange:
    return Exchange("job", "192.0.2.7:49152", Usage(), Journal(), VirtualClock().time)


def head(line: bytes, host: bytes = b"ok.test") -> RequestHead:
    raw = line + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    return parse_request_head(raw, HeadLimits(4096, 1024, 64))


def test_asked_reads_every_form_and_notes_it() -> None:
    for request, inside, target, path in (
        (head(b"CONNECT ok.test:443", b"ok.test:443"), None, connect("ok.test:443"), b""),
        (head(b"GET http://ok.test/a?b"), None, http("ok.test:80"), b"/a?b"),
        (head(b"GET /a?b"), INSIDE, http("ok.test:80"), b"/a?b"),
    ):
        exchange = begun()
        assert asked(request, exchange, inside) == (target, path)
        assert exchange.target == target


@pytest.mark.parametrize(
    ("line", "host", "reason"),
    [
        pytest.param(b"GET /", b"other.test", Reason.NOT_HTTP, id="another-host"),
        pytest.param(b"CONNECT ok.test:80", b"ok.test:80", Reason.NOT_HTTP, id="connect"),
        pytest.param(b"GET http://ok.test/", b"ok.test", Reason.BAD_REQUEST, id="absolute-form"),
    ],
)
def test_asked_inside_a_connect_is_a_path_of_its_host(line: bytes, host: bytes, reason: Reason) -> None:
    exchange = begun()
    with pytest.raises(ProxyError) as caught:
        asked(head(line, host), exchange, INSIDE)
    assert (caught.value.reason, exchange.target) == (reason, http("ok.test:80"))
