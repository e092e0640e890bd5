"""Moving a run through its course (course-format.md, section 3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from app.course.course import Course, Courses
from app.course.element import AnyElement, Revision, ScoredElement
from app.engine.action import Action, Button, CancelTimers, EndRun, SendText, StartTimer
from app.engine.press import RestartPress
from app.engine.result import chain_of
from app.engine.screen import Awaited, awaited, show
from app.engine.state import Run
from app.texts import Texts


class Walk(NamedTuple):
    """Where a run has come to, and what that takes."""

    run: Run
    actions: tuple[Action, ...]


def walk(course: Course, run: Run, element: AnyElement | None, texts: Texts) -> Walk:
    """Show ``element`` and those after it, up to the first that waits; past the last of the course the run ends.

    A run has one place, and so one timer at most: whatever moves it on cancels the timer.
    """
    actions: list[Action] = [CancelTimers(run.run_id)] if run.is_waiting else []
    run = replace(run, is_waiting=False)
    while element is not None:
        run = _placed(course, run, element)
        actions += show(element, run, texts)
        waits_for = awaited(element)
        if waits_for is Awaited.START:
            break
        if waits_for is not Awaited.NOTHING:
            return Walk(replace(run, is_waiting=waits_for is Awaited.TIME), tuple(actions))
        run, element = _following(course, run)
    return Walk(replace(run, is_ended=True, chain=None), (*actions, EndRun(run.run_id)))


def _placed(course: Course, run: Run, element: AnyElement) -> Run:
    chain = chain_of(element, course, run.scores) if isinstance(element, Revision) else run.chain
    return replace(run, element_id=element.id, step=run.step + 1, body=element.body, chain=chain)


def _following(course: Course, run: Run) -> tuple[Run, AnyElement | None]:
    """Return the next element: of the revision's chain while there is one, else of the course."""
    if run.chain is None:
        return run, course.after(run.element_id)
    for index, element_id in enumerate(run.chain.element_ids, 1):
        element = course.elements.get(element_id)
        if isinstance(element, ScoredElement):
            return replace(run, chain=replace(run.chain, element_ids=run.chain.element_ids[index:])), element
    return replace(run, chain=None), course.after(run.chain.revision_id)


def go_to(course: Course, run: Run, element: AnyElement | None, texts: Texts) -> Walk:
    """Go on at an element out of turn, which leaves a revision."""
    return walk(course, replace(run, chain=None), element, texts)


def advance(courses: Courses, run: Run, texts: Texts) -> Walk:
    """Go on to the element that follows the one on screen in the course as it is now."""
    course = courses.get(run.course_id)
    if course is None:
        return Walk(run, (SendText(texts.course_unavailable),))
    if _anchor(run) not in course.elements:
        return lose(run, texts)
    return walk(course, *_following(course, run), texts)


def pause(course: Course, run: Run, wait: timedelta, texts: Texts) -> Walk:
    """Stand still for so long; then comes what follows the element on screen as the course is now.

    Counts as a step, so that the other buttons become stale.
    """
    if run.element_id not in course.elements:
        return lose(run, texts)
    following = course.after(run.element_id)
    timer = StartTimer(run.run_id, run.course_id, following.id if following else None, wait)
    return Walk(replace(run, step=run.step + 1, is_waiting=True), (timer,))


def _anchor(run: Run) -> str:
    """Return the id of the element that what comes next follows in the course."""
    return run.chain.revision_id if run.chain else run.element_id


def show_again(courses: Courses, run: Run, texts: Texts) -> Walk:
    """Show the element on screen again as it is now; as a new step, so that its old buttons and poll become stale.

    A run that waits goes on waiting.
    """
    course = courses.get(run.course_id)
    if course is None:
        return Walk(run, (SendText(texts.course_unavailable),))
    if run.is_waiting:
        return Walk(replace(run, step=run.step + 1), (SendText(texts.wait_please),))
    element = course.elements.get(run.element_id)
    return walk(course, run, element, texts) if element is not None else lose(run, texts)


def restart_button(run: Run, texts: Texts) -> Button:
    """Offer to take the course of this run from the beginning."""
    return Button(texts.restart_button, RestartPress(run.run_id, run.step).data)


def lose(run: Run, texts: Texts) -> Walk:
    """End a run whose place in the course is gone, and say so."""
    sorry = SendText(texts.course_changed, buttons=(restart_button(run, texts),))
    return Walk(replace(run, is_ended=True), (EndRun(run.run_id), sorry))
