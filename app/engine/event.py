"""What happened in one chat, as the engine sees it: past tense, decoded, with the clock and fresh ids inside.

``app.telegram.decode`` makes these from Bot API updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


@dataclass(frozen=True, slots=True)
class Learner:
    """The person of a chat as Telegram describes them; ``chat_id`` is the user id (private chats have the same id)."""

    chat_id: int
    username: str | None = None
    language_code: str | None = None


@dataclass(frozen=True, slots=True)
class PollRef:
    """Where a poll belongs: the run and step it was sent for, and its message."""

    run_id: int
    step: int
    message_id: int


@dataclass(frozen=True, slots=True)
class StartRequested:
    """The learner sent ``/start [payload]``.

    ``run_id`` is a fresh id for the run this may start. ``is_participant`` says whether the learner may start the
    course that the payload names, if that course is restricted.
    """

    learner: Learner
    at: datetime
    payload: str
    run_id: int = 0
    is_participant: bool = False


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """The learner sent a command other than ``/start``; ``name`` without the slash and without ``@bot``, lower case.

    ``run_id`` is a fresh id if the command may start a run (``/restart``, ``/go``), else 0. ``is_participant`` says
    whether the learner may start the course that the command is about, if that is restricted.
    """

    learner: Learner
    at: datetime
    name: str
    arguments: str
    run_id: int = 0
    is_participant: bool = False


@dataclass(frozen=True, slots=True)
class TextReceived:
    """The learner sent a text that is not a command."""

    learner: Learner
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class ContentReceived:
    """The learner sent something other than a text; ``kind`` is the Bot API's field name (``voice``, ``photo``).

    ``file_id`` and ``seconds`` (duration) are set for a ``voice``.
    """

    learner: Learner
    at: datetime
    kind: str
    file_id: str | None = None
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """The learner pressed an inline button; ``run_id`` is a fresh id if the press may start a run, else 0.

    ``is_participant`` says whether the learner may start the course that the button names, if that is restricted.
    """

    learner: Learner
    at: datetime
    callback_id: str
    data: str
    message_id: int | None
    run_id: int = 0
    is_participant: bool = False


@dataclass(frozen=True, slots=True)
class PollAnswered:
    """The learner voted; no ``option_ids`` means the vote was taken back.

    ``poll`` tells where the poll belongs. It is ``None`` when the poll is not known: it was sent by the old program, or
    its message is still on its way into the store. ``is_bound`` says whether the poll of the step on screen is known,
    and was surely sent only once.
    """

    learner: Learner
    at: datetime
    poll_id: str
    option_ids: tuple[int, ...]
    poll: PollRef | None = None
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class TimeReached:
    """A timer of this run is due; ``element_id`` is where it leads, ``None`` past the last element of the course."""

    learner: Learner
    at: datetime
    run_id: int
    element_id: str | None


class Trouble(Enum):
    """Why a dialog got no reply."""

    MODEL = "the model did not answer, or answered with an error"
    BANNED = "the learner is banned from the dialogs of the course"
    MESSAGES = "the learner has sent all messages of the day"
    TOKENS = "the bot has used up its tokens of the day"
    NO_MODEL = "the bot has no model; asking again would not help"


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """The model answered in the dialog of this step: ``text`` as it wrote it, stop marker included.

    ``message_id`` is the message that already shows the beginning of the reply, if it was streamed.
    """

    learner: Learner
    at: datetime
    run_id: int
    step: int
    text: str
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """The dialog of this step gets no reply for now; ``message_id`` as in ``ReplyReceived``."""

    learner: Learner
    at: datetime
    run_id: int
    step: int
    trouble: Trouble
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class VoiceTranscribed:
    """A voice message of the learner in the dialog of this step was understood; ``text`` ``None``: it was not.

    ``is_deaf``: it never will be, for the bot cannot listen.
    """

    learner: Learner
    at: datetime
    run_id: int
    step: int
    text: str | None
    is_deaf: bool = False


@dataclass(frozen=True, slots=True)
class AppAnswered:
    """The learner submitted the mini app of this step; ``answer`` is what the app posted."""

    learner: Learner
    at: datetime
    run_id: int
    step: int
    answer: str


@dataclass(frozen=True, slots=True)
class CourseGiven:
    """A plugin starts a course for the learner, at this element or at its beginning; ``run_id`` is a fresh id."""

    learner: Learner
    at: datetime
    course_id: str
    element_id: str | None = None
    run_id: int = 0


Event = (
    StartRequested | CommandReceived | TextReceived | ContentReceived | ButtonPressed | PollAnswered | TimeReached
    | ReplyReceived | ReplyFailed | VoiceTranscribed | AppAnswered | CourseGiven
)  # fmt: skip
"""Everything that can happen in a chat; ``step`` closes its ``match`` over it with ``assert_never``."""
