from __future__ import annotations

import pytest

from jobgate.launch.environment import behind_proxy, proxy_variables, without_proxy

JAVA = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3128"


def test_proxy_variables_are_those_of_the_common_clients() -> None:
    url, direct = "http://127.0.0.1:3128", "localhost,127.0.0.1,::1"
    assert proxy_variables("127.0.0.1", 3128) == {
        "http_proxy": url,
        "https_proxy": url,
        "HTTP_PROXY": url,
        "HTTPS_PROXY": url,
        "no_proxy": direct,
        "NO_PROXY": direct,
        "NODE_USE_ENV_PROXY": "1",
        "JAVA_TOOL_OPTIONS": JAVA,
    }


def test_no_proxy_adds_what_is_configured() -> None:
    variables = proxy_variables("127.0.0.1", 3128, no_proxy=("10.0.0.0/8", "192.0.2.7"))
    assert variables["no_proxy"] == variables["NO_PROXY"] == "localhost,127.0.0.1,::1,10.0.0.0/8,192.0.2.7"


def test_credentials_stand_in_the_url_and_not_in_java_options() -> None:
    variables = proxy_variables("gate", 80, credentials="train-42:secret")
    assert variables["https_proxy"] == "http://train-42:secret@gate:80"
    assert "secret" not in variables["JAVA_TOOL_OPTIONS"]


def test_ipv6_proxy_has_brackets_in_urls_only() -> None:
    variables = proxy_variables("[2001:db8::1]", 3128)
    assert variables["http_proxy"] == "http://[2001:db8::1]:3128"
    assert "-Dhttp.proxyHost=2001:db8::1 " in variables["JAVA_TOOL_OPTIONS"]


def test_java_options_are_appended_to_existing_ones() -> None:
    environment = behind_proxy({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, "127.0.0.1", 3128, no_proxy=(), extra={})
    assert environment["JAVA_TOOL_OPTIONS"] == f"-Xmx1g {JAVA}"


@pytest.mark.parametrize(
    "name",
    [
        "http_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "npm_config_https_proxy",
        "Ftp_Proxy",
    ],
)
def test_without_proxy_removes_every_spelling(name: str) -> None:
    assert without_proxy({name: "http://outside:8080", "HOME": "/home/a"}) == {"HOME": "/home/a"}


def test_without_proxy_keeps_other_variables() -> None:
    inherited = {"proxy": "a", "http_proxy_host": "b", "JAVA_TOOL_OPTIONS": "c"}
    assert without_proxy(inherited) == inherited


def test_behind_proxy_overrides_the_users_own_and_drops_other_proxies() -> None:
    inherited = {"http_proxy": "http://outside:8080", "ALL_PROXY": "socks5://outside", "HOME": "/home/a"}
    environment = behind_proxy(inherited, "127.0.0.1", 3128, no_proxy=(), extra={})
    assert environment["http_proxy"] == "http://127.0.0.1:3128"
    assert environment["HOME"] == "/home/a"
    assert "ALL_PROXY" not in environment


def test_configured_variables_beat_all_others() -> None:
    extra = {"PIP_INDEX_URL": "https://mirror.example/simple", "NODE_USE_ENV_PROXY": "0"}
    environment = behind_proxy({"PIP_INDEX_URL": "x"}, "127.0.0.1", 3128, no_proxy=(), extra=extra)
    assert environment | extra == environment
