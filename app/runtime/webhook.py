"""Where Telegram's requests come in: one route for each bot with a webhook."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Iterable, Mapping

from aiohttp import web
from yarl import URL

from app.config.settings import WebhookSettings
from app.errors import FlotillaError
from app.observe.logs import get_log
from app.observe.metrics import REFUSED_REQUESTS
from app.runtime.bot import Bot
from app.runtime.web import bare, refusal
from app.telegram.decode import decode

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name

_SECRET_KEY = SECRET_HEADER.lower().encode()

BODY_LIMIT = 1024 * 1024
"""Bytes of a request; Telegram's are much smaller."""

RETRY_SECONDS = 1
"""When a request may be sent again that could not be committed."""

log = get_log(__name__)


class SharedPathError(FlotillaError):
    """Two bots of one host have the same webhook path."""


def webhooks(bots: Iterable[Bot]) -> dict[str, Webhook]:
    """Return the webhooks by the paths of their addresses, whatever the host there is.

    Raises ``SharedPathError``: the updates of one bot would be taken for those of another.
    """
    owners: dict[str, str] = {}
    found = {}
    for bot in bots:
        if bot.settings.webhook is None:
            continue
        path, name = URL(bot.settings.webhook.url).raw_path, bot.settings.name
        if path in owners:
            text = f"bots {owners[path]!r} and {name!r} have the same webhook path {path!r}"
            raise SharedPathError(f"{text}; give one of them another webhook_url, or another group")
        owners[path] = name
        found[path] = Webhook(bot, bot.settings.webhook)
    return found


class Webhook:
    """Takes the requests of one bot: as a handler of aiohttp's, and in the fast lane those that are to be accepted."""

    limit = BODY_LIMIT

    def __init__(self, bot: Bot, settings: WebhookSettings) -> None:
        self._bot = bot
        self._name = bot.settings.name
        self._secret = settings.secret_token.encode()

    @bare
    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer 200 once the update's effect is committed; all else Telegram sends again, for a day at most."""
        secret = request.headers.get(SECRET_HEADER, "")
        if not self._is_secret(secret.encode("utf-8", "surrogateescape")):
            self._bot.doubt_webhook()
            return self._refuse(401, "wrong secret")
        body = await _read(request)
        if body is None:
            return self._refuse(413, f"more than {BODY_LIMIT} bytes")
        try:
            raw = json.loads(body)
        except (ValueError, RecursionError):
            return self._refuse(400, "not json")
        update = decode(raw)
        if update is None:
            # Sent again, it would be no better.
            log.warning("what telegram sent is no update, dropped", bot=self._name, bytes=len(body))
            return web.Response()
        committed = self._bot.accept(update)
        return web.Response() if committed is not None and await committed else self.regret()

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether the secret is right."""
        return self._is_secret(headers.get(_SECRET_KEY, b""))

    def begin(self, body: bytes) -> asyncio.Future[bool] | None:
        """Apply the update; ``None`` unless it is one and the bot runs here."""
        try:
            update = decode(json.loads(body))
        except (ValueError, RecursionError):
            return None
        return self._bot.accept(update) if update is not None else None

    def regret(self) -> web.Response:
        """Refuse what was not committed."""
        return self._refuse(503, "not committed; send it again", {"Retry-After": str(RETRY_SECONDS)})

    def _is_secret(self, secret: bytes) -> bool:
        return hmac.compare_digest(secret, self._secret)

    def _refuse(self, status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
        REFUSED_REQUESTS.labels(self._name, str(status)).inc()
        log.debug("webhook request refused", bot=self._name, status=status, reason=reason)
        return refusal(status, reason, headers)


async def _read(request: web.Request) -> bytes | None:
    """Return the body; ``None`` when it is too long, of which no more is read than that takes to see."""
    if (request.content_length or 0) > BODY_LIMIT:
        return None
    body = await request.content.readany()
    while not request.content.at_eof():
        body += await request.content.readany()
        if len(body) > BODY_LIMIT:
            return None
    return body
