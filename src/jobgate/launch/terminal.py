"""The terminal's foreground process group, given back after the job."""

from __future__ import annotations

import os


class Foreground:
    """Which terminal had us in the foreground at the start, if any."""

    def __init__(self) -> None:
        self._terminal = next((stream for stream in (0, 1, 2) if _in_foreground(stream)), None)

    def take_back(self) -> None:
        """Return to the foreground where the job left a process group there that is gone.

        A job with job control (a shell) makes its own groups; what its user put into
        our place meanwhile is alive and stays there. SIGTTOU must be blocked.
        """
        if self._terminal is None:
            return
        try:
            os.killpg(os.tcgetpgrp(self._terminal), 0)
        except ProcessLookupError:
            os.tcsetpgrp(self._terminal, os.getpgrp())
        except OSError:
            return  # the terminal is gone, or the group belongs to somebody else


def _in_foreground(stream: int) -> bool:
    return os.isatty(stream) and os.tcgetpgrp(stream) == os.getpgrp()
