"""What one host (a process that runs bots) is told: the contract between config, containers and runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

TELEGRAM_API_URL = "https://api.telegram.org"
"""The Bot API server that is used when none is configured."""


class Mode(StrEnum):
    """How updates come in."""

    POLLING = "polling"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where Telegram delivers one bot's updates; ``certificate`` is sent to Telegram if it is our own."""

    url: str
    secret_token: str = field(repr=False)
    certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class BotSettings:
    """One bot of a host.

    ``name`` is the service name, ``bot_name`` what ``run.botname`` holds (empty: the username that ``getMe`` returns).
    ``folder`` is relative to the scripts folder: ``""`` or ends with ``/``. ``language`` (``ru``, ``en``) chooses the
    texts that learners see; ``None`` lets each learner's own language decide.
    """

    name: str
    bot_name: str
    token: str = field(repr=False)
    folder: str = ""
    mode: Mode = Mode.POLLING
    language: str | None = None
    log_file: Path | None = None
    webhook: WebhookSettings | None = None


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host runs and where: its bots, the database, the Bot API server and the folder with the courses."""

    bots: tuple[BotSettings, ...]
    database_url: str = field(repr=False)
    telegram_url: str = TELEGRAM_API_URL
    scripts: Path = Path("scripts")
