"""Which options of ``docker run`` would undo the isolation, and what to do instead. Pure.

Where an option is a list of words that are harmless or not (capabilities, devices), the
harmless ones are listed: what is new is refused until somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .mounts import judge_mount, judge_volume
from .options import SWITCHES, CommandLine, Option

_NETWORK = "the only network of the job is its gate"
_INBOUND = "nothing reaches the job from outside: it has a loopback and its gate"
_NAMES = "the gate resolves names; the job needs no name server"
_HOST = "the job would share it with the host"
_OTHERS = "the job would share it with others"
_ENDS = "the gate lives as long as this command: leave it out, and put the command itself in the background"

REFUSED = {
    **dict.fromkeys(
        ("network", "net", "network-alias", "net-alias", "ip", "ip6", "link", "link-local-ip", "mac-address"),
        _NETWORK,
    ),
    **dict.fromkeys(("publish", "publish-all", "expose"), _INBOUND),
    **dict.fromkeys(("dns", "dns-opt", "dns-option", "dns-search"), _NAMES),
    "add-host": "the gate resolves names: write it into [dns] hosts of --config",
    **dict.fromkeys(("pod", "pod-id-file", "requires"), _NETWORK),
    **dict.fromkeys(("detach", "restart"), _ENDS),
    "privileged": "a privileged container owns the host, its network included",
    "device-cgroup-rule": "the job could open devices of the host",
    "volumes-from": "mounts that are not seen here: name them with --volume",
    "volume-driver": "jobgate cannot tell what a driver mounts",
    "use-api-socket": "with the engine's socket the job could start containers without a gate",
    "preserve-fds": "open files of this process could be sockets",
    "annotation": "annotations can change how the runtime isolates",
    "seccomp-policy": "the engine's filter of system calls has to stay",
    "rootfs": "a folder of the host as the root of the job: name an image",
    "http-proxy": "jobgate sets the variables of the proxy",
    "replace": "the container of that name may be somebody's: remove it first",
}
"""Options that are refused whatever their value, and why; a switch that is off is not."""

_CAPABILITIES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID IPC_LOCK KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID
    SETPCAP SETUID SYS_CHROOT SYS_NICE SYS_PTRACE SYS_RESOURCE
"""
CAPABILITIES = frozenset(_CAPABILITIES.split())
"""Docker's own but for NET_RAW, and four that ask for nothing outside the job's namespaces."""
RUNTIMES = frozenset({"runc", "crun", "youki", "nvidia", "io.containerd.runc.v2"})
DEVICES = ("/dev/nvidia", "/dev/dri", "/dev/kfd", "/dev/accel", "/dev/snd", "/dev/fuse")
CDI_DEVICES = ("nvidia.com/gpu=", "amd.com/gpu=", "intel.com/gpu=")
_OWN_NAMESPACES = frozenset({"", "private", "shareable", "none"})


def judge(line: CommandLine) -> list[str]:
    """Every option that would undo the isolation, one text each: ``--option: why``."""
    return [f"--{option.name}: {reason}" for option in line.options if (reason := _reason(option))]


def _reason(option: Option) -> str:
    """Why an option is refused; empty if it is not."""
    if option.name == "restart" and option.value == "no":
        return ""
    if option.name in REFUSED:
        # "false" switches off a switch only: of --volumes-from it is the name of a container.
        return REFUSED[option.name] if option.on or option.name not in SWITCHES else ""
    reasons = _BY_VALUE.get(option.name)
    return next(reasons(option.value), "") if reasons else ""


def _namespace(value: str) -> Iterator[str]:
    if value not in _OWN_NAMESPACES:
        yield f'"{value}": the job would see processes that are not its own'


def _shared_memory(value: str) -> Iterator[str]:
    if value not in _OWN_NAMESPACES:
        yield f'"{value}": {_HOST}; for more shared memory, write --shm-size'


def _not_host(value: str) -> Iterator[str]:
    if value == "host" or value.startswith(("container:", "ns:")):
        yield f'"{value}": {_HOST if value == "host" else _OTHERS}'


def _capability(value: str) -> Iterator[str]:
    for name in value.split(","):
        if name.upper().removeprefix("CAP_") not in CAPABILITIES:
            yield f'"{name}": reaches beyond the job; allowed are {", ".join(sorted(CAPABILITIES))}'


def _security(value: str) -> Iterator[str]:
    if value.replace(":", "=").split("=")[0] != "no-new-privileges":
        yield f'"{value}": the engine\'s own confinement has to stay; only no-new-privileges may be added'


def _device(value: str) -> Iterator[str]:
    if value.startswith(CDI_DEVICES):
        return
    path = value.split(":")[0]
    if ".." in path.split("/") or not path.startswith(DEVICES):
        yield f'"{value}": may be a way to the network or to the host; allowed are {", ".join(DEVICES)}…'


def _runtime(value: str) -> Iterator[str]:
    if value not in RUNTIMES:
        yield f'"{value}": its network may not be the namespace that the gate is in'


_BY_VALUE: dict[str, Callable[[str], Iterator[str]]] = {
    "cap-add": _capability,
    "device": _device,
    "ipc": _shared_memory,
    "mount": judge_mount,
    "pid": _namespace,
    "runtime": _runtime,
    "security-opt": _security,
    "userns": _not_host,
    "uts": _not_host,
    "volume": judge_volume,
}
