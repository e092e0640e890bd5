"""The fleet: what ``bots_config.yaml`` says, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field

from app.config.dialog import Dialog, dialog_of
from app.config.options import COMMANDS
from app.config.rules import (
    SANDBOX,
    Admin,
    ChatId,
    Commands,
    Connections,
    CoursesFolder,
    Fallback,
    Image,
    Language,
    Line,
    Memory,
    ModeName,
    Name,
    Replicas,
    ServerUrl,
    Tag,
    TokenReference,
    TokenVariable,
    UrlPath,
    Variables,
    WebhookSecret,
    WebhookUrl,
    language_of,
    split_url,
)
from app.config.section import Section
from app.config.settings import MAX_CONNECTIONS, TELEGRAM_API_URL, Mode
from app.config.template import single_reference
from app.errors import Problem


class Webhook(Section):
    """Where Telegram delivers the updates of bots with ``mode: webhook``."""

    base_url: WebhookUrl = Field(
        validation_alias=AliasChoices("base_url", "url"),
        description="https:// address of this server for Telegram, with the port if it is not 443",
    )
    path: UrlPath = Field("/webhook", description="URL path before the bot's name")
    secret_token: WebhookSecret = Field(
        "${WEBHOOK_SECRET_TOKEN}",
        validate_default=True,
        description="What Telegram sends with every update; keep it in .env",
    )
    ssl_cert_path: Line | None = Field(None, description="Own certificate (PEM); default: the proxy obtains one")
    ssl_key_path: Line | None = Field(None, description="Its key; default: the same path ending in .key")
    max_connections: Connections = Field(
        MAX_CONNECTIONS, description="How many requests at a time Telegram may send to each bot"
    )
    only_telegram: bool = Field(False, description="Whether the proxy lets only Telegram's own addresses in")

    @property
    def key_path(self) -> str | None:
        """The key of the own certificate, None without one."""
        if self.ssl_key_path or not self.ssl_cert_path:
            return self.ssl_key_path
        return str(Path(self.ssl_cert_path).with_suffix(".key"))


class Alerts(Section):
    """Where hosts report failures by themselves."""

    chat_id: ChatId = Field(description="Chat that gets the alerts")
    token_env: TokenVariable = Field(description="Variable that holds the token of the bot that sends them")
    runbook: Line | None = Field(None, description="URL of docs/runbook.md, to which alerts link; default: its path")


class Defaults(Section):
    """What bots get that do not say otherwise."""

    mode: ModeName = Mode.POLLING
    memory: Memory = "160m"
    replicas: Replicas = 1
    fallback: Fallback | None = None
    language: Language | None = None
    env: Variables = Field({})
    commands: Commands = COMMANDS
    keywords: bool = False
    admins: tuple[Admin, ...] = ()
    mini_apps: bool = False


class Bot(Section):
    """One Telegram bot."""

    name: Name = Field(description="Name of the service, and of the bot in every command")
    bot_name: Line = Field(
        default_factory=lambda data: data.get("name", ""),
        description="What run.botname holds in the database; default: name",
    )
    token_env: TokenVariable | None = Field(None, description="Variable that holds the token")
    token: TokenReference | None = Field(None, description="The same written as ${VARIABLE}")
    folder: CoursesFolder = Field(
        "", validate_default=True, description="Folder of scripts/ with courses.yml; empty: scripts/ itself"
    )
    mode: ModeName = Field(Mode.POLLING, description="How updates come in")
    webhook_url: WebhookUrl | None = Field(
        None, description="Whole webhook address, instead of base_url, path and name"
    )
    fallback: Fallback | None = Field(None, description="What to do while the webhook fails")
    version: Tag | None = Field(None, description="Image tag to which this bot is pinned")
    group: Name | None = Field(None, description="Bots of one group share one container")
    replicas: Replicas = Field(1, description="Number of its containers")
    memory: Memory = Field("160m", description="Memory limit of its container")
    log_file: Line | None = Field(None, description="Log file besides the container's log")
    env: Variables = Field({}, description="More environment variables")
    language: Language | None = Field(
        default_factory=lambda data: language_of(data.get("env", {}).get("LANGUAGE", "")),
        description="Language of the bot's own texts; default: the learner's",
    )
    commands: Commands = Field(COMMANDS, description="Commands that learners may use; false: none but /start")
    keywords: bool = Field(False, description="Whether the old program's words move between modules too")
    admins: tuple[Admin, ...] = Field((), description="Chat ids of people who may use /go")
    mini_apps: bool = Field(False, description="Whether the bot serves the page of miniapp elements itself")
    dialog: Dialog | None = Field(None, description="What this bot's dialogs have otherwise than the fleet's")

    @property
    def token_variable(self) -> str | None:
        """Name of the variable that holds the token; None for a bot of the sandbox without one."""
        reference = single_reference(self.token) if self.token else None
        return reference.name if reference else self.token_env

    @property
    def service(self) -> str:
        """Name of the container's service: the group's or the bot's own."""
        return self.group or self.name


class FleetFile(Section):
    """The keys of ``bots_config.yaml``."""

    image: Image | None = Field(None, description="Image without a tag; default: built from this checkout")
    version: Tag | None = Field(None, description="Image tag of bots that have no version of their own")
    telegram: ServerUrl | None = Field(
        None, description="'sandbox', or the URL of a Bot API server; default: Telegram's"
    )
    webhook: Webhook | None = None
    dialog: Dialog | None = None
    alerts: Alerts | None = None
    defaults: Defaults = Defaults()
    bots: tuple[Bot, ...] = Field(min_length=1, description="The bots of the fleet")


class Fleet(FleetFile):
    """A checked config: its keys, where it came from, and the variables that it may use.

    ``environ`` is ``.env`` with the real environment over it; ``warnings`` are problems that do not stop anything.
    """

    path: Path
    scripts: Path
    environ: Mapping[str, str] = Field(repr=False)
    warnings: tuple[Problem, ...] = ()

    @property
    def sandbox(self) -> bool:
        """Whether the bots live in the sandbox."""
        return self.telegram == SANDBOX

    @property
    def telegram_url(self) -> str | None:
        """The Bot API server; None for the sandbox, whose address is known to the one who starts it."""
        return None if self.sandbox else self.telegram or TELEGRAM_API_URL

    def webhook_url(self, bot: Bot) -> str | None:
        """Return where Telegram delivers the updates of ``bot``, references unresolved; None if it polls."""
        if bot.mode is not Mode.WEBHOOK or not self.webhook:
            return None
        return bot.webhook_url or f"{self.webhook.base_url}{self.webhook.path}/{bot.name}"

    def app_url(self, bot: Bot) -> str | None:
        """Return the public address of the page of ``bot`` for mini apps, references unresolved; None without one."""
        if not bot.mini_apps or not self.webhook:
            return None
        return f"{split_url(self.webhook.base_url)[0]}/app/{bot.name}/"

    def dialog_of(self, bot: Bot) -> Dialog | None:
        """Return the fleet's ``dialog`` section as the bot's own one changes it."""
        return dialog_of(self.dialog, bot.dialog)

    @classmethod
    def of(cls, keys: FleetFile, **origin: Any) -> Fleet:
        """Join checked keys with their origin."""
        return cls.model_construct(**dict(keys), **origin)
