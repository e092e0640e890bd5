"""What a container, or the old way of starting one bot, says in environment variables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.config.dialog import Dialog, dialog_settings
from app.config.options import COMMANDS, Options
from app.config.predecessor import predecessor_variables
from app.config.rules import Admin, Commands, language_of
from app.config.settings import (
    MAX_CONNECTIONS,
    RUNBOOK,
    TELEGRAM_API_URL,
    AlertSettings,
    BotSettings,
    DialogSettings,
    HostSettings,
    Mode,
    WebhookSettings,
)
from app.config.tokens import ALERTS, SANDBOX_TOKEN, is_well_formed, sandbox_token, shown
from app.errors import EXIT_USAGE, FlotillaError, InputError, Problem

BOTS_VARIABLE = "FLOTILLA_BOTS"
"""Holds the bots of a group: a JSON list of :class:`HostedBot`."""

DIALOG_VARIABLE = "DIALOG"
"""Holds the ``dialog`` section of bots that have none of their own, as JSON; it names the variables with the keys."""

PAGES_ADDRESS, PAGES_PORT = "0.0.0.0", 8080
"""Where a host takes webhooks and serves the pages of its bots, if one has such, unless variables of these names are
set."""

METRICS_ADDRESS = "0.0.0.0"
"""Where a host serves its metrics, if ``METRICS_PORT`` is set: Prometheus is another container."""

_REMEDIES = {
    "BOT_API_TOKEN": "get a token from @BotFather and put BOT_API_TOKEN=... into .env",
    "DATABASE_URL": "write it like postgresql://user:password@host/database",
    "WEBHOOK_URL": "write the https:// address of this bot's webhook, or BOT_MODE=polling",
    "ALERTS_CHAT_ID": "write the id of the chat that gets alerts, or take ALERTS_BOT_TOKEN out",
    "ALERTS_BOT_TOKEN": "put the token of the bot that sends alerts into .env, or take ALERTS_CHAT_ID out",
    "WEBHOOK_SECRET_TOKEN": "make one of 32 random letters and digits",
}


class TooManyArgumentsError(FlotillaError):
    """``python -m app`` takes one folder."""

    exit_code = EXIT_USAGE


class HostedBot(BaseModel):
    """One bot as a host is told about it; ``token_env`` is missing for a bot of the sandbox that has no token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    bot_name: str = ""
    token_env: str | None = None
    folder: str = ""
    mode: Mode = Mode.POLLING
    language: str | None = None
    log_file: Path | None = None
    webhook_url: str | None = None
    fallback: Literal["polling"] | None = None
    commands: Commands = COMMANDS
    keywords: bool = False
    admins: tuple[Admin, ...] = ()
    app_url: str | None = None
    dialog: Dialog | None = None


