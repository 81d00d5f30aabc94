"""Listeners and name servers."""

from __future__ import annotations

import pytest

from jobgate.config.endpoints import parse_listen, parse_server


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("127.0.0.1:3128", "127.0.0.1:3128"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:3128", "[::1]:3128"),
        ("[0::1]:3128", "[::1]:3128"),
        ("0.0.0.0:8080", "0.0.0.0:8080"),
        ("unix:/run/job.sock", "unix:/run/job.sock"),
        ("unix:/" + "a" * 106, "unix:/" + "a" * 106),
    ],
)
def test_parse_listen_is_canonical(text: str, canonical: str) -> None:
    assert str(parse_listen(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write"),
        ("3128", "write"),
        ("127.0.0.1", "write"),
        ("127.0.0.1:", "from 1 to 65535"),
        ("127.0.0.1:03128", "from 1 to 65535"),
        ("127.0.0.1:65536", "from 1 to 65535"),
        ("127.0.0.1:00", "from 1 to 65535"),
        ("localhost:3128", "expected an address"),
        (":3128", "the host is empty"),
        ("::1:3128", "write"),
        ("[::1]", "write|without a zone"),
        ("127.1:3128", "four decimal numbers"),
        ("unix:", "absolute"),
        ("unix:run/job.sock", "absolute"),
        ("unix:/run/a\n", "printable"),
        ("unix:/run/a\0", "printable"),
        ("unix:/" + "a" * 107, "at most 107 bytes, got 108"),
        ("unix:/" + "é" * 60, "at most 107 bytes, got 121"),
    ],
)
def test_parse_listen_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.53", "192.0.2.53:53"),
        ("127.0.0.1:5353", "127.0.0.1:5353"),
        ("[::1]:5353", "[::1]:5353"),
        ("[::1]", "[::1]:53"),
        ("::1", "[::1]:53"),
        ("2001:db8::1:5353", "[2001:db8::1:5353]:53"),
    ],
)
def test_parse_server_is_canonical(text: str, canonical: str) -> None:
    assert str(parse_server(text, 53)) == canonical


@pytest.mark.parametrize(
    "text", ["", "dns.example", "dns.example:53", "127.0.0.1:0", "127.0.0.1:", ":53", "127.1", "::1%lo"]
)
def test_parse_server_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_server(text, 53)
