"""Single rules: how they are written and refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgate.config.host import Name, parse_rule_host
from jobgate.config.rule import Rule, RuleError, parse_rule, quoted


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("example.com", "example.com", id="name"),
        pytest.param(".x.com", ".x.com", id="D-suffix"),
        pytest.param("localhost", "localhost", id="D-localhost"),
        pytest.param("host.docker.internal", "host.docker.internal", id="docker"),
        pytest.param("x.com:8443", "x.com:8443", id="D-port"),
        pytest.param(".x.com:8443", ".x.com:8443", id="suffix-port"),
        pytest.param("[2001:db8::1]:443", "[2001:db8::1]:443", id="D-v6-port"),
        pytest.param("2001:DB8:0::1", "2001:db8::1", id="v6"),
        pytest.param("[2001:db8::1]", "2001:db8::1", id="v6-brackets"),
        pytest.param("0000:0000:0000:0000:0000:0000:0000:0001", "::1", id="bacalhau-v6"),
        pytest.param("192.0.2.1", "192.0.2.1", id="D-v4"),
        pytest.param("192.0.2.1:80", "192.0.2.1:80", id="v4-port"),
        pytest.param(".Example.COM.", ".example.com", id="C4-upper"),
        pytest.param(" .foo.com", ".foo.com", id="C4-space"),
        pytest.param("EXAMPLE.com", "example.com", id="D25-upper"),
        pytest.param(" example.com ", "example.com", id="D25-spaces"),
        pytest.param("example.com:8080", "example.com:8080", id="D26-port-is-ours"),
        pytest.param(".éxämple.com", ".xn--xmple-gra7a.com", id="C20"),
        pytest.param("ok。test", "ok.test", id="C21"),
        pytest.param("faß.de", "xn--fa-hia.de", id="C22"),
        pytest.param(".co.uk", ".co.uk", id="C10-two-labels"),
        pytest.param("a_b.example.com", "a_b.example.com", id="underscore"),
    ],
)
def test_parse_rule_good_is_canonical(text: str, canonical: str) -> None:
    rule = parse_rule(text)
    assert str(rule) == canonical
    assert parse_rule(canonical) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("*", "a wildcard inside: write a name", id="D-star"),
        pytest.param("*.", "a wildcard inside: write a name", id="D-star-dot"),
        pytest.param("*.*.x.com", 'a wildcard inside: write ".x.com"', id="D-two-stars"),
        pytest.param("login.*.x.com", "a wildcard inside: write a name", id="D-inner-star"),
        pytest.param("*example.com", "a wildcard inside: write a name", id="D-star-name"),
        pytest.param("*.example.com", 'write ".example.com"', id="D26-star"),
        pytest.param("*.example.com:8443", 'write ".example.com:8443"', id="star-port"),
        pytest.param("http://x.com", 'a URL, not a domain: write "x.com"', id="D26-url"),
        pytest.param("https://u:p@x.com:8443/a?b", 'write "x.com:8443"', id="url-full"),
        pytest.param("http://*.x.com/", 'write ".x.com"', id="url-star"),
        pytest.param("x.com/path", 'a path inside: write "x.com"', id="D-path"),
        pytest.param("x.com:", 'from 1 to 65535 without leading zeros: write "x.com"', id="D-empty-port"),
        pytest.param("x.com:0", "from 1 to 65535", id="D-port-0"),
        pytest.param("x.com:65536", "from 1 to 65535", id="D-port-65536"),
        pytest.param("x.com:0443", 'write "x.com:443"', id="D-port-0443"),
        pytest.param("x.com:abc", "from 1 to 65535", id="D-port-abc"),
        pytest.param("x.com:443.allowed.com", "from 1 to 65535", id="C15-D-port-name"),
        pytest.param("", "empty: write a name", id="D-empty"),
        pytest.param("   ", "empty: write a name", id="D-spaces"),
        pytest.param("[", "write a name", id="D-bracket"),
        pytest.param("[*]", "a wildcard inside", id="D-bracket-star"),
        pytest.param("**.[*]", "a wildcard inside", id="D-stars-bracket"),
        pytest.param("-x.com", "begins nor ends with a hyphen", id="D-hyphen-first"),
        pytest.param("x-.com", "begins nor ends with a hyphen", id="D-hyphen-last"),
        pytest.param("x..com", "no empty label", id="D-dots"),
        pytest.param(".", "the host is empty", id="D-dot"),
        pytest.param(
            "..x.com", 'no empty label: two dots in a row, or one in front: write ".x.com"', id="D26"
        ),
        pytest.param("a" * 254, "63 octets", id="D-254"),
        pytest.param(".".join(["a" * 49] * 5) + ".aaaa", "253 octets", id="D-254-labels"),
        pytest.param("x\x01.com", "control character", id="D-control"),
        pytest.param("x\x00.com", "control character", id="D-nul"),
        pytest.param("e.com\nother.test", "line break", id="D26-S4-newline"),
        pytest.param("x.com\n", "line break", id="final-newline"),
        pytest.param("x.com\u2028y.com", "line break", id="unicode-newline"),
        pytest.param("a b.com", "spaces inside", id="D26-space"),
        pytest.param("a.com b.com", "spaces inside", id="two-names"),
        pytest.param(". x.com", "spaces inside", id="space-behind-dot"),
        pytest.param("x.com :80", "spaces inside", id="space-before-port"),
        pytest.param("at@.walker", "write a name", id="bacalhau-at"),
        pytest.param("192.168.0.1/32", "an address range", id="bacalhau-cidr"),
        pytest.param("192.0.2.0/24", "an address range", id="D-cidr"),
        pytest.param("2001:db8::/32", "an address range", id="D-cidr6"),
        pytest.param(".com", "at least two labels", id="C10-com"),
        pytest.param(".168.1.1", "four decimal numbers", id="C9-three"),
        pytest.param(".1", "four decimal numbers", id="C9-one"),
        pytest.param(".0.1", "four decimal numbers", id="C9-two"),
        pytest.param(".192.0.2.7", "an address takes no leading dot", id="dot-address"),
        pytest.param("2130706433", "four decimal numbers", id="E3-decimal"),
        pytest.param("0x7f.1", "four decimal numbers", id="E3-hex"),
        pytest.param("127.1", "four decimal numbers", id="E3-short"),
        pytest.param("010.0.0.1", "four decimal numbers", id="E3-octal"),
        pytest.param("[::1%lo]:80", "without a zone", id="E3-zone"),
        pytest.param("[::1]x", "only a port may follow", id="bracket-tail"),
        pytest.param("[x.com]:443", "brackets", id="A5"),
        pytest.param("🔐.com", "IDNA refuses", id="A20"),
    ],
)
def test_parse_rule_bad_says_how_to_write_it(text: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule(text)
    assert message in str(caught.value)


@given(st.text(max_size=40) | st.text("*.:[]/@ 019ax-\n", max_size=20))
def test_parse_rule_gives_a_rule_or_a_rule_error(text: str) -> None:
    try:
        rule = parse_rule(text)
    except RuleError as error:
        message = str(error)
    else:
        message = f"write {rule}"
        assert parse_rule(str(rule)) == rule
    assert "write" in message
    assert "\n" not in message


def test_sharp_s_and_double_s_are_two_names() -> None:
    """C22."""
    assert parse_rule("faß.de") != parse_rule("fass.de")


def test_rule_of_a_name_differs_from_one_of_an_address() -> None:
    assert Rule(Name("192.0.2.7")) != Rule(parse_rule_host("192.0.2.7"))


def test_quoted_bounds_and_escapes() -> None:
    assert quoted("a\x1b[31m") == '"a\\u001b[31m"'
    assert quoted("é") == '"é"'
    assert quoted("\u202eevil") == '"\\u202eevil"'
    assert len(quoted("a" * 1000)) == 105
