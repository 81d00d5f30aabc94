from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jobgate.integrations.docker.mounts import judge_mount, judge_source, judge_volume


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own folder: its path may be longer than that of a socket can be.
    with TemporaryDirectory(prefix="jobgate-") as name:
        yield Path(name)


SCREEN = "/tmp/.X11-unix"  # noqa: S108  where X has its sockets


@pytest.mark.parametrize(
    "source",
    [
        *("/", "/var", "/var/lib", "/run", "/run/x/../..", "/proc", "/sys/fs", "/dev/mem"),
        *("/var/lib/docker/x", SCREEN, f"{SCREEN}/X0", f"{SCREEN}/.."),
    ],
)
def test_place_of_services_is_refused(source: str) -> None:
    assert [text.split(":")[0] for text in judge_source(source)] == [f'"{source}"']


@pytest.mark.parametrize(
    "source", ["/srv", "/home", "/opt/data", "/runs", "/var/cache", ".", f"{SCREEN}/../work"]
)
def test_other_place_passes(source: str) -> None:
    assert list(judge_source(source)) == []


def test_link_is_followed(folder: Path) -> None:
    (folder / "innocent").symlink_to("/run")
    assert "leads to /run" in next(judge_source(str(folder / "innocent" / "x")))


def test_socket_is_refused_wherever_it_is(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        (problem,) = judge_volume(f"{folder}/s:/s")
    assert "a socket of the host" in problem


@pytest.mark.parametrize("value", ["data:/data", "/anonymous", "/srv:/run:ro", "run:/run"])
def test_volume_that_is_no_place_of_the_host_passes(value: str) -> None:
    assert list(judge_volume(value)) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("type=bind,source=/run,target=/x", "leads to /run"),
        ("src=/proc,dst=/x,type=bind,readonly", "leads to /proc"),
        ('type=bind,"src=/run",dst=/x', "leads to /run"),
        ("TYPE=bind,SRC=/run,dst=/x", "leads to /run"),
        ("type=bind,source=/srv,src=/run,dst=/x", "leads to /run"),
        ("type=bind,src=/run,source=/srv,dst=/x", "leads to /run"),
        ("type=bind,dst=/srv", "no source"),
        ("type=bind,src=,dst=/run/x", "no source"),
        ("type=bind\n,src=/srv,dst=/x", "cannot be read"),
        ("type=volume,dst=/x,volume-opt=device=/run", "a driver"),
        ("type=volume,dst=/x,volume-driver=nfs", "a driver"),
        ("type=npipe,src=x,dst=/x", "mounts of type npipe"),
    ],
)
def test_mount_is_refused(value: str, message: str) -> None:
    (problem,) = judge_mount(value)
    assert message in problem


@pytest.mark.parametrize(
    "value",
    ["type=bind,src=/srv,dst=/run", "src=data,dst=/x", "type=tmpfs,dst=/run", "type=volume,dst=/x", ""],
)
def test_mount_passes(value: str) -> None:
    assert list(judge_mount(value)) == []
