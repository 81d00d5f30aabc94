"""What the launcher and the processes inside the namespaces say to each other.

One pair of connected sockets, one packet per message. From inside: ``ready``
(with the proxy's bound socket, if there is one) or ``failed``, once; later ``stopped``. From
the launcher: ``begin``, once; later signals, a byte each. An end of file means
that the other side is gone.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from signal import Signals

from .errors import SetupError, Step

_READY = b"ready"
_FAILED = b"failed"
_BEGIN = b"begin"
_STOPPED = b"stopped"
_MAX_MESSAGE_BYTES = 256


def connected_pair() -> tuple[socket.socket, socket.socket]:
    """The launcher's end and the other."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_ready(control: socket.socket, proxy: socket.socket | None) -> None:
    """Say that all of the isolation is in place."""
    descriptors = [] if proxy is None else [proxy.fileno()]
    socket.send_fds(control, [_READY], descriptors)


def send_failed(control: socket.socket, error: SetupError) -> None:
    """Say which step the system refused."""
    control.send(b" ".join((_FAILED, str(error.number).encode(), error.step.name.encode())))


def receive_ready(control: socket.socket) -> list[socket.socket]:
    """Wait for ``ready``.

    Returns:
        The bound socket of the proxy, where one was made, else nothing.

    Raises:
        SetupError: A step was refused.
        EOFError: The other side ended without a word.
    """
    message, descriptors, _, _ = socket.recv_fds(control, _MAX_MESSAGE_BYTES, 1)
    if not message:
        raise EOFError
    word, *rest = message.split(b" ")
    if word == _FAILED:
        raise SetupError(Step[rest[1].decode()], int(rest[0]))
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def send_begin(control: socket.socket) -> None:
    """Let the job run."""
    control.send(_BEGIN)


def await_begin(control: socket.socket) -> bool:
    """Whether the job is to run; false if the launcher gave up."""
    return control.recv(_MAX_MESSAGE_BYTES) == _BEGIN


def send_signals(control: socket.socket, numbers: Sequence[Signals]) -> None:
    """Pass signals on to the job; one that is gone needs none."""
    try:
        control.send(bytes(numbers))
    except (BrokenPipeError, ConnectionResetError):
        return


def receive_signals(control: socket.socket) -> list[Signals] | None:
    """Signals for the job; ``None`` when the launcher is gone."""
    message = control.recv(_MAX_MESSAGE_BYTES)
    return [Signals(number) for number in message] or None


def send_stopped(control: socket.socket) -> None:
    """Say that the job has stopped."""
    control.send(_STOPPED)


def receive_stopped(control: socket.socket) -> bool:
    """Whether the job says that it was stopped; false at the end of file."""
    return control.recv(_MAX_MESSAGE_BYTES) == _STOPPED
