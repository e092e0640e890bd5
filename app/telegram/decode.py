"""Bot API updates, as they come from JSON, to the engine's events.

Nothing here raises: an update of a type or shape that no course uses becomes an ``Update`` without an event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeGuard

from app.engine.event import (
    ButtonPressed,
    CommandReceived,
    ContentReceived,
    Event,
    Learner,
    PollAnswered,
    StartRequested,
    TextReceived,
)

ALLOWED_UPDATES = ("message", "callback_query", "poll_answer")
"""The update types that a host asks Telegram for."""

_COMMAND = re.compile(r"/(\S*?)(?:@\S*)?(?:\s+(.*))?", re.DOTALL)
_CONTENT_KINDS = (
    "voice",
    "audio",
    "photo",
    "video",
    "video_note",
    "document",
    "sticker",
    "animation",
    "contact",
    "location",
    "venue",
    "poll",
    "dice",
)


@dataclass(frozen=True, slots=True)
class Update:
    """One update: its id, whose chat it concerns and what it means there.

    ``callback_id`` is set for presses: they are answered even when the update was seen before. ``raw`` is what Telegram
    sent, ``received_at`` when, by the process's own clock.
    """

    update_id: int
    raw: Mapping[str, Any]
    chat_id: int | None = None
    event: Event | None = None
    callback_id: str | None = None
    received_at: float = field(default_factory=monotonic, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """The Bot API's name of its type, such as ``message``; empty when it has none."""
        return next((key for key in self.raw if key != "update_id"), "")

    @property
    def body(self) -> Mapping[str, Any]:
        """What it is about, such as the message."""
        body = self.raw.get(self.kind)
        return body if isinstance(body, Mapping) else {}

    @property
    def learner(self) -> Learner | None:
        """The person whom it comes from, wherever that was; ``None`` when it says nobody, or a bot."""
        return _learner(self.body.get("from")) or _learner(self.body.get("user"))


def decode(raw: object, at: datetime | None = None) -> Update | None:
    """Decode one update; ``None`` when it has not even an ``update_id``. ``at`` is its time, by default now."""
    if not isinstance(raw, dict) or not _is_id(raw.get("update_id")):
        return None
    update = Update(update_id=raw["update_id"], raw=raw)
    at = at or datetime.now(UTC)
    for kind, decoder in _DECODERS.items():
        body = raw.get(kind)
        if isinstance(body, dict):
            return decoder(update, body, at)
    return update


def clean(text: str) -> str:
    """Return the text without what PostgreSQL cannot store: NUL characters and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _message(update: Update, body: dict[str, Any], at: datetime) -> Update:
    learner = _learner(body.get("from"))
    chat = body.get("chat")
    if learner is None or not isinstance(chat, dict) or chat.get("type") != "private":
        return update
    if body.get("via_bot") is not None:  # somebody's inline bot wrote it, not the learner
        return update
    text = body.get("text")
    if isinstance(text, str):
        return _about(update, learner, _text(learner, clean(text), at))
    kind = next((kind for kind in _CONTENT_KINDS if body.get(kind) is not None), None)
    return _about(update, learner, _content(learner, at, kind, body[kind])) if kind else update


def _content(learner: Learner, at: datetime, kind: str, body: object) -> ContentReceived:
    file_id = body.get("file_id") if kind == "voice" and isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(file_id, str):
        return ContentReceived(learner, at, kind)
    seconds = body.get("duration")
    return ContentReceived(learner, at, kind, clean(file_id), seconds if _is_id(seconds) else 0)


def _text(learner: Learner, text: str, at: datetime) -> Event:
    command = _COMMAND.fullmatch(text)
    if command is None:
        return TextReceived(learner, at, text)
    name, arguments = command[1].lower(), (command[2] or "").strip()
    if name == "start":
        return StartRequested(learner, at, arguments)
    return CommandReceived(learner, at, name, arguments)


def _callback_query(update: Update, body: dict[str, Any], at: datetime) -> Update:
    learner, callback_id, data = _learner(body.get("from")), body.get("id"), body.get("data")
    if learner is None or not isinstance(callback_id, str):
        return update
    message = body.get("message")
    message_id = message.get("message_id") if isinstance(message, dict) else None
    press = ButtonPressed(
        learner,
        at,
        callback_id,
        clean(data) if isinstance(data, str) else "",
        message_id if _is_id(message_id) else None,
    )
    return replace(_about(update, learner, press), callback_id=callback_id)


def _poll_answer(update: Update, body: dict[str, Any], at: datetime) -> Update:
    learner, poll_id, options = _learner(body.get("user")), body.get("poll_id"), body.get("option_ids")
    if learner is None or not isinstance(poll_id, str) or not isinstance(options, list):
        return update
    if not all(_is_id(option) for option in options):
        return update
    return _about(update, learner, PollAnswered(learner, at, clean(poll_id), tuple(options)))


_DECODERS = {"message": _message, "callback_query": _callback_query, "poll_answer": _poll_answer}


def _about(update: Update, learner: Learner, event: Event) -> Update:
    return replace(update, chat_id=learner.chat_id, event=event)


def _learner(body: object) -> Learner | None:
    if not isinstance(body, dict) or not _is_id(body.get("id")) or body.get("is_bot") is True:
        return None
    return Learner(body["id"], _name(body.get("username")), _name(body.get("language_code")))


def _name(value: object) -> str | None:
    return clean(value) if isinstance(value, str) and value else None


def _is_id(value: object) -> TypeGuard[int]:
    # Telegram's ids fit into 52 bits; PostgreSQL's bigint would refuse larger numbers.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
