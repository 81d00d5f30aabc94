"""The command line of ``docker run`` and ``podman run``: where it ends, what each word is. Pure.

To find the image one must know which options take a value, so an option that is not in
this table is an error: nobody has thought about what it does to the isolation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SWITCHES = """
    detach disable-content-trust env-host http-proxy init interactive no-healthcheck no-hosts
    oom-kill-disable passwd privileged publish-all quiet read-only read-only-tmpfs replace rm rmi rootfs
    sig-proxy tls-verify tty unsetenv-all use-api-socket
"""
SWITCHES = frozenset(_SWITCHES.split())
"""Options without a value; ``--init=false`` is the only way to give them one."""

_VALUED = """
    add-host annotation arch attach authfile blkio-weight blkio-weight-device cap-add cap-drop
    cgroup-conf cgroup-parent cgroupns cgroups chrootdirs cidfile conmon-pidfile cpu-count cpu-percent
    cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems
    detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps
    device-write-iops dns dns-opt dns-option dns-search domainname entrypoint env env-file env-merge
    expose gidmap gpus group-add health-cmd health-interval health-on-failure health-retries
    health-start-interval health-start-period health-timeout hostname hostuser image-volume init-path
    io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip
    log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount name
    net net-alias network network-alias oom-score-adj os passwd-entry personality pid pidfile pids-limit
    platform pod pod-id-file preserve-fds publish pull requires restart runtime sdnotify seccomp-policy
    secret security-opt shm-size stop-signal stop-timeout storage-opt subgidname subuidname sysctl
    systemd timeout tmpfs tz uidmap ulimit umask unsetenv user userns uts variant volume volume-driver
    volumes-from workdir
"""
VALUED = frozenset(_VALUED.split())
"""Options with a value, in the next word or behind ``=``."""

LETTERS = {
    "P": "publish-all",
    "a": "attach",
    "c": "cpu-shares",
    "d": "detach",
    "e": "env",
    "h": "hostname",
    "i": "interactive",
    "l": "label",
    "m": "memory",
    "p": "publish",
    "q": "quiet",
    "t": "tty",
    "u": "user",
    "v": "volume",
    "w": "workdir",
}
_ON = "true"
_OFF = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class CommandLineError(ValueError):
    """Words that ``docker run`` would not take, or that are not known here."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: Its long name, without dashes.
        value: What it was given; of a switch, ``true`` or the text behind ``=``.
    """

    name: str
    value: str

    @property
    def words(self) -> tuple[str, ...]:
        """The option as one word that means the same wherever it stands."""
        return (f"--{self.name}={self.value}",)

    @property
    def on(self) -> bool:
        """Whether a switch is switched on."""
        return self.value not in _OFF


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What follows ``docker run``: options, then the image, then its command."""

    options: tuple[Option, ...]
    image: str
    command: tuple[str, ...]

    def named(self, *names: str) -> list[Option]:
        """The options of these names, in order."""
        return [option for option in self.options if option.name in names]


def parse(words: Sequence[str]) -> CommandLine:
    """Split the words as the clients of Docker and Podman do.

    Raises:
        CommandLineError: An unknown option, a value that is missing, or no image.

    Source: pflag, whose rules both clients follow.
    """
    options: list[Option] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            word = next(rest, "")
        elif word.startswith("--"):
            options.append(_long(word, rest))
            continue
        elif word.startswith("-") and word != "-":
            options += _short(word, rest)
            continue
        if not word:
            break
        if word.startswith("-"):  # behind "--"; the engine, which is given none, would take it for an option
            raise CommandLineError(f'"{word}": no image has such a name')
        return CommandLine(tuple(options), word, tuple(rest))
    raise CommandLineError("no image: write [OPTIONS] IMAGE [COMMAND]")


def _long(word: str, rest: Iterator[str]) -> Option:
    name, equals, value = word[2:].partition("=")
    if name in SWITCHES:
        return Option(name, value if equals else _ON)
    if name not in VALUED:
        raise CommandLineError(f"--{name}: not an option that jobgate knows of docker run")
    return Option(name, value if equals else _next(f"--{name}", rest))


def _short(word: str, rest: Iterator[str]) -> Iterator[Option]:
    """Read a word like ``-it``, ``-itv /a:/b`` or ``-eNAME=value``."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = LETTERS.get(letter)
        if name is None:
            raise CommandLineError(f"-{letter}: not an option that jobgate knows of docker run")
        if name in SWITCHES:
            if letters.startswith("="):
                yield Option(name, letters[1:])
                return
            yield Option(name, _ON)
        else:
            yield Option(name, letters.removeprefix("=") if letters else _next(f"-{letter}", rest))
            return


def _next(name: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise CommandLineError(f"{name}: needs a value")
    return value
