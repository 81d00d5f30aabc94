"""The clients of the matrix, each with the one command that people would use.

A client gets the variables of a job and nothing else that leads to the gate. What comes
besides says whom to trust, where to keep files, and not to try again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

from .clients import JAVA_SOURCE, TOOLS, Tool, node_command
from .grpc_echo import CALL
from .matrix import Attempt, Client, Fetch
from .packages import PIP_DOWNLOAD
from .site import Site
from .web_origin import pattern

SIZE = 100_000
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
GO_SOURCE = """
package main

import ("fmt"; "io"; "net/http"; "os")

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil { fmt.Fprintln(os.Stderr, err); os.Exit(1) }
	io.Copy(os.Stdout, response.Body)
	if response.StatusCode != 200 { fmt.Fprintln(os.Stderr, response.Status); os.Exit(1) }
}
"""
CARGO_MANIFEST = """
[package]
name = "job"
version = "0.1.0"
edition = "2021"
[dependencies]
tiny = { version = "1", registry = "tests" }
"""
MAVEN_PROJECT = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<parent><groupId>test.tiny</groupId><artifactId>tiny</artifactId><version>1.0</version><relativePath/></parent>
<artifactId>job</artifactId><packaging>pom</packaging>
<repositories><repository><id>tests</id><url>{url}</url></repository></repositories></project>
"""
#: Maven 3.8 blocks plain HTTP by a mirror of this name; the file's own one takes its place.
MAVEN_SETTINGS = """<settings><mirrors><mirror><id>maven-default-http-blocker</id><mirrorOf>nobody</mirrorOf>
<url>http://nobody.test/</url></mirror></mirrors></settings>
"""


def clients() -> list[Client]:
    """All of them, in the order of the table."""
    return [
        *map(_of_tool, TOOLS),
        Client("git clone", ("git",), _git, ("git", "--version")),
        Client("pip", (), _pip, (*PIP_DOWNLOAD[:3], "--version")),
        Client("uv", ("uv",), _uv, ("uv", "--version")),
        Client("npm", ("npm",), _npm, ("npm", "--version"), plain_tunnels=True),
        Client("yarn", ("yarn",), _yarn, ("yarn", "--version")),
        Client("Node fetch", ("node",), _node, ("node", "--version"), missing=_old_node, plain_tunnels=True),
        Client("Go net/http", ("go",), _go, ("go", "version"), prepare=_build_go),
        Client("cargo", ("cargo",), _cargo, ("cargo", "--version"), missing=_old_cargo),
        Client("apt", ("apt-get",), _apt, ("apt-get", "--version")),
        *(
            Client(
                name,
                ("java", "javac", "keytool"),
                partial(_java, api),
                ("java", "-version"),
                prepare=_build_java,
            )
            for name, api in (("Java URLConnection", "connection"), ("Java HttpClient", "client"))
        ),
        Client("Maven", ("mvn", "keytool"), _maven, ("mvn", "--version"), prepare=_trust_store),
        Client(
            "WebSocket, websockets",
            (),
            partial(_websocket, "websockets"),
            _version("websockets"),
            plain_tunnels=True,
        ),
        Client("WebSocket, aiohttp", (), partial(_websocket, "aiohttp"), _version("aiohttp")),
        Client("gRPC, grpcio", (), _grpc, _version("grpcio"), schemes=("https",), missing=_no_grpc),
    ]


def _java_client(name: str, api: str) -> Client:
    programs, version = ("java", "javac", "keytool"), ("java", "-version")
    return Client(f"Java {name}", programs, partial(_java, api), version, prepare=_build_java)


def _websocket_client(library: str, *, plain_tunnels: bool) -> Client:
    fetch = partial(_websocket, library)
    return Client(f"WebSocket, {library}", (), fetch, _version(library), plain_tunnels=plain_tunnels)


