"""What the handlers of a plugin can do with the course and learn about learners; see docs/plugins.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar

from app.course.course import Courses
from app.course.element import ParseMode
from app.engine.action import Button, SendText
from app.engine.event import CourseGiven, Learner
from app.engine.press import parse_press
from app.engine.state import Chat, Score, from_json
from app.errors import FlotillaError
from app.runtime.turn import Feed
from app.store.rows import ChatRecord, NewMessage
from app.store.store import Store
from app.telegram.decode import clean
from app.telegram.encode import encode

T = TypeVar("T")

AT_ONCE = 2
"""Most queries of one plugin under way: the connections are those of all bots of the process."""

LONGEST_TAG = 100
"""Characters."""

LONGEST_DATA = 64
"""Bytes of a button's data that Telegram takes."""


class CourseControlError(FlotillaError):
    """A handler asked for what is not possible."""


class Turns(Protocol):
    """What commits: see ``Shift``."""

    async def feed(self, one: Feed) -> bool:
        """Apply an event."""

    async def post(self, messages: Sequence[NewMessage], notices: Sequence[tuple[str, str]] = ()) -> None:
        """Queue messages."""


class Access:
    """A bot's part of the database, a few queries at a time. A query that has begun ends, whoever waits for it."""

    def __init__(self, botname: str, store: Store) -> None:
        self.botname = botname
        self.store = store
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[Any]] = set()

    async def query(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a query, in its turn."""
        return await self.whole(self._in_turn(work))

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of what must not be left half done when the handler is stopped."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _in_turn(self, work: Coroutine[Any, Any, T]) -> T:
        async with self._slots:
            return await work


class CourseControl:
    """``course`` in a handler: starts courses, sends messages in order with those of the course, tags learners.

    ``chat_id`` is the learner's user id, which is the id of their private chat. Effects are committed when a call
    returns; messages are on their way then.
    """

    def __init__(self, access: Access, turns: Turns, courses: Callable[[], Courses]) -> None:
        self._access = access
        self._turns = turns
        self._courses = courses

    async def start(self, chat_id: int, course_id: str, element: str | None = None) -> None:
        """Start a new run of a course at its beginning, or at this element; also of a restricted course.

        It takes the place of the learner's earlier run of this course. Raises ``CourseControlError``.
        """
        self._require_place(course_id, element)
        event = CourseGiven(Learner(chat_id), datetime.now(UTC), course_id, element)
        await self._access.whole(self._turns.feed(Feed(event)))

    async def send(
        self,
        chat_id: int,
        text: str,
        *,
        parse_mode: Literal["HTML", "Markdown"] | None = None,
        buttons: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Send a text of any length, behind all that is queued for the chat; it survives a crash.

        ``buttons`` are (label, callback data), one a row under the last part; a press comes to a ``callback_query``
        handler. Raises ``CourseControlError``.
        """
        rows = tuple(Button(clean(label), _own(data)) for label, data in buttons)
        action = SendText(clean(text), ParseMode(parse_mode) if parse_mode else None, buttons=rows)
        if not action.text.strip():
            raise CourseControlError("course.send: the text is empty")
        messages = [NewMessage(chat_id, one.method, dict(one.params)) for one in encode(chat_id, action)]
        await self._access.whole(self._turns.post(messages))

    async def tag(self, chat_id: int, tag: str) -> None:
        """Give the learner a tag; nothing changes if they have it. Raises ``CourseControlError``."""
        await self._access.query(self._access.store.tag(self._access.botname, chat_id, _tag(tag)))

    async def untag(self, chat_id: int, tag: str) -> bool:
        """Take a tag away; tell whether the learner had it."""
        return await self._access.query(self._access.store.untag(self._access.botname, chat_id, _tag(tag)))

    async def tags(self, chat_id: int) -> frozenset[str]:
        """Return the learner's tags."""
        return await self._access.query(self._access.store.tags(self._access.botname, chat_id))

    def _require_place(self, course_id: str, element: str | None) -> None:
        courses = self._courses()
        course = courses.get(course_id)
        if course is None or course.first() is None:
            known = ", ".join(courses.courses) or "none"
            raise CourseControlError(f"course.start: there is no course {course_id!r}; there are: {known}")
        if element is not None and element not in course.elements:
            raise CourseControlError(f"course.start: the course {course_id!r} has no element {element!r}")


def _own(data: str) -> str:
    size = len(data.encode("utf-8", "replace"))
    if not 1 <= size <= LONGEST_DATA:
        raise CourseControlError(f"course.send: button data {data!r} has {size} bytes; use 1 to {LONGEST_DATA}")
    if parse_press(data) is not None:
        raise CourseControlError(f"course.send: button data {data!r} looks like the course's own; use another prefix")
    return data


def _tag(tag: str) -> str:
    if not tag or len(tag) > LONGEST_TAG or clean(tag) != tag:
        raise CourseControlError(f"a tag has 1 to {LONGEST_TAG} printable characters, not {tag!r}")
    return tag


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Where a run stands; ``scores`` has the latest attempt at each element by its id.

    ``element_id`` is what is on the screen; it is waiting while a timer of the course runs.
    """

    run_id: int
    course_id: str
    element_id: str
    is_ended: bool = False
    is_waiting: bool = False
    scores: Mapping[str, Score] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The points so far."""
        return sum(one.score for one in self.scores.values())

    @property
    def maxscore(self) -> float:
        """The points that were to be had so far."""
        return sum(one.maxscore for one in self.scores.values())


@dataclass(frozen=True, slots=True)
class LearnerFacts:
    """A learner as the last turn left them.

    ``runs`` has the newest run of each course by course id; ``course_id`` is the course they are in, which may have
    ended, ``None`` before the first start. ``is_blocked``: they have blocked the bot.
    """

    chat_id: int
    username: str | None
    language_code: str | None
    is_blocked: bool
    course_id: str | None
    runs: Mapping[str, RunFacts]
    tags: frozenset[str]

    @property
    def run(self) -> RunFacts | None:
        """The newest run of the course they are in."""
        return self.runs.get(self.course_id) if self.course_id is not None else None


class Facts:
    """``store`` in a handler: what is known about learners of this bot, to be read only."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def learner(self, chat_id: int) -> LearnerFacts | None:
        """Return what is known about a learner, ``None`` when the bot never met them."""
        store, botname = self._access.store, self._access.botname
        record = await self._access.query(store.chat(botname, chat_id))
        if record is None:
            return None
        return _facts(chat_id, record, await self._access.query(store.tags(botname, chat_id)))

    async def tagged(self, tag: str) -> list[int]:
        """Return the chat ids of the learners who have a tag."""
        return await self._access.query(self._access.store.tagged(self._access.botname, _tag(tag)))


def _facts(chat_id: int, record: ChatRecord, tags: frozenset[str]) -> LearnerFacts:
    chat = from_json(record.state) if record.state else Chat()
    runs = {
        course_id: RunFacts(run.run_id, course_id, run.element_id, run.is_ended, run.is_waiting, run.scores)
        for course_id, run in chat.runs.items()
    }
    return LearnerFacts(chat_id, record.username, record.language_code, record.is_blocked, chat.course_id, runs, tags)


class KeptStates:
    """Where conversations with a plugin stand (aiogram's FSM), in the database."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def load(self, key: str) -> tuple[str | None, dict[str, Any]]:
        """Return what is kept."""
        return await self._access.query(self._access.store.plugin_state(self._access.botname, key))

    async def save_state(self, key: str, state: str | None) -> None:
        """Replace the state."""
        await self._access.query(self._access.store.set_plugin_state(self._access.botname, key, state))

    async def save_data(self, key: str, data: dict[str, Any]) -> None:
        """Replace the data."""
        await self._access.query(self._access.store.set_plugin_data(self._access.botname, key, data))
