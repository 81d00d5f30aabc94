"""Real clients in a job's environment: allowed requests work, refused ones say why."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import JAVA_SOURCE, NUMBER, REASON, TEXT, TOOLS, Tool, node_command
from support.packages import PIP_DOWNLOAD, offer_wheel
from support.site import Site, need, need_node, running_site
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
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_allowed_request_brings_the_content(site: Site, tool: Tool, scheme: str) -> None:
    need(tool.program)
    assert fetched(site, tool.command(url(site, scheme, "/bytes/100000"))) == pattern(100000)


@TLS_OR_PLAIN
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_refused_request_shows_the_reason(site: Site, tool: Tool, scheme: str) -> None:
    need(tool.program)
    said = refused(site, tool.command(url(site, scheme, "/bytes/1", "evil.test")))
    assert re.search(tool.shows_http if scheme == "http" else tool.shows_https, said), said
    line = site.gate.line_with(event="decision", host="evil.test", decision="deny")
    assert line["reason"] == "not-listed"


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


@TLS_OR_PLAIN
def test_git_clones(site: Site, tmp_path: Path, scheme: str) -> None:
    git = need("git")
    repository = _repository(git, site.files / f"{scheme}.git", tmp_path)
    clone = tmp_path / "clone"
    fetched(site, [git, "clone", "-q", url(site, scheme, f"/files/{repository.name}"), str(clone)])
    assert (clone / "README").read_text() == "hello\n"


def test_git_shows_the_number_of_a_refusal(site: Site, tmp_path: Path) -> None:
    git = need("git")
    said = refused(site, [git, "clone", "-q", site.https("/files/x.git", "evil.test"), str(tmp_path / "x")])
    assert re.search(NUMBER, said), said


def _repository(git: str, bare: Path, work: Path) -> Path:
    """Make a repository with one commit that a plain file server can offer."""
    tree = work / "tree"
    tree.mkdir()
    (tree / "README").write_text("hello\n")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (
        [git, "init", "-q", str(tree)],
        [git, "-C", str(tree), "add", "README"],
        [git, "-C", str(tree), *identity, "commit", "-q", "-m", "first"],
        [git, "clone", "-q", "--bare", str(tree), str(bare)],
        [git, "-C", str(bare), "update-server-info"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return bare


@TLS_OR_PLAIN
def test_pip_downloads_from_an_index(site: Site, tmp_path: Path, scheme: str) -> None:
    name = offer_wheel(site.files / "simple" / "tiny")
    arguments = ["--index-url", url(site, scheme, "/simple/"), "--trusted-host", "ok.test"]
    fetched(site, [*PIP_DOWNLOAD, str(tmp_path), *arguments, "tiny"])
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_pip_shows_the_reason_of_a_refusal(site: Site, tmp_path: Path) -> None:
    arguments = ["--retries", "1", "--index-url", site.https("/simple/", "evil.test")]
    said = refused(site, [*PIP_DOWNLOAD, str(tmp_path), *arguments, "tiny"])
    assert re.search(REASON, said), said


@pytest.fixture(scope="module")
def node() -> str:
    """A Node whose ``fetch`` reads the environment: 24 or later."""
    return need_node()


@pytest.mark.parametrize(("scheme", "name"), [("https", "ok.test"), ("http", "tunnel.ok.test")])
def test_node_fetches(site: Site, node: str, scheme: str, name: str) -> None:
    command = node_command(node)(url(site, scheme, "/bytes/100000", name))
    job = site.with_plain_tunnels() if scheme == "http" else site
    assert fetched(job, command) == pattern(100000)


def test_node_shows_that_it_was_refused(site: Site, node: str) -> None:
    said = refused(site, node_command(node)(site.https("/bytes/1", "evil.test")))
    assert re.search(NUMBER, said), said


@pytest.fixture(scope="module")
def java(site: Site, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Compile the fetcher and make a trust store; return the command but for its arguments."""
    folder = tmp_path_factory.mktemp("java")
    (folder / "Fetch.java").write_text(JAVA_SOURCE)
    store = folder / "trust.p12"
    done = subprocess.run([need("javac"), "-d", str(folder), str(folder / "Fetch.java")], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    arguments = ["-importcert", "-noprompt", "-alias", "test", "-file", str(site.authority)]
    arguments += ["-keystore", str(store), "-storetype", "PKCS12", "-storepass", "changeit"]
    subprocess.run([need("keytool"), *arguments], check=True, capture_output=True)
    trust = [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]
    return [need("java"), *trust, "-XX:TieredStopAtLevel=1", "-cp", str(folder), "Fetch"]


@TLS_OR_PLAIN
@pytest.mark.parametrize("api", ["connection", "client"])
def test_java_fetches(site: Site, java: list[str], api: str, scheme: str) -> None:
    assert fetched(site, [*java, api, url(site, scheme, "/chunked")]).startswith(b"chunk 0\n")


def test_java_shows_the_reason_of_a_refusal(site: Site, java: list[str]) -> None:
    assert re.search(REASON, refused(site, [*java, "connection", site.http("/", "evil.test")]))
    assert re.search(REASON, refused(site, [*java, "connection", site.https("/", "evil.test")]))
    assert re.search(TEXT, refused(site, [*java, "client", site.http("/", "evil.test")]))


WEBSOCKETS = {
    "websockets": """
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as socket:
        await socket.send("hello")
        print(await socket.recv())
asyncio.run(main())
""",
    "aiohttp": """
import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.ws_connect(sys.argv[1]) as socket:
        await socket.send_str("hello")
        print(await socket.receive_str())
asyncio.run(main())
""",
}


@TLS_OR_PLAIN
@pytest.mark.parametrize("library", WEBSOCKETS)
def test_websocket_echoes(site: Site, library: str, scheme: str) -> None:
    address = url(site, scheme, "/websocket")
    if library == "websockets":
        # It opens a tunnel for ws:// too; aiohttp reads the environment for http:// and https:// only.
        if scheme == "http":
            site, address = site.with_plain_tunnels(), site.http("/websocket", "tunnel.ok.test")
        address = address.replace("http", "ws", 1)
    assert fetched(site, [sys.executable, "-c", WEBSOCKETS[library], address]) == b"hello\n"


@pytest.mark.parametrize("library", WEBSOCKETS)
def test_refused_websocket_says_so(site: Site, library: str) -> None:
    address = site.https("/websocket", "evil.test")
    if library == "websockets":
        address = address.replace("http", "ws", 1)
    said = refused(site, [sys.executable, "-c", WEBSOCKETS[library], address])
    assert re.search(NUMBER, said), said


def test_origin_sees_nothing_of_the_proxy_but_via(site: Site) -> None:
    need("curl")
    seen = json.loads(fetched(site, ["curl", "-sS", site.http("/echo?q=1")]))
    names = [name.lower() for name, _ in seen["headers"]]
    assert sorted(names) == ["accept", "host", "user-agent", "via"]
    assert seen["path"] == "/echo?q=1"
