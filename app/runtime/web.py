"""The web server of a host: one address for all that its bots serve."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Protocol, Self, TypeVar

from aiohttp import web

from app.errors import FlotillaError
from app.observe.logs import get_log
from app.runtime.lane import Lane, Taker

BODY_LIMIT = 64 * 1024
"""Bytes of a request."""

STOP_SECONDS = 2.0
"""How long requests under way may take when the server stops."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
}
"""Headers of every answer that does not set them itself."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Method = TypeVar("Method", bound=Callable[..., Awaitable[web.StreamResponse]])

log = get_log(__name__)

# What aiohttp itself has to say is that requests are not HTTP: a line and a traceback for each would be too much.
_requests = logging.getLogger(f"{__name__}.requests")
_requests.setLevel(logging.CRITICAL)


def bare(handler: Method) -> Method:
    """Mark a handler for programs, whose answers need no headers for browsers."""
    handler.is_bare = True  # type: ignore[attr-defined]
    return handler


class AddressInUseError(FlotillaError):
    """The server cannot listen where it should."""


class Hook(Taker, Protocol):
    """Takes the requests to one path; those that are not for the fast lane by its handler."""

    @property
    def take(self) -> Handler:
        """The handler, which is ``bare``."""


class WebServer:
    """Serves routes at ``listen`` (address, port; 0 takes any free port); use it as an asynchronous context manager.

    ``hooks`` are taken by path, in the fast lane if they come as Telegram sends them.

    There is no access log, because addresses may hold what is nobody's business. Errors are answered as JSON.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        routes: Iterable[web.AbstractRouteDef],
        hooks: Mapping[str, Hook] = MappingProxyType({}),
    ) -> None:
        self._listen = listen
        self._takers = {path.encode(): hook for path, hook in hooks.items()}
        self._lanes: set[Lane] = set()
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[_guarded])
        app.add_routes([*routes, *(web.post(path, hook.take) for path, hook in hooks.items())])
        self._runner = web.AppRunner(app, access_log=None, logger=_requests, shutdown_timeout=STOP_SECONDS)

    @property
    def port(self) -> int:
        """Where the server listens, once it does."""
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(self._connection, *self._listen)
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            address, port = self._listen
            raise AddressInUseError(
                f"port {port} of {address} cannot be used for web pages ({reason}); "
                "stop the program that uses it, or choose another"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await asyncio.sleep(0)  # lets connections begin that were made already
        await asyncio.gather(self._clear(), self._runner.cleanup())

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None  # noqa: S101
        return Lane(self._takers, server, self._lanes) if self._takers else server()

    async def _clear(self) -> None:
        """Close the fast lane's connections, with some patience for what is under way."""
        for lane in self._lanes:
            lane.close()
        if works := {lane.work for lane in self._lanes if lane.work is not None}:
            await asyncio.wait(works, timeout=STOP_SECONDS)
        for lane in self._lanes:
            lane.abort()


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors as JSON, and every request with the headers that protect a browser."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = refusal(error.status, error.reason.lower(), {"Allow": error.headers.get("Allow", "")})
    except (ConnectionError, web.RequestPayloadError) as error:  # anybody may send such: no reason for an alarm
        log.debug("request cannot be read", path=request.path, reason=type(error).__name__)
        response = refusal(400, "the request cannot be read")
    except Exception:
        log.exception("request failed", path=request.path, bot=request.match_info.get("bot"))
        response = refusal(500, "something went wrong here; try again")
    if not getattr(handler, "is_bare", False):
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
    return response


def refusal(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return the answer to a request that is refused."""
    kept = {name: value for name, value in (headers or {}).items() if value}
    return web.json_response({"ok": False, "error": text}, status=status, headers=kept)
