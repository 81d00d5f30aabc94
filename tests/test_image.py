"""What the container image starts, without a container; the image itself is tested on a Docker engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).resolve().parent.parent / "deploy/image/entrypoint"

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
