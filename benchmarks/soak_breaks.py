"""Load that must fail, and how: refusals, names that lead nowhere, connections that break.

A reset that the link loses is not sent again (RFC 9293 §3.10.7): whoever only reads
then hears nothing. Such silence is told apart, and the report bounds its share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from soak_client import Broken, Operation, Refused, Stream, Wrong, connect_bytes, request_bytes
from soak_content import Ended, content, digest, head_of, is_beginning
from soak_origin import RESET_PORT
from soak_transfers import download, expect, small_exchange, told_hash

SILENT = "silent"
_SILENCE_S = 15.0
_BIG_BYTES = 600_000

Refusal = tuple[Callable[[Operation], bytes], int, str]


def _plain(
    word: str, method: str = "GET", fields: str = "", port: int = 9000
) -> Callable[[Operation], bytes]:
    return lambda operation: request_bytes(method, operation.authority_of(word, port), "/length/1/1", fields)


def _tunnel(authority: str) -> Callable[[Operation], bytes]:
    return lambda operation: connect_bytes(authority)


_TWO_FRAMINGS = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"
REFUSALS: list[Refusal] = [
    (_tunnel("outside.test:9000"), 403, "not-listed"),
    (_tunnel("198.51.100.2:9000"), 403, "not-listed"),
    (_tunnel("good-1.soak.test:9001"), 403, "port"),
    (_tunnel("2130706433:9000"), 400, "bad-request"),
    (_plain("denied"), 403, "denied"),
    (_plain("good-1", "TRACE"), 405, "method"),
    (_plain("good-1", "POST", _TWO_FRAMINGS), 400, "bad-request"),
    (_plain("good-1", "GET", "X: 1\x00\r\n"), 400, "bad-request"),
    (_plain("gate-1", port=3101), 403, "self"),
    (lambda operation: b"GET / HTTP/1.1\r\nHost: good-1.soak.test\r\n\r\n", 400, "bad-request"),
    (lambda operation: b"GET http://good-1.soak.test:9000/" + b"a" * 20_000, 414, "target-too-long"),
]
NAMES: list[tuple[str, int, str]] = [
    ("nx", 502, "dns-nxdomain"),
    ("servfail", 502, "dns-failure"),
    ("refused", 502, "dns-failure"),
    ("silent", 504, "dns-timeout"),
    ("private", 403, "address"),
    ("metadata", 403, "address"),
    ("mixed", 200, ""),
    ("cut", 200, ""),
    ("deaf", 200, ""),
]


async def _expect_refusal(operation: Operation, data: bytes, status: int, reason: str) -> None:
    async with operation.connection() as stream:
        await stream.send(data)
        refused = Refused(await head_of(stream.reader))
    if refused.reason == "dns-timeout" != reason:  # of names alone; judged where every operation is
        raise refused
    if (refused.status, refused.reason) != (status, reason):
        raise Wrong(f"{refused} instead of {status} {reason} for {data[:80]!r}")
    raise Broken(reason)


async def refused(operation: Operation) -> None:
    """A request that the gate must refuse."""
    make, status, reason = REFUSALS[operation.choose(len(REFUSALS))]
    await _expect_refusal(operation, make(operation), status, reason)


async def names(operation: Operation) -> None:
    """A name that nobody asked for yet."""
    word, status, reason = NAMES[operation.choose(len(NAMES))]
    authority = operation.authority_of(f"{word}-{operation.job.name}-{operation.seed}")
    if status == 200:
        await small_exchange(operation, authority)
    else:
        await _expect_refusal(operation, connect_bytes(authority), status, reason)


async def resets(operation: Operation) -> None:
    """A transfer to the port that is reset now and then: whole, or broken and seen to be."""
    turn = operation.choose(3)
    authority = operation.authority_of(f"good-{operation.seed % 4}", RESET_PORT)
    try:
        async with asyncio.timeout(_SILENCE_S), operation.tunnel(authority) as stream:
            if turn == 0:
                await download(operation, stream, 200_000)
                return
            await stream.send(b"UP %d %d\n" % (operation.seed, 200_000))
            await stream.send_content(operation.seed, 200_000)
            if turn == 1:
                stream.end()
            expect(await told_hash(stream), digest(operation.seed, 200_000), "hash of an upload")
            operation.moved.up_bytes += 200_000
    except Refused as answer:
        if answer.reason not in ("connect-refused", "connect-timeout", "upstream-closed"):
            raise
        raise Broken(answer.reason) from None
    except (OSError, Ended) as error:
        raise Broken(_how(error)) from None


def _how(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return SILENT
    return "reset" if isinstance(error, OSError) else "fin"


# --- connections that break; each says how it ended --------------------------------------

FIN, RESET = "fin", "reset"


async def _end_of(stream: Stream) -> tuple[bytes, str]:
    """Read all that still comes; say how it ended."""
    data = bytearray()
    try:
        async with asyncio.timeout(_SILENCE_S):
            while piece := await stream.reader.read(65536):
                data += piece
    except OSError as error:
        stream.reset()
        return bytes(data), _how(error)
    return bytes(data), FIN


async def client_resets_in_head(operation: Operation) -> str:
    async with operation.connection() as stream:
        await stream.send(connect_bytes(operation.authority)[: 1 + operation.choose(40)])
        stream.reset()
    return RESET


async def client_ends_in_head(operation: Operation) -> str:
    async with operation.connection() as stream:
        await stream.send(connect_bytes(operation.authority)[: 1 + operation.choose(40)])
        stream.end()
        data, how = await _end_of(stream)
    if data:
        raise Wrong(f"half a head was answered with {data[:80]!r}")
    return how


async def client_leaves_behind_head(operation: Operation) -> str:
    async with operation.connection() as stream:
        await stream.send(connect_bytes(operation.authority))
        if operation.choose(2):
            stream.reset()
    return RESET


async def client_resets_open_tunnel(operation: Operation) -> str:
    async with operation.tunnel() as stream:
        if operation.choose(2):
            await stream.send(b"HANG 0 0\n")
        stream.reset()
    return RESET


async def client_leaves_download(operation: Operation) -> str:
    async with operation.tunnel() as stream:
        await stream.send(b"DOWN %d %d\n" % (operation.seed, _BIG_BYTES))
        data = await stream.reader.readexactly(50_000)
        if not is_beginning(data, operation.seed, _BIG_BYTES):
            raise Wrong("a download began wrongly")
        if operation.choose(2):
            stream.reset()
    return RESET


async def client_reads_nothing(operation: Operation) -> str:
    async with operation.tunnel(receive_buffer_bytes=4096) as stream:
        await stream.send(b"DOWN %d %d\n" % (operation.seed, _BIG_BYTES))
        await asyncio.sleep(3.0)
        if operation.choose(2):
            stream.reset()
    return RESET


async def client_resets_upload(operation: Operation) -> str:
    async with operation.tunnel() as stream:
        await stream.send(b"UP %d %d\n" % (operation.seed, _BIG_BYTES))
        await stream.send_content(operation.seed, 50_000)
        stream.reset()
    return RESET


async def client_ends_upload(operation: Operation) -> str:
    """What was sent before an early FIN arrives all the same."""
    async with operation.tunnel() as stream:
        await stream.send(b"UP %d %d\n" % (operation.seed, _BIG_BYTES))
        await stream.send_content(operation.seed, 50_000)
        stream.end()
        expect(await told_hash(stream), digest(operation.seed, 50_000), "hash of half an upload")
    return FIN


async def both_end(operation: Operation) -> str:
    async with operation.tunnel() as stream:
        await stream.send(b"DOWN %d 200\n" % operation.seed)
        stream.end()
        data, how = await _end_of(stream)
    wanted = content(operation.seed, 200) + digest(operation.seed, 200).encode()
    expect(data.hex(), wanted.hex(), "download with both FINs at once")
    return how


async def origin_resets_tunnel(operation: Operation) -> str:
    async with operation.tunnel() as stream:
        await stream.send(b"BREAK %d 100000\n" % operation.seed)
        data, how = await _end_of(stream)
    if not is_beginning(data, operation.seed, 100_000):
        raise Wrong("bytes before a reset were altered")
    if how == FIN:
        raise Wrong("a reset became a FIN")
    return how


async def post_breaks(operation: Operation) -> str:
    chunked = operation.choose(2)
    framing = "Transfer-Encoding: chunked\r\n" if chunked else "Content-Length: 50000\r\n"
    async with operation.connection() as stream:
        await stream.send(request_bytes("POST", operation.authority, "/sum/0/0", framing))
        await stream.send((b"3000\r\n" if chunked else b"") + content(operation.seed, 5000))
        if operation.choose(2):
            stream.reset()
            return RESET
        stream.end()
        data, how = await _end_of(stream)
    if data and not data.startswith(b"HTTP/1.1 400 "):
        raise Wrong(f"half a POST was answered with {data[:80]!r}")
    return how


async def origin_breaks_response(operation: Operation) -> str:
    kind = ("reset", "cut", "half", "unfinished", "drop")[operation.choose(5)]
    async with operation.connection() as stream:
        await stream.send(request_bytes("GET", operation.authority, f"/{kind}/{operation.seed}/20000"))
        if kind in ("half", "drop"):
            data, how = await head_of(stream.reader), FIN
        else:
            data, how = await _end_of(stream)
    if kind in ("half", "drop") and not data.startswith(b"HTTP/1.1 502 "):
        raise Wrong(f"{kind}: {data[:80]!r}")
    if kind == "unfinished" and data.endswith(b"\r\n0\r\n\r\n"):
        raise Wrong("a cut response was completed")
    if kind in ("reset", "cut", "unfinished") and how == FIN and data.startswith(b"HTTP/1.1 200"):
        raise Wrong(f"{kind}: the end of a cut response is a FIN")
    return how


BREAKS: list[Callable[[Operation], Awaitable[str]]] = [
    client_resets_in_head,
    client_ends_in_head,
    client_leaves_behind_head,
    client_resets_open_tunnel,
    client_leaves_download,
    client_reads_nothing,
    client_resets_upload,
    client_ends_upload,
    both_end,
    origin_resets_tunnel,
    post_breaks,
    origin_breaks_response,
]


async def breaks(operation: Operation) -> None:
    """A connection that breaks, each time in another way."""
    turn = BREAKS[operation.choose(len(BREAKS))]
    try:
        how = await turn(operation)
    except (Wrong, OSError, Ended, EOFError) as error:
        raise Wrong(f"{turn.__name__}: {error!r}") from None
    raise Broken(SILENT if how == SILENT else turn.__name__)
