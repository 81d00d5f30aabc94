"""Real clients that find their credentials in the environment, as ``jobgate env`` prints it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import TOOLS, Tool, node_command
from support.packages import PIP_DOWNLOAD, offer_wheel
from support.site import TOKEN, Site, need, need_node, running_site
from support.web_origin import pattern

TLS_OR_PLAIN = pytest.mark.parametrize("scheme", ["http", "https"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running.with_credentials()


def url(site: Site, scheme: str, path: str) -> str:
    return site.http(path) if scheme == "http" else site.https(path)


def stripped(site: Site) -> dict[str, str]:
    """The environment without the credentials."""
    return {name: re.sub(r"//[^/@]*@", "//", value) for name, value in site.environment.items()}


@TLS_OR_PLAIN
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_client_shows_its_credentials(site: Site, tool: Tool, scheme: str) -> None:
    need(tool.program)
    done = site.run(tool.command(url(site, scheme, "/bytes/100000")))
    assert (done.returncode, done.stdout) == (0, pattern(100000)), done.stderr.decode()
    assert site.gate.line_with(event="decision", host="ok.test", job="known", decision="allow")


@TLS_OR_PLAIN
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_client_without_credentials_is_told_so(site: Site, tool: Tool, scheme: str) -> None:
    need(tool.program)
    done = subprocess.run(
        tool.command(url(site, scheme, "/bytes/1")), capture_output=True, timeout=60, env=stripped(site)
    )
    assert done.returncode != 0
    said = (done.stdout + done.stderr).decode()
    assert re.search(r"\b407\b|jobgate: auth|jobgate env", said), said


@TLS_OR_PLAIN
def test_pip_shows_its_credentials(site: Site, tmp_path: Path, scheme: str) -> None:
    name = offer_wheel(site.files / "simple" / "tiny")
    arguments = ["--index-url", url(site, scheme, "/simple/"), "--trusted-host", "ok.test"]
    done = site.run([*PIP_DOWNLOAD, str(tmp_path), *arguments, "tiny"])
    assert done.returncode == 0, done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_npm_shows_its_credentials(site: Site, tmp_path: Path) -> None:
    npm = need("npm")
    manifest = json.dumps({"name": "tiny", "version": "1.0.0"}).encode()
    with tarfile.open(site.files / "tiny.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("package/package.json")
        member.size = len(manifest)
        archive.addfile(member, io.BytesIO(manifest))
    arguments = ["--fetch-retries=0", f"--cache={tmp_path / 'cache'}", f"--pack-destination={tmp_path}"]
    arguments.append(f"--cafile={site.authority}")
    done = site.run([npm, "pack", site.https("/files/tiny.tgz"), *arguments])
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "tiny-1.0.0.tgz").exists()


def test_node_shows_its_credentials(site: Site) -> None:
    done = site.run(node_command(need_node())(site.https("/bytes/100000")))
    assert (done.returncode, done.stdout) == (0, pattern(100000)), done.stderr.decode()


def test_curl_asks_first_and_shows_them_then(site: Site) -> None:
    """A client that waits for the challenge."""
    need("curl")
    proxy = stripped(site)["https_proxy"]
    for target in (site.http("/bytes/10"), site.https("/bytes/10")):
        command = [
            "curl",
            "-sSv",
            "--proxy-anyauth",
            "--proxy",
            proxy,
            "--proxy-user",
            f"known:{TOKEN}",
            target,
        ]
        done = site.run(command)
        assert (done.returncode, done.stdout) == (0, pattern(10)), done.stderr.decode()
        assert b"407 Proxy Authentication Required" in done.stderr


def test_curl_is_known_by_its_source_address(site: Site) -> None:
    need("curl")
    proxy = stripped(site)["https_proxy"]
    command = ["curl", "-sS", "--interface", "127.200.0.7", "--proxy", proxy, site.http("/bytes/10")]
    done = site.run(command)
    assert (done.returncode, done.stdout) == (0, pattern(10)), done.stderr.decode()
    assert site.gate.line_with(event="decision", job="neighbour", decision="allow")


def test_log_has_no_credentials(site: Site) -> None:
    site.run([sys.executable, "-c", "import requests, sys; requests.get(sys.argv[1])", site.http("/bytes/1")])
    assert "p@ss" not in json.dumps(site.gate.lines)
    assert "Basic" not in json.dumps(site.gate.lines)
