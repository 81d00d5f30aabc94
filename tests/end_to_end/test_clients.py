"""Real clients in a job's environment: allowed requests work, refused ones say why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from support.site import Site, need, running_site
from support.web_origin import pattern

TLS_OR_PLAIN = pytest.mark.parametrize("scheme", ["http", "https"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def url(site: Site, scheme: str, path: str, name: str = "ok.test") -> str:
    return site.http(path, name) if scheme == "http" else site.https(path, name)


def fetched(site: Site, command: list[str]) -> bytes:
    """Run a client that must succeed."""
    done = site.run(command)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def refused(site: Site, command: list[str]) -> str:
    """Run a client that must fail, and return all that it said."""
    done = site.run(command)
    assert done.returncode != 0
    return (done.stdout + done.stderr).decode()


@TLS_OR_PLAIN
@pytest.mark.parametrize("path", ["/chunked", "/until-close"])
def test_curl_gets_content_of_every_framing(site: Site, scheme: str, path: str) -> None:
    need("curl")
    content = fetched(site, ["curl", "-sS", url(site, scheme, path)])
    expected = b"".join(b"chunk %d\n" % number for number in range(8))
    assert content == (expected if path == "/chunked" else pattern(100_000))


@TLS_OR_PLAIN
@pytest.mark.parametrize("how", ["--data-binary", "-T"], ids=["length-and-expect", "chunked"])
def test_curl_uploads(site: Site, scheme: str, how: str) -> None:
    need("curl")
    content = pattern(300_000)
    source = "@-" if how == "--data-binary" else "-"
    done = site.run(["curl", "-sS", how, source, url(site, scheme, "/upload")], content)
    assert done.stdout.decode() == hashlib.sha256(content).hexdigest()


def test_curl_follows_a_redirect_only_where_it_may(site: Site) -> None:
    need("curl")
    target = site.https("/bytes/10")
    assert fetched(site, ["curl", "-sSL", site.http(f"/redirect?to={target}")]) == pattern(10)
    target = site.http("/bytes/10", "evil.test")
    assert "evil.test" in refused(
        site, ["curl", "-sSL", "--fail-with-body", site.http(f"/redirect?to={target}")]
    )


def test_curl_speaks_http_1_0_to_the_proxy(site: Site) -> None:
    need("curl")
    proxy = site.environment["https_proxy"].removeprefix("http://")
    command = ["curl", "-sS", "--proxy1.0", proxy, site.https("/bytes/1000")]
    assert fetched(site, command) == pattern(1000)


def test_curl_reuses_one_connection_for_many_requests(site: Site) -> None:
    need("curl")
    urls = [site.http(f"/bytes/{size}") for size in (1, 2, 3)]
    done = site.run(["curl", "-sSv", *urls])
    assert done.stdout == pattern(1) + pattern(2) + pattern(3)
    assert b"Re-using existing connection" in done.stderr


def test_origin_sees_nothing_of_the_proxy_but_via(site: Site) -> None:
    need("curl")
    seen = json.loads(fetched(site, ["curl", "-sS", site.http("/echo?q=1")]))
    names = [name.lower() for name, _ in seen["headers"]]
    assert sorted(names) == ["accept", "host", "user-agent", "via"]
    assert seen["path"] == "/echo?q=1"
