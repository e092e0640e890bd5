"""What an event finds in a chat, and how the chat comes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.config.options import Options
from app.course.course import Courses
from app.course.element import AnyElement
from app.course.grammar import element_of
from app.engine.action import Action, CancelJobs, CancelTimers
from app.engine.state import Chat, Run
from app.texts import Texts


class Step(NamedTuple):
    """The chat after an event, and what is to be done, in order.

    ``is_unused``: the course has no use for what the learner did, and the actions only say so. Who has one, a plugin,
    may take it instead of them.
    """

    chat: Chat
    actions: tuple[Action, ...] = ()
    is_unused: bool = False


class Walk(NamedTuple):
    """Where a run has come to, and what that takes."""

    run: Run
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """What an event finds: the bot's courses, the chat, the texts of the learner's language, the bot's options."""

    courses: Courses
    chat: Chat
    texts: Texts
    options: Options

    @property
    def run(self) -> Run | None:
        """The run the learner is in, ``None`` when there is none or it has ended."""
        run = self.chat.run
        return run if run is not None and not run.is_ended else None

    def element(self, run: Run) -> AnyElement | None:
        """Return the element the learner sees in this run: the snapshot, whatever the file says now."""
        course = self.courses.get(run.course_id)
        element = course.elements.get(run.element_id) if course else None
        if element is not None and element.body == run.body:
            return element
        return element_of(run.element_id, run.body)

    def on_screen(self, run_id: int, step: int) -> tuple[Run, AnyElement] | None:
        """Return the run and element that something belongs to, ``None`` when the learner is elsewhere by now."""
        run = self.run
        if run is None or (run.run_id, run.step) != (run_id, step):
            return None
        element = self.element(run)
        return (run, element) if element is not None else None

    def stay(self, *actions: Action) -> Step:
        """Leave the chat as it is."""
        return Step(self.chat, actions)

    def leave_unused(self, *actions: Action) -> Step:
        """Leave the chat as it is, and what the learner did to somebody who has a use for it."""
        return Step(self.chat, actions, is_unused=True)

    def go(self, actions: tuple[Action, ...], walked: Walk) -> Step:
        """Put the learner where the walk has come to; an open offer lapses.

        The model stops working in the dialog of a course that the learner leaves for another one; it goes on when they
        come back.
        """
        run, left = walked.run, self.chat.run
        runs = {**self.chat.runs, run.course_id: run}
        if left is not None and left.course_id != run.course_id and left.talk is not None and left.talk.is_busy:
            runs[left.course_id] = replace(left, talk=replace(left.talk, is_busy=False, is_behind=True))
            actions = (CancelJobs(left.run_id), *actions)
        return Step(replace(self.chat, runs=runs, course_id=run.course_id, offer=None), (*actions, *walked.actions))


def leave(run: Run) -> Iterator[Action]:
    """Cancel what is under way where the run stands; whatever moves it on begins with this.

    A run has one place, and so one timer at most.
    """
    if run.is_waiting:
        yield CancelTimers(run.run_id)
    if run.talk is not None and run.talk.is_busy:
        yield CancelJobs(run.run_id)
