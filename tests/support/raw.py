"""Bytes as they are, to and from a listener."""

from __future__ import annotations

import asyncio

from .wait import DEADLINE_S


async def raw(where: str, sent: bytes, *, until: bytes = b"") -> bytes:
    """Send bytes to a path or ``ip:port`` and read until these come, or the other side ends."""
    if where.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(where)
    else:
        host, _, port = where.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        async with asyncio.timeout(DEADLINE_S):
            return await (reader.readuntil(until) if until else reader.read())
    finally:
        writer.close()
