"""What the engine asks for: imperative, performed in order by ``app.runtime.turn`` (rows) and the sender (messages)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from app.course.element import Body, ParseMode, Speech


@dataclass(frozen=True, slots=True)
class Button:
    """An inline button, one per row; ``data`` is at most 64 bytes of UTF-8. With ``app_url`` it opens a mini app."""

    text: str
    data: str
    app_url: str | None = None


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text of any length; the buttons go under its last part.

    ``parse_mode`` ``None`` is plain text. ``link_preview`` ``None`` leaves the preview to Telegram (shown). The text
    takes the place of that of the message ``replaces``, if there is one.
    """

    text: str
    parse_mode: ParseMode | None = None
    link_preview: bool | None = None
    buttons: tuple[Button, ...] = ()
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class SendSpeech:
    """Send a text as a voice message, with the text hidden in its caption; as a text if it cannot be spoken.

    ``spoken`` is what the voice says, without markup.
    """

    spoken: str
    text: str
    parse_mode: ParseMode | None
    speech: Speech
    buttons: tuple[Button, ...] = ()


class MediaKind(StrEnum):
    """What a media link is taken for when neither its content type nor its name tells."""

    PHOTO = "photo"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class SendMedia:
    """Send files by their links, in order, any number; the caption (at most 1024 characters) goes with the first."""

    urls: tuple[str, ...]
    kind: MediaKind
    caption: str = ""
    parse_mode: ParseMode | None = None


@dataclass(frozen=True, slots=True)
class SendPoll:
    """Send a non-anonymous poll, bound to a step of a run; ``correct_option`` (index) makes it a quiz."""

    run_id: int
    step: int
    question: str
    options: tuple[str, ...]
    correct_option: int | None = None
    allows_multiple_answers: bool = False


@dataclass(frozen=True, slots=True)
class StopPoll:
    """Close the poll of this message."""

    message_id: int


@dataclass(frozen=True, slots=True)
class RemoveButtons:
    """Take the buttons away from a message."""

    message_id: int


@dataclass(frozen=True, slots=True)
class AnswerPress:
    """Answer a callback query, with a notice or silently; never stored: it is worthless after some seconds."""

    callback_id: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class StartRun:
    """Create the run with this id."""

    run_id: int
    course_id: str
    utm_source: str | None = None
    utm_campaign: str | None = None


@dataclass(frozen=True, slots=True)
class EndRun:
    """Mark this run, and no other, as ended."""

    run_id: int


@dataclass(frozen=True, slots=True)
class ReopenRun:
    """Mark this run as not ended any more."""

    run_id: int


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Bring ``TimeReached`` with this run and element when ``wait`` has passed since the turn.

    The clock is the store's, so that hosts whose clocks differ agree.
    """

    run_id: int
    course_id: str
    element_id: str | None
    wait: timedelta


@dataclass(frozen=True, slots=True)
class CancelTimers:
    """Forget the timers of this run that are not due yet."""

    run_id: int


class JobKind(StrEnum):
    """What takes too long for a turn."""

    REPLY = "reply"
    TRANSCRIPTION = "transcription"


@dataclass(frozen=True, slots=True)
class StartJob:
    """Have something slow done for the dialog of this step; its result comes back as an event.

    ``REPLY`` brings ``ReplyReceived`` or ``ReplyFailed``, ``TRANSCRIPTION`` (of the voice ``file_id``) brings
    ``VoiceTranscribed``.
    """

    run_id: int
    step: int
    kind: JobKind
    file_id: str | None = None


@dataclass(frozen=True, slots=True)
class CancelJobs:
    """Forget the jobs of this run; what is under way brings no event any more."""

    run_id: int


class Role(StrEnum):
    """Who a row is by."""

    BOT = "bot"
    USER = "user"


@dataclass(frozen=True, slots=True)
class RecordRow:
    """Write a row of ``conversation`` (course-format.md, section 6.6).

    ``score`` and ``maxscore`` are both set or both ``None``; ``attempt`` counts the scores of the element in the run,
    from 1. ``body`` is the snapshot of the element. Rows of a dialog's turns have no snapshot, and
    ``content``: what was said as the model reads or wrote it. What is said or pressed in a dialog beside the
    conversation (a ban, the exit button) has neither.
    """

    run_id: int
    course_id: str
    element_id: str
    element_type: str
    role: Role
    report: str | None
    score: float | None = None
    maxscore: float | None = None
    body: Body | None = field(default=None, repr=False)
    attempt: int = 1
    content: str | None = field(default=None, repr=False)


Action = (
    SendText | SendMedia | SendPoll | SendSpeech | StopPoll | RemoveButtons | AnswerPress
    | StartRun | EndRun | ReopenRun | StartTimer | CancelTimers | StartJob | CancelJobs | RecordRow
)  # fmt: skip
"""Everything the engine can ask for."""
