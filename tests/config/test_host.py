"""The canonical form of hosts and authorities."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import (
    MAX_AUTHORITY_BYTES,
    Authority,
    HostError,
    Name,
    _parse_authority,
    host_text,
    parse_address,
    parse_authority,
    parse_host,
    parse_port,
    parse_rule_host,
)

LABEL_63 = "a" * 63
NAME_253 = ".".join([LABEL_63] * 3 + ["b" * 61])

GOOD_AUTHORITIES = [
    ("A1", b"ok.test:443", "ok.test:443"),
    ("A3", b"ok.test.:443", "ok.test:443"),
    ("A4", b"OK.TeSt:443", "ok.test:443"),
    ("A9", b"[2001:DB8::1337]:443", "[2001:db8::1337]:443"),
    ("A10", b"[2001:db8:0:0::1]:443", "[2001:db8::1]:443"),
    ("A20-a-label", b"xn--jv8h.example.com:123", "xn--jv8h.example.com:123"),
    ("A21", b"foo_bar.ok.test:443", "foo_bar.ok.test:443"),
    ("E1", b"93.184.216.34:443", "93.184.216.34:443"),
    ("E5-mapped", b"[::ffff:127.0.0.1]:443", "[::ffff:7f00:1]:443"),
    ("E5-mapped-hex", b"[::ffff:7f00:1]:443", "[::ffff:7f00:1]:443"),
    ("E5-compatible", b"[::127.0.0.1]:443", "[::7f00:1]:443"),
    ("E5-nat64", b"[64:ff9b::7f00:1]:443", "[64:ff9b::7f00:1]:443"),
    ("E5-6to4", b"[2002:7f00:1::1]:443", "[2002:7f00:1::1]:443"),
    ("E7-dot", b"LOCALHOST.:80", "localhost:80"),
    ("E7-ip6", b"ip6-localhost:80", "ip6-localhost:80"),
    ("inner-hyphens", b"r3---sn-abc.test:443", "r3---sn-abc.test:443"),
    ("first-port", b"a:1", "a:1"),
    ("last-port", b"a:65535", "a:65535"),
    ("longest-name", f"{NAME_253}.:65535".encode(), f"{NAME_253}:65535"),
]

BAD_AUTHORITIES = [
    ("A2", b"ok.test"),
    ("A5", b"[ok.test]:443"),
    ("A6", b"[[ok.test]]:443"),
    ("A7-empty", b""),
    ("A7-colon", b":"),
    ("A7-colons", b"::"),
    ("A7-port-only", b":443"),
    ("A8-no-brackets", b"2001:DB8::1337"),
    ("A8-short", b"::1:443"),
    ("A11-large", b"ok.test:91337"),
    ("A11-65536", b"ok.test:65536"),
    ("A11-minus", b"ok.test:-12"),
    ("A11-plus", b"ok.test:+443"),
    ("A11-name", b"ok.test:https"),
    ("A11-space-inside", b"ok.test:4 43"),
    ("A11-space-after", b"ok.test:443 "),
    ("A11-empty", b"ok.test:"),
    ("A11-underscore", b"ok.test:4_43"),
    ("A11-newline", b"ok.test:443\n"),
    ("A11-other-digits", "ok.test:٤٤٣".encode()),
    ("A11-overflow", b"ok.test:65979"),
    ("A12", b"ok.test:0"),
    ("A13-007", b"ok.test:007"),
    ("A13-0443", b"ok.test:0443"),
    ("A14", b"evil.test\x00.ok.test:443"),
    ("A15-control", b"evil\x01.test:443"),
    ("A15-delete", b"ok.test\x7f:443"),
    ("A15-tab", b"ok\t.test:443"),
    ("A15-space", b"ok .test:443"),
    ("A16-dot", b"evil%2etest:443"),
    ("A16-nul", b"ok%00.test:443"),
    ("A17-backslash", b"ok.test\\@evil.test:443"),
    ("A17-slash", b"evil.test/ok.test:443"),
    ("A17-hash", b"evil.test#ok.test:443"),
    ("A17-question", b"evil.test?ok.test:443"),
    ("A18", b"user:pw@ok.test:443"),
    ("A18-user", b"user@ok.test:443"),
    ("A19-label", b"a" * 64 + b".test:443"),
    ("A19-name", NAME_253.encode() + b"c:443"),
    ("A19-long", b"a" * 254 + b":443"),
    ("A20", "🔐.example.com:123".encode()),
    ("A22", b"ok.test:443:443"),
    ("A23-absolute", b"http://ok.test:443"),
    ("A23-path", b"/foo"),
    ("A24-escaped", b"[fe80::1%25eth0]:443"),
    ("A24-raw", b"[fe80::1%eth0]:443"),
    ("A25", b"ok.test:443 HTTP/1.1"),
    ("C7-dot", b".foo.com:443"),
    ("C7-dots", b"..foo.com:443"),
    ("C7-inside", b"x..foo.com:443"),
    ("C7-final-dots", b"foo.com..:443"),
    ("C7-only-dot", b".:443"),
    ("C8", b":80"),
    ("C21", "ok。test:443".encode()),
    ("E3-decimal", b"2130706433:443"),
    ("E3-two-parts", b"127.1:443"),
    ("E3-three-parts", b"127.0.1:443"),
    ("E3-hex-part", b"0x7f.1:443"),
    ("E3-hex", b"0x7f000001:443"),
    ("E3-hex-upper", b"0X7F000001:443"),
    ("E3-octal", b"017700000001:443"),
    ("E3-zero", b"0:443"),
    ("E3-final-dot", b"127.0.0.1.:443"),
    ("E3-leading-zero", b"127.0.0.01:443"),
    ("E3-1.2.3", b"1.2.3:443"),
    ("E3-five-parts", b"1.2.3.4.5:443"),
    ("E3-256", b"256.1.1.1:443"),
    ("E3-numeric-label", b"ok.1:443"),
    ("E3-hex-label", b"ok.0xfoo:443"),
    ("E4", b"2852039166:443"),
    ("E6-digits", "１２７.0.0.1:443".encode()),
    ("E6-dots", "127。0。0。1:443".encode()),
    ("hyphen-first", b"-ok.test:443"),
    ("hyphen-last", b"ok-.test:443"),
    ("latin-1", b"ok\xa0.test:443"),
    ("bracket-open", b"[ok.test:443"),
    ("bracket-close", b"ok.test]:443"),
    ("bracket-v4", b"[127.0.0.1]:443"),
    ("bracket-empty", b"[]:443"),
    ("bracket-future", b"[v1.x]:443"),
    ("bracket-tail", b"[::1]ok.test:443"),
    ("bracket-no-colon", b"[::1]443"),
    ("bracket-no-port", b"[::1]"),
    ("v6-three-colons", b"[:::1]:443"),
    ("v6-nine-groups", b"[1:2:3:4:5:6:7:8:9]:443"),
    ("v6-octal", b"[::ffff:0177.0.0.1]:443"),
    ("v6-space", b"[::1 ]:443"),
]


@pytest.mark.parametrize(
    ("raw", "expected"), [case[1:] for case in GOOD_AUTHORITIES], ids=[case[0] for case in GOOD_AUTHORITIES]
)
def test_parse_authority_good_is_canonical(raw: bytes, expected: str) -> None:
    assert str(parse_authority(raw, None)) == expected


@pytest.mark.parametrize(
    "raw", [case[1] for case in BAD_AUTHORITIES], ids=[case[0] for case in BAD_AUTHORITIES]
)
def test_parse_authority_bad_is_an_error(raw: bytes) -> None:
    with pytest.raises(HostError):
        parse_authority(raw, None)


@pytest.mark.parametrize(
    "raw",
    [case[1] for case in BAD_AUTHORITIES if case[0] not in ("A2", "A11-empty", "bracket-no-port")],
    ids=[case[0] for case in BAD_AUTHORITIES if case[0] not in ("A2", "A11-empty", "bracket-no-port")],
)
def test_parse_authority_bad_is_an_error_with_default_port(raw: bytes) -> None:
    with pytest.raises(HostError):
        parse_authority(raw, 80)


@pytest.mark.parametrize("raw", [b"ok.test", b"ok.test:", b"ok.test:80"], ids=["absent", "empty", "given"])
def test_parse_authority_takes_the_default_port(raw: bytes) -> None:
    assert parse_authority(raw, 80) == Authority(Name("ok.test"), 80)


def test_parse_authority_of_bare_ipv6_takes_the_default_port() -> None:
    assert parse_authority(b"[::1]", 80) == Authority(IPv6Address("::1"), 80)


def test_parse_authority_never_repeats_credentials() -> None:
    with pytest.raises(HostError) as caught:
        parse_authority(b"user:secret@ok.test:443", None)
    assert "secret" not in str(caught.value)


def test_parse_authority_does_not_remember_long_input() -> None:
    _parse_authority.cache_clear()
    with pytest.raises(HostError):
        parse_authority(b"a" * (MAX_AUTHORITY_BYTES + 1), 80)
    parse_authority(b"ok.test", 80)
    assert _parse_authority.cache_info().currsize == 1
    assert _parse_authority.cache_info().misses == 1


@pytest.mark.parametrize(
    "raw",
    [b"a" * 65536, b"a." * 32768, b"-" * 65536, b"[" * 65536, b"[" + b":" * 65535, b"1." * 32768],
    ids=["letters", "labels", "hyphens", "brackets", "colons", "digits"],
)
def test_parse_host_refuses_64_kib(raw: bytes) -> None:
    with pytest.raises(HostError):
        parse_host(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b"ok.test]", "brackets"),
        (b"b\xc3\xbccher.test", "A-label"),
        (b"a..b", "empty label"),
        (b"a" * 64, "63 octets"),
        (b"-a", "hyphen"),
        (b"a b", "letters, digits"),
        (b"127.1", "four decimal numbers"),
        (b"256.1.1.1", "four decimal numbers"),
        (b"[1::2::3]", "brackets without a zone"),
        (b"a" * 300, "253 octets, got 300"),
    ],
)
def test_parse_host_error_says_what_is_wrong(raw: bytes, words: str) -> None:
    with pytest.raises(HostError, match=words):
        parse_host(raw)


def test_parse_host_takes_an_address_for_an_address() -> None:
    assert parse_host(b"192.0.2.7") == IPv4Address("192.0.2.7")
    assert parse_host(b"192.0.2.7") != Name("192.0.2.7")


@given(st.binary(max_size=80) | st.from_regex(rb"[-_.0-9A-Fa-fxX:\[\]%]{1,60}", fullmatch=True))
def test_parse_host_gives_a_host_or_a_host_error(raw: bytes) -> None:
    try:
        host = parse_host(raw)
    except HostError:
        return
    assert parse_host(host_text(host).encode("ascii")) == host


@given(
    st.binary(max_size=80) | st.from_regex(rb"[-_.0-9A-Fa-fxX:\[\]%]{1,60}:[0-9]{1,6}", fullmatch=True),
    st.sampled_from([None, 80]),
)
def test_parse_authority_gives_an_authority_or_a_host_error(raw: bytes, default_port: int | None) -> None:
    try:
        authority = parse_authority(raw, default_port)
    except HostError:
        return
    assert 1 <= authority.port <= 65535
    assert parse_authority(str(authority).encode("ascii"), None) == authority


@given(st.ip_addresses(v=6))
def test_host_text_of_ipv6_reads_back(address: IPv6Address) -> None:
    assert parse_host(host_text(address).encode("ascii")) == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2001:db8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]"),
        ("2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]"),
        ("1:0:0:2:0:0:0:3", "[1:0:0:2::3]"),
        ("::", "[::]"),
        ("1::", "[1::]"),
        ("::ffff:192.0.2.7", "[::ffff:c000:207]"),
    ],
)
def test_host_text_of_ipv6_follows_rfc_5952(text: str, expected: str) -> None:
    assert host_text(IPv6Address(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(" Example.COM. ", "example.com", id="C4-spaces"),
        pytest.param("éxämple.com", "xn--xmple-gra7a.com", id="C20"),
        pytest.param("例え。テスト", "xn--r8jz45g.xn--zckzah", id="C21"),
        pytest.param("faß.de", "xn--fa-hia.de", id="C22"),
        pytest.param("foo_bar.éx.com", "foo_bar.xn--x-9fa.com", id="ascii-label-skips-idna"),
        pytest.param("2001:DB8::1", "[2001:db8::1]", id="v6-without-brackets"),
        pytest.param("[2001:DB8::1]", "[2001:db8::1]", id="v6-with-brackets"),
        pytest.param("192.0.2.7", "192.0.2.7", id="v4"),
    ],
)
def test_parse_rule_host_is_canonical(text: str, expected: str) -> None:
    assert host_text(parse_rule_host(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("１２７.0.0.1", id="E6-digits"),
        pytest.param("127。0。0。1", id="E6-dots"),
        pytest.param("🔐.example.com", id="A20-emoji"),
        pytest.param("℀.com", id="maps-to-a-slash"),
        pytest.param("é" * 301, id="too-long"),
        pytest.param("\u3000example.com", id="wide-space"),
        pytest.param("example.com\n", id="newline"),
        pytest.param("2130706433", id="E3-decimal"),
        pytest.param("::1%lo", id="zone"),
    ],
)
def test_parse_rule_host_refuses(text: str) -> None:
    with pytest.raises(HostError):
        parse_rule_host(text)


@given(st.text(max_size=40))
def test_parse_rule_host_gives_a_host_or_a_host_error(text: str) -> None:
    try:
        host = parse_rule_host(text)
    except HostError:
        return
    assert parse_rule_host(host_text(host)) == host


@pytest.mark.parametrize(
    ("text", "expected"), [("192.0.2.7", "192.0.2.7"), ("::1", "[::1]"), (" [0::1] ", "[::1]")]
)
def test_parse_address(text: str, expected: str) -> None:
    assert host_text(parse_address(text)) == expected


@pytest.mark.parametrize("text", ["", "ok.test", "localhost", "127.1", "10.0.0.0/8"])
def test_parse_address_refuses(text: str) -> None:
    with pytest.raises(HostError):
        parse_address(text)


@pytest.mark.parametrize("raw", [b"", b"0", b"01", b"65536", b"99999", b"1" * 5000, "２".encode()])
def test_parse_port_refuses(raw: bytes) -> None:
    with pytest.raises(HostError):
        parse_port(raw)
