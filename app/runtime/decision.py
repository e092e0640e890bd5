"""What the engine decides for the chats of one turn, as the rows that the store takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.config.options import DEFAULT_OPTIONS, Options
from app.course.course import Courses
from app.engine.action import (
    Action,
    AnswerPress,
    CancelJobs,
    CancelTimers,
    EndRun,
    RecordRow,
    ReopenRun,
    StartJob,
    StartRun,
    StartTimer,
)
from app.engine.event import (
    CourseGiven,
    Event,
    Learner,
    ReplyFailed,
    ReplyReceived,
    TimeReached,
    VoiceTranscribed,
)
from app.engine.state import Chat, from_json, to_json
from app.engine.step import step
from app.jsontext import to_text
from app.store.rows import (
    ChatState,
    ConversationRow,
    Loaded,
    NewJob,
    NewMessage,
    NewRun,
    NewTimer,
    Usage,
)
from app.telegram.decode import Update
from app.telegram.encode import Request, encode
from app.texts import Texts, texts_for


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides a turn of a bot beside the chats: its name in the store, its courses, its language and options.

    ``has_begun`` tells whether the poll of a step of a run is being sent. ``plugin_kinds`` are the types of updates
    that the bot's plugin takes, if it has one.
    """

    botname: str
    courses: Courses
    language: str | None = None
    has_begun: Callable[[int, int], bool] = field(default=lambda _run_id, _step: False)
    options: Options = DEFAULT_OPTIONS
    plugin_kinds: frozenset[str] = frozenset()

    def texts(self, language_code: str | None) -> Texts:
        """Return the texts for a learner: the bot's language, else the learner's own."""
        return texts_for(self.language or language_code)


_BY_ITSELF = (TimeReached, ReplyReceived, ReplyFailed, VoiceTranscribed, CourseGiven)
"""Events that come without the learner doing anything at that moment."""


@dataclass(frozen=True, slots=True)
class Unused:
    """An update that the course does not use, and what its learner is told if the plugin does not use it either.

    ``notices`` are (callback id, text).
    """

    update: Update
    texts: Texts
    messages: Sequence[NewMessage] = ()
    notices: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Decision:
    """What the engine decided for all chats of a turn; ``ended`` says of runs whether they are, or are not any more."""

    chats: dict[int, Chat] = field(default_factory=dict)
    states: dict[int, ChatState] = field(default_factory=dict)
    started: list[NewRun] = field(default_factory=list)
    ended: dict[int, bool] = field(default_factory=dict)
    timers: list[NewTimer] = field(default_factory=list)
    timers_cancelled: list[int] = field(default_factory=list)
    jobs: list[NewJob] = field(default_factory=list)
    jobs_cancelled: list[int] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    rows: list[ConversationRow] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)

    def chat(self, loaded: Loaded, chat_id: int) -> Chat:
        """Return the chat as this turn has left it so far."""
        chat = self.chats.get(chat_id)
        if chat is None:
            state = loaded.chats[chat_id].state
            chat = self.chats[chat_id] = from_json(state) if state else Chat()
        return chat

    def decide(self, rules: Rules, loaded: Loaded, event: Event, update: Update | None = None) -> None:
        """Let the engine apply the event, and add what that takes; ``update`` is what brought it."""
        learner = event.learner
        texts = rules.texts(learner.language_code)
        decided = step(rules.courses, self.chat(loaded, learner.chat_id), event, texts, rules.options)
        before = self.states.get(learner.chat_id)
        has_written = not isinstance(event, _BY_ITSELF) or (before is not None and before.has_written)
        self.chats[learner.chat_id] = decided.chat
        self.states[learner.chat_id] = ChatState(
            learner.chat_id, learner.username, to_json(decided.chat), has_written, learner.language_code
        )
        if decided.is_unused and update is not None and update.kind in rules.plugin_kinds:
            self._leave(learner, update, texts, decided.actions)
            return
        for action in decided.actions:
            self._collect(learner, action)

    def _leave(self, learner: Learner, update: Update, texts: Texts, hint: Sequence[Action]) -> None:
        """Leave the update to the plugin, which is asked once all is committed."""
        later = Decision()
        for action in hint:
            later._collect(learner, action)
        self.unused.append(Unused(update, texts, later.messages, later.notices))

    def _collect(self, learner: Learner, action: Action) -> None:
        match action:
            case AnswerPress():
                self.notices.append((action.callback_id, action.text))
            case StartRun():
                self.started.append(_run(learner, action))
            case EndRun():
                self.ended[action.run_id] = True
            case ReopenRun():
                self.ended[action.run_id] = False
            case StartTimer():
                self.timers.append(_timer(learner, action))
            case CancelTimers():
                self.timers = [timer for timer in self.timers if timer.run_id != action.run_id]
                self.timers_cancelled.append(action.run_id)
            case StartJob():
                self.jobs.append(_job(learner, action))
            case CancelJobs():
                self.jobs = [job for job in self.jobs if job.run_id != action.run_id]
                self.jobs_cancelled.append(action.run_id)
            case RecordRow():
                self.rows.append(_row(learner, action))
            case _:
                self.messages += [_message(learner, request) for request in encode(learner.chat_id, action)]


def _run(learner: Learner, action: StartRun) -> NewRun:
    return NewRun(
        run_id=action.run_id,
        chat_id=learner.chat_id,
        username=learner.username,
        course_id=action.course_id,
        utm_source=action.utm_source,
        utm_campaign=action.utm_campaign,
    )


def _timer(learner: Learner, action: StartTimer) -> NewTimer:
    seconds = action.wait.total_seconds()
    return NewTimer(learner.chat_id, action.run_id, action.course_id, action.element_id, seconds)


def _job(learner: Learner, action: StartJob) -> NewJob:
    params = {"file_id": action.file_id} if action.file_id is not None else {}
    return NewJob(learner.chat_id, action.run_id, action.step, action.kind.value, params)


def _message(learner: Learner, request: Request) -> NewMessage:
    return NewMessage(learner.chat_id, request.method, dict(request.params), request.run_id, request.step)


def _row(learner: Learner, action: RecordRow) -> ConversationRow:
    return ConversationRow(
        chat_id=learner.chat_id,
        username=learner.username or NO_USERNAME,
        course_id=action.course_id,
        element_id=action.element_id,
        element_type=action.element_type,
        role=action.role.value,
        json=_json(action),
        report=action.report,
        score=action.score,
        maxscore=action.maxscore,
        run_id=action.run_id,
    )


NO_USERNAME = "--empty--"
"""What ``conversation.username`` holds for learners without one, as the old program wrote it."""


def _json(action: RecordRow) -> str | None:
    if action.content is not None:
        return spoken(action.content)
    return snapshot(action.body, action.attempt) if action.body is not None else None


def snapshot(body: Mapping[str, Any], attempt: int = 1) -> str:
    """Return the text of ``conversation.json``: the element as it stood, and the number of a repeated attempt."""
    counted = {"attempt": attempt} if attempt > 1 else {}
    return to_text({"element_data": body, **counted}, is_ascii=True)


def spoken(content: str) -> str:
    """Return the text of ``conversation.json`` for a turn of a dialog: what was said, as the model reads it."""
    return to_text({"content": content}, is_ascii=True)
