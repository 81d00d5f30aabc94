"""Serves the control API beside a gate, on the gate's loop (edge).

Connections are few and short, but a TCP port is open to whoever reaches it: their number
is bounded, and one that does not send a request in time is cut.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from jobgate.config.endpoints import Endpoint
from jobgate.gateway.feed import Feed
from jobgate.gateway.listeners import bound_to, remove_path
from jobgate.proxy.listener import Listener

from .access import Guard
from .answers import json_response
from .bodies import MAX_BODY_BYTES
from .context import CONTROL, Control
from .openapi import PATH, document
from .operations import OPERATIONS, Answer, Operation
from .problems import REGISTRY_ERRORS, ApiProblem, problem_of, problem_response

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from jobgate.gateway.registry import Registry
    from jobgate.proxy.gate import Gate

#: Those that one wake-up of the listener accepts may come on top.
MAX_CONNECTIONS = 256
#: For the first request of a connection.
HEAD_S = 10.0
#: A connection without a request is kept this long.
KEEPALIVE_S = 60.0
#: For requests that are under way when the API closes, and for the rest of one that was refused early.
CLOSE_S = 2.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Extension = Callable[[web.Application], None]


async def start(
    registry: Registry,
    gate: Gate,
    sock: socket.socket,
    *,
    token: str | None = None,
    extensions: Iterable[Extension] = (),
    is_public: Callable[[str], bool] = lambda path: False,
) -> ControlServer:
    """Serve until the result is closed; call it once the registry has started.

    Args:
        registry: Where jobs change.
        gate: Its live state, its journal (whose lines are tapped) and its own endpoints.
        sock: Bound and listening; owned by the server from now on.
        token: ``access.read_token`` of ``control_token_file``. Needed on TCP; on a unix socket its mode
            is the guard, and a token one more.
        extensions: Called with the application to add routes of their own: dashboard, metrics. Their
            paths need the token like all others.
        is_public: Paths of theirs that do not.

    Raises:
        ValueError: TCP without a token.
    """
    where = bound_to(sock)
    if token is None and isinstance(where, Endpoint):
        raise ValueError("a control API on TCP needs a token")
    server = ControlServer(registry, gate, sock)
    guard = Guard(
        token,
        is_network=isinstance(where, Endpoint),
        is_public=lambda path: path in _PUBLIC or is_public(path),
    )
    await server.open(guard, extensions)
    return server


class ControlServer:
    """The running API.

    Attributes:
        where: Where it listens.
    """

    def __init__(self, registry: Registry, gate: Gate, sock: socket.socket) -> None:
        self.where = bound_to(sock)
        self._gate = gate
        self._feed = Feed(gate.jobs, gate.follow)
        self._control = Control(registry, gate, self._feed, time.time())
        self._sock: socket.socket | None = sock
        self._loop = asyncio.get_running_loop()
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._unheard: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    async def open(self, guard: Guard, extensions: Iterable[Extension]) -> None:
        """Accept connections."""
        app = web.Application(
            middlewares=[self._answered, _guarded(guard), self._fresh], client_max_size=MAX_BODY_BYTES
        )
        app[CONTROL] = self._control
        for operation in (*OPERATIONS, describing(OPERATIONS)):
            app.router.add_route(operation.method, operation.path, operation.serve)
        for extend in extensions:
            extend(app)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=CLOSE_S,
            shutdown_timeout=CLOSE_S,
        )
        await self._runner.setup()
        self._gate.journal.taps.append(self._feed.tap)
        if isinstance(self.where, Endpoint):
            self._gate.own.add(str(self.where.address), self.where.port)
        if self._sock is not None:
            self._listener = Listener(self._sock, self._accepted)

    def detach(self) -> socket.socket:
        """Stop accepting and give the listening socket away, open, to whoever serves next.

        Raises:
            RuntimeError: It is closed.
        """
        if self._listener is None:
            raise RuntimeError("the control API does not listen")
        self._sock, listener = None, self._listener
        self._listener = None
        return listener.detach()

    async def close(self) -> None:
        """Stop: requests under way have a moment to end, streams end at once."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            if not self._gate.retiring:
                remove_path(self.where)
        if self._feed.tap in self._gate.journal.taps:
            self._gate.journal.taps.remove(self._feed.tap)
        self._feed.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            if isinstance(self.where, Endpoint):
                self._gate.own.discard(str(self.where.address), self.where.port)
        for transport, timer in self._unheard.items():
            timer.cancel()
            transport.close()
        self._unheard.clear()

    # --- inside -----------------------------------------------------------------------

    def _accepted(self, sock: socket.socket, _: str) -> None:
        server = None if self._runner is None else self._runner.server
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            sock.close()
            return
        task = self._loop.create_task(self._serve(server, sock))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _serve(self, server: web.Server, sock: socket.socket) -> None:
        transport, _ = await self._loop.connect_accepted_socket(server, sock)
        self._unheard[transport] = self._loop.call_later(HEAD_S, self._cut, transport)

    def _cut(self, transport: asyncio.Transport) -> None:
        del self._unheard[transport]
        transport.abort()

    @web.middleware
    async def _fresh(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer questions with the counters of now, wherever they are counted."""
        if request.method == "GET" and request.path.startswith("/v1/"):
            await self._gate.refresh()
        return await handler(request)

    @web.middleware
    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn every refusal into an answer of one form."""
        if request.transport is not None:
            timer = self._unheard.pop(request.transport, None)
            if timer is not None:
                timer.cancel()
        try:
            return await handler(request)
        except (ApiProblem, web.HTTPException, *REGISTRY_ERRORS) as error:
            if isinstance(error, web.HTTPException) and error.status < HTTPStatus.BAD_REQUEST:
                raise
            response = problem_response(problem_of(error))
            if response.status == HTTPStatus.UNAUTHORIZED:
                response.force_close()  # a stranger has one try, and starts anew
            return response


def _guarded(guard: Guard) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        guard.check(request.method, request.path, request.headers)
        return await handler(request)

    return guarded


def describing(operations: Iterable[Operation]) -> Operation:
    """Make the operation that describes the others, and itself."""

    async def describe(_: web.Request) -> web.Response:
        return json_response(described)

    operation = Operation(
        "GET",
        PATH,
        "get_openapi",
        describe,
        "Show this document.",
        {HTTPStatus.OK: Answer("An OpenAPI document.", "Document")},
    )
    described = document([*operations, operation])
    return operation


_PUBLIC = frozenset(operation.path for operation in OPERATIONS if operation.is_public)
