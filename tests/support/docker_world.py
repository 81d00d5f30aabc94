"""A Docker engine with an internet of its own beside it, and ``jobgate`` where that engine's host is."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme

from .docker_engine import ADMIN_PATH, BASE_IMAGE, NAME_SERVER, ROOT, Engine, engine_or_skip

#: The guard of addresses takes it for a public one; nothing leaves the engine's namespace.
WEB = "198.20.0.80"
NAMES = ("*.example.com", "*.example.net", "*.example.org")
#: What the pages say, and what has the certificate of the tests here.
PYTHON_IMAGE = "python:3.13-slim"
PODMAN_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


@dataclass(frozen=True, slots=True)
class World:
    """What a test of containers needs.

    Attributes:
        engine: The engine.
        asked: What was asked of the name server, lines.
        folder: Of programs, below ``bin``, and of whatever a test puts there.
    """

    engine: Engine
    asked: list[str]
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For programs that use the engine."""
        path = f"{self.folder}/bin:{ADMIN_PATH}"
        return {**os.environ, **self.engine.environment, "PATH": path}

    def command(self, *words: str) -> list[str]:
        """Run words where the engine's host is, with its name server."""
        resolver = f"mount --bind {shlex.quote(str(self.folder))}/resolv.conf /etc/resolv.conf"
        return [
            *self.engine.enter,
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'{resolver} && exec "$@"',
            "sh",
            *words,
        ]

    def start(self, *words: str, **streams: int) -> subprocess.Popen[str]:
        """Start words there and leave them running."""
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen(self.command(*words), env=self.environment, text=True, **given)  # type: ignore[call-overload,no-any-return]

    def run(self, *words: str, content: str = "") -> subprocess.CompletedProcess[str]:
        """Run words there to their end."""
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            input=content,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def podman(self, *words: str) -> str:
        """Run Podman, with a storage of its own."""
        done = self.run("podman", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def docker_world() -> Iterator[World]:
    """Start all of it; where no engine can, skip the test."""
    with TemporaryDirectory(prefix="jobgate-world-") as name, engine_or_skip("jobgate") as started:
        folder = Path(name)
        started.host("ip", "address", "add", f"{WEB}/32", "dev", "lo")
        certificate = _make_job_image(started, folder)
        _write_programs(folder)
        (folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
        internet = [sys.executable, str(ROOT / "tests/data/docker/internet.py"), NAME_SERVER, WEB]
        try:
            with started.host_process([*internet, str(certificate)], "serving") as asked:
                yield World(started, asked, folder)
        finally:
            _end_podman(folder)


def _make_job_image(started: Engine, folder: Path) -> Path:
    """Build the image of jobs, which trusts the authority of the tests; return the servers' certificate."""
    authority = trustme.CA()
    context = folder / "image"
    context.mkdir()
    authority.cert_pem.write_to_path(str(context / "authority.crt"))
    (context / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE}\n"
        "COPY authority.crt /usr/local/share/ca-certificates/\n"
        "RUN update-ca-certificates\n"
    )
    started.docker("build", "--network=none", f"--tag={PYTHON_IMAGE}", str(context))
    certificate = folder / "server.pem"
    authority.issue_cert(*NAMES).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return certificate


def _write_programs(folder: Path) -> None:
    """What a reader of the pages has on PATH, and what is different here.

    Images are built already, the plugin ``compose`` is a program of its own in some distributions, and
    Podman keeps what it stores in a folder of the tests.
    """
    programs = folder / "bin"
    programs.mkdir()
    docker, compose = shutil.which("docker"), shutil.which("docker-compose")
    podman = f"{shutil.which('podman')} --root {folder}/podman/root --runroot {folder}/podman/run"
    texts = {
        "jobgate": f'PYTHONPATH={ROOT}/src exec {sys.executable} -m jobgate "$@"',
        "docker": f'[ "$1" = build ] && exit 0\n'
        f'[ "$1" = compose ] && shift && exec {compose} "$@"\nexec {docker} "$@"',
        "podman": f"export CONTAINERS_CONF={folder}/containers.conf\n"
        f'[ "$1" = build ] && exit 0\nexec {podman} "$@"',
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (folder / "containers.conf").write_text(PODMAN_CONFIGURATION)


def _end_podman(folder: Path) -> None:
    """Undo the mounts of Podman's storage, which hold its folder."""
    store = folder / "podman"
    if store.exists():
        subprocess.run([folder / "bin/podman", "rm", "--all", "--force", "--time=0"], check=False)
        subprocess.run(["umount", "--quiet", str(store / "root/overlay")], check=False)
