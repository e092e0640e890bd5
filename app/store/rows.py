"""What the store takes and returns: rows as frozen classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.engine.event import PollRef

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A chat as it is stored; ``state`` is ``None`` before its first turn."""

    state: Json | None = None
    is_blocked: bool = False
    username: str | None = None
    language_code: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a turn starts from.

    ``fresh`` holds the update ids that no committed turn has seen, ``chats`` every chat asked for, ``polls`` those
    polls asked for that are known, ``run_ids`` the unused ids for new runs.
    """

    fresh: frozenset[int]
    chats: Mapping[int, ChatRecord]
    polls: Mapping[str, PollRef]
    run_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Backlog:
    """Chats with messages that are ours to send now, though other hosts have committed them.

    Of those ``taken_over`` from a host that is gone some may have been sent; the ``unheard`` ones were not.
    """

    unheard: frozenset[int] = frozenset()
    taken_over: frozenset[int] = frozenset()

    @property
    def chat_ids(self) -> frozenset[int]:
        """All of them."""
        return self.unheard | self.taken_over

    def __or__(self, other: Backlog) -> Backlog:
        return Backlog(self.unheard | other.unheard, self.taken_over | other.taken_over)


NO_BACKLOG = Backlog()


@dataclass(frozen=True, slots=True)
class ChatState:
    """The state of a chat after a turn; ``username`` without ``@``. Who has written has not blocked the bot."""

    chat_id: int
    username: str | None
    state: Json = field(repr=False)
    has_written: bool = True
    language_code: str | None = None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A row of ``run``; ``run_id`` comes from ``Loaded.run_ids``."""

    run_id: int
    chat_id: int
    username: str | None
    course_id: str
    utm_source: str | None = None
    utm_campaign: str | None = None


@dataclass(frozen=True, slots=True)
class NewTimer:
    """A wait of a run, in seconds from the turn; ``element_id`` is where it leads, ``None`` past the course's last."""

    chat_id: int
    run_id: int
    course_id: str
    element_id: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Timer:
    """A wait that is not over, or not delivered; due in so many seconds, 0 when it is due."""

    timer_id: int
    chat_id: int
    run_id: int
    element_id: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class NewJob:
    """Something slow to be done for a step of a run; ``kind`` is that of ``app.engine.action.JobKind``."""

    chat_id: int
    run_id: int
    step: int
    kind: str
    params: Json


@dataclass(frozen=True, slots=True)
class Job:
    """A job that its worker has claimed for a while; ``message_id`` is the message that shows its reply so far."""

    job_id: int
    chat_id: int
    run_id: int
    step: int
    kind: str
    params: Json
    attempts: int
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a reply cost."""

    chat_id: int
    course_id: str
    run_id: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether a learner may talk to the model now.

    ``messages`` and ``messages_today`` are the learner's in the course, ``tokens_today`` the bot's; days are UTC.
    """

    is_banned: bool = False
    is_exempt: bool = False
    messages: int = 0
    messages_today: int = 0
    tokens_today: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A row of the transcript of one element, in order; ``json`` is the text of ``conversation.json``."""

    role: str
    report: str | None
    json: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ban:
    """A learner who may not talk to the model, or whom no ban and no limit concerns (``is_exempt``)."""

    chat_id: int
    username: str | None
    is_exempt: bool
    reason: str | None
    banned_at: datetime | None


@dataclass(frozen=True, slots=True)
class Participant:
    """Who may take a restricted course: known by ``chat_id`` or, until the first start, by ``username`` alone."""

    course_id: str
    username: str | None
    chat_id: int | None = None


@dataclass(frozen=True, slots=True)
class RunOwner:
    """Whose run it is, and of which course."""

    botname: str
    chat_id: int
    course_id: str


@dataclass(frozen=True, slots=True)
class StoredCourse:
    """A course of the database: its elements in order (id, JSON text of the row), and the file it came from if any."""

    course_id: str
    elements: tuple[tuple[str, str], ...] = field(repr=False)
    yaml: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A row of ``conversation`` (course-format.md, section 6.6); ``json`` is the element's snapshot as JSON text."""

    chat_id: int
    username: str | None
    course_id: str
    element_id: str
    element_type: str
    role: str
    run_id: int
    json: str | None = field(default=None, repr=False)
    report: str | None = None
    score: float | None = None
    maxscore: float | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A call of a Bot API method for a chat; ``run_id`` and ``step`` say where a poll belongs."""

    chat_id: int
    method: str
    params: Json
    run_id: int | None = None
    step: int | None = None
    broadcast_id: int | None = None


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A committed message that Telegram has not accepted yet; ``outbox_id`` grows in the order of sending."""

    outbox_id: int
    chat_id: int
    method: str
    params: Json
    run_id: int | None = None
    step: int | None = None
    broadcast_id: int | None = None


@dataclass(frozen=True, slots=True)
class SentPoll:
    """A poll that Telegram has accepted, bound to the run and step it was sent for.

    Not ``is_single`` when the learner may see another copy of it, whose id nobody knows.
    """

    poll_id: str
    chat_id: int
    run_id: int
    step: int
    message_id: int
    is_single: bool = True


@dataclass(frozen=True, slots=True)
class NewestPoll:
    """The newest known poll of a run."""

    poll_id: str
    is_single: bool
    place: PollRef


@dataclass(frozen=True, slots=True)
class MediaFile:
    """Telegram's id of the file behind a link; ``kind`` is the Bot API's field name (``photo``, ``audio``, ...)."""

    url: str
    kind: str
    file_id: str


@dataclass(frozen=True, slots=True)
class BotFigures:
    """What the tables say of one bot at a time.

    ``active_*`` count learners who did something in the last 5 minutes, 24 hours and 7 days; ``outbox_age`` is the age
    in seconds of the oldest message not sent, ``None`` without any.
    """

    botname: str
    at: datetime
    active_5m: int
    active_24h: int
    active_7d: int
    outbox: int
    outbox_age: float | None
    timers_late: int
    jobs_open: int
    dead_updates: int


@dataclass(frozen=True, slots=True)
class RunPlace:
    """How many runs of a course stand at an element, by their newest row, or have ended (then it is ``None``)."""

    botname: str
    course_id: str
    element_id: str | None
    is_ended: bool
    runs: int


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """How large the database is, in bytes, and how many connections its server has and admits."""

    at: datetime
    size: int
    connections: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class DeadUpdate:
    """An update that could not be applied, as Telegram sent it, and why."""

    update_id: int
    chat_id: int | None
    raw: Json = field(repr=False)
    error: str
