"""Votes that come at the moment when what is known of their poll changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from app.course.course import Courses, Entry
from app.course.loader import load_course
from app.engine.event import Learner, PollAnswered, StartRequested
from app.engine.state import from_json
from app.runtime.turn import Rules, apply
from app.store.rows import NewestPoll, SentPoll
from app.store.store import Store
from app.store.turn import Turn
from app.telegram.decode import Update

ANNA = Learner(7, "anna")
COURSE = """
Quiz_1: {type: quiz, text: one, answers: [{text: a, correct: yes}, {text: b}]}
Bye: {type: end, text: bye}
"""


class Moment:
    """The moment at which a poll that is being sent gets known; ``has_begun`` is what the outbox tells until then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_settled = False

    def has_begun(self, run_id: int, step: int) -> bool:
        return not self._is_settled and (run_id, step) == (1, 1)

    async def come(self) -> None:
        await self._store.settle("bot", [], [SentPoll("poll", 7, 1, 1, 70)])
        self._is_settled = True


class SlowTurn(Turn):
    """A turn that looks for the poll just before that moment, and gets the answer just after it."""

    moment: Moment

    async def newest_poll(self, chat_id: int, run_id: int) -> NewestPoll | None:
        found = await super().newest_poll(chat_id, run_id)
        await self.moment.come()
        return found


class SlowStore(Store):
    """A store with such turns."""

    moment: Moment

    @asynccontextmanager
    async def turn(self, botname: str) -> AsyncIterator[Turn]:
        async with self._connect() as connection:
            turn = SlowTurn(connection, botname, self.host)
            turn.moment = self.moment
            yield turn


async def test_d5_a_quick_vote_counts_even_if_its_poll_gets_known_meanwhile(database_url: str) -> None:
    course, _ = load_course(COURSE, "course.yml")
    courses = Courses({"default": Entry("default", "course.yml")}, {"default": course})
    now = datetime.now(UTC)
    async with await SlowStore.open(database_url) as store:
        moment = store.moment = Moment(store)
        rules = Rules("bot", courses, "en", moment.has_begun)
        await apply(store, rules, [Update(1, {}, 7, StartRequested(ANNA, now, ""))])
        await apply(store, rules, [Update(2, {}, 7, PollAnswered(ANNA, now, "poll", (0,)))])
        chat = await store.chat("bot", 7)
    assert chat is not None
    run = from_json(chat.state or {}).run
    assert run is not None
    assert (run.element_id, run.is_ended) == ("Bye", True)
