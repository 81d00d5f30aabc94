"""What there is to do where a gate is several processes (edge); in a gate of one process it is nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable

from .peer import Peer


class Alone:
    """A gate that serves all of its jobs itself: nothing here waits or does anything."""

    async def start(self) -> list[int]:
        """Start them; their process ids."""
        return []

    async def settled(self) -> None:
        """Return when all changes are in force."""

    async def refresh(self) -> None:
        """Have all counters as they are now."""

    async def examine(self, job_id: str) -> list[dict[str, object]] | None:
        """Have all that is known of a job's usage as it is now.

        Returns:
            The newest lines of the log about it, where they are not those that were heard here.
        """
        return None

    def follow(self, on_lost: Callable[[int], None] | None) -> None:
        """Have every line of the log go through the journal's taps, or (``None``) no more.

        Args:
            on_lost: Told how many did not come.
        """

    def reopen_log(self) -> None:
        """Have the log opened anew where it is written."""

    def takes(self, sock: socket.socket, peer: Peer) -> bool:
        """As ``leads_on``, for one whose head is there already; ``False``: that has to be waited for."""
        return False

    async def leads_on(self, sock: socket.socket, peer: Peer) -> bool:
        """Give a connection of a shared listener to the process that serves its job, if that is another."""
        return False
