"""Work inside another network namespace: a socket stays in the one that it was made in."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from jobgate.launch.linux import CLONE_NEWNET, setns

#: Where ``ip netns add`` puts its names (ip-netns(8)).
NAMES = Path("/run/netns")

_T = TypeVar("_T")


class NamespaceError(Exception):
    """A network namespace that cannot be entered; the text says which and why."""


def call_inside(netns: str, function: Callable[[], _T]) -> _T:
    """Call a function inside a network namespace, on a thread of its own that ends with it.

    Args:
        netns: A path, ``/proc/4242/ns/net``, or a name of ``ip netns``.
        function: What it raises is raised here.

    Raises:
        NamespaceError: There is no such namespace, or it may not be entered.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns") as once:
        return once.submit(_enter_and_call, NAMES / netns, function).result()


def _enter_and_call(path: Path, function: Callable[[], _T]) -> _T:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(descriptor, CLONE_NEWNET)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NamespaceError(_problem(path, error)) from error
    return function()


def _problem(path: Path, error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"may not enter the network namespace {path}: that needs CAP_SYS_ADMIN, or root"
    if error.errno in (errno.EINVAL, errno.ENOENT):
        return f"there is no network namespace {path}"
    return f"cannot enter the network namespace {path}: {error.strerror}"
