"""Sets of ports."""

from __future__ import annotations

import pytest

from jobgate.config.ports import DEFAULT_CONNECT_PORTS, DEFAULT_HTTP_PORTS, Ports


@pytest.mark.parametrize(
    ("port", "inside"),
    [(79, False), (80, True), (81, False), (1023, False), (1024, True), (65535, True), (443, False)],
)
def test_default_http_ports(port: int, inside: bool) -> None:
    assert (port in DEFAULT_HTTP_PORTS) is inside


def test_default_connect_ports_are_https_alone() -> None:
    assert [port for port in range(65536) if port in DEFAULT_CONNECT_PORTS] == [443]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([443], "443"),
        (["80", "1024-65535"], "80,1024-65535"),
        ([8080, "8081", "8079-8080"], "8079-8081"),
        (["1-10", "5"], "1-10"),
        ([], ""),
    ],
    ids=["number", "defaults", "adjacent", "inside", "empty"],
)
def test_parse_merges(entries: list[str | int], expected: str) -> None:
    assert str(Ports.parse(entries)) == expected


@pytest.mark.parametrize(
    "entry", ["", "0", 0, -1, 65536, "080", "80-", "-80", "1-2-3", "a", "8 0", " 80", True, "65536"]
)
def test_parse_refuses(entry: str | int) -> None:
    with pytest.raises(ValueError, match="write a port"):
        Ports.parse([entry])


@pytest.mark.parametrize(
    "entry", ["80\n", "80\x1b[31m", "9" * 5000, 1 << 20_000], ids=["line", "escape", "text", "int"]
)
def test_parse_never_quotes_what_it_refuses(entry: str | int) -> None:
    with pytest.raises(ValueError, match=r"^write a port [ -~]{1,80}$"):
        Ports.parse([entry])


def test_parse_reversed_range_is_told_the_order() -> None:
    with pytest.raises(ValueError, match='write "80-90"'):
        Ports.parse(["90-80"])


def test_union_holds_both() -> None:
    both = DEFAULT_CONNECT_PORTS | DEFAULT_HTTP_PORTS
    assert str(both) == "80,443,1024-65535"


def test_membership_of_something_else_is_false() -> None:
    assert "443" not in DEFAULT_CONNECT_PORTS
