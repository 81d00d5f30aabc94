"""Load that must succeed: whatever is sent arrives, whole, unaltered and in order."""

from __future__ import annotations

import asyncio
import hashlib

from soak_client import Operation, Refused, Stream, Wrong, final_word, request_bytes
from soak_content import Ended, chunk, content, digest, field, head_of, pieces, take, take_all, take_chunked

_SMALL_BYTES = 1500
_HASH_CHARS = 64


def expect(found: str, wanted: str, what: str) -> None:
    """Compare.

    Raises:
        Wrong: They differ.
    """
    if found != wanted:
        raise Wrong(f"{what}: {found[:100]!r} instead of {wanted[:100]!r}")


async def told_hash(stream: Stream) -> str:
    """Read the hash that the origin reports."""
    return (await _exactly(stream, _HASH_CHARS)).decode("latin-1")


async def _exactly(stream: Stream, size: int) -> bytes:
    try:
        return await stream.reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise Ended(f"{size - len(error.partial)} bytes are missing") from None


async def download(operation: Operation, stream: Stream, size: int) -> None:
    """Ask for content in an open tunnel and compare both hashes."""
    await stream.send(b"DOWN %d %d\n" % (operation.seed, size))
    found = hashlib.sha256()
    await take(stream.reader, size, found)
    expect(found.hexdigest(), await told_hash(stream), "hash of a download")
    expect(found.hexdigest(), digest(operation.seed, size), "content of a download")
    operation.moved.down_bytes += size
    await final_word(stream)


async def bulk_down(operation: Operation) -> None:
    """A tunnel with a large download."""
    async with operation.tunnel() as stream:
        await download(operation, stream, 400_000 + operation.choose(7) * 100_003)


async def bulk_up(operation: Operation) -> None:
    """A tunnel with a large upload."""
    size = 400_000 + operation.choose(7) * 100_003
    async with operation.tunnel() as stream:
        await stream.send(b"UP %d %d\n" % (operation.seed, size))
        await stream.send_content(operation.seed, size)
        expect(await told_hash(stream), digest(operation.seed, size), "hash of an upload")
        operation.moved.up_bytes += size
        await final_word(stream)


async def short_tunnel(operation: Operation) -> None:
    """A tunnel with one small exchange; who ends it first differs."""
    await small_exchange(operation, operation.authority)


async def small_exchange(operation: Operation, authority: str) -> None:
    """Open a tunnel to this authority and have a little content echoed."""
    data = content(operation.seed, 1 + operation.choose(_SMALL_BYTES))
    async with operation.tunnel(authority) as stream:
        await stream.send(b"ECHO 0 0\n" + data)
        expect((await _exactly(stream, len(data))).hex(), data.hex(), "echo")
        operation.moved.up_bytes += len(data)
        operation.moved.down_bytes += len(data)
        if operation.choose(2):
            stream.end()
            await final_word(stream)


async def half_closed(operation: Operation) -> None:
    """FIN from the client first: the answer comes behind it."""
    seed, size = operation.seed, 100_000
    async with operation.tunnel() as stream:
        await stream.send(b"TELL %d %d\n" % (seed, size))
        await stream.send_content(seed, size)
        stream.end()
        expect(await told_hash(stream), digest(seed, size), "hash of an upload before FIN")
        found = hashlib.sha256()
        await take(stream.reader, size, found)
        expect(found.hexdigest(), digest(seed, size), "download after FIN")
        operation.moved.up_bytes += size
        operation.moved.down_bytes += size
        await final_word(stream)


async def half_closed_by_origin(operation: Operation) -> None:
    """FIN from the origin first: what is sent behind it arrives; the origin is asked later."""
    seed, size = operation.seed, 100_000
    async with operation.tunnel() as stream:
        await stream.send(b"FIRST %d %d\n" % (seed, size))
        found = hashlib.sha256()
        await take_all(stream.reader, found)
        expect(found.hexdigest(), digest(seed, size), "download before FIN")
        await stream.send_content(seed, size)
        stream.end()
    wanted, told = digest(seed, size), ""
    for _ in range(20):
        async with operation.tunnel() as stream:
            await stream.send(b"ASK %d 0\n" % seed)
            told = (await stream.reader.read()).decode("latin-1")
        if told != "nothing":
            break
        await asyncio.sleep(0.5)
    expect(told, wanted, "hash of an upload after FIN")
    operation.moved.up_bytes += size
    operation.moved.down_bytes += size


