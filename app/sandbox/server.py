"""The sandbox: a local Bot API server with a chat page, on one port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from app.sandbox.arguments import UNKNOWN_TYPE, Arguments, Upload
from app.sandbox.control import Control
from app.sandbox.errors import ApiError, bad_request, not_found
from app.sandbox.faults import Fault, FaultKind, Faults
from app.sandbox.limits import Limits
from app.sandbox.media import file_at
from app.sandbox.methods import BY_LOWER_NAME, SILENT
from app.sandbox.state import Bot, Call, World
from app.sandbox.webhook import Webhook, WebhookDelivery

BODY_LIMIT = 50 * 1024 * 1024
"""Bytes of a request, Telegram's limit for uploads."""


class Sandbox:
    """A Bot API server for any token, with its learners.

    ``names`` gives some tokens a (username, title); bots of other tokens appear when they are first used. One that
    ``is_strict`` refuses messages above Telegram's limits. Everything is in memory and belongs to the event loop that
    called ``start``.
    """

    def __init__(self, names: Mapping[str, tuple[str, str]] | None = None, *, is_strict: bool = False) -> None:
        self.world = World(names or {})
        self.faults = Faults()
        self.limits = Limits(is_strict=is_strict)
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._deliveries: dict[str, tuple[Webhook, asyncio.Task[None]]] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, on any free port if ``port`` is 0, and return the URL; raise ``OSError`` if the port is taken."""
        self._runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        bound = self._runner.addresses[0][1]
        self.url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::', '') else host}:{bound}"
        self._watcher = asyncio.create_task(self._watch_webhooks())
        return self.url

    async def stop(self) -> None:
        """Stop listening and delivering."""
        tasks = [task for _, task in self._deliveries.values()] + ([self._watcher] if self._watcher else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._deliveries.clear()
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        if not self.url:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def app(self) -> web.Application:
        """Return the web application: the Bot API, the learners' side and the page."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/file/bot{token}/{path:.+}", self._file)
        Control(self.world, self.faults, self.limits).add_routes(app)
        app.router.add_route("*", "/{path:.*}", self._nothing_here)
        return app

    async def call(self, bot: Bot, method: str, args: Arguments) -> Any:
        """Carry out a method and return its result; raise ``ApiError`` if it is refused."""
        name, function = BY_LOWER_NAME.get(method.lower(), (method, None))
        if function is None:
            raise not_found()
        result = function(bot, args)
        if isawaitable(result):
            result = await result
        if name not in SILENT:
            bot.calls.append(Call(name, args.values, time.time()))
            bot.changes.mark()
        return result

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            bot = self.world.bot(request.match_info["token"])
            args = await read_arguments(request)
            method = request.match_info["method"]
            fault = self._fault(bot, method, args)
            async with _befallen(fault):
                self.limits.admit(bot.token, method, args.text("chat_id"))
                result = await self.call(bot, method, args)
            return web.json_response({"ok": True, "result": result})
        except ApiError as error:
            return _refusal(error)
        except _DroppedError:
            return _hang_up(request)
        except HTTPRequestEntityTooLarge:
            return _refusal(ApiError(413, "Request Entity Too Large"))

    def _fault(self, bot: Bot, method: str, args: Arguments) -> Fault | None:
        names = frozenset((bot.username, bot.token, str(bot.id)))
        return self.faults.take(names, method, args.text("chat_id"))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        try:
            media = file_at(self.world.bot(request.match_info["token"]), request.match_info["path"])
        except ApiError as error:
            return _refusal(error)
        return web.Response(body=media.content, content_type="application/octet-stream")

    async def _nothing_here(self, request: web.Request) -> web.StreamResponse:
        return _refusal(not_found())

    async def _watch_webhooks(self) -> None:
        """Run one delivery for each webhook that is set."""
        while True:
            await self.world.changes.until(self._webhooks_changed)
            for bot in self.world:
                await self._follow(bot)

    def _webhooks_changed(self) -> bool:
        return any(self._current(bot) is not bot.webhook for bot in self.world)

    def _current(self, bot: Bot) -> Webhook | None:
        return self._deliveries[bot.token][0] if bot.token in self._deliveries else None

    async def _follow(self, bot: Bot) -> None:
        if self._current(bot) is bot.webhook:
            return
        if bot.token in self._deliveries:
            _, task = self._deliveries.pop(bot.token)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if bot.webhook is not None:
            delivery = WebhookDelivery(bot, bot.webhook, partial(self._call_from_webhook, bot))
            self._deliveries[bot.token] = (bot.webhook, asyncio.create_task(delivery.run()))

    async def _call_from_webhook(self, bot: Bot, method: str, values: dict[str, Any]) -> None:
        with contextlib.suppress(ApiError):
            await self.call(bot, method, Arguments(values))


@contextlib.asynccontextmanager
async def _befallen(fault: Fault | None) -> AsyncIterator[None]:
    """Let the fault, if any, happen before or after the call inside."""
    if fault is None:
        yield
        return
    if fault.kind is FaultKind.DELAY:
        await asyncio.sleep(fault.seconds)
    if fault.kind is FaultKind.DROP_BEFORE:
        raise _DroppedError
    if error := fault.error():
        raise error
    yield
    if fault.kind is FaultKind.DROP_AFTER:
        raise _DroppedError


class _DroppedError(Exception):
    """The connection shall be closed without an answer."""


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection; the response is for aiohttp only, it reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(error: ApiError) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = dict(error.parameters)
    return web.json_response(body, status=error.code)


async def read_arguments(request: web.Request) -> Arguments:
    """Return a call's arguments from query and body, the body's first."""
    values: dict[str, Any] = dict(request.query)
    files: dict[str, Upload] = {}
    match request.content_type:
        case "application/json":
            values |= await _read_json(request)
        case "application/x-www-form-urlencoded":
            values |= await _read_form(request)
        case "multipart/form-data":
            await _read_multipart(request, values, files)
    return Arguments(values, files)


async def _read_json(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    try:
        values = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise bad_request("can't parse JSON object") from None
    if not isinstance(values, dict):
        raise bad_request("object expected")
    return values


async def _read_form(request: web.Request) -> dict[str, Any]:
    try:
        return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    except (ValueError, LookupError):
        raise bad_request("can't parse application/x-www-form-urlencoded") from None


async def _read_multipart(request: web.Request, values: dict[str, Any], files: dict[str, Upload]) -> None:
    size = 0
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            content = bytes(await part.read())
            size += len(content)
            if size > BODY_LIMIT:
                raise ApiError(413, "Request Entity Too Large")
            if part.filename is None:
                values[part.name] = content.decode()
            else:
                files[part.name] = Upload(part.filename, content, part.headers.get("Content-Type", UNKNOWN_TYPE))
    except (ValueError, LookupError, AssertionError, RuntimeError, BadHttpMessage, EOFError):
        raise bad_request("can't parse multipart/form-data") from None
