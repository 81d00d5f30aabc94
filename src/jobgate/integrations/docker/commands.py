"""The command lines given to the engine's client. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from jobgate.launch.environment import JAVA_OPTIONS, proxy_variables

from .options import CommandLine, Option

RUN_LABEL = "jobgate.run"
"""On every container of a run: which run."""
OWNER_LABEL = "jobgate.launcher"
"""The same: which process started it."""
HANDOVER = "/jobgate"
"""Where the holder sees the folder of the launcher's socket."""
SOCKET = "control"
PUBLIC = frozenset(proxy_variables("", 0))
"""Variables without secrets: as options they beat the proxies of the client's own configuration."""
_MOVED = ("hostname", "domainname")
"""The job's name, which Docker takes from whoever owns the network: the holder."""


NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
NO_PROFILE = Path()
"""The engine's own filter of system calls."""


@dataclass(frozen=True, slots=True)
class Run:
    """One call of ``jobgate docker run``.

    Attributes:
        engine: The client: ``docker`` or ``podman``, or a path.
        id: Random; no two runs have the same.
        owner: The launcher, as a label.
        profile: A seccomp profile for its containers.
    """

    engine: str
    id: str
    owner: str
    profile: Path = NO_PROFILE

    @property
    def holder(self) -> str:
        """Name of the container that owns the network.

        With a profile it is another: the engine may still be removing the one without.
        """
        return f"jobgate-{self.id}" if self.profile == NO_PROFILE else f"jobgate-{self.id}-closed"

    @property
    def common(self) -> list[str]:
        """What every container of this run is started with: its mark, and the filter of system calls."""
        options = [f"--label={RUN_LABEL}={self.id}", f"--label={OWNER_LABEL}={self.owner}"]
        if self.profile != NO_PROFILE:
            options.append(f"--security-opt=seccomp={self.profile}")
        return options


def is_podman(engine: str) -> bool:
    """Whether a client is Podman's: the two differ in a few options."""
    return Path(engine).name.startswith("podman")


def start_holder(
    run: Run, image: str, folder: Path, line: CommandLine, program: str, address: str, port: int
) -> list[str]:
    """Start the holder in the background.

    Args:
        run: Whose it is.
        image: Has a ``python3``; never pulled, since a name without a registry would be anybody's.
        folder: Of the launcher's socket.
        line: Of the job, for its names of hosts.
        program: Python source.
        address: Of the proxy inside.
        port: The same.
    """
    names = [word for option in line.named(*_moved(run)) for word in option.words]
    confined = ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--security-opt=label=disable"]
    return [
        *(run.engine, "run", "--detach", "--rm", "--pull=never", f"--name={run.holder}", *run.common),
        *("--network=none", "--read-only", "--no-healthcheck", *confined, *names),
        *(f"--volume={folder}:{HANDOVER}", "--entrypoint=python3", image),
        *("-I", "-S", "-c", program, f"{HANDOVER}/{SOCKET}", address, str(port)),
    ]


def start_job(
    run: Run, line: CommandLine, *, variables: Mapping[str, str] = NO_VARIABLES, env_file: Path | None = None
) -> list[str]:
    """Run the job's container in the foreground, in the network of the holder.

    Args:
        run: Whose it is.
        line: As the user wrote it, judged already; what the user sets of the variables that follow
            must have been taken out by ``without_variables``.
        variables: Whose values may stand in a command line, which everybody can read.
        env_file: Has the others.
    """
    moved = _moved(run)
    words = [word for option in line.options if option.name not in moved for word in option.words]
    words.append("--rm")
    if is_podman(run.engine):
        words.append("--http-proxy=false")
    words += [f"--env={name}={value}" for name, value in variables.items()]
    if env_file is not None:
        words.append(f"--env-file={env_file}")
    last = [*run.common, "--cap-drop=NET_RAW", f"--network=container:{run.holder}"]
    return [run.engine, "run", *words, *last, line.image, *line.command]


def _moved(run: Run) -> tuple[str, ...]:
    return () if is_podman(run.engine) else _MOVED


def without_variables(line: CommandLine, names: Collection[str]) -> CommandLine:
    """Leave out the variables of these names that the user sets: an engine would prefer them to a file's."""

    def stays(option: Option) -> bool:
        return option.name != "env" or option.value.partition("=")[0] not in names

    return CommandLine(tuple(filter(stays, line.options)), line.image, line.command)


def java_options(line: CommandLine, inherited: Mapping[str, str]) -> str:
    """What the user sets for Java, for ours to be appended to."""
    value = ""
    for option in line.named("env"):
        name, equals, text = option.value.partition("=")
        if name == JAVA_OPTIONS:
            value = text if equals else inherited.get(name, "")
    return value
