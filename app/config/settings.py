"""What one host (a process that runs bots) is told: the contract between config, containers and runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from app.config.options import DEFAULT_OPTIONS, Options

TELEGRAM_API_URL = "https://api.telegram.org"
"""The Bot API server that is used when none is configured."""


MAX_CONNECTIONS = 100
"""How many requests at a time Telegram sends to a webhook unless told otherwise: as many as it can.

They wait for one transaction, which is cheaper the more it holds; so these connections are no load to be limited.
"""


RUNBOOK = "docs/runbook.md"
"""Where alerts say what to do, unless they are to link elsewhere; a path in the checkout."""


class Mode(StrEnum):
    """How updates come in."""

    POLLING = "polling"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where Telegram delivers one bot's updates; ``certificate`` is sent to Telegram if it is our own.

    Telegram calls with up to ``max_connections`` requests at a time.
    """

    url: str
    secret_token: str = field(repr=False)
    certificate: Path | None = None
    max_connections: int = MAX_CONNECTIONS


class Api(StrEnum):
    """Which of OpenAI's interfaces the model's server is asked by."""

    CHAT_COMPLETIONS = "chat_completions"
    RESPONSES = "responses"


class VoiceProvider(StrEnum):
    """Who turns voice into text and text into voice; ``OPENAI`` is any server with OpenAI's audio endpoints."""

    ELEVENLABS = "elevenlabs"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """Where voice messages are understood and spoken; ``None`` stands for the provider's default."""

    provider: VoiceProvider = VoiceProvider.ELEVENLABS
    base_url: str | None = None
    api_key: str = field(default="", repr=False)
    transcription_model: str | None = None
    speech_model: str | None = None
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What models whose names match the pattern (``fnmatch``) understand; the first match counts."""

    pattern: str
    takes_temperature: bool = True
    takes_reasoning: bool = False


REASONING_MODELS = (
    ModelTraits("o[0-9]*", takes_temperature=False, takes_reasoning=True),
    ModelTraits("gpt-5*", takes_temperature=False, takes_reasoning=True),
)
"""The model families that are known without being configured; all others take a temperature."""


@dataclass(frozen=True, slots=True)
class DialogSettings:
    """How one bot's dialogs are answered.

    ``timeout`` is in seconds, for one attempt; ``retries`` are further attempts. ``max_tokens`` is for one reply,
    ``daily_tokens`` for the bot and a day (UTC). ``is_streaming`` shows the reply while it is written.
    """

    base_url: str = "https://api.openai.com/v1"
    api_key: str = field(default="", repr=False)
    model: str = "gpt-4.1"
    api: Api = Api.CHAT_COMPLETIONS
    temperature: float | None = None
    reasoning: str | None = None
    max_tokens: int | None = None
    timeout: float = 60.0
    retries: int = 3
    is_streaming: bool = False
    daily_tokens: int | None = None
    traits: tuple[ModelTraits, ...] = REASONING_MODELS
    voice: VoiceSettings | None = None


@dataclass(frozen=True, slots=True)
class BotSettings:
    """One bot of a host.

    ``name`` is the service name, ``bot_name`` what ``run.botname`` holds (empty: the username that ``getMe`` returns).
    ``folder`` is relative to the scripts folder: ``""`` or ends with ``/``. ``language`` (``ru``, ``en``) chooses the
    texts that learners see; ``None`` lets each learner's own language decide. Without ``dialog`` the bot cannot answer
    in dialogs. ``fallback`` is how updates come in while the webhook fails, if at all.
    """

    name: str
    bot_name: str
    token: str = field(repr=False)
    folder: str = ""
    mode: Mode = Mode.POLLING
    language: str | None = None
    log_file: Path | None = None
    webhook: WebhookSettings | None = None
    options: Options = DEFAULT_OPTIONS
    dialog: DialogSettings | None = None
    fallback: Mode | None = None


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Which chat hosts report failures to, and the token of the bot that sends them.

    ``runbook`` is where messages link to. While what is at all of ``monitoring`` (URLs) is ready, it tells instead.
    The one host of a fleet that is the ``speaker`` tells of a database that is away when hosts start.
    """

    chat_id: str
    token: str = field(repr=False)
    runbook: str = RUNBOOK
    monitoring: tuple[str, ...] = ()
    is_speaker: bool = False


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host runs and where: its bots, the database, the Bot API server and the folder with the courses.

    With ``listen`` (address, port) it serves its bots' web pages and webhooks there. ``has_limits`` holds messages back
    that are above Telegram's limits; ``None`` does so with Telegram's own server only. At ``metrics`` (address, port)
    it serves ``/metrics``; ``disk`` is any path on the disk that is watched. With ``alerts`` it tells operators what
    goes wrong in the fleet.
    """

    bots: tuple[BotSettings, ...]
    database_url: str = field(repr=False)
    telegram_url: str = TELEGRAM_API_URL
    scripts: Path = Path("scripts")
    listen: tuple[str, int] | None = None
    has_limits: bool | None = None
    metrics: tuple[str, int] | None = None
    disk: Path = Path("/")
    alerts: AlertSettings | None = None

    @property
    def is_limited(self) -> bool:
        """Whether messages above Telegram's limits are held back."""
        return self.telegram_url == TELEGRAM_API_URL if self.has_limits is None else self.has_limits
