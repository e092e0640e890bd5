"""From a fleet to what one host is told."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from urllib.parse import urlsplit

from app.config.dialog import dialog_settings
from app.config.fleet import Bot, Fleet
from app.config.options import Options
from app.config.settings import RUNBOOK, AlertSettings, BotSettings, HostSettings, Mode, WebhookSettings
from app.config.template import resolve
from app.config.tokens import ALERTS, sandbox_token
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
    fleet: Fleet,
    names: Sequence[str] = (),
    *,
    database_url: str,
    telegram_url: str | None = None,
    listen: tuple[str, int] | None = None,
    metrics: tuple[str, int] | None = None,
) -> HostSettings:
    """Make the settings of a host that runs the bots called ``names`` (none: all) of a fleet loaded with its secrets.

    ``telegram_url`` is the address of the sandbox; other fleets know their Bot API server. At ``listen`` (address,
    port) the host takes webhooks and serves the pages of its bots: in the sandbox of all of them, else of those with
    ``mini_apps``. At ``metrics`` it serves its metrics.
    Raises :class:`UnknownBotError`: a name is not one of a bot.
    """
    url = telegram_url or fleet.telegram_url
    if url is None:
        raise ValueError("a fleet in the sandbox needs the sandbox's address")
    bots = tuple(_bot_settings(fleet, bot, listen) for bot in select_bots(fleet, names))
    has_limits = {"true": True, "false": False}.get(fleet.environ.get("TELEGRAM_LIMITS", ""))
    disk = fleet.path.parent
    return HostSettings(
        bots, database_url, url, fleet.scripts, listen, has_limits, metrics, disk, alert_settings(fleet)
    )


def alert_settings(fleet: Fleet) -> AlertSettings | None:
    """Return where hosts of a fleet report failures to; ``None`` when they do not."""
    if fleet.alerts is None:
        return None
    token = sandbox_token(ALERTS) if fleet.sandbox else fleet.environ[fleet.alerts.token_env]
    return AlertSettings(fleet.alerts.chat_id, token, fleet.alerts.runbook or RUNBOOK)


def _bot_settings(fleet: Fleet, bot: Bot, listen: tuple[str, int] | None) -> BotSettings:
    return BotSettings(
        name=bot.name,
        bot_name=bot.bot_name,
        token=sandbox_token(bot.name) if fleet.sandbox else fleet.environ[bot.token_variable or ""],
        folder=bot.folder,
        mode=bot.mode,
        language=bot.language,
        log_file=fleet.path.parent / bot.log_file if bot.log_file else None,
        webhook=_webhook_settings(fleet, bot, listen),
        options=options_of(fleet, bot, _app_url(fleet, bot, listen) if listen else None),
        dialog=dialog_settings(fleet.dialog_of(bot), fleet.environ),
        fallback=Mode(bot.fallback) if bot.fallback else None,
    )


def options_of(fleet: Fleet, bot: Bot, app_url: str | None = None) -> Options:
    """Return how a bot treats its learners; ``app_url`` is the address of its own page."""
    section = fleet.dialog_of(bot)
    return Options(
        commands=frozenset(bot.commands),
        has_keywords=bot.keywords,
        admins=frozenset(bot.admins),
        app_url=app_url,
        **(section.options(fleet.environ) if section else {}),
    )


def _app_url(fleet: Fleet, bot: Bot, listen: tuple[str, int]) -> str | None:
    """Return where learners find the bot's page: on this machine in the sandbox, else at its public address."""
    if fleet.sandbox:
        return f"http://{listen[0]}:{listen[1]}/app/{bot.name}/"
    url = fleet.app_url(bot)
    return resolve(url, fleet.environ) if url else None


def _webhook_settings(fleet: Fleet, bot: Bot, listen: tuple[str, int] | None) -> WebhookSettings | None:
    """Describe a bot's webhook; the sandbox of this machine calls it without a proxy in between."""
    url = fleet.webhook_url(bot)
    if url is None or fleet.webhook is None:
        return None
    secret = resolve(fleet.webhook.secret_token, fleet.environ)
    if fleet.sandbox and listen:
        path = urlsplit(resolve(url, fleet.environ)).path
        return WebhookSettings(f"http://{listen[0]}:{listen[1]}{path}", secret)
    certificate = fleet.webhook.ssl_cert_path
    return WebhookSettings(
        url=resolve(url, fleet.environ),
        secret_token=secret,
        certificate=fleet.path.parent / certificate if certificate else None,
        max_connections=fleet.webhook.max_connections,
    )
