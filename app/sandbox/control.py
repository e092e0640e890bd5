"""The learners' side over HTTP, for tests and for the chat page; and the switches for tests."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from app.sandbox.arguments import UNKNOWN_TYPE
from app.sandbox.changes import Changes
from app.sandbox.errors import ApiError, bad_request
from app.sandbox.faults import Fault, Faults
from app.sandbox.learner import Hand, transcript
from app.sandbox.limits import Limits
from app.sandbox.state import TOKEN, Bot, World

LONGEST_WAIT = 60
"""Seconds of one request that waits for a change."""
Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGE = {
    "index.html": "text/html",
    "text.js": "text/javascript",
    "message.js": "text/javascript",
    "app.js": "text/javascript",
    "style.css": "text/css",
    "voice.ogg": "audio/ogg",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src * data:; media-src * blob:; frame-src http: https:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may load: nothing but itself, and the media and mini apps of courses from anywhere."""
_FAULT = TypeAdapter(Fault)
KINDS = ("photo", "video", "audio", "voice", "document", "animation")


class Control:
    """Handlers of ``/sandbox/...`` and the page."""

    def __init__(self, world: World, faults: Faults, limits: Limits) -> None:
        self._world = world
        self._faults = faults
        self._limits = limits
        self._actions: dict[str, Callable[[Hand, Json], Any]] = {
            "open": lambda hand, body: None,
            "text": lambda hand, body: hand.send_text(_string(body, "text"), via_bot=body.get("via_bot") is True).id,
            "press": lambda hand, body: hand.press(_number(body, "message_id"), _string(body, "data")).id,
            "vote": lambda hand, body: hand.vote(_number(body, "message_id"), _numbers(body, "option_ids")),
            "app": lambda hand, body: hand.open_app(_number(body, "message_id"), _string(body, "url")),
            "file": _send_file,
            "block": lambda hand, body: hand.set_blocked(True),
            "unblock": lambda hand, body: hand.set_blocked(False),
        }

    def add_routes(self, app: web.Application) -> None:
        """Add all routes to the application."""
        app.router.add_get("/", _page("index.html"))
        for name in PAGE:
            app.router.add_get(f"/{name}", _page(name))
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "bots", self.list_bots),
            ("POST", "bots", self.add_bot),
            ("GET", "bots/{bot}", self.show_bot),
            ("POST", "bots/{bot}/revoke", self.revoke),
            ("GET", "bots/{bot}/calls", self.list_calls),
            ("POST", "bots/{bot}/updates", self.inject),
            ("POST", "bots/{bot}/repeat", self.repeat),
            ("GET", "bots/{bot}/files/{file_id}", self.show_file),
            ("GET", "bots/{bot}/chats/{learner}", self.show_chat),
            ("POST", "bots/{bot}/chats/{learner}/{action}", self.act),
            ("GET", "faults", self.list_faults),
            ("POST", "faults", self.add_fault),
            ("DELETE", "faults", self.clear_faults),
            ("GET", "limits", self.show_limits),
            ("POST", "limits", self.set_limits),
        ]
        for verb, path, handler in routes:
            app.router.add_route(verb, f"/sandbox/{path}", _answering(handler))

    async def list_bots(self, request: web.Request) -> web.StreamResponse:
        """List the bots; ``after`` (a version) and ``timeout`` wait for a change first."""
        await _wait(request, self._world.changes)
        return web.json_response(
            {"version": self._world.changes.version, "bots": [_bot_body(bot) for bot in self._world]}
        )

    async def add_bot(self, request: web.Request) -> web.StreamResponse:
        """Name a bot before it is first used."""
        body = await _body(request)
        bot = self._world.bot(_string(body, "token"))
        bot.username, bot.title = body.get("username", bot.username), body.get("title", bot.title)
        self._world.changes.mark()
        return web.json_response(_bot_body(bot))

    async def show_bot(self, request: web.Request) -> web.StreamResponse:
        """Show one bot; ``after`` and ``timeout`` wait for a change first."""
        await _wait(request, self._world.changes)
        return web.json_response(_bot_body(self._bot(request)))

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Make the bot's token worthless."""
        bot = self._bot(request)
        bot.revoked = True
        bot.updates.close()
        return web.json_response({})

    async def list_calls(self, request: web.Request) -> web.StreamResponse:
        """List all calls of the bot that took effect, oldest first."""
        return web.json_response([asdict(call) for call in self._bot(request).calls])

    async def inject(self, request: web.Request) -> web.StreamResponse:
        """Queue raw updates and return their ids."""
        updates = (await _body(request)).get("updates")
        if not isinstance(updates, list) or not all(_is_update(update) for update in updates):
            raise bad_request("updates must be an Array of Object, with a number as update_id if any")
        queue = self._bot(request).updates
        return web.json_response([queue.inject(update) for update in updates])

    async def repeat(self, request: web.Request) -> web.StreamResponse:
        """Deliver the last updates once more."""
        body = await _body(request)
        return web.json_response(self._bot(request).updates.repeat(_number(body, "count")))

    async def show_file(self, request: web.Request) -> web.StreamResponse:
        """Return an uploaded file."""
        media = self._bot(request).files.get(request.match_info["file_id"])
        if media is None or media.url is not None:
            raise ApiError(404, "Not Found: there is no such uploaded file")
        headers = {
            "Content-Type": media.mime_type,
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox",
        }
        return web.Response(body=media.content, headers=headers)

    async def show_chat(self, request: web.Request) -> web.StreamResponse:
        """Show a chat; ``after`` and ``timeout`` wait for a change first."""
        bot = self._bot(request)
        chat = bot.chat(_learner_id(request))
        await _wait(request, chat.changes)
        return web.json_response(transcript(bot, chat))

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do something as a learner; ``learner`` in the body introduces them first."""
        action = self._actions.get(request.match_info["action"])
        if action is None:
            raise ApiError(404, f"Not Found: learners know {', '.join(self._actions)}")
        body = await _body(request)
        hand = Hand(self._bot(request), _learner_id(request))
        hand.introduce(_profile(body))
        return web.json_response({"result": action(hand, body)})

    async def list_faults(self, request: web.Request) -> web.StreamResponse:
        """List the faults that are still to happen."""
        return web.json_response([asdict(fault) for fault in self._faults.waiting])

    async def add_fault(self, request: web.Request) -> web.StreamResponse:
        """Add a fault."""
        body = await _body(request)
        try:
            self._faults.waiting.append(_FAULT.validate_python(body))
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"]))
            raise bad_request(f"wrong fault: {place}: {problem['msg']}") from None
        return web.json_response({})

    async def clear_faults(self, request: web.Request) -> web.StreamResponse:
        """Forget all faults."""
        self._faults.waiting.clear()
        return web.json_response({})

    async def show_limits(self, request: web.Request) -> web.StreamResponse:
        """Tell whether messages above Telegram's limits are refused, and how many were."""
        return web.json_response({"strict": self._limits.is_strict, "refused": self._limits.refused})

    async def set_limits(self, request: web.Request) -> web.StreamResponse:
        """Refuse messages above Telegram's limits, or admit them."""
        strict = (await _body(request)).get("strict")
        if not isinstance(strict, bool):
            raise bad_request("strict must be true or false")
        self._limits.is_strict = strict
        return await self.show_limits(request)

    def _bot(self, request: web.Request) -> Bot:
        name = request.match_info["bot"]
        bot = self._world.find(name)
        if bot is None and TOKEN.fullmatch(name):
            bot = self._world.bot(name)
        if bot is None:
            raise ApiError(404, f"Not Found: no bot is named {name!r}")
        return bot


