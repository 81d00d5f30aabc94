"""systemd's readiness protocol: one datagram to ``$NOTIFY_SOCKET``."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


def notify(state: str, environment: Mapping[str, str]) -> bool:
    """Tell the service manager a state such as ``READY=1``; ``False`` where none asked for it.

    A manager that does not listen any more is no reason to fail.

    Source: sd_notify(3): a leading ``@`` means the abstract namespace.
    """
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        sock.send(state.encode())
        return True
    return False
