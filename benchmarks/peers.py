"""The proxies under test, and what they are compared with: how each is started, and with what.

``run.py --show`` prints their configurations (``peer_configurations.py``).
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import peer_configurations as configurations
import peer_programs

_HERE = Path(__file__).resolve().parent
OUR_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_HERE.parent / "src")}


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy.

    Attributes:
        name: For the table.
        program: Says where the program is, or its name; looked for on PATH.
        configuration: Text with ``{port}``, ``{second_port}``, ``{origin}``, ``{folder}``.
        command: From the program and the configuration's path.
        version: Command that prints a version.
        environment: Of the process; ``None``: ours.
        files: Further files beside the configuration, with the same fields.
        file: Name of the configuration.
        is_proxy: It speaks HTTP; otherwise whoever connects is joined to the origin.
        ports: How many it listens on, each for a job of its own.
        beside: Command of a process that it needs beside it, from its folder; not counted.
    """

    name: str
    program: Callable[[], str]
    configuration: str
    command: Callable[[str, Path], list[str]]
    version: Callable[[str], list[str]]
    environment: Mapping[str, str] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    file: str = "configuration"
    is_proxy: bool = True
    ports: int = 1
    beside: Callable[[Path], list[str]] | None = None

    @property
    def path(self) -> str | None:
        """Where the program is, ``None`` if it is missing."""
        return find(self.program())

    def prepare(self, folder: Path, ports: Sequence[int], origin: int) -> list[str]:
        """Write the configuration and return the command."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / self.file
        values = {"port": ports[0], "second_port": ports[-1], "origin": origin, "folder": folder}
        file.write_text(self.configuration.format(**values))
        for name, text in self.files.items():
            (folder / name).write_text(text.format(**values))
        give_to_proxy_user(folder)
        return self.command(self.path or self.program(), file)

    def shown(self) -> str:
        """Write everything it is configured with, as one text."""
        more = "".join(f"--- {self.name}: {name}\n{text}" for name, text in self.files.items())
        command = shlex.join(self.command(Path(self.program()).name, Path("{folder}") / self.file))
        return f"--- {self.name}: {command}\n{self.configuration}{more}"


def find(program: str) -> str | None:
    """Return where a program is, ``None`` if it is missing; servers are not on every user's PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def give_to_proxy_user(folder: Path) -> None:
    """Let Squid, which leaves root's identity, write its logs."""
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("proxy")
        except KeyError:
            return
        os.chown(folder, user.pw_uid, user.pw_gid)


def _gate(name: str, configuration: str, ports: int) -> Peer:
    return Peer(
        name,
        lambda: sys.executable,
        configuration,
        lambda program, file: [program, "-m", "jobgate", "serve", "--config", str(file)],
        lambda program: [program, "-m", "jobgate", "--version"],
        OUR_ENVIRONMENT,
        ports=ports,
    )


def gate_by(python: str, title: str) -> Peer:
    """Return the gate as another interpreter runs it, which must have its libraries."""
    return replace(GATE, name=f"jobgate, {title}", program=lambda: python)


def has_workers() -> bool:
    """Say whether this version of the gate can be several processes."""
    asked = "from jobgate.config.gateway import ListenSettings; print(hasattr(ListenSettings(), 'workers'))"
    command = [sys.executable, "-c", asked]
    return subprocess.check_output(command, text=True, env=OUR_ENVIRONMENT) == "True\n"


def _tinyproxy(name: str, configuration: str) -> Peer:
    return Peer(
        name,
        lambda: "tinyproxy",
        configuration,
        lambda program, file: [program, "-d", "-c", str(file)],
        lambda program: [program, "-v"],
        files={"filter": configurations.TINYPROXY_FILTER},
    )


def _with_own_dev(folder: Path, command: list[str]) -> list[str]:
    """Return what runs a command that sees nothing in ``/dev`` but the socket of a logger."""
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    mounted = 'mkdir -p "$0" && mount --bind "$0" /dev && exec "$@"'
    return ["unshare", *own, "--mount", "sh", "-c", mounted, str(folder / "dev"), *command]


def _receiver(folder: Path) -> list[str]:
    return [
        sys.executable,
        str(_HERE / "syslog_receiver.py"),
        str(folder / "dev/log"),
        str(folder / "syslog"),
    ]


GATE = _gate("jobgate", configurations.JOBGATE, 1)
TWO_WORKERS = _gate("jobgate, 2 workers", configurations.JOBGATE_TWO_WORKERS, 2)
SQUID = Peer(
    "Squid",
    lambda: "squid",
    configurations.SQUID,
    lambda program, file: [program, "-N", "-f", str(file)],
    lambda program: [program, "-v"],
)
# Its log is flushed to the disk line by line, which costs more than all the rest. Two more ways: lines are
# sent to the system's logger, as its packages have it where there is one; and none at all.
TINYPROXY = _tinyproxy("tinyproxy", configurations.TINYPROXY)
TINYPROXY_SYSLOG = replace(
    _tinyproxy("tinyproxy, syslog", configurations.TINYPROXY_SYSLOG),
    command=lambda program, file: _with_own_dev(file.parent, TINYPROXY.command(program, file)),
    beside=_receiver,
)
TINYPROXY_SILENT = _tinyproxy(
    "tinyproxy, log off", configurations.TINYPROXY.replace("LogLevel Connect", "LogLevel Critical")
)
ENVOY = Peer(
    "Envoy",
    peer_programs.envoy,
    configurations.ENVOY,
    lambda program, file: [
        program,
        "-c",
        str(file),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "off",
    ],
    lambda program: [program, "--version"],
    file="envoy.yaml",
)
PROXY_PY = Peer(
    "proxy.py",
    peer_programs.proxy_py,
    configurations.PROXY_PY,
    lambda program, file: [program, "-m", "proxy", *_words(file)],
    lambda program: [program, "-m", "proxy", "--version"],
    files={"allowlist.py": configurations.PROXY_PY_PLUGIN},
)
RELAY = Peer(
    "splice relay",
    lambda: sys.executable,
    "{port} {origin}\n",
    lambda program, file: [program, str(_HERE / "splice_relay.py"), *_words(file)],
    lambda program: [program, "--version"],
    is_proxy=False,
)
ORIGIN = Peer(
    "nginx",
    lambda: "nginx",
    configurations.NGINX,
    lambda program, file: [program, "-c", str(file)],
    lambda program: [program, "-v"],
    is_proxy=False,
)
#: The origin itself is asked, without a proxy: what is left when there is none.
DIRECT = "direct (nginx)"

PEERS = [GATE, TWO_WORKERS, SQUID, TINYPROXY, TINYPROXY_SYSLOG, TINYPROXY_SILENT, ENVOY, PROXY_PY, RELAY]


def _words(file: Path) -> list[str]:
    """Return the words of a file: arguments of a program that reads no configuration."""
    return file.read_text().split() if file.exists() else [str(file)]
