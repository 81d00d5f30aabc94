"""Listening sockets that were there before this process: from the one it takes over from, or from systemd."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import NamedTuple

from jobgate.config.endpoints import Endpoint, UnixPath

from .listeners import bound_to


class Inherited(NamedTuple):
    """One of them.

    Attributes:
        netns: The network namespace it was made in, as the configuration names it; ``""``: ours.
        name: The job it was for; ``""``: of no job, or not known.
    """

    sock: socket.socket
    netns: str = ""
    name: str = ""

    def fits(self, where: Endpoint | UnixPath, netns: str, name: str) -> bool:
        """Whether a listener that is to be opened is this one.

        Any port would do where the configuration leaves it open: then it is the one that
        the same job had.
        """
        bound = bound_to(self.sock)
        if self.netns != netns:
            return False
        if isinstance(where, Endpoint) and isinstance(bound, Endpoint) and where.port == 0:
            return where.address == bound.address and self.name == name != ""
        return bound == where


class Inheritance:
    """What is left of them; each is taken once."""

    def __init__(self, sockets: Iterable[Inherited] = ()) -> None:
        self._left = list(sockets)

    def take(self, where: Endpoint | UnixPath, *, netns: str = "", name: str = "") -> socket.socket | None:
        """Return the listening socket for a place, ``None`` where it must be opened."""
        for found in self._left:
            if found.fits(where, netns, name):
                self._left.remove(found)
                return found.sock
        return None

    def discard(self) -> list[Endpoint | UnixPath]:
        """Close what nobody took; say where it was."""
        left, self._left = self._left, []
        places = [bound_to(found.sock) for found in left]
        for found in left:
            found.sock.close()
        return places