async def slow_reader(operation: Operation) -> None:
    """A download into a small buffer, read at leisure."""
    size = 300_000
    async with operation.tunnel(receive_buffer_bytes=8192) as stream:
        await stream.send(b"DOWN %d %d\n" % (operation.seed, size))
        found, left = hashlib.sha256(), size
        while left:
            data = await stream.reader.read(min(4096, left))
            if not data:
                raise Ended(f"{left} bytes are missing")
            found.update(data)
            left -= len(data)
            await asyncio.sleep(0.05)
        expect(found.hexdigest(), await told_hash(stream), "hash of a slow download")
        operation.moved.down_bytes += size
        await final_word(stream)


async def keep_alive_gets(operation: Operation) -> None:
    """GETs of every framing, some pipelined, on as few connections as the gate lets it be."""
    asked = [
        (("length", "chunked")[number % 2], operation.seed * 100 + number, _SMALL_BYTES * (number % 12))
        for number in range(16)
    ]
    while asked:
        async with operation.connection() as stream:
            kept = True
            while asked and kept:
                some = asked[: 2 if len(asked) % 4 == 0 else 1]
                for kind, seed, size in some:
                    await stream.send(request_bytes("GET", operation.authority, f"/{kind}/{seed}/{size}"))
                for _, seed, size in some:
                    kept = await _response(operation, stream, seed, size)
                    del asked[0]
                    if not kept:
                        break
    async with operation.connection() as stream:
        await stream.send(request_bytes("GET", operation.authority, f"/close/{operation.seed}/40000"))
        await _response(operation, stream, operation.seed, 40_000)


async def _response(operation: Operation, stream: Stream, seed: int, size: int) -> bool:
    """Read one response and compare its content; say whether the connection is kept."""
    head = await head_of(stream.reader)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise Refused(head)
    found = hashlib.sha256()
    if length := field(head, "content-length"):
        expect(length, str(size), "content-length")
        await take(stream.reader, size, found)
    elif field(head, "transfer-encoding") == "chunked":
        expect(str(await take_chunked(stream.reader, found)), str(size), "size of a chunked response")
    else:
        expect(str(await take_all(stream.reader, found)), str(size), "size of a response until close")
    expect(found.hexdigest(), digest(seed, size), "content of a response")
    operation.moved.down_bytes += size
    return field(head, "connection") != "close"


async def chunked_uploads(operation: Operation) -> None:
    """Three uploads, the middle one not chunked, on as few connections as the gate lets it be."""
    turns = list(range(3))
    while turns:
        async with operation.connection() as stream:
            while turns and await _upload(operation, stream, turns.pop(0)):
                pass


async def _upload(operation: Operation, stream: Stream, number: int) -> bool:
    """Send one; say whether the connection is kept."""
    seed, size = operation.seed * 100 + number, 20_000 + 30_011 * number
    is_chunked = number != 1
    framing = "Transfer-Encoding: chunked\r\n" if is_chunked else f"Content-Length: {size}\r\n"
    await stream.send(request_bytes("POST", operation.authority, "/sum/0/0", framing))
    for piece in pieces(seed, size):
        await stream.send(chunk(piece) if is_chunked else piece)
    if is_chunked:
        await stream.send(chunk(b""))
    head = await head_of(stream.reader)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise Refused(head)
    expect(await told_hash(stream), digest(seed, size), "hash of a POST")
    operation.moved.up_bytes += size
    return field(head, "connection") != "close"


async def websocket(operation: Operation) -> None:
    """An upgrade, then bytes both ways, then FIN."""
    fields = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    async with operation.connection() as stream:
        await stream.send(request_bytes("GET", operation.authority, "/socket/0/0", fields))
        head = await head_of(stream.reader)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Refused(head)
        for number in range(5):
            data = content(operation.seed + number, 700 * number + 1)
            await stream.send(data)
            expect((await _exactly(stream, len(data))).hex(), data.hex(), "echo behind 101")
            operation.moved.up_bytes += len(data)
            operation.moved.down_bytes += len(data)
        stream.end()
        await final_word(stream)