async def _wait(request: web.Request, changes: Changes) -> None:
    """Wait for a version above ``after``, at most ``timeout`` seconds."""
    try:
        after = int(request.query.get("after", "-1"))
        timeout = min(float(request.query.get("timeout", "0")), LONGEST_WAIT)
    except ValueError:
        raise bad_request("after and timeout must be numbers") from None
    await changes.until(lambda: changes.version > after, timeout)


def _answering(handler: Handler) -> Handler:
    """Answer errors as JSON."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return web.json_response({"error": error.description}, status=error.code)

    return answer


def _page(name: str) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        body = (files("app.sandbox") / "page" / name).read_bytes()
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        charset = "utf-8" if PAGE[name].startswith("text/") else None
        return web.Response(body=body, content_type=PAGE[name], charset=charset, headers=headers)

    return serve


def _bot_body(bot: Bot) -> Json:
    return {
        "id": bot.id,
        "username": bot.username,
        "title": bot.title,
        "revoked": bot.revoked,
        "pending_updates": len(bot.updates.pending) + len(bot.updates.repeated),
        "webhook_error": bot.webhook.last_error_message if bot.webhook else None,
        "version": bot.changes.version,
    }


def _send_file(hand: Hand, body: Json) -> int:
    kind = _string(body, "kind")
    if kind not in KINDS:
        raise bad_request(f"kind must be one of {', '.join(KINDS)}")
    try:
        content = base64.b64decode(_string(body, "content"), validate=True)
    except ValueError:
        raise bad_request("content must be base64") from None
    mime_type = str(body.get("mime_type", UNKNOWN_TYPE))
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(;[ -~]*)?", mime_type, re.ASCII):
        raise bad_request(f"{mime_type!r} is no media type")
    seconds = _number(body, "seconds") if "seconds" in body else 0
    return hand.send_file(kind, content, mime_type, str(body.get("caption", "")), seconds).id


def _profile(body: Json) -> Json:
    profile = body.get("learner") or {}
    if not isinstance(profile, dict) or not all(isinstance(value, str | None) for value in profile.values()):
        raise bad_request("learner must be an Object of texts")
    return profile


def _is_update(update: Any) -> bool:
    return isinstance(update, dict) and type(update.get("update_id", 0)) is int


async def _body(request: web.Request) -> Json:
    if request.content_type != "application/json":
        # What other sites make a browser send without asking first is never this type.
        raise bad_request("the body must be JSON, with the header Content-Type: application/json")
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise bad_request("the body must be JSON") from None
    if not isinstance(body, dict):
        raise bad_request("the body must be a JSON object")
    return body


def _learner_id(request: web.Request) -> int:
    text = request.match_info["learner"]
    if not text.isdecimal() or not 0 < int(text) < 2**52:
        raise bad_request(f"a learner's id is a positive number, not {text!r}")
    return int(text)


def _string(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad_request(f"{name} must be a text")
    return value


def _number(body: Json, name: str) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise bad_request(f"{name} must be a whole number")
    return value


def _numbers(body: Json, name: str) -> list[int]:
    value = body.get(name)
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise bad_request(f"{name} must be a list of whole numbers")
    return value
