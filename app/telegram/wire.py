"""The hot path's HTTP: POST requests with a JSON body over connections that are kept.

aiohttp's client spends 70 us of CPU on such a request, mostly on what the Bot API does not need (cookies,
redirects, tracing, middlewares); asyncio with the parser of Node.js (httptools) spends 13.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from time import monotonic
from typing import cast

import certifi
from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpResponseParser
from yarl import URL

from app.errors import FlotillaError

CONNECT_SECONDS = 10.0
"""How long a connection may take to be made, TLS included."""

IDLE_SECONDS = 15.0
"""Connections unused for longer are not used again: the server may be about to close them."""

NEXT_ADDRESS_SECONDS = 0.25
"""How long one of the server's addresses may be silent before the next is tried beside it (RFC 8305)."""


class NotConnectedError(FlotillaError):
    """No connection could be made: nothing was sent."""


class NoAnswerError(FlotillaError):
    """The request was sent, as a whole or in part, and its answer did not come: it may have taken effect."""


class Wire:
    """The connections to one server; ``url`` is its address and what all paths begin with.

    Its answers must state their length or be chunked, as those of every HTTP/1.1 server do that keeps connections.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._url = URL(url.rstrip("/"))
        if tls is None and self._url.scheme == "https":
            tls = ssl.create_default_context(cafile=certifi.where())  # the authorities that aiogram trusts
        self.tls = tls
        self._head = (
            f" HTTP/1.1\r\nHost: {self._url.host_port_subcomponent}\r\nAccept: */*\r\nUser-Agent: Flotilla\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._idle: deque[_Connection] = deque()

    async def post(self, path: str, body: bytes, patience: float) -> tuple[int, bytes]:
        """Return the status and body of the answer; wait ``patience`` seconds for it.

        ``path`` is percent-encoded already. Raises ``NotConnectedError`` and ``NoAnswerError``.
        """
        connection = self._kept() or await self._open()
        head = f"POST {self._url.raw_path.rstrip('/')}{path}{self._head}{len(body)}\r\n\r\n"
        try:
            answer = await connection.exchange(head.encode("ascii") + body, patience)
        finally:
            if connection.is_reusable:
                connection.since = monotonic()
                self._idle.append(connection)
            else:
                connection.abort()
        return answer

    async def close(self) -> None:
        """Close the connections that are not in use; a request under way closes its own when it is cancelled."""
        while self._idle:
            self._idle.pop().abort()
        await asyncio.sleep(0)  # lets the transports go

    def _kept(self) -> _Connection | None:
        """Return the connection that was used last, if it may be used again."""
        stale = monotonic() - IDLE_SECONDS
        while self._idle and self._idle[0].since < stale:
            self._idle.popleft().abort()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
        return None

    async def _open(self) -> _Connection:
        host, port = self._url.raw_host or "", self._url.port
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await loop.getaddrinfo(host, port, type=1)
                socket = await start_connection(
                    addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, interleave=1, loop=loop
                )
                name = host if self.tls is not None else None
                _, connection = await loop.create_connection(
                    _Connection, sock=socket, ssl=self.tls, server_hostname=name
                )
        except TimeoutError:
            raise NotConnectedError(f"cannot connect to {host}:{port} within {CONNECT_SECONDS:g} s") from None
        except ssl.SSLError as error:
            raise NotConnectedError(f"cannot connect to {host}:{port}: {error.reason or error}") from None
        except OSError:
            raise NotConnectedError(f"cannot connect to {host}:{port}") from None
        return connection


class _Connection(asyncio.Protocol):
    """One connection, for one request at a time."""

    def __init__(self) -> None:
        self.since = 0.0
        self.is_reusable = True
        self._parser = HttpResponseParser(self)
        self._body: list[bytes] = []
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def exchange(self, request: bytes, patience: float) -> tuple[int, bytes]:
        """Send a request and return its answer. The connection cannot be reused unless the answer is complete."""
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self.is_reusable = False
        # A handle of the loop's costs a fraction of what a task with asyncio.timeout does.
        limit = loop.call_later(patience, self._fail, f"no answer within {patience:g} s")
        try:
            self._transport.write(request)
            return await self._answer
        finally:
            limit.cancel()
            self._answer = None

    def abort(self) -> None:
        """Close at once."""
        self.is_reusable = False
        self._transport.abort()

    def _fail(self, reason: str) -> None:
        self.is_reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NoAnswerError(reason))

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._fail("the answer is not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection lost ({type(exc).__name__})" if exc is not None else "connection lost")

    # Called by the parser.

    def on_message_begin(self) -> None:
        if self._answer is not None and self._answer.done():  # a second answer: who knows what the next one answers
            self.is_reusable = False

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer; the one that counts will follow
            return
        body, self._body = b"".join(self._body), []
        if self._answer is not None and not self._answer.done():
            self.is_reusable = self._parser.should_keep_alive()
            self._answer.set_result((status, body))
