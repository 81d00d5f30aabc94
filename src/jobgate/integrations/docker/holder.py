"""The program inside the holder: its text is given to the ``python3`` of the holder's image.

It imports nothing of ours, so that the image may be of any version of jobgate, or of none.
"""

import errno
import socket
import sys

HYPERVISOR, THIS_MACHINE = 2, 1  # vsock(7)
CLOSED = frozenset({errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.ENODEV, errno.EINVAL, errno.ENOSYS})
"""No such socket, or none that leads anywhere."""


def vsock_leads_out() -> bool:
    """Whether sockets of the hypervisor, which no network namespace holds, go somewhere from here."""
    for place in (HYPERVISOR, THIS_MACHINE):
        try:
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
                probe.setblocking(False)
                probe.connect((place, 1))
        except OSError as error:
            if error.errno in CLOSED:
                continue
        return True
    return False


def hold(path: str, address: str, port: int) -> None:
    """Hand a socket bound in this network namespace to the launcher, and stay as long as it does.

    Args:
        path: The launcher's unix socket.
        address: To bind to.
        port: The same.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as launcher:
        launcher.connect(path)
        # No copy stays here: when the launcher is gone, the job is refused at once.
        with socket.socket() as proxy:
            proxy.bind((address, port))
            word = b"vsock" if vsock_leads_out() else b"ready"
            socket.send_fds(launcher, [word], [proxy.fileno()])
        launcher.recv(1)


if __name__ == "__main__":
    hold(sys.argv[1], sys.argv[2], int(sys.argv[3]))
