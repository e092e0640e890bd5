"""From a fleet to what one host is told."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from app.config.fleet import Bot, Fleet
from app.config.settings import BotSettings, HostSettings, WebhookSettings
from app.config.template import resolve
from app.config.tokens import sandbox_token
from app.errors import EXIT_USAGE, FlotillaError


class UnknownBotError(FlotillaError):
    """A command names a bot that the config does not have."""

    exit_code = EXIT_USAGE


def select_bots(fleet: Fleet, names: Sequence[str]) -> tuple[Bot, ...]:
    """Return the bots called ``names`` in the config's order; all of them if there are no names.

    Raises :class:`UnknownBotError`: a name is not one of a bot.
    """
    known = [bot.name for bot in fleet.bots]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"its bots are {', '.join(known[:10])}"
            raise UnknownBotError(f"{fleet.path} has no bot {name!r}; {remedy}")
    return tuple(bot for bot in fleet.bots if not names or bot.name in names)


def host_settings(
    fleet: Fleet, names: Sequence[str] = (), *, database_url: str, telegram_url: str | None = None
) -> HostSettings:
    """Make the settings of a host that runs the bots called ``names`` (none: all) of a fleet loaded with its secrets.

    ``telegram_url`` is the address of the sandbox; other fleets know their Bot API server.
    Raises :class:`UnknownBotError`: a name is not one of a bot.
    """
    url = telegram_url or fleet.telegram_url
    if url is None:
        raise ValueError("a fleet in the sandbox needs the sandbox's address")
    bots = tuple(_bot_settings(fleet, bot) for bot in select_bots(fleet, names))
    return HostSettings(bots, database_url, url, fleet.scripts)


def _bot_settings(fleet: Fleet, bot: Bot) -> BotSettings:
    return BotSettings(
        name=bot.name,
        bot_name=bot.bot_name,
        token=sandbox_token(bot.name) if fleet.sandbox else fleet.environ[bot.token_variable or ""],
        folder=bot.folder,
        mode=bot.mode,
        language=bot.language,
        log_file=fleet.path.parent / bot.log_file if bot.log_file else None,
        webhook=_webhook_settings(fleet, bot),
    )


def _webhook_settings(fleet: Fleet, bot: Bot) -> WebhookSettings | None:
    url = fleet.webhook_url(bot)
    if url is None or fleet.webhook is None:
        return None
    certificate = fleet.webhook.ssl_cert_path
    return WebhookSettings(
        url=resolve(url, fleet.environ),
        secret_token=resolve(fleet.webhook.secret_token, fleet.environ),
        certificate=fleet.path.parent / certificate if certificate else None,
    )
