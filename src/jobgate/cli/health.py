"""``jobgate health``: is a gate there, and does it take requests?

Standard library only and no configuration: a container runs it every few seconds.
"""

from __future__ import annotations

import socket

import click

PROBE = b"GET / HTTP/1.1\r\nHost: jobgate\r\nConnection: close\r\n\r\n"
"""A request to the proxy itself: never valid, so every working gate refuses it at once."""

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  what a listener may say, never dialled
MAX_HEAD_BYTES = 16384


def connect(address: str, timeout_s: float) -> socket.socket:
    """A connection to ``ip:port`` or ``unix:/path``; a wildcard listener is asked over loopback.

    Raises:
        click.UsageError: The address has no port.
        OSError: Nobody answers there.
    """
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        sock.connect(address.removeprefix("unix:"))
        return sock
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError(f'"{address}": write ADDRESS:PORT or unix:/path')
    host = ANY_ADDRESS.get(host, host)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)


def probe(address: str, timeout_s: float) -> str:
    """Why the gate is not healthy; empty if it is."""
    try:
        with connect(address, timeout_s) as sock:
            sock.sendall(PROBE)
            head = read_head(sock)
    except OSError as error:
        return error.strerror or str(error)
    return judge(head)


def read_head(sock: socket.socket) -> bytes:
    """What comes up to the blank line, the end of the stream or the limit."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
        piece = sock.recv(4096)
        if not piece:
            break
        head += piece
    return head


def judge(head: bytes) -> str:
    """Why this answer to ``PROBE`` is not that of a gate at work; empty if it is."""
    status, *fields = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    reasons = [
        line.partition(b":")[2].strip() for line in fields if line[:17].lower() == b"x-jobgate-reason:"
    ]
    if not reasons:
        return "no jobgate answers there"
    if status.split(b" ")[1:2] != [b"400"]:
        return f"refuses requests ({reasons[0].decode('ascii', 'replace')})"
    return ""


@click.command(epilog="Example: jobgate health 127.0.0.1:3128")
@click.argument("address", default="127.0.0.1:3128", envvar="JOBGATE_LISTEN", metavar="[ADDRESS]")
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=2.0,
    show_default=True,
    envvar="JOBGATE_TIMEOUT",
    help="Seconds.",
)
def command(address: str, timeout_s: float) -> None:
    """Ask the gate at ADDRESS (ip:port or unix:/path) whether it answers; exit 0 or 1.

    ADDRESS defaults to $JOBGATE_LISTEN, else 127.0.0.1:3128.
    """
    problem = probe(address, timeout_s)
    if problem:
        raise click.ClickException(f"{address}: {problem}")
