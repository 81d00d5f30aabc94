"""golem-certificate's table of outbound permissions (validator/outbound.rs): a child only narrows. A3."""

from __future__ import annotations

import pytest

from jobgate.config.policy import Network
from jobgate.integrations.golem.manifest import Outbound
from jobgate.integrations.golem.permissions import BadPermissions, read_permissions
from jobgate.integrations.golem.urls import parse_url

ONE, TWO, OTHER = "https://one.net", "https://two.net", "https://x.net"


def urls(*listed: str) -> dict[str, object]:
    return {"outbound": {"urls": list(listed)}}


ANY = {"outbound": "unrestricted"}


@pytest.mark.parametrize(
    ("parent", "child", "narrows"),
    [
        pytest.param(ANY, ANY, True, id="unrestricted-unrestricted"),
        pytest.param(ANY, urls(OTHER), True, id="unrestricted-urls"),
        pytest.param(ANY, {}, True, id="unrestricted-none"),
        pytest.param({}, urls(ONE), False, id="none-some"),
        pytest.param({}, ANY, False, id="none-unrestricted"),
        pytest.param({}, {}, True, id="none-none"),
        pytest.param(urls(ONE), {}, True, id="some-none"),
        pytest.param(urls(ONE), ANY, False, id="urls-unrestricted"),
        pytest.param(urls(), urls(), True, id="[]-[]"),
        pytest.param(urls(ONE), urls(), True, id="[1]-[]"),
        pytest.param(urls(ONE), urls(ONE), True, id="[1]-[1]"),
        pytest.param(urls(ONE, TWO), urls(ONE), True, id="[1,2]-[1]"),
        pytest.param(urls(), urls(OTHER), False, id="[]-[x]"),
        pytest.param(urls(ONE), urls(OTHER), False, id="[1]-[x]"),
        pytest.param(urls(ONE), urls(ONE, OTHER), False, id="[1]-[1,x]"),
        pytest.param("all", "all", True, id="all-all"),
        pytest.param("all", ANY, True, id="all-unrestricted"),
        pytest.param(ANY, "all", False, id="unrestricted-all"),
        pytest.param({"outbound": None}, urls(ONE), False, id="null-some"),
        pytest.param(urls(ONE), urls("HTTPS://ONE.net:443/"), True, id="same-url-spelled-otherwise"),
        pytest.param(urls(ONE), urls(f"{ONE}/path"), False, id="another-path"),
        pytest.param(urls(ONE), urls("http://one.net"), False, id="another-scheme"),
    ],
)
def test_child_only_narrows(parent: object, child: object, narrows: bool) -> None:
    assert read_permissions(parent).covers(read_permissions(child)) is narrows


@pytest.mark.parametrize(
    ("permissions", "asked", "words"),
    [
        ("all", Outbound(Network.FULL), None),
        (ANY, Outbound(Network.FULL), None),
        (urls(ONE), Outbound(Network.FULL), "unrestricted"),
        (urls(ONE), Outbound(Network.HTTP, (parse_url(ONE),)), None),
        (urls(ONE), Outbound(Network.HTTP, (parse_url(f"{ONE}/x"), parse_url(OTHER))), f"{ONE}/x, {OTHER}/"),
        ({}, Outbound(Network.HTTP, (parse_url(ONE),)), "no outbound"),
    ],
)
def test_problem_names_what_is_too_much(permissions: object, asked: Outbound, words: str | None) -> None:
    found = read_permissions(permissions).problem(asked)
    assert (found is None) is (words is None)
    assert words is None or words.lower() in str(found).lower()


@pytest.mark.parametrize(
    "value",
    [
        None, "some", [], {"outbound": "all"}, {"outbound": {}}, {"outbound": {"urls": "x"}},
        {"outbound": {"urls": [5]}}, {"outbound": {"urls": ["example.net"]}},
        {"outbound": {"urls": [], "unrestricted": True}},
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(BadPermissions):
        read_permissions(value)
