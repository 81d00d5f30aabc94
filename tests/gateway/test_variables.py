from __future__ import annotations

import pytest

from jobgate.config.endpoints import parse_listen
from jobgate.config.settings import JobSettings, NodeSettings, Settings
from jobgate.gateway.variables import NoAddress, address_for_job, job_variables, parse_address, with_token


@pytest.mark.parametrize(
    ("listeners", "address"),
    [
        (["127.0.0.1:3128"], ("127.0.0.1", 3128)),
        (["[::1]:3128"], ("[::1]", 3128)),
        (["unix:/run/job.sock", "0.0.0.0:1", "192.0.2.1:0", "192.0.2.1:3128"], ("192.0.2.1", 3128)),
    ],
    ids=["ipv4", "ipv6", "first-that-tells"],
)
def test_address_is_that_of_a_listener(listeners: list[str], address: tuple[str, int]) -> None:
    assert address_for_job("a", [parse_listen(text) for text in listeners]) == address


def test_listeners_that_do_not_tell_are_named() -> None:
    with pytest.raises(NoAddress, match=r'^job "a" listens on unix:/run/job.sock, \[::\]:1$'):
        address_for_job("a", [parse_listen("unix:/run/job.sock"), parse_listen("[::]:1")])
    with pytest.raises(NoAddress, match="nowhere"):
        address_for_job("a", [])


@pytest.mark.parametrize("text", ["gate", "gate:", ":1", "a b:1", "user@gate:1", "gate:123456", "gate:٣"])
def test_parse_address_takes_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST:PORT"):
        parse_address(text)


def test_parse_address_keeps_brackets() -> None:
    assert parse_address("[::1]:3128") == ("[::1]", 3128)


def test_variables_of_the_job_beat_those_of_all() -> None:
    settings = Settings(node=NodeSettings(no_proxy=("10.0.0.0/8",)), env={"A": "all", "B": "all"})
    job = JobSettings(id="a", env={"A": "own"})
    found = job_variables(settings, job, ("gate", 1), token="", java_options="-Xmx1g")
    assert (found["A"], found["B"], found["http_proxy"]) == ("own", "all", "http://gate:1")
    assert found["no_proxy"].endswith(",10.0.0.0/8")
    assert found["JAVA_TOOL_OPTIONS"].startswith("-Xmx1g -D")


def test_token_is_put_where_its_place_is() -> None:
    job = JobSettings(id="a.b", env={"OTHER": "TOKEN"})
    known = job_variables(Settings(), job, ("gate", 1), token="p@ss")
    found = job_variables(Settings(), job, ("gate", 1), token="TOKEN")
    assert {name: with_token(value, "a.b", "p@ss") for name, value in found.items()} == known
    assert known["https_proxy"] == "http://a.b:p%40ss@gate:1"
