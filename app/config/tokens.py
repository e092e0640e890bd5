"""Bot tokens: their shape, and the ones that the sandbox takes."""

from __future__ import annotations

import hashlib
import re

from app.observe.secrets import KEY, masked

SANDBOX_TOKEN = "sandbox"  # noqa: S105 - the word that stands for "derive it from the name"
"""Written in place of a token, it means :func:`sandbox_token` of the bot's name."""

ALERTS = "alerts"
"""The name, in the sandbox, of the bot that sends alerts."""

_TELEGRAM_TOKEN = re.compile(r"[0-9]{3,}:[A-Za-z0-9_-]{30,}")
_SANDBOX_PREFIX = "sandbox-"
_NOT_IN_TOKENS = re.compile(r"[^A-Za-z0-9_-]")
_ANY_TOKEN = re.compile(r"[0-9]+:[^\s/]+")


def sandbox_token(name: str) -> str:
    """Give the bot called ``name`` its sandbox token: the same one every time, no secret, and telling the name."""
    digest = hashlib.sha256(f"flotilla sandbox {name}".encode()).digest()
    number = 1_000_000_000 + int.from_bytes(digest[:4], "big") % 1_000_000_000
    return f"{number}:{_SANDBOX_PREFIX}{_NOT_IN_TOKENS.sub('-', name)}"


def sandbox_name(token: str) -> str | None:
    """Return the name that a token of the sandbox tells; None for other tokens."""
    _, _, secret = token.partition(":")
    return secret.removeprefix(_SANDBOX_PREFIX) or None if secret.startswith(_SANDBOX_PREFIX) else None


def is_well_formed(token: str, *, official: bool) -> bool:
    """Whether ``token`` looks like a bot's token; servers other than Telegram's own may hand out shorter ones."""
    return bool((_TELEGRAM_TOKEN if official else _ANY_TOKEN).fullmatch(token))


def holds_token(text: str) -> bool:
    """Whether something in ``text`` looks like a token of Telegram."""
    return bool(_TELEGRAM_TOKEN.search(text))


def holds_key(text: str) -> bool:
    """Whether something in ``text`` looks like a key of OpenAI or ElevenLabs."""
    return bool(KEY.search(text))


def redacted(text: str) -> str:
    """Put dots for everything in ``text`` that looks like a token or a key."""
    return masked(text)


def shown(value: object) -> str:
    """Quote a value for a message, shortened, and without the tokens that may be in it."""
    quoted = redacted(repr(value))
    return quoted if len(quoted) <= 80 else f"{quoted[:77]}..."
