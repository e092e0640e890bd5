"""A fleet without containers: which processes it is on a machine, and what each of them is told. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.config.dialog import ELEVENLABS_KEY, OPENAI_KEY, Dialog
from app.config.environment import BOTS_VARIABLE, HostedBot
from app.config.fleet import Bot, Fleet
from app.config.host import host_settings
from app.config.settings import BotSettings, HostSettings, Mode
from app.config.template import references, resolve
from app.deploy.compose import hosted_bot, hosts_of
from app.errors import EXIT_CONFIG, FlotillaError

LOCAL = "127.0.0.1"

PAGES_PORT = 8081
"""Where the first process with webhooks or pages takes them, unless ``PAGES_PORT`` is set; the next one a port on."""

OF_THE_MACHINE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "TERM", "NO_COLOR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        # Of systemd, for the process itself.
        *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY", "JOURNAL_STREAM"),
    }
)
"""Variables that describe the machine and no bot."""

OF_ALL = ("LOG_LEVEL", "LOG_FORMAT", "LOG_TEXTS", "TELEGRAM_LIMITS")
"""Variables with which the operator sets all hosts."""


class SharedLogFileError(FlotillaError):
    """Two processes would write one file, and lose lines of each other when it is put aside."""

    exit_code = EXIT_CONFIG


class MissingVariablesError(FlotillaError):
    """Variables that a process needs are not set."""

    exit_code = EXIT_CONFIG


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a fleet: a bot or a group, and which of its replicas, counted from 1.

    ``index`` counts the fleet's processes from 0, ``pages`` those that take webhooks or serve pages (None: it does
    neither); ``before`` is the number of bots in earlier processes.
    """

    service: str
    bots: tuple[Bot, ...]
    replica: int = 1
    index: int = 0
    pages: int | None = None
    before: int = 0

    @property
    def name(self) -> str:
        """What operators see: the name of the bot or group, with ``@2`` for its second replica."""
        return self.service if self.replica == 1 else f"{self.service}@{self.replica}"


def processes_of(fleet: Fleet) -> list[Process]:
    """List the processes that a fleet is, in the order of the config.

    Raises :class:`SharedLogFileError`.
    """
    return _separate(list(_processes(fleet)))


def _processes(fleet: Fleet) -> Iterator[Process]:
    index = before = pages = 0
    for service, bots in hosts_of(fleet).items():
        for replica in range(1, bots[0].replicas + 1):
            has_pages = any(has_page(fleet, bot) for bot in bots)
            yield Process(service, tuple(bots), replica, index, pages if has_pages else None, before)
            index, before, pages = index + 1, before + len(bots), pages + has_pages


def has_page(fleet: Fleet, bot: Bot) -> bool:
    """Whether something of the bot is called by HTTP; in the sandbox every bot may have a mini app."""
    return fleet.sandbox or bot.mode is Mode.WEBHOOK or fleet.app_url(bot) is not None


def _separate(processes: list[Process]) -> list[Process]:
    """Return the processes as they are if no two of them write the same log file."""
    firsts = [process for process in processes if process.replica == 1]
    writers = {(bot.log_file, process.service): bot.name for process in firsts for bot in process.bots if bot.log_file}
    count = Counter(file for file, _ in writers)
    for file in (file for file in count if count[file] > 1):
        names = [name for (written, _), name in writers.items() if written == file]
        raise SharedLogFileError(
            f"{' and '.join(names[:2])} have the same log_file {file!r}, and are processes of their own; "
            "give each its own, or put them into one group"
        )
    return processes


def environment(
    fleet: Fleet, process: Process, *, database_url: str, telegram_url: str | None = None, pages_port: int | None = None
) -> dict[str, str]:
    """Return what the process is told: what its container would be, with all references resolved.

    It holds the secrets of its own bots and no others. ``telegram_url`` is the sandbox's address; at ``pages_port`` it
    takes webhooks and serves pages, if it has such.
    Raises :class:`MissingVariablesError`.
    """
    _require(fleet, process, database_url)
    listen = (LOCAL, pages_port) if pages_port is not None and process.pages is not None else None
    names = [bot.name for bot in process.bots]
    settings = host_settings(fleet, names, database_url=database_url, telegram_url=telegram_url, listen=listen)
    variables = {
        **_shared(fleet, settings),
        **{name: text for bot in process.bots for name, text in _own(fleet, bot).items()},
        **_webhook(settings),
        **_bots(fleet, process, settings),
    }
    return {name: text for name, text in variables.items() if text}


