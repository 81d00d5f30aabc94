"""What a service has to do with others that serve the same jobs; where it is alone that is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .inherited import Inheritance, Inherited
from .stored import Stored

if TYPE_CHECKING:
    from jobgate.proxy.gate import Gate

    from .control import Sockets
    from .link import Link
    from .registry import Registry


class UpgradeError(Exception):
    """The process that serves cannot be taken over from; the text says why."""


class Alone:
    """A service that follows none and that none follows.

    Args:
        reopen_log: Called when the log file may have been moved away.

    Attributes:
        inheritance: Listening sockets that were there before this process.
        known: What the process before this one knows of jobs; ``None`` without one.
        successor: The process that serves now in the place of this one.
    """

    def __init__(self, reopen_log: Callable[[], None]) -> None:
        self.inheritance = Inheritance()
        self.known: Stored | None = None
        self.successor: Link | None = None
        self._reopen_log = reopen_log

    async def meet(self, activated: Iterable[Inherited], *, take_over: bool) -> None:
        """Take what is there before this process opens anything.

        Args:
            activated: Sockets of the service manager.
            take_over: Ask the process that serves, if there is one.

        Raises:
            UpgradeError: It does not give what it has.
        """
        self.inheritance = Inheritance(activated)

    def add(self, besides: Sockets) -> None:
        """Take note of the listeners besides those of jobs; without a control socket nobody can follow."""

    async def begin(self) -> None:
        """Serve alone from now on: all listeners are open.

        Raises:
            ListenError: There is no place where the next one can ask.
            UpgradeError: The process that serves does not stop accepting.
        """

    async def confirm(self) -> None:
        """Tell the process before this one that it is not needed any more, and from now on what changes."""

    def give_up(self) -> None:
        """Leave everything to the process before this one, if there is one: it goes on as before."""

    def on_hangup(self) -> None:
        """Reopen the log, and have those reopen it that still drain."""
        self._reopen_log()

    async def wait(self, followed: Callable[[], None]) -> None:
        """Let another process take over, and tell when one has."""

    async def follow(self) -> None:
        """Do as the process says that serves now, as long as there is one."""

    async def close(self) -> None:
        """Let go of the other processes; where nobody follows, no path is left behind."""
        self.inheritance.discard()


def followed(gate: Gate, registry: Registry, config_path: str, reopen_log: Callable[[], None]) -> Alone:
    """Make what a gateway has instead: another process can follow it, where it has a control socket."""
    from .succession import Succession  # with all that goes from process to process
    from .upgrade import upgrade_path

    return Succession(gate, registry, upgrade_path(registry.settings.listen.control), config_path, reopen_log)
