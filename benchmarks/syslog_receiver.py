"""Plays the system's logger for a proxy that logs to ``/dev/log``: each datagram becomes a line of a file.

python benchmarks/syslog_receiver.py SOCKET FILE
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

_LARGEST = 1 << 16


def receive(place: Path, file: Path) -> None:
    """Write what comes to a socket, for ever."""
    place.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, file.open("wb") as lines:
        sock.bind(str(place))
        while True:
            lines.write(sock.recv(_LARGEST) + b"\n")


if __name__ == "__main__":
    receive(Path(sys.argv[1]), Path(sys.argv[2]))
