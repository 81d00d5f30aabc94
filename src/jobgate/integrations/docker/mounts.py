"""Which places of the host a job may have mounted (edge: follows symbolic links, looks at files)."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

_PRIVATE = "/run /proc /sys /dev /tmp/.X11-unix /var/lib/docker /var/lib/containerd /var/lib/containers"
PRIVATE = tuple(map(Path, _PRIVATE.split()))
"""Sockets of services and of the screen, the kernel, devices, other containers."""
KINDS = frozenset({"bind", "volume", "tmpfs", "image"})


def judge_volume(value: str) -> Iterator[str]:
    """What is wrong with a value of ``--volume``."""
    source, colon, _ = value.partition(":")
    if colon and source.startswith(("/", ".", "~")):
        yield from judge_source(source)


def judge_mount(value: str) -> Iterator[str]:
    """What is wrong with a value of ``--mount``."""
    try:
        fields = next(csv.reader([value], strict=True), [])
    except csv.Error as error:
        yield f'"{value}": cannot be read: {error}'
        return
    pairs = [(key.strip().lower(), text) for key, _, text in (field.partition("=") for field in fields)]
    keys = dict(pairs)
    kind = keys.get("type", "volume")
    if kind not in KINDS:
        yield f'"{value}": jobgate does not know mounts of type {kind}'
    if keys.keys() & {"volume-opt", "volume-driver"}:
        yield f'"{value}": jobgate cannot tell what a driver mounts'
    if kind == "bind":
        # The engine takes the last one; and Podman, where there is none, the place inside.
        sources = [text for key, text in pairs if key in ("source", "src") and text]
        if not sources:
            yield f'"{value}": no source: name the folder'
        yield from chain.from_iterable(map(judge_source, sources))


def judge_source(source: str) -> Iterator[str]:
    """What is wrong with a place of the host; symbolic links are followed first."""
    real = Path(os.path.realpath(source))
    for private in PRIVATE:
        if real.is_relative_to(private) or private.is_relative_to(real):
            yield f'"{source}": leads to {private}, where services of the host can be reached'
            return
    if _is_socket(real):
        yield f'"{source}": a socket of the host, whose server would act for the job'


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