def _version(distribution: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import importlib.metadata as m; print(m.version({distribution!r}))")


def _of_tool(tool: Tool) -> Client:
    versions: dict[str, tuple[str, ...]] = {"urllib": (sys.executable, "--version")}
    if tool.program != sys.executable:
        versions[tool.name] = (tool.program, "--version")

    def fetch(attempt: Fetch) -> Attempt:
        return attempt.run(*tool.command(attempt.url(f"/bytes/{SIZE}"))).with_output(pattern(SIZE))

    return Client(tool.name, (tool.program,), fetch, versions.get(tool.name) or _version(tool.name))


def _git(attempt: Fetch) -> Attempt:
    done = attempt.run("git", "clone", "-q", attempt.url("/files/tiny.git"), "clone")
    return done.with_file(attempt.folder / "clone/README")


def _pip(attempt: Fetch) -> Attempt:
    arguments = ["--retries=1", "--index-url", attempt.url("/simple/"), "--trusted-host", attempt.name]
    done = attempt.run(*PIP_DOWNLOAD, str(attempt.folder), *arguments, "tiny")
    return done.with_file(attempt.folder / "tiny-1.0-py3-none-any.whl")


def _uv(attempt: Fetch) -> Attempt:
    target = attempt.folder / "target"
    options = ["--no-config", "--no-cache", "--no-deps", "--python", sys.executable, "--target", str(target)]
    index = ["--default-index", attempt.url("/simple/")]
    done = attempt.run("uv", "pip", "install", *options, *index, "tiny", UV_HTTP_RETRIES="0")
    return done.with_file(target / "tiny.py")


def _npm(attempt: Fetch) -> Attempt:
    arguments = ["--fetch-retries=0", f"--cache={attempt.folder}/cache", f"--cafile={attempt.site.authority}"]
    done = attempt.run("npm", "pack", attempt.url("/files/tiny.tgz"), *arguments)
    return done.with_file(attempt.folder / "tiny-1.0.0.tgz")


def _yarn(attempt: Fetch) -> Attempt:
    (attempt.folder / "package.json").write_text('{"name": "job", "version": "1.0.0", "license": "MIT"}')
    arguments = ["--non-interactive", f"--cache-folder={attempt.folder}/cache", "--no-lockfile"]
    done = attempt.run("yarn", "add", attempt.url("/files/tiny.tgz"), *arguments)
    return done.with_file(attempt.folder / "node_modules/tiny/package.json")


def _node(attempt: Fetch) -> Attempt:
    return attempt.run(*node_command("node")(attempt.url(f"/bytes/{SIZE}"))).with_output(pattern(SIZE))


def _older_than(program: str, *version: int) -> bool:
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = re.search(r"(\d+)\.(\d+)", found)
    return numbers is None or tuple(map(int, numbers.groups())) < version


def _old_node() -> str:
    return "this node does not read NODE_USE_ENV_PROXY: 24 does" if _older_than("node", 24, 0) else ""


def _old_cargo() -> str:
    return "this cargo has no sparse indexes: 1.68 has" if _older_than("cargo", 1, 68) else ""


def _build_go(site: Site, tools: Path) -> None:
    (tools / "fetch.go").write_text(GO_SOURCE)
    folders = {"GOCACHE": str(tools / "cache"), "GOPATH": str(tools / "path"), "CGO_ENABLED": "0"}
    environment = {
        **os.environ,
        **folders,
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=mod",
        "GO111MODULE": "off",
    }
    command = ["go", "build", "-o", str(tools / "fetch"), str(tools / "fetch.go")]
    subprocess.run(command, check=True, capture_output=True, env=environment)


def _go(attempt: Fetch) -> Attempt:
    command = [str(attempt.tools / "fetch"), attempt.url(f"/bytes/{SIZE}")]
    return attempt.run(*command).with_output(pattern(SIZE))


def _cargo(attempt: Fetch) -> Attempt:
    (attempt.folder / "Cargo.toml").write_text(CARGO_MANIFEST)
    (attempt.folder / "src").mkdir()
    (attempt.folder / "src/lib.rs").touch()
    home = Path.home()
    done = attempt.run(
        "cargo",
        "fetch",
        CARGO_REGISTRIES_TESTS_INDEX=f"sparse+{attempt.url(f'/files/crates-{attempt.scheme}/')}",
        CARGO_HTTP_CAINFO=str(attempt.site.authority),
        CARGO_NET_RETRY="0",
        CARGO_HOME=str(attempt.folder / "home"),
        RUSTUP_HOME=os.environ.get("RUSTUP_HOME", str(home / ".rustup")),
    )
    found = next(attempt.folder.glob("home/registry/cache/*/tiny-1.0.0.crate"), attempt.folder / "absent")
    return done.with_file(found)


def _apt(attempt: Fetch) -> Attempt:
    for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "log"):
        (attempt.folder / name).mkdir(parents=True)
    (attempt.folder / "state/status").touch()
    sources = attempt.folder / "etc/sources.list"
    sources.write_text(f"deb [trusted=yes] {attempt.url('/files/apt/')} ./\n")
    settings = {
        "Dir": attempt.folder,
        "Dir::Etc": attempt.folder / "etc",
        "Dir::State": attempt.folder / "state",
        "Dir::State::status": attempt.folder / "state/status",
        "Dir::Cache": attempt.folder / "cache",
        "Dir::Bin::methods": "/usr/lib/apt/methods",
        "Dir::Log": attempt.folder / "log",
        "Acquire::https::CAInfo": attempt.site.authority,
        "Acquire::Retries": 0,
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return attempt.run("apt-get", "update", *options, APT_CONFIG=os.devnull)


def _trust_store(site: Site, tools: Path) -> None:
    arguments = ["-importcert", "-noprompt", "-alias", "test", "-file", str(site.authority)]
    arguments += ["-keystore", str(tools / "trust.p12"), "-storetype", "PKCS12", "-storepass", "changeit"]
    subprocess.run(["keytool", *arguments], check=True, capture_output=True)


def _trusting(tools: Path) -> list[str]:
    return [f"-Djavax.net.ssl.trustStore={tools}/trust.p12", "-Djavax.net.ssl.trustStorePassword=changeit"]


def _build_java(site: Site, tools: Path) -> None:
    _trust_store(site, tools)
    (tools / "Fetch.java").write_text(JAVA_SOURCE)
    subprocess.run(["javac", "-d", str(tools), str(tools / "Fetch.java")], check=True, capture_output=True)


def _java(api: str, attempt: Fetch) -> Attempt:
    options = [*_trusting(attempt.tools), "-XX:TieredStopAtLevel=1", "-cp", str(attempt.tools)]
    expected = b"".join(b"chunk %d\n" % number for number in range(8))
    return attempt.run("java", *options, "Fetch", api, attempt.url("/chunked")).with_output(expected)


def _maven(attempt: Fetch) -> Attempt:
    (attempt.folder / "pom.xml").write_text(MAVEN_PROJECT.format(url=attempt.url("/files/maven")))
    (attempt.folder / "settings.xml").write_text(MAVEN_SETTINGS)
    local = attempt.folder / "repository"
    options = ["--batch-mode", "--settings=settings.xml", f"-Dmaven.repo.local={local}"]
    done = attempt.run("mvn", *options, "validate", MAVEN_OPTS=" ".join(_trusting(attempt.tools)))
    return done.with_file(local / "test/tiny/tiny/1.0/tiny-1.0.pom")


def _websocket(library: str, attempt: Fetch) -> Attempt:
    url = attempt.url("/websocket")
    if library == "websockets":
        url = url.replace("http", "ws", 1)
    return attempt.run(sys.executable, "-c", WEBSOCKETS[library], url).with_output(b"hello\n")


def _grpc(attempt: Fetch) -> Attempt:
    (port,) = attempt.site.also
    call = [sys.executable, "-c", CALL, f"{attempt.name}:{port}", str(attempt.site.authority)]
    return attempt.run(*call).with_output(b"hello\n")


def _no_grpc() -> str:
    code = [sys.executable, "-c", "import grpc"]
    return (
        "grpcio is not installed" if subprocess.run(code, capture_output=True, check=False).returncode else ""
    )
