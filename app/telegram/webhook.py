"""A bot's webhook as Telegram has it: what it should be, what it is, and how to make it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.telegram.api import BotApi
from app.telegram.decode import ALLOWED_UPDATES
from app.telegram.encode import Upload
from app.telegram.error import Rejected, Unavailable

CERTIFICATE_NAME = "certificate.pem"


@dataclass(frozen=True, slots=True)
class WebhookInfo:
    """What ``getWebhookInfo`` says. ``error_date`` is Telegram's clock at the newest delivery that failed."""

    url: str
    has_certificate: bool
    max_connections: int | None
    allowed_updates: frozenset[str]
    pending: int
    error_date: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    """What Telegram should call; a ``certificate`` (PEM) is needed if no known authority signed the server's.

    ``kinds`` are the types of updates.
    """

    url: str
    secret_token: str = field(repr=False)
    max_connections: int
    certificate: bytes | None = field(default=None, repr=False)
    kinds: Sequence[str] = ALLOWED_UPDATES

    def is_shown_by(self, info: WebhookInfo) -> bool:
        """Whether the webhook is as it should be, as far as Telegram tells: not its secret and certificate."""
        return (
            info.url == self.url
            and info.has_certificate == (self.certificate is not None)
            and info.max_connections == self.max_connections
            and info.allowed_updates == frozenset(self.kinds)
        )


async def webhook_info(api: BotApi) -> WebhookInfo:
    """Ask Telegram for the bot's webhook; raises a ``TelegramError``."""
    result = await api.call("getWebhookInfo", {})
    if not isinstance(result, dict) or not isinstance(result.get("url"), str):
        raise Unavailable("getWebhookInfo", "the answer is no webhook", was_sent=True, was_answered=True)
    return _info(result)


async def register(api: BotApi, wanted: Registration) -> WebhookInfo:
    """Set the webhook, keeping the pending updates, and return what Telegram then says of it.

    Raises a ``TelegramError``: ``Rejected`` also if Telegram took it and yet has another one afterwards.
    """
    params = {
        "url": wanted.url,
        "secret_token": wanted.secret_token,
        "max_connections": wanted.max_connections,
        "allowed_updates": list(wanted.kinds),
        "drop_pending_updates": False,
    }
    if wanted.certificate is None:
        await api.call("setWebhook", params)
    else:
        await api.upload("setWebhook", params, Upload("certificate", wanted.certificate, CERTIFICATE_NAME))
    info = await webhook_info(api)
    if not wanted.is_shown_by(info):
        raise Rejected("setWebhook", f"telegram has another webhook than was set: {info.url!r}")
    return info


def _info(result: Mapping[str, Any]) -> WebhookInfo:
    date, connections = result.get("last_error_date"), result.get("max_connections")
    kinds, pending = result.get("allowed_updates"), result.get("pending_update_count")
    return WebhookInfo(
        url=result["url"],
        has_certificate=result.get("has_custom_certificate") is True,
        max_connections=connections if isinstance(connections, int) else None,
        allowed_updates=frozenset(map(str, kinds)) if isinstance(kinds, list) else frozenset(),
        pending=pending if isinstance(pending, int) else 0,
        error_date=date if isinstance(date, int) else None,
        error=str(result.get("last_error_message", "")),
    )
