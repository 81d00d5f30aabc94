"""Requests and answers: the one place that knows how a gateway is reached."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TypeAlias

import aiohttp
from yarl import URL

from .errors import Unavailable, UnexpectedAnswer
from .reading import error_of

#: A gateway says something on its streams every 15 s.
SILENCE_S = 45.0
#: Of a stream.
MAX_LINE_BYTES = 1 << 20

NOTHING: Mapping[str, str] = {}
Body: TypeAlias = Mapping[str, object] | str | None


class Transport:
    """Sends requests to one gateway, each on a connection of its own.

    On a connection that it keeps, aiohttp sends a request again by itself when that breaks.

    Args:
        control: Path of the socket (also ``unix:/path``), or ``ip:port``.
        token: Of the API; ``None``: none.
        timeout_s: Seconds for each request.
    """

    def __init__(self, control: str, token: str | None, timeout_s: float) -> None:
        self._control = control
        path = control.removeprefix("unix:")
        self._path = path if path.startswith("/") else None
        self._base = "http://localhost" if self._path else f"http://{control}"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._stream_timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=SILENCE_S)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Get ready; nothing is connected yet."""
        connector = (
            aiohttp.TCPConnector(force_close=True)
            if self._path is None
            else aiohttp.UnixConnector(self._path, force_close=True)
        )
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, read_bufsize=MAX_LINE_BYTES
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def json(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] = NOTHING,
    ) -> object:
        """Send a request and read its answer; ``None`` where that has no content.

        Raises:
            GatewayError: As ``request``.
        """
        async with self.request(method, path, body, query=query, headers=headers) as response:
            return None if response.status == HTTPStatus.NO_CONTENT else json.loads(await response.text())

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] = NOTHING,
        stream: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give its answer; every error inside the block is one of ours.

        Args:
            method: Of HTTP.
            path: Escaped as it is to be sent.
            body: A mapping is sent as JSON.
            query: Not escaped yet.
            headers: Further fields.
            stream: The answer has no end; silence ends it.

        Raises:
            GatewayError: The answer is no success, or there is none.
            RuntimeError: It is not open.
        """
        if self._session is None:
            raise RuntimeError('open the client first: "async with Client() as gateway"')
        is_json = isinstance(body, Mapping)
        try:
            async with self._session.request(
                method,
                URL(f"{self._base}{path}", encoded=True).with_query(query),
                data=json.dumps(body) if is_json else body,
                headers={**_JSON, **headers} if is_json else headers,
                timeout=self._stream_timeout if stream else self._timeout,
                allow_redirects=False,
            ) as response:
                if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    raise error_of(response.status, await response.text())
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{self._control}: {_why(error)}") from error
        except ValueError as error:
            raise UnexpectedAnswer(f"{self._control}: the answer is no JSON: {error}") from error


_JSON = {"Content-Type": "application/json"}


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.os_error.strerror or error.os_error}: is the gateway running, and may you connect?"
    return str(error) or "no answer in time"
