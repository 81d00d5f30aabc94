from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.integrations.golem.urls import UrlError, parse_url


@pytest.mark.parametrize(
    ("text", "rule", "compared"),
    [
        ("https://domain.com", "domain.com:443", "https://domain.com/"),
        ("https://domain.com/", "domain.com:443", "https://domain.com/"),
        ("http://domain.com", "domain.com:80", "http://domain.com/"),
        ("ws://domain.com", "domain.com:80", "ws://domain.com/"),
        ("wss://domain.com", "domain.com:443", "wss://domain.com/"),
        ("HTTPS://DOMAIN.com.:443/A?b#c", "domain.com:443", "https://domain.com/A?b"),
        ("https://domain.com:8443/x", "domain.com:8443", "https://domain.com:8443/x"),
        ("https://domain.com:/x", "domain.com:443", "https://domain.com/x"),
        ("https://domain.com?q=/x", "domain.com:443", "https://domain.com/?q=/x"),
        ("https://bücher.example/ü", "xn--bcher-kva.example:443", "https://xn--bcher-kva.example/ü"),
        ("https://bücher.example:8443", "xn--bcher-kva.example:8443", "https://xn--bcher-kva.example:8443/"),
        ("http://69.55.231.8/x", "69.55.231.8:80", "http://69.55.231.8/x"),
        ("https://[2001:DB8::1]/", "[2001:db8::1]:443", "https://[2001:db8::1]/"),
    ],
)
def test_url_opens_its_host_on_its_port(text: str, rule: str, compared: str) -> None:
    url = parse_url(text)
    assert (str(url.rule), url.text) == (rule, compared)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("domain.com", "write https://host/"),
        ("", "write https://host/"),
        ("https:domain.com", "write https://host/"),
        ("https://domain.com/a b", "write https://host/"),
        ("https://domain.com\\@evil.com", "write https://host/"),
        ("https://domain.com/\n", "write https://host/"),
        ("tcp://domain.com:22", "only http"),
        ("ftp://domain.com", "only http"),
        ("data://x", "only http"),
        ("https://", "empty"),
        ("https:///path", "empty"),
        ("https://user:secret@domain.com/", "credentials"),
        ("https://domain.com:0/", "port"),
        ("https://domain.com:080/", "port"),
        ("https://bücher.example:x/", "port"),
        ("https://127.1/", "IPv4"),
        ("https://0x7f000001/", "IPv4"),
        ("https://2130706433/", "IPv4"),
        ("https://*.domain.com/", "letters"),
        ("https://[::1", "IPv6"),
    ],
)
def test_url_that_opens_nothing_is_told_why(text: str, words: str) -> None:
    with pytest.raises(UrlError, match=words):
        parse_url(text)


@given(st.text(max_size=30) | st.text("htps:/@.[]a1?#é\\", max_size=20).map(lambda rest: f"https://{rest}"))
def test_any_text_is_a_url_that_reads_as_itself_or_an_error(text: str) -> None:
    try:
        url = parse_url(text)
    except UrlError:
        return
    assert parse_url(url.text) == url
