from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jobgate.integrations.docker import holder


@pytest.fixture
def launcher() -> Iterator[socket.socket]:
    with (
        TemporaryDirectory(prefix="jobgate-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        listener.bind(str(Path(folder, "s")))
        listener.listen(1)
        listener.settimeout(10)
        yield listener


@pytest.mark.parametrize(("open_", "word"), [(True, b"vsock"), (False, b"ready")])
def test_holder_hands_its_socket_over_and_ends_with_the_launcher(
    launcher: socket.socket, monkeypatch: pytest.MonkeyPatch, open_: bool, word: bytes
) -> None:
    monkeypatch.setattr(holder, "vsock_leads_out", lambda: open_)
    thread = threading.Thread(target=holder.hold, args=(launcher.getsockname(), "127.0.0.1", 0))
    thread.start()
    control, _ = launcher.accept()
    message, descriptors, _, _ = socket.recv_fds(control, 64, 1)
    with control, socket.socket(fileno=descriptors[0]) as proxy:
        assert message == word
        assert proxy.getsockname()[0] == "127.0.0.1"
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()


class FakeSocket:
    """Fails to connect with a given error."""

    error = 0

    def __init__(self, family: int, kind: int) -> None:
        pass

    def __enter__(self) -> FakeSocket:
        return self

    def __exit__(self, *ignored: object) -> None:
        pass

    def setblocking(self, blocking: bool) -> None:
        pass

    def connect(self, address: tuple[int, int]) -> None:
        if self.error:
            raise OSError(self.error, "")


@pytest.mark.parametrize(
    ("number", "leads_out"),
    [
        (0, True),
        (errno.EINPROGRESS, True),
        (errno.ECONNRESET, True),
        (errno.ENODEV, False),
        (errno.EPERM, False),
        (errno.EAFNOSUPPORT, False),
    ],
)
def test_hypervisor_counts_as_reached_unless_nothing_is_there(
    monkeypatch: pytest.MonkeyPatch, number: int, leads_out: bool
) -> None:
    monkeypatch.setattr(FakeSocket, "error", number)
    monkeypatch.setattr("socket.socket", FakeSocket)
    assert holder.vsock_leads_out() == leads_out
