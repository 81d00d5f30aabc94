"""Where a listener is bound and where a name server answers."""

from __future__ import annotations

from typing import NamedTuple

from .host import Address, host_text, parse_address, parse_port

#: ``sun_path`` of Linux is 108 bytes with its final NUL (unix(7)).
MAX_UNIX_PATH_BYTES = 107


class Endpoint(NamedTuple):
    """An IP address and a port; in a listener, port 0 means any free one."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"{host_text(self.address)}:{self.port}"


class UnixPath(NamedTuple):
    """The path of a Unix-domain socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse_listen(text: str) -> Endpoint | UnixPath:
    """Read where to listen: ``127.0.0.1:3128``, ``[::1]:0``, ``unix:/run/job.sock``.

    Raises:
        ValueError: A host name, a missing port, a relative or overlong path.
    """
    if text.startswith("unix:"):
        return _parse_unix(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        raise ValueError('write "127.0.0.1:3128", "[::1]:3128" or "unix:/path"')
    return Endpoint(parse_address(host), 0 if port == "0" else parse_port(port.encode()))


def parse_server(text: str, default_port: int) -> Endpoint:
    """Read a server's address, with or without a port: ``192.0.2.53``, ``[::1]:5353``.

    Raises:
        ValueError: Not an address, or not a port.
    """
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return Endpoint(parse_address(text), default_port)
    return Endpoint(parse_address(host), parse_port(port.encode()))


def _parse_unix(path: str) -> UnixPath:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError('a socket path is absolute and printable: write "unix:/run/job.sock"')
    size = len(path.encode())
    if size > MAX_UNIX_PATH_BYTES:
        raise ValueError(f"a socket path has at most {MAX_UNIX_PATH_BYTES} bytes, got {size}")
    return UnixPath(path)
