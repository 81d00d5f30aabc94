from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from jobgate.client.values import Event
from jobgate.gateway.api import stream
from jobgate.gateway.api.stream import encode
from jobgate.gateway.feed import MAX_FOLLOWERS, PENDING_LINES, News
from support.control import Control, control_api
from support.registry import DOCUMENT, status
from support.wait import DEADLINE_S, until


@pytest.mark.parametrize(
    ("news", "text"),
    [
        (News([], 0), b": still here\n\n"),
        (News([("close", b'{"a":1}')], 0), b'event: close\ndata: {"a":1}\n\n'),
        (
            News([("decision", b"{}"), ("close", b"{}")], 7),
            b'event: lost\ndata: {"v":1,"event":"lost","lines":7}\n\n'
            b"event: decision\ndata: {}\n\nevent: close\ndata: {}\n\n",
        ),
    ],
    ids=["silence", "one", "lost"],
)
def test_encode(news: News, text: bytes) -> None:
    assert encode(news) == text


async def followed(api: Control, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw stream behind its head and its first comment."""
    reader, writer = await asyncio.open_unix_connection(api.control)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"written\n\n"), DEADLINE_S)
    assert b"Content-Type: text/event-stream\r\n" in head
    assert b"Connection: close\r\n" in head
    return reader, writer


async def test_stream_of_all_has_every_line_in_order(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:

        async def follow() -> list[Event]:
            return [event async for event in api.client.events()]

        following = asyncio.create_task(follow())
        await until(lambda: len(api.server._feed._followers) == 1)
        view, _ = await api.world.registry.put("a", DOCUMENT)
        assert await status(view.listen, "b.test:443") == 403
        await api.world.registry.remove("a")
        await api.server.close()
        found = await asyncio.wait_for(following, DEADLINE_S)
        assert [event.name for event in found] == ["policy", "decision", "close", "policy"]
        assert [event.line.get("action") for event in found] == ["add", None, None, "remove"]
        assert {event.line["job"] for event in found} == {"a"}


@pytest.mark.parametrize("path", ["/v1/jobs/a/events", "/v1/events?job=a"])
async def test_stream_of_a_job_has_nothing_of_others(path: str, tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        for job_id in ("a", "b"):
            await api.world.registry.put(job_id, DOCUMENT)
        reader, writer = await followed(api, path)
        for job_id in ("b", "a"):
            assert await status(api.world.registry.get(job_id).listen, "x.test:443") == 403
        text = await asyncio.wait_for(reader.readuntil(b'"event":"close"'), DEADLINE_S)
        assert b'"job":"a"' in text
        assert b'"job":"b"' not in text
        writer.close()


async def test_stream_of_no_job_is_not_found(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        assert (await api.call("GET", "/v1/jobs/nope/events")).reason == "unknown-job"


async def test_silence_is_filled_with_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEEP_ALIVE_S", 0.001)
    async with control_api(tmp_path) as api:
        reader, writer = await followed(api, "/v1/events")
        for _ in range(2):
            await asyncio.wait_for(reader.readuntil(b": still here\n\n"), DEADLINE_S)
        writer.close()
        await until(lambda: not api.server._feed._followers)


async def test_streams_are_bounded(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        held = [await followed(api, "/v1/events") for _ in range(MAX_FOLLOWERS)]
        reply = await api.call("GET", "/v1/events")
        assert (reply.status, reply.reason, reply.headers["Retry-After"]) == (503, "streams", "10")
        for _, writer in held:
            writer.close()


async def test_streams_end_with_the_gateway(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        reader, writer = await followed(api, "/v1/events")
        await api.server.close()
        rest = await asyncio.wait_for(reader.read(), DEADLINE_S)
        assert rest.endswith(b"\r\n0\r\n\r\n")
        writer.close()


async def test_follower_that_takes_nothing_loses_lines_and_then_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PATIENCE_S", 0.05)
    line = b'{"v":1,"ts":"","event":"decision","pad":"%b"}' % (b"x" * 400)
    async with control_api(tmp_path) as api:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(api.control)
            client.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: len(api.server._feed._followers) == 1)
            (follower,) = api.server._feed._followers
            for _ in range(3 * PENDING_LINES):
                api.server._feed.tap("", line)
            assert len(follower._pending) == PENDING_LINES

            def flooded() -> bool:
                for _ in range(PENDING_LINES):
                    api.server._feed.tap("", line)
                return not api.server._feed._followers

            await until(flooded)
