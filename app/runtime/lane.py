"""The fast lane of the web server: Telegram's requests to webhooks, without what aiohttp does for everybody else's.

aiohttp's server spends a sixth of the CPU that a whole step takes on such a request, mostly on what Telegram does not
need: routes by pattern, middlewares, a task and a stream for each. docs/performance.md has the figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, Protocol, cast

from aiohttp import web
from httptools import HttpParserError, HttpRequestParser

HEAD_LIMIT = 8 * 1024
"""Bytes of a request before its body; longer ones are left to aiohttp, which has limits of its own."""

IDLE_SECONDS = 3600.0
"""Connections unused for longer are closed; a proxy is to do that first."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

_SPECIAL = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"))


class Taker(Protocol):
    """Takes the requests to one path; those it does not take are left to aiohttp."""

    limit: int
    """Bytes of a body."""

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a request is of whom it should be; the headers' names are in lower case."""

    def begin(self, body: bytes) -> asyncio.Future[bool] | None:
        """Take a request, if it is a good one; the result is whether to answer 200."""

    def regret(self) -> web.Response:
        """Return what to answer otherwise."""


class Lane(asyncio.Protocol):
    """One connection: a request that its path's taker takes is answered here.

    With the first other one the connection goes over to aiohttp for good. ``lanes`` holds those that have not.
    """

    def __init__(self, takers: Mapping[bytes, Taker], server: web.Server, lanes: set[Lane]) -> None:
        self.work: asyncio.Future[bool] | None = None
        """The request under way; there is one at a time."""
        self._takers = takers
        self._server = server
        self._lanes = lanes
        self._data = b""
        self._request: _Request | None = None
        self._is_closing = False

    def close(self) -> None:
        """Close as soon as nothing is under way."""
        self._is_closing = True
        if self.work is None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called, as those below, by the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._lanes.add(self)
        self._loop = asyncio.get_running_loop()
        self._used_at = self._loop.time()
        self._idle = self._loop.call_later(IDLE_SECONDS, self._close_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; an answer under way comes to its end, and reaches nobody."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._data = self._data + data if self._data else data
        if self.work is None:
            self._go_on()
        else:  # who sends more before the answer waits
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Give a request to its taker when all of it has come."""
        if self._request is None:
            end = self._data.find(b"\r\n\r\n") + 4
            if end < 4 and len(self._data) <= HEAD_LIMIT:
                return
            self._request = self._read(end)
        if self._request is None:
            self._hand_over()
        elif len(self._data) >= self._request.end:
            self._begin(self._request)

    def _read(self, end: int) -> _Request | None:
        """Return the request whose head ends there; ``None`` when it is nothing for a taker."""
        if not 4 <= end <= HEAD_LIMIT:
            return None
        head = _Head(self._data[:end])
        taker = self._takers.get(head.path)
        if taker is None or not head.is_plain or head.length > taker.limit or not taker.knows(head.headers):
            return None
        return _Request(taker, end, end + head.length)

    def _begin(self, request: _Request) -> None:
        self.work = request.taker.begin(self._data[request.start : request.end])
        if self.work is None:
            self._hand_over()
        else:
            self._data = self._data[request.end :]
            self.work.add_done_callback(self._end)

    def _end(self, work: asyncio.Future[bool]) -> None:
        request, self._request, self.work = self._request, None, None
        if request is None or self._transport.is_closing():
            return
        self._transport.write(OK if work.result() else _encoded(request.taker.regret()))
        self._used_at = self._loop.time()
        if self._is_closing:
            self._transport.close()
        elif self._data:
            self._transport.resume_reading()
            self._go_on()

    def _hand_over(self) -> None:
        self._leave()
        handler = self._server()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        handler.data_received(self._data)

    def _close_idle(self) -> None:
        idle = self._loop.time() - self._used_at
        if self.work is None and idle >= IDLE_SECONDS:
            self._transport.close()
        else:
            self._idle = self._loop.call_later(max(1.0, IDLE_SECONDS - idle), self._close_idle)

    def _leave(self) -> None:
        self._lanes.discard(self)
        self._idle.cancel()


class _Request(NamedTuple):
    """A request whose head has come: its taker, and where its body begins and ends."""

    taker: Taker
    start: int
    end: int


class _Head:
    """The head of a request; ``is_plain`` if it is a POST whose body follows as it is, in so many bytes."""

    def __init__(self, head: bytes) -> None:
        self.path = b""
        self.headers: dict[bytes, bytes] = {}
        self._ends_early = False
        parser = HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except HttpParserError:
            self.is_plain, self.length = False, 0
            return
        length = self.headers.get(b"content-length", b"")
        self.length = int(length) if length.isdigit() else 0
        self.is_plain = (
            self.length > 0
            and not self._ends_early
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and _SPECIAL.isdisjoint(self.headers)
        )

    # Called by the parser.

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._ends_early = True  # at an empty line that is no CR LF CR LF


def _encoded(response: web.Response) -> bytes:
    body = response.body if isinstance(response.body, bytes) else b""
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    return (
        f"HTTP/1.1 {response.status} {response.reason}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
    )
