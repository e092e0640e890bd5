"""What stands between a host and its servers in tests: a wire that can be cut, and a gate that holds one request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

Address = tuple[str, int] | str
"""Host and port, or the path of a socket."""

_HOP_BY_HOP = ("Transfer-Encoding", "Content-Length", "Content-Encoding", "Connection", "Host")


class Wire:
    """A TCP connection's way, on a free port of this machine, to ``target``; use it as an asynchronous context manager.

    It can be cut, swallow everything, or lead elsewhere.
    """

    def __init__(self, target: Address) -> None:
        self.port = 0
        self._target = target
        self._is_silent = False
        self._server: asyncio.Server | None = None
        self._ours: set[asyncio.StreamWriter] = set()
        self._theirs: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break all connections; both sides hear of it."""
        for writer in {*self._ours, *self._theirs}:
            writer.transport.abort()

    def silence(self) -> None:
        """Swallow what is sent from now on, also on new connections.

        The server has given up; the client is told nothing, and its system takes what it sends: only a time limit of
        its own can help it.
        """
        self._is_silent = True
        for writer in set(self._theirs):
            writer.transport.abort()

    def heal(self) -> None:
        """Let new connections through again; those of before are broken."""
        self._is_silent = False
        self.cut()

    def lead_to(self, target: Address) -> None:
        """Lead new connections elsewhere; those of before are broken."""
        self._target = target
        self.cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ours.add(writer)
        try:
            with contextlib.suppress(OSError):
                if not self._is_silent:
                    await self._join(reader, writer)
                while self._is_silent and await reader.read(65536):
                    pass
        finally:
            self._ours.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = (
            asyncio.open_unix_connection(self._target)
            if isinstance(self._target, str)
            else asyncio.open_connection(*self._target)
        )
        back, forth = await there
        self._theirs.add(forth)
        ways = [asyncio.create_task(_pump(reader, forth)), asyncio.create_task(_pump(back, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._theirs.discard(forth)
            forth.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


class Moment(StrEnum):
    """When a request is held: it has not reached its server, or its effect is there and nobody knows."""

    BEFORE = "before"
    AFTER = "after"


class Hold:
    """One request that is to be held, and never to be answered."""

    def __init__(self, moment: Moment, fits: Callable[[str, dict[str, Any]], bool]) -> None:
        self.moment = moment
        self.fits = fits
        self.reached = asyncio.Event()
        self.over = asyncio.Event()


class Gate:
    """An HTTP server in front of others; use it as an asynchronous context manager.

    ``targets`` (base URLs) get requests in turn: the next is tried when one cannot be reached or answers 502 or 503, as
    proxies do.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self.url = ""
        self.targets = list(targets)
        self._hold: Hold | None = None
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=90), auto_decompress=False
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hold is not None:
            self._hold.over.set()
        if self._runner is not None and self._http is not None:
            await self._runner.cleanup()
            await self._http.close()

    def hold(self, moment: Moment, fits: Callable[[str, dict[str, Any]], bool]) -> Hold:
        """Hold the next request that fits (last part of the path, JSON body), until ``over`` is set."""
        self._hold = Hold(moment, fits)
        return self._hold

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        hold = self._take_hold(request, body)
        if hold is not None and hold.moment is Moment.BEFORE:
            return await _held(hold, request)
        answer = await self._forward(request, body)
        if hold is not None:
            return await _held(hold, request)
        return answer

    def _take_hold(self, request: web.Request, body: bytes) -> Hold | None:
        hold = self._hold
        if hold is None or not hold.fits(request.path.rpartition("/")[2], _json(body)):
            return None
        self._hold = None
        return hold

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        answer = web.Response(status=502)
        self.targets = [*self.targets[1:], *self.targets[:1]]
        for target in self.targets:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                answer = await self._ask(target, request, body)
            if answer.status not in (502, 503):
                break
        return answer

    async def _ask(self, target: str, request: web.Request, body: bytes) -> web.Response:
        assert self._http is not None
        headers = {key: value for key, value in request.headers.items() if key not in _HOP_BY_HOP}
        url = target + request.path_qs
        async with self._http.request(request.method, url, data=body or None, headers=headers) as response:
            content = await response.read()
            kept = {key: value for key, value in response.headers.items() if key not in _HOP_BY_HOP}
            return web.Response(status=response.status, body=content, headers=kept)


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def _held(hold: Hold, request: web.Request) -> web.Response:
    hold.reached.set()
    await hold.over.wait()
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
