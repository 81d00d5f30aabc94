"""Runs a gateway until it is told to stop.

The first SIGTERM or SIGINT closes the listeners and lets open connections finish
within ``drain_s``; a second one ends them. SIGHUP opens the log file anew and reads
the configuration again. When another process has taken over, this one ends with its
last connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from jobgate.config.settings import Settings
from jobgate.proxy.gate import Gate
from jobgate.proxy.journal import Journal

from .alone import Alone, UpgradeError, followed
from .draining import drain, outlive
from .inherited import Inherited
from .listeners import ListenError
from .registry import Registry
from .store import Store
from .stored import StoreError
from .workers import WorkerError, make_gate

#: How often counters are written and the configuration file is looked at.
TICK_S = 1.0


class Surroundings(Protocol):
    """Whoever runs a service, and is told how it is."""

    def ready(self, listen: Mapping[str, str], besides: Mapping[str, object]) -> None:
        """Every listener accepts; job to where it listens, and where the gateway itself does."""

    def reloading(self) -> None:
        """The configuration is being read again."""

    def reloaded(self) -> None:
        """That is over, whether anything has changed or not."""

    def stopping(self) -> None:
        """No connection is accepted any more."""

    def over(self) -> None:
        """Nothing is left to do; what signals do from now on is set here."""

    def problem(self, text: str) -> None:
        """Something does not work, and the service goes on without."""

    def reopen_log(self) -> None:
        """The log file may have been moved away."""


class Service(NamedTuple):
    """What is served.

    Attributes:
        settings: What the gate enforces, and its jobs.
        config_path: Where they are read again; ``""``: they stay as they are.
        watch: A changed file is read without being asked to.
        gateway: Jobs come and go: there is state, control API, metrics. A sidecar has none of that.
        take_over: Follow the process that serves, if there is one.
        activated: Listening sockets of the service manager.
        log: Where the log is written; workers write there, too.
        loop: ``uvloop`` or ``asyncio``: what workers run.
    """

    settings: Settings
    config_path: str = ""
    watch: bool = False
    gateway: bool = False
    take_over: bool = False
    activated: Sequence[Inherited] = ()
    log: str = "-"
    loop: str = "uvloop"


class Stop:
    """What has happened so far that ends the service, each an event.

    Attributes:
        over: No connection is accepted any more.
        requested: A signal said stop.
        insisted: A second one did.
    """

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.requested = asyncio.Event()
        self.insisted = asyncio.Event()

    def on_signal(self) -> None:
        """Count a request to stop."""
        (self.insisted if self.requested.is_set() else self.requested).set()
        self.over.set()


async def serve(service: Service, surroundings: Surroundings, journal: Journal) -> None:
    """Serve until a signal says stop, then drain; or until another process serves and nothing is left here.

    Raises:
        ListenError: A listener cannot be opened.
        StoreError: The state file cannot be used.
        UpgradeError: The process that serves does not let this one take over.
        WorkerError: A worker does not start.
    """
    stop, reload = Stop(), asyncio.Event()
    settings = service.settings
    workers = settings.listen.workers if service.gateway else 1
    gate = make_gate(settings, journal, workers=workers, log=service.log, loop=service.loop)
    store = Store(settings.state.path if service.gateway else "")
    registry = Registry(gate, store, settings, config_path=service.config_path, journal=journal)

    def reopen_log() -> None:
        surroundings.reopen_log()
        gate.reopen_log()

    succession = (
        followed(gate, registry, service.config_path, reopen_log) if service.gateway else Alone(reopen_log)
    )

    def on_hangup() -> None:
        succession.on_hangup()
        reload.set()

    async with contextlib.AsyncExitStack() as stack:
        # Outermost: a signal that comes again must not cut the last counters off.
        stack.enter_context(
            signal_handlers(
                {signal.SIGTERM: stop.on_signal, signal.SIGINT: stop.on_signal, signal.SIGHUP: on_hangup},
                surroundings.over,
            )
        )
        stack.push_async_callback(registry.close)
        stack.push_async_callback(succession.close)
        besides = await stack.enter_async_context(contextlib.AsyncExitStack())
        places = await begin(service, surroundings, gate, registry, succession, besides)
        await stack.enter_async_context(background(write_counters(registry)))
        async with contextlib.AsyncExitStack() as until_over:
            for work in reloading(service, registry, surroundings, reload):
                await until_over.enter_async_context(background(work))
            surroundings.ready(
                registry.roster.listening(), {**places, "max_connections": gate.max_connections}
            )
            await succession.confirm()
            await until_over.enter_async_context(background(succession.wait(stop.over.set)))
            await stop.over.wait()
        if succession.successor is None:
            surroundings.stopping()
            registry.roster.remove_paths()
        else:
            await besides.aclose()
            await stack.enter_async_context(background(succession.follow()))
            await outlive(gate, registry.settings.timeouts.upgrade_drain_s, stop.requested)
        drain_s = registry.settings.timeouts.drain_s if stop.requested.is_set() else 0.0
        await drain(gate, drain_s, stop.insisted)


async def begin(
    service: Service,
    surroundings: Surroundings,
    gate: Gate,
    registry: Registry,
    succession: Alone,
    besides: contextlib.AsyncExitStack,
) -> Mapping[str, object]:
    """Serve everything, or nothing; say where the gateway listens besides its jobs.

    Raises:
        ListenError, StoreError, UpgradeError, WorkerError: As ``serve``.
    """
    try:
        pids = await gate.start()
        await succession.meet(service.activated, take_over=service.take_over)
        await registry.start(succession.inheritance, succession.known)
        places: Mapping[str, object] = {}
        if service.gateway:
            from .control import own_sockets, serving

            listen = service.settings.listen
            with own_sockets(listen, surroundings.problem, succession.inheritance) as sockets:
                places = sockets.places()
                succession.add(sockets)
                await besides.enter_async_context(serving(sockets, listen, gate, registry))
        if pids:
            places = {**places, "workers": pids}
        await gate.settled()
        await succession.begin()
    except (ListenError, StoreError, UpgradeError, WorkerError):
        succession.give_up()
        registry.roster.remove_paths()
        await gate.close()
        raise
    for where in succession.inheritance.discard():
        surroundings.problem(f"nobody listens on {where} any more: the configuration does not name it")
    return places


async def write_counters(registry: Registry) -> None:
    """Write counters once a second: so much may be lost by a kill."""
    while True:
        await asyncio.sleep(TICK_S)
        await registry.write_counters()


def reloading(
    service: Service, registry: Registry, surroundings: Surroundings, asked: asyncio.Event
) -> Iterator[Coroutine[object, object, None]]:
    """What has to run so that the configuration is read again, where there is one."""
    if service.config_path:
        yield reload_when_asked(registry, surroundings, asked)
        if service.watch:
            yield watch(service.config_path, asked)


async def reload_when_asked(registry: Registry, surroundings: Surroundings, asked: asyncio.Event) -> None:
    """Reload each time the event is set; a file that is wrong changes nothing."""
    from jobgate.config.load import ConfigError

    while True:
        await asked.wait()
        asked.clear()
        surroundings.reloading()
        try:
            await registry.reload()
        except (ConfigError, StoreError) as error:
            surroundings.problem(f"not reloaded, all stays as it was:\n{error}")
        finally:
            surroundings.reloaded()


async def watch(path: str, changed: asyncio.Event) -> None:
    """Set the event when the file has changed and stands still."""
    from .reload import SettledFile

    file = SettledFile(path)
    while True:
        await asyncio.sleep(TICK_S)
        if file.look():
            changed.set()


@contextlib.asynccontextmanager
async def background(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run a coroutine beside the block; a defect of it is told at once and ends nothing else."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler({"message": "a part of the service failed", "exception": error})

    task.add_done_callback(done)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@contextlib.contextmanager
def signal_handlers(
    handlers: Mapping[signal.Signals, Callable[[], None]], over: Callable[[], None]
) -> Iterator[None]:
    """Have the running loop call these on signals, inside the block; then what was before them holds.

    Not ``loop.add_signal_handler``: taking that away sets the default, which ends the process, until
    somebody sets another one.

    Args:
        over: Called at the end; a handler that it sets follows ours without a moment between, and stays.
    """
    loop = asyncio.get_running_loop()
    ours = {
        number: lambda *_, call=call: loop.call_soon_threadsafe(call) for number, call in handlers.items()
    }
    before = {number: signal.signal(number, handler) for number, handler in ours.items()}
    try:
        yield
    finally:
        over()
        for number, handler in ours.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, before[number])
