"""Every case of ``tests/data/requests.jsonl`` where all addresses are local, so that no dial goes unseen.

Elsewhere the dialer is a hook that leads to loopback; here the gate dials for real, whatever it wants to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from support.cases import Case, load
from support.gate_process import environment

NAMESPACE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


def can_make_namespaces() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def found() -> dict[str, list[str] | None]:
    """Run them all, once; return the problems of each case, ``None`` if its policy was refused."""
    if not can_make_namespaces():
        pytest.skip("this user cannot make network namespaces here")
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "support.local_everywhere"],
        stdout=subprocess.PIPE,
        env=environment(),
        check=True,
    )
    result: dict[str, list[str] | None] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_case(case: Case, found: dict[str, list[str] | None]) -> None:
    problems = found[case.id]
    assert problems == [] or (problems is None and case.policy_may_fail)