def host_settings_from_environment(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> HostSettings:
    """Make the settings of a host: of the bots in ``FLOTILLA_BOTS``, or of the one bot that ``BOT_*`` describe.

    ``arguments`` are those of ``python -m app [FOLDER]``.
    Raises :class:`InputError`: variables are missing or wrong; all of them.
    """
    if len(arguments) > 1:
        raise TooManyArgumentsError(f"python -m app takes one folder, not {' '.join(map(repr, arguments))}")
    problems: list[Problem] = []
    scripts = Path(environ.get("SCRIPTS_FOLDER") or "scripts")
    if environ.get(BOTS_VARIABLE):
        bots = _group(environ, problems)
    else:
        bots = [_single(environ, _folder(environ, arguments, scripts, problems), problems)]
    if not environ.get(BOTS_VARIABLE) and not environ.get(DIALOG_VARIABLE):
        environ = {**environ, **predecessor_variables(environ, problems)}
    shared = _shared_dialog(environ, problems)
    settings = HostSettings(
        bots=tuple(_settings(bot, bot.dialog or shared, environ, problems) for bot in bots),
        database_url=_required("DATABASE_URL", environ, problems),
        telegram_url=_telegram_url(environ, problems),
        scripts=scripts,
        listen=_listen(environ, problems) if any(bot.app_url or bot.mode is Mode.WEBHOOK for bot in bots) else None,
        has_limits=_limits(environ, problems),
        metrics=_metrics(environ, problems),
        disk=_disk(environ, problems),
        alerts=_alerts(environ, problems),
    )
    if problems:
        raise InputError(problems)
    return settings


def _problem(variable: str, text: str, remedy: str = "") -> Problem:
    return Problem("environment", 0, 0, variable, text, remedy)


def _required(variable: str, environ: Mapping[str, str], problems: list[Problem]) -> str:
    value = environ.get(variable, "")
    if not value:
        problems.append(_missing(variable))
    return value


def _missing(variable: str) -> Problem:
    return _problem(variable, "is not set", _REMEDIES.get(variable, f"put {variable}=... into .env"))


def _telegram_url(environ: Mapping[str, str], problems: list[Problem]) -> str:
    url = environ.get("TELEGRAM_API_URL") or TELEGRAM_API_URL
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        problems.append(_problem("TELEGRAM_API_URL", f"is {shown(url)}", f"write it like {TELEGRAM_API_URL}"))
    return url.rstrip("/")


def _disk(environ: Mapping[str, str], problems: list[Problem]) -> Path:
    folder = Path(environ.get("DISK_FOLDER") or "/")
    if not folder.is_dir():
        text = f"is {shown(str(folder))}, and there is no such folder"
        problems.append(_problem("DISK_FOLDER", text, "name one on the disk to watch, or leave it out"))
    return folder


def _limits(environ: Mapping[str, str], problems: list[Problem]) -> bool | None:
    value = environ.get("TELEGRAM_LIMITS") or None
    if value not in (None, "true", "false"):
        problems.append(_problem("TELEGRAM_LIMITS", f"is {shown(value or '')}", "write true or false"))
    return None if value is None else value == "true"


def _alerts(environ: Mapping[str, str], problems: list[Problem]) -> AlertSettings | None:
    """Find where failures are reported to; a chat without a token, or the other way round, is a mistake."""
    chat_id, token = environ.get("ALERTS_CHAT_ID", ""), environ.get("ALERTS_BOT_TOKEN", "")
    if not chat_id and not token:
        return None
    for variable, value in (("ALERTS_CHAT_ID", chat_id), ("ALERTS_BOT_TOKEN", token)):
        if not value:
            problems.append(_missing(variable))
    return AlertSettings(
        chat_id,
        sandbox_token(ALERTS) if token == SANDBOX_TOKEN else token,
        environ.get("ALERTS_RUNBOOK") or RUNBOOK,
        tuple(environ.get("ALERTS_MONITORING", "").split()),
        environ.get("ALERTS_SPEAKER") == "true",
    )


def _listen(environ: Mapping[str, str], problems: list[Problem]) -> tuple[str, int]:
    address = environ.get("PAGES_ADDRESS") or PAGES_ADDRESS
    return address, _port("PAGES_PORT", environ, problems) or PAGES_PORT


def _metrics(environ: Mapping[str, str], problems: list[Problem]) -> tuple[str, int] | None:
    port = _port("METRICS_PORT", environ, problems)
    return None if port is None else (environ.get("METRICS_ADDRESS") or METRICS_ADDRESS, port)


def _port(variable: str, environ: Mapping[str, str], problems: list[Problem]) -> int | None:
    value = environ.get(variable)
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 65536:
        problems.append(_problem(variable, f"is {shown(value)}", "write a port from 1 to 65535"))
        return None
    return int(value)


def _group(environ: Mapping[str, str], problems: list[Problem]) -> list[HostedBot]:
    try:
        bots = TypeAdapter(list[HostedBot]).validate_python(json.loads(environ[BOTS_VARIABLE]))
        text = "names no bots"
    except json.JSONDecodeError as error:
        bots, text = [], f"is not JSON: {error}"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        bots, text = [], f"{'/'.join(map(str, first['loc']))}: {first['msg']}"
    names = [bot.name for bot in bots]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        problems.append(_problem(BOTS_VARIABLE, f"{shown(twice)} is the name of two bots", "rename one"))
    if not bots:
        remedy = 'write it like [{"name": "a", "token_env": "A_TOKEN", "folder": "a/"}]'
        problems.append(_problem(BOTS_VARIABLE, text, remedy))
    return bots


def _single(environ: Mapping[str, str], folder: str, problems: list[Problem]) -> HostedBot:
    name = environ.get("BOT_NAME", "")
    log_file = environ.get("BOT_LOG_FILE")
    return HostedBot(
        name=environ.get("BOT_SERVICE") or name or folder.strip("/").replace("/", "-") or "bot",
        bot_name=name,
        token_env="BOT_API_TOKEN",  # noqa: S106 - the variable's name
        folder=folder,
        mode=_mode(environ, problems),
        language=environ.get("LANGUAGE"),
        log_file=Path(log_file) if log_file else None,
        webhook_url=environ.get("WEBHOOK_URL"),
        fallback=_fallback(environ, problems),
        commands=_commands(environ, problems),
        keywords=_keywords(environ, problems),
        admins=_admins(environ, problems),
        app_url=environ.get("BOT_APP_URL") or None,
    )


def _words(variable: str, environ: Mapping[str, str]) -> list[str]:
    return [word.strip() for word in environ.get(variable, "").split(",") if word.strip()]


def _commands(environ: Mapping[str, str], problems: list[Problem]) -> tuple[str, ...]:
    words = _words("BOT_COMMANDS", environ)
    unknown = [word for word in words if word not in COMMANDS]
    if words == ["none"]:
        return ()
    if unknown:
        remedy = f"write some of {','.join(COMMANDS)}, or none"
        problems.append(_problem("BOT_COMMANDS", f"{shown(unknown[0])} is not a command", remedy))
    return tuple(name for name in COMMANDS if name in words) if words else COMMANDS


def _keywords(environ: Mapping[str, str], problems: list[Problem]) -> bool:
    value = environ.get("BOT_KEYWORDS") or "false"
    if value not in ("true", "false"):
        problems.append(_problem("BOT_KEYWORDS", f"is {shown(value)}", "write true or false"))
    return value == "true"


def _admins(environ: Mapping[str, str], problems: list[Problem]) -> tuple[int, ...]:
    words = _words("BOT_ADMINS", environ)
    wrong = [word for word in words if not re.fullmatch(r"-?[0-9]+", word)]
    if wrong:
        problems.append(_problem("BOT_ADMINS", f"{shown(wrong[0])} is not a chat id", "write it like 123456,234567"))
        return ()
    return tuple(int(word) for word in words)


def _shared_dialog(environ: Mapping[str, str], problems: list[Problem]) -> Dialog | None:
    if not environ.get(DIALOG_VARIABLE):
        return None
    try:
        return Dialog.model_validate_json(environ[DIALOG_VARIABLE])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        text = f"{'/'.join(map(str, first['loc']))}: {first['msg']}" if first["loc"] else first["msg"]
        problems.append(_problem(DIALOG_VARIABLE, text, 'write it like {"model": "gpt-4.1"}'))
        return None


def _dialog(section: Dialog | None, environ: Mapping[str, str], problems: list[Problem]) -> DialogSettings | None:
    """Make the settings of dialogs; a key that ``section`` names and that is missing is asked for once."""
    missing = {name: _missing(name) for name in (section.key_variables if section else {}) if not environ.get(name)}
    problems += [problem for problem in missing.values() if problem not in problems]
    return dialog_settings(section, environ)


def _mode(environ: Mapping[str, str], problems: list[Problem]) -> Mode:
    value = environ.get("BOT_MODE") or Mode.POLLING
    if value not in list(Mode):
        problems.append(_problem("BOT_MODE", f"is {shown(value)}", "write 'polling' or 'webhook'"))
        return Mode.POLLING
    return Mode(value)


def _fallback(environ: Mapping[str, str], problems: list[Problem]) -> Literal["polling"] | None:
    value = environ.get("BOT_FALLBACK")
    if value and value != Mode.POLLING:
        problems.append(_problem("BOT_FALLBACK", f"is {shown(value)}", "write 'polling', or leave it out"))
    return "polling" if value else None


def _folder(environ: Mapping[str, str], arguments: Sequence[str], scripts: Path, problems: list[Problem]) -> str:
    argument = arguments[0] if arguments else ""
    value = argument or environ.get("BOT_FOLDER", "")
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if value.startswith("/") or ".." in parts:
        problems.append(_problem("BOT_FOLDER", f"{shown(value)} is outside {scripts}/", "name a folder inside it"))
        return ""
    folder = "".join(f"{part}/" for part in parts)
    return _without_suffix(folder, scripts) if argument and environ.get("BOT_NAME") else folder


def _without_suffix(folder: str, scripts: Path) -> str:
    """Cut the four characters that told processes apart in the old program's process list (``test_abc`` is ``test``).

    It cut them from every argument; here a folder that exists under its whole name keeps it.
    """
    if len(folder) <= 5 or (scripts / folder / "courses.yml").is_file():
        return folder
    return f"{folder[:-5]}/"


def _settings(
    bot: HostedBot, section: Dialog | None, environ: Mapping[str, str], problems: list[Problem]
) -> BotSettings:
    return BotSettings(
        name=bot.name,
        bot_name=bot.bot_name,
        token=_token(bot, environ, problems),
        folder=bot.folder,
        mode=bot.mode,
        language=language_of(bot.language or ""),
        log_file=bot.log_file,
        webhook=_webhook(bot, environ, problems),
        options=_options(bot, section, environ),
        dialog=_dialog(section, environ, problems),
        fallback=Mode(bot.fallback) if bot.fallback else None,
    )


def _options(bot: HostedBot, section: Dialog | None, environ: Mapping[str, str]) -> Options:
    return Options(
        commands=frozenset(bot.commands),
        has_keywords=bot.keywords,
        admins=frozenset(bot.admins),
        app_url=bot.app_url,
        **(section.options(environ) if section else {}),
    )


def _token(bot: HostedBot, environ: Mapping[str, str], problems: list[Problem]) -> str:
    """Find the bot's token; in a group a malformed one passes, so that it stops that bot alone."""
    token = _required(bot.token_env, environ, problems) if bot.token_env else SANDBOX_TOKEN
    if token == SANDBOX_TOKEN:
        return sandbox_token(bot.name)
    official = environ.get("TELEGRAM_API_URL", TELEGRAM_API_URL).rstrip("/") in ("", TELEGRAM_API_URL)
    if token and BOTS_VARIABLE not in environ and not is_well_formed(token, official=official):
        remedy = "copy it from @BotFather: digits, a colon, 35 characters"
        problems.append(_problem(bot.token_env or "", "is not a bot token", remedy))
    return token


def _webhook(bot: HostedBot, environ: Mapping[str, str], problems: list[Problem]) -> WebhookSettings | None:
    if bot.mode is not Mode.WEBHOOK:
        return None
    certificate = environ.get("WEBHOOK_SSL_CERT")
    return WebhookSettings(
        url=bot.webhook_url or _required("WEBHOOK_URL", environ, problems),
        secret_token=_required("WEBHOOK_SECRET_TOKEN", environ, problems),
        certificate=Path(certificate) if certificate else None,
        max_connections=_max_connections(environ, problems),
    )


def _max_connections(environ: Mapping[str, str], problems: list[Problem]) -> int:
    value = environ.get("WEBHOOK_MAX_CONNECTIONS") or str(MAX_CONNECTIONS)
    if not re.fullmatch(r"[1-9][0-9]?|100", value):
        found = _problem("WEBHOOK_MAX_CONNECTIONS", f"is {shown(value)}", "write a number from 1 to 100")
        problems += [found] if found not in problems else []
        return MAX_CONNECTIONS
    return int(value)
