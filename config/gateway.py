"""The settings of a gateway around its gate: where it is reached and what it keeps."""

from dataclasses import dataclass
from typing import Annotated

from . import gateway_readers as readers
from .endpoints import Endpoint, UnixPath
from .readers import Reader, integer
from .upstream import DIRECT_NOTHING, DirectHosts, UpstreamProxy

#: Of the service's own directory: systemd makes and removes it (RuntimeDirectory=jobgate).
DEFAULT_CONTROL = UnixPath("/run/jobgate/control.sock")
#: As many as the cores of a large machine.
MAX_WORKERS = 256


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """``[listen]``: where others than single jobs reach the gateway.

    Attributes:
        control: Of the control API; ``None``: there is none. A unix socket, because who may
            open it is then a matter of its mode.
        metrics: Of the page that Prometheus reads; ``None``: there is none.
        proxy: Shared listeners, for the jobs that have none of their own.
        control_token_file: File that holds the bearer token of the API; needed on TCP, where
            everybody on the network can connect.
        control_mode: Mode of the control socket: its owner only.
        workers: Processes that serve the jobs; 1: this one does. One core carries some thousand
            requests a second, and a job is always in one process.
    """

    control: Annotated[Endpoint | UnixPath | None, Reader(readers.read_control)] = DEFAULT_CONTROL
    metrics: Annotated[Endpoint | UnixPath | None, Reader(readers.read_optional_listen)] = None
    proxy: Annotated[tuple[Endpoint | UnixPath, ...], Reader(readers.read_listens)] = ()
    control_token_file: Annotated[str, Reader(readers.read_optional_path)] = ""
    control_mode: Annotated[int, Reader(readers.read_socket_mode)] = 0o600
    workers: Annotated[int, Reader(integer(1, MAX_WORKERS))] = 1


@dataclass(frozen=True, slots=True)
class StateSettings:
    """``[state]``.

    Attributes:
        path: SQLite file of jobs and counters; ``""``: they end with the process.
    """

    path: Annotated[str, Reader(readers.read_optional_path)] = ""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """``[upstream]``.

    Attributes:
        proxy: What all connections to origins go through; ``None``: they are made directly.
        no_proxy: The origins that are reached without it.
    """

    proxy: Annotated[UpstreamProxy | None, Reader(readers.read_upstream)] = None
    no_proxy: Annotated[DirectHosts, Reader(readers.read_direct_hosts)] = DIRECT_NOTHING
