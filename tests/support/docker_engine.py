"""A Docker engine of a test's own, in a network namespace of its own: the machine's stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import Event, Thread

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BASE_IMAGE = "jobgate-test-base"
BASE_PACKAGES = "python3,python3-venv,ca-certificates,curl"
TOOLS = ("dockerd", "docker", "docker-compose", "debootstrap", "iptables", "ip", "nsenter")
#: What containers are told to ask.
NAME_SERVER = "198.18.0.53"
SECONDS_TO_START = 60
ADMIN_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


class EngineError(Exception):
    """The engine cannot run here."""


def run(*command: str, env: Mapping[str, str] | None = None, timeout: float = 600) -> str:
    """Run a command and return what it printed; its errors are shown if it fails."""
    environment = {**os.environ, "PATH": ADMIN_PATH, **(env or {})}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


class Lines:
    """The lines that a process writes, collected while it runs."""

    def __init__(self, process: subprocess.Popen[str], marker: str) -> None:
        self.all: list[str] = []
        self._process = process
        self._marker = marker
        self._marked = Event()
        self._thread = Thread(target=self._collect, daemon=True)
        self._thread.start()

    def wait_for_marker(self, seconds: float) -> bool:
        """Whether the marker came before the time or the process ended."""
        self._marked.wait(seconds)
        return any(self._marker in line for line in self.all)

    def end(self) -> None:
        """Wait for the end of the output of a process that has ended."""
        self._thread.join()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.all.append(line)
                if self._marker in line:
                    self._marked.set()
        self._marked.set()


class Engine:
    """A running engine; ``host`` commands, behind ``enter``, run where its containers see the host."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.environment = {"DOCKER_HOST": f"unix://{folder}/docker.sock", "DOCKER_BUILDKIT": "0"}
        self.enter = ("nsenter", f"--net=/run/netns/{namespace}")

    def docker(self, *args: str) -> str:
        """Run the docker client."""
        return run("docker", *args, env=self.environment).strip()

    def client(self, *args: str) -> subprocess.Popen[str]:
        """Start the docker client and leave it running."""
        environment = {**os.environ, **self.environment}
        return subprocess.Popen(
            ["docker", *args], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def host(self, *command: str) -> str:
        """Run a command in the network namespace of the engine."""
        return run(*self.enter, *command)

    @contextmanager
    def host_process(self, command: Sequence[str], marker: str) -> Iterator[list[str]]:
        """Keep a program running there, from its first line with the marker on; yields its lines."""
        process = subprocess.Popen(
            [*self.enter, *command],
            env={**os.environ, "PATH": ADMIN_PATH, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = Lines(process, marker)
        try:
            if not lines.wait_for_marker(SECONDS_TO_START):
                raise EngineError("".join(lines.all[-3:]) or f"{command[0]} did not start")
            yield lines.all
        finally:
            process.terminate()
            process.wait(60)
            lines.end()

    @property
    def isolates_gateways(self) -> bool:
        """Whether it knows ``gateway_mode_ipv4: isolated`` (Docker 28)."""
        return int(self.docker("version", "--format", "{{.Server.Version}}").split(".")[0]) >= 28


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Start an engine that gives its containers ``NAME_SERVER``.

    Raises:
        EngineError: A tool, a right or something of the kernel is missing.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool, path=ADMIN_PATH) is None]
    if missing or os.geteuid() != 0:
        raise EngineError(f"needs root and {', '.join(missing or TOOLS)}")
    namespace = f"jobgate-test-{os.getpid()}"
    run("ip", "netns", "add", namespace)
    try:
        started = Engine(folder, namespace)
        started.host("ip", "link", "set", "lo", "up")
        started.host("ip", "address", "add", f"{NAME_SERVER}/32", "dev", "lo")
        daemon = [
            "dockerd",
            "--dns",
            NAME_SERVER,
            "--exec-opt",
            "native.cgroupdriver=cgroupfs",
        ]
        places = ("data-root", "exec-root", "pidfile")
        daemon += [f"--{place}={folder / place}" for place in places]
        with started.host_process([*daemon, f"--host=unix://{folder}/docker.sock"], "API listen on"):
            yield started
    finally:
        unmount_below(folder)
        run("ip", "netns", "delete", namespace)


@contextmanager
def engine_or_skip(image: str) -> Iterator[Engine]:
    """Start an engine that has the project's image under this name; where none can start, skip the test."""
    try:
        # Not pytest's folder, which keeps the last runs: images are large.
        with TemporaryDirectory(prefix="jobgate-engine-") as folder, engine(Path(folder)) as started:
            build_image(started, image)
            yield started
    except EngineError as error:
        pytest.skip(f"no Docker engine can start here: {error}")


def unmount_below(folder: Path) -> None:
    """Undo the mounts that an engine leaves in its folder."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(folder)), reverse=True):
        run("umount", mount)


def import_base(started: Engine) -> None:
    """Give the engine a base image with Python and curl, made of this machine's distribution."""
    facts = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    suite = facts["VERSION_CODENAME"].strip('"')
    packed = Path(gettempdir(), f"{BASE_IMAGE}-{suite}-{zlib.crc32(BASE_PACKAGES.encode()):08x}.tar")
    if not packed.exists():
        tree = started.folder / "base"
        run(
            "debootstrap",
            "--variant=minbase",
            f"--include={BASE_PACKAGES}",
            suite,
            str(tree),
        )
        shutil.rmtree(tree / "var/lib/apt/lists")
        shutil.rmtree(tree / "var/cache/apt")
        partial = packed.with_suffix(f".{os.getpid()}")
        run("tar", "--directory", str(tree), "--create", "--file", str(partial), ".")
        partial.rename(packed)
        shutil.rmtree(tree)
    started.docker("import", str(packed), BASE_IMAGE)


def download_wheels(folder: Path, *options: str) -> None:
    """Download what a build and an installation of jobgate need, for the Python that pip's options name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["build-system"]["requires"]
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--only-binary=:all:", *options]
    run(*pip, f"--dest={folder}", f"--constraint={ROOT}/requirements-test.lock", *wanted)


def collect_wheels(started: Engine) -> Path:
    """Download what the image is made of, for the Python of the base image."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = started.docker("run", "--rm", BASE_IMAGE, "python3", "-c", code)
    wheels = started.folder / "wheels"
    download_wheels(wheels, f"--python-version={version}")
    return wheels


def build_image(started: Engine, tag: str) -> None:
    """Build the project's Dockerfile on the base image, from a folder of wheels and without any index."""
    import_base(started)
    server = [
        sys.executable,
        "-m",
        "http.server",
        "--bind=127.0.0.1",
        f"--directory={collect_wheels(started)}",
        "8000",
    ]
    with started.host_process(server, "Serving HTTP"):
        arguments = {"BASE": BASE_IMAGE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "http://127.0.0.1:8000/"}
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        started.docker("build", "--network=host", *options, f"--tag={tag}", str(ROOT))
