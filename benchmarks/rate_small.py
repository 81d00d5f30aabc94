"""Small requests through a proxy, each with a connection of its own: CONNECT, TLS handshake, GET of 10 kB.

    python rate_small.py origin PORT CERTIFICATE                      until killed; key and chain in one file
    python rate_small.py client PROXY_HOST PORT NAME ORIGIN_PORT CERTIFICATE PLAN

PLAN is START_S COUNT EVERY_S DEADLINE_S: after START_S seconds the client starts one request every
EVERY_S seconds, whether the one before has ended or not, and prints how many seconds each took as
JSON; ``null``: not within DEADLINE_S.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from dataclasses import dataclass

SMALL_BYTES = 10_000
_REQUEST = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
_ANSWER = f"HTTP/1.1 200 OK\r\nContent-Length: {SMALL_BYTES}\r\n\r\n".encode() + bytes(SMALL_BYTES)


@dataclass(frozen=True, slots=True)
class Plan:
    """When the client sends what."""

    start_s: float
    count: int
    every_s: float
    deadline_s: float

    @property
    def ends_after_s(self) -> float:
        """When the last request is sent."""
        return self.start_s + self.count * self.every_s

    def arguments(self) -> list[str]:
        """Return the last arguments of the client."""
        return [str(self.start_s), str(self.count), str(self.every_s), str(self.deadline_s)]


async def serve(port: int, certificate: str) -> None:
    """Answer every request on a port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(_answer, "", port, ssl=context)
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass  # the client has given up
    finally:
        writer.close()


async def ask(proxy: tuple[str, int], authority: str, certificate: str, plan: Plan) -> list[float | None]:
    """Send the requests; return the seconds of each."""
    await asyncio.sleep(plan.start_s)
    context = ssl.create_default_context(cafile=certificate)
    asked: list[asyncio.Task[float | None]] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.count):
            asked.append(group.create_task(_timed(proxy, authority, context, plan.deadline_s)))
            await asyncio.sleep(plan.every_s)
    return [task.result() for task in asked]


async def _timed(
    proxy: tuple[str, int], authority: str, context: ssl.SSLContext, deadline_s: float
) -> float | None:
    started = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s):
            await _ask(proxy, authority, context)
    except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        print(f"a small request failed: {error!r}", file=sys.stderr)
        return None
    return time.monotonic() - started


async def _ask(proxy: tuple[str, int], authority: str, context: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection(*proxy)
    try:
        writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise OSError(f"no tunnel: {head!r}")
        await writer.start_tls(context, server_hostname=authority.partition(":")[0])
        writer.write(_REQUEST)
        await reader.readexactly(len(_ANSWER))
    finally:
        writer.transport.abort()


def main(arguments: list[str]) -> None:
    """Be the origin or the client."""
    if arguments[0] == "origin":
        asyncio.run(serve(int(arguments[1]), arguments[2]))
        return
    host, port, name, origin_port, certificate, start_s, count, every_s, deadline_s = arguments[1:]
    plan = Plan(float(start_s), int(count), float(every_s), float(deadline_s))
    took = asyncio.run(ask((host, int(port)), f"{name}:{origin_port}", certificate, plan))
    print(json.dumps(took))


if __name__ == "__main__":
    main(sys.argv[1:])
