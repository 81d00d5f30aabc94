"""Lines of README.md as written; those that need a container engine are in test_docker_run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from support.docker_engine import ADMIN_PATH, NAME_SERVER, ROOT
from support.docker_world import NAMES, WEB
from support.netns import namespace, needs_namespaces
from support.pages import steps_of
from support.serve import COMMAND, ENVIRONMENT

pytestmark = [needs_namespaces, pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")]
LINES = [step.command for step in steps_of(ROOT / "README.md")]
TRAIN = "#!/bin/sh\ncurl -s https://example.com/\ncurl -s http://www.example.org/\n"


def lines_of(beginning: str) -> list[str]:
    """Those that begin so."""
    return [line for line in LINES if line.startswith(beginning)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[list[str]]:
    """The command line of a shell in a folder, on a machine that has ``www.example.com`` and nothing else."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert(*NAMES, "example.com").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    (tmp_path / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
    (tmp_path / "jobgate").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (tmp_path / "train.sh").write_text(TRAIN)
    for program in ("jobgate", "train.sh"):
        (tmp_path / program).chmod(0o755)
    internet = ROOT / "tests/data/docker/internet.py"
    with namespace() as machine:
        for address in (NAME_SERVER, WEB, "172.30.99.2"):
            machine.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        serving = machine.command(
            sys.executable, str(internet), NAME_SERVER, WEB, str(tmp_path / "server.pem")
        )
        with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as web:
            assert web.stdout is not None
            assert web.stdout.readline() == "serving\n"
            resolver = f"mount --bind {shlex.quote(str(tmp_path))}/resolv.conf /etc/resolv.conf"
            yield machine.command("unshare", "--mount", "sh", "-c", f'{resolver} && exec bash -c "$0"')
            web.terminate()


def said(place: list[str], folder: Path, script: str) -> str:
    """Run a script there, which must succeed; both of its outputs."""
    environment = {
        **ENVIRONMENT,
        "PATH": f"{folder}:{ADMIN_PATH}",
        "CURL_CA_BUNDLE": f"{folder}/authority.pem",
    }
    running = subprocess.Popen(
        [*place, script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        shown, _ = running.communicate(timeout=40)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0, shown
    return shown


def test_first_line_reaches_its_host(place: list[str], tmp_path: Path) -> None:
    first, _ = lines_of("jobgate run ")
    shown = said(place, tmp_path, first)
    assert shown.count("HTTP/1.1 200") == 2  # of the gate to CONNECT, and of the host
    assert re.search(r"reached  www\.example\.com:443  1 request", shown)


def test_second_line_runs_a_script_behind_its_domains(place: list[str], tmp_path: Path) -> None:
    _, second = lines_of("jobgate run ")
    shown = said(place, tmp_path, second)
    assert "\nhello\nwww.example.org:80 is not in this job's domains." in shown


def test_sidecar_serves_what_the_next_line_asks(place: list[str], tmp_path: Path) -> None:
    (serve,), (ask,) = lines_of("jobgate sidecar "), lines_of("curl -x ")
    ready = "until jobgate health 172.30.99.2:3128; do :; done 2> /dev/null"
    script = f"trap 'kill $!; wait' EXIT\n{serve} > log &\n{ready}\n{ask}"
    shown = said(place, tmp_path, script)
    assert "hello\n" in shown
    assert '"host":"www.example.com"' in (tmp_path / "log").read_text()
