"""What a gateway listens on besides its jobs: shared listeners, control API, metrics (edge).

The two servers need aiohttp, which is loaded here only where one of them is served.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobgate.config.endpoints import Endpoint, UnixPath
from jobgate.config.gateway import DEFAULT_CONTROL, ListenSettings
from jobgate.proxy.gate import Gate

from .inherited import Inheritance
from .listeners import ListenError, bound_to, open_listener, remove_path
from .registry import Registry

if TYPE_CHECKING:
    from .metrics_page import Gather

#: For a scrape that is under way when the gateway ends.
CLOSE_S = 2.0


class Sockets(NamedTuple):
    """Listening sockets.

    Attributes:
        shared: For the jobs that have none of their own.
        control: ``None``: there is no control API.
        metrics: ``None``: there is no page for Prometheus but that below the control API.
    """

    shared: list[socket.socket]
    control: socket.socket | None
    metrics: socket.socket | None

    def places(self) -> dict[str, object]:
        """Say where they are, those that there are, by the keys of the configuration."""
        named = {"control": self.control, "metrics": self.metrics}
        places: dict[str, object] = {
            key: str(bound_to(sock)) for key, sock in named.items() if sock is not None
        }
        if self.shared:
            places["proxy"] = [str(bound_to(sock)) for sock in self.shared]
        return places


@contextmanager
def own_sockets(
    listen: ListenSettings, on_problem: Callable[[str], None], inheritance: Inheritance | None = None
) -> Iterator[Sockets]:
    """Open all of them, or none; an error inside the block closes them again.

    Args:
        listen: Where. The default control socket is for those who may make it; without it
            the gateway serves all the same.
        on_problem: Told why there is none.
        inheritance: Listening sockets that were there before this process.

    Raises:
        ListenError: The first one that cannot be opened.
    """
    inherited = inheritance or Inheritance()
    with ExitStack() as undo:

        def open_at(where: Endpoint | UnixPath, *, mode: int = 0o660) -> socket.socket:
            sock = inherited.take(where)
            if sock is None:
                sock = open_listener(where, mode=mode)
                undo.callback(remove_path, where)
            undo.callback(sock.close)
            return sock

        shared = [open_at(where) for where in listen.proxy]
        metrics = None if listen.metrics is None else open_at(listen.metrics)
        control = None
        if listen.control is not None:
            try:
                control = open_at(_prepared(listen.control), mode=listen.control_mode)
            except ListenError as error:
                if listen.control != DEFAULT_CONTROL:
                    raise
                on_problem(f'no control API: {error}; name another place in [listen] control, or "" for none')
        yield Sockets(shared, control, metrics)
        undo.pop_all()


@asynccontextmanager
async def serving(
    sockets: Sockets, listen: ListenSettings, gate: Gate, registry: Registry
) -> AsyncIterator[None]:
    """Serve them inside the block.

    Raises:
        ListenError: The token of the control API cannot be used.
    """
    for sock in sockets.shared:
        gate.listen(gate.shared, sock)
    async with AsyncExitStack() as stack:
        if sockets.control is not None or sockets.metrics is not None:
            page = stack.enter_context(_measured(gate))
            if sockets.control is not None:
                await stack.enter_async_context(_control(sockets.control, listen, gate, registry, page))
            if sockets.metrics is not None:
                await stack.enter_async_context(_metrics(sockets.metrics, gate, page))
        yield


@contextmanager
def _measured(gate: Gate) -> Iterator[Gather]:
    """Measure the loop inside the block; gives what reads all counters."""
    from .lag import LoopLag
    from .metered import metered
    from .metrics import gather

    lag = LoopLag(time.monotonic, asyncio.get_running_loop().call_later)
    lag.start()
    try:
        yield lambda jobs: gather(*metered(gate, lag), jobs=jobs)
    finally:
        lag.stop()


@asynccontextmanager
async def _control(
    sock: socket.socket, listen: ListenSettings, gate: Gate, registry: Registry, page: Gather
) -> AsyncIterator[None]:
    from . import dashboard
    from .api.access import TokenError, read_token
    from .api.server import start
    from .metrics_page import add_route

    try:
        token = read_token(listen.control_token_file) if listen.control_token_file else None
    except TokenError as error:
        raise ListenError(f"[listen] control_token_file: {error}") from error
    server = await start(
        registry,
        gate,
        sock,
        token=token,
        extensions=[dashboard.add_routes, lambda app: add_route(app, page)],
        is_public=dashboard.is_public,
    )
    try:
        yield
    finally:
        await server.close()


@asynccontextmanager
async def _metrics(sock: socket.socket, gate: Gate, page: Gather) -> AsyncIterator[None]:
    from aiohttp import web

    from .metrics_page import metrics_app

    where = bound_to(sock)
    runner = web.AppRunner(metrics_app(page), access_log=None, shutdown_timeout=CLOSE_S)
    await runner.setup()
    if isinstance(where, Endpoint):
        gate.own.add(str(where.address), where.port)
    await web.SockSite(runner, sock).start()
    try:
        yield
    finally:
        await runner.cleanup()
        if not gate.retiring:
            remove_path(where)


def _prepared(where: Endpoint | UnixPath) -> Endpoint | UnixPath:
    """Make the folder of the default socket, where nobody has made it for us.

    Raises:
        ListenError: It cannot be made.
    """
    if where == DEFAULT_CONTROL:
        folder = Path(DEFAULT_CONTROL.path).parent
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            raise ListenError(f"cannot make {folder}: {error.strerror}") from error
    return where
