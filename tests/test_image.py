"""What the container image starts, and how pages build it; tests marked `docker` have an engine."""

from __future__ import annotations

import re
import shlex
import subprocess
from argparse import ArgumentParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENTRYPOINT = ROOT / "deploy/image/entrypoint"
PAGES = ("README.md", "deploy/README.md", "docs/bacalhau.md", "docs/docker.md", "docs/kubernetes.md")
BUILDS = {
    line.strip("`$ ")
    for page in PAGES
    for line in re.findall(r"^\$ docker build .*|`docker build [^`]*`", (ROOT / page).read_text(), re.M)
}

STARTS = {
    "nothing said": ([], {}, "sidecar"),
    "bacalhau": ([], {"BACALHAU_HTTP_DOMAINS": '["example.com"]'}, "bacalhau"),
    "bacalhau with nothing in it": ([], {"BACALHAU_HTTP_DOMAINS": ""}, "bacalhau"),
    "command": (["serve", "--config", "a b"], {}, "serve --config a b"),
    "command beats the variable": (["--version"], {"BACALHAU_HTTP_DOMAINS": "[]"}, "--version"),
}


@pytest.mark.parametrize(("arguments", "variables", "started"), STARTS.values(), ids=STARTS)
def test_entrypoint(arguments: list[str], variables: dict[str, str], started: str, tmp_path: Path) -> None:
    program = tmp_path / "jobgate"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(ENTRYPOINT), *arguments],
        env={"PATH": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout == f"{started}\n"


def test_entrypoint_can_be_executed() -> None:
    assert ENTRYPOINT.stat().st_mode & 0o111 == 0o111


def test_builds_of_the_pages_are_found() -> None:
    assert {"docker build -t jobgate ."} < BUILDS


@pytest.mark.parametrize("command", sorted(BUILDS))
def test_build_of_a_page_names_what_is_there(command: str) -> None:
    """Recipe, context, arguments, and the image that it stands on."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("-t", "--tag")
    parser.add_argument("-f", "--file")
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("context")
    said = parser.parse_args(shlex.split(command, comments=True)[2:])
    recipe = (ROOT / (said.file or f"{said.context}/Dockerfile")).read_text()
    arguments = dict(word.split("=") for word in said.build_arg)
    assert set(arguments) <= set(re.findall(r"^ARG (\w+)", recipe, re.M))
    if said.tag is not None and "BASE" in arguments:
        assert f"docker build -t {arguments['BASE']} ." in BUILDS
    copied = re.findall(r"^COPY ((?!--).*) \S+$", recipe, re.M)
    missing = [name for line in copied for name in line.split() if not (ROOT / said.context / name).exists()]
    assert missing == []