def _shared(fleet: Fleet, settings: HostSettings) -> dict[str, str]:
    alerts = settings.alerts
    return {
        **{name: fleet.environ.get(name, "") for name in OF_ALL},
        "DATABASE_URL": settings.database_url,
        "TELEGRAM_API_URL": settings.telegram_url,
        "SCRIPTS_FOLDER": str(settings.scripts.absolute()),
        "ALERTS_CHAT_ID": str(alerts.chat_id) if alerts else "",
        "ALERTS_BOT_TOKEN": alerts.token if alerts else "",
        "ALERTS_RUNBOOK": alerts.runbook if alerts else "",
        "DISK_FOLDER": str(settings.disk.absolute()),
        # It holds what belongs to the others, too.
        "READ_DOTENV": "false",
    }


def _own(fleet: Fleet, bot: Bot) -> dict[str, str]:
    """Return what a bot has under names of its operator's: token, keys, and its ``env``."""
    names = [bot.token_variable] if bot.token_variable and not fleet.sandbox else []
    names += _dialog_variables(fleet.dialog_of(bot))
    more = {name: resolve(value, fleet.environ) for name, value in bot.env.items() if name != "LANGUAGE"}
    return {name: fleet.environ.get(name, "") for name in names} | more


def _dialog_variables(section: Dialog | None) -> list[str]:
    if section is None:
        return [OPENAI_KEY, ELEVENLABS_KEY]
    texts = json.loads(section.model_dump_json(exclude_defaults=True))
    return [*section.key_variables, *(reference.name for text in _texts(texts) for reference in references(text))]


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            yield from _texts(list(value.values()))


def _webhook(settings: HostSettings) -> dict[str, str]:
    listen = {"PAGES_ADDRESS": settings.listen[0], "PAGES_PORT": str(settings.listen[1])} if settings.listen else {}
    webhook = next((bot.webhook for bot in settings.bots if bot.webhook is not None), None)
    if webhook is None:
        return listen
    return listen | {
        "WEBHOOK_SECRET_TOKEN": webhook.secret_token,
        "WEBHOOK_MAX_CONNECTIONS": str(webhook.max_connections),
        "WEBHOOK_SSL_CERT": str(webhook.certificate.absolute()) if webhook.certificate else "",
    }


def _bots(fleet: Fleet, process: Process, settings: HostSettings) -> dict[str, str]:
    described = [_hosted(fleet, process, *pair) for pair in zip(process.bots, settings.bots, strict=True)]
    return {BOTS_VARIABLE: f"[{','.join(bot.model_dump_json(exclude_defaults=True) for bot in described)}]"}


def _hosted(fleet: Fleet, process: Process, bot: Bot, settings: BotSettings) -> HostedBot:
    return hosted_bot(
        fleet,
        bot,
        log_file=log_file(fleet, process, bot),
        webhook_url=settings.webhook.url if settings.webhook else None,
        app_url=settings.options.app_url,
        dialog=fleet.dialog_of(bot),
    )


def log_file(fleet: Fleet, process: Process, bot: Bot) -> Path | None:
    """Return where the process writes the bot's log: beside the config, or in the folder that systemd made for it."""
    if bot.log_file is None:
        return None
    folder = fleet.environ.get("LOGS_DIRECTORY")
    path = Path(folder, Path(bot.log_file).name) if folder else (fleet.path.parent / bot.log_file).absolute()
    return path if process.replica == 1 else path.with_name(f"{path.stem}@{process.replica}{path.suffix}")


def variables_of(fleet: Fleet) -> list[str]:
    """Name the variables without which some process of the fleet does not start."""
    return [*dict.fromkeys(name for process in processes_of(fleet) for name in _needed(fleet, process)), "DATABASE_URL"]


def _needed(fleet: Fleet, process: Process) -> dict[str, str]:
    """Name the secrets that a process needs, and say what each is."""
    tokens = {bot.token_variable: f"the token of {bot.name}" for bot in process.bots if not fleet.sandbox}
    sections = filter(None, map(fleet.dialog_of, process.bots))
    keys = {name: f"the key of {what}" for section in sections for name, what in section.key_variables.items()}
    alerts = {fleet.alerts.token_env: "the token of the bot that sends alerts"} if fleet.alerts else {}
    wanted = tokens | keys | ({} if fleet.sandbox else alerts)
    return {name: what for name, what in wanted.items() if name}


def _require(fleet: Fleet, process: Process, database_url: str) -> None:
    """Raise :class:`MissingVariablesError` unless everything is there that the process needs."""
    missing = [f"{name} ({what})" for name, what in _needed(fleet, process).items() if not fleet.environ.get(name)]
    missing += [] if database_url else ["DATABASE_URL (the address of the database)"]
    if missing:
        raise MissingVariablesError(f"{process.name} needs {', '.join(missing)}; put it into .env, or set it")


def of_the_machine(environ: Mapping[str, str]) -> dict[str, str]:
    """Return those variables that describe the machine, for a process that gets no others of this one's."""
    prefixes = ("LC_", "PYTHON", "PG")
    return {name: text for name, text in environ.items() if name in OF_THE_MACHINE or name.startswith(prefixes)}
