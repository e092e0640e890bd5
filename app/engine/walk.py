"""Moving a run through its course (course-format.md, section 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from app.course.course import Course, Courses
from app.course.element import AnyElement
from app.engine.action import Action, Button, EndRun, SendText
from app.engine.press import RestartPress
from app.engine.screen import Awaited, awaited, show
from app.engine.state import Run
from app.texts import Texts


class Walk(NamedTuple):
    """Where a run has come to, and what that takes."""

    run: Run
    actions: tuple[Action, ...]


def walk(course: Course, run: Run, element: AnyElement | None, texts: Texts) -> Walk:
    """Show ``element`` and those after it, up to the first that waits; past the last of the course the run ends."""
    actions: list[Action] = []
    while element is not None:
        run = replace(run, element_id=element.id, step=run.step + 1, body=element.body)
        actions += show(element, run, texts)
        waits_for = awaited(element)
        if waits_for is Awaited.START:
            break
        if waits_for is not Awaited.NOTHING:
            return Walk(run, tuple(actions))
        element = course.after(element.id)
    return Walk(replace(run, is_ended=True), (*actions, EndRun(run.run_id)))


def advance(courses: Courses, run: Run, texts: Texts) -> Walk:
    """Go on to the element that follows the one on screen in the course as it is now."""
    course = courses.get(run.course_id)
    if course is None:
        return Walk(run, (SendText(texts.course_unavailable),))
    if run.element_id not in course.elements:
        return _lose(run, texts)
    return walk(course, run, course.after(run.element_id), texts)


def show_again(courses: Courses, run: Run, texts: Texts) -> Walk:
    """Show the element on screen again as it is now; as a new step, so that its old buttons and poll become stale."""
    course = courses.get(run.course_id)
    if course is None:
        return Walk(run, (SendText(texts.course_unavailable),))
    element = course.elements.get(run.element_id)
    return walk(course, run, element, texts) if element is not None else _lose(run, texts)


def restart_button(run: Run, texts: Texts) -> Button:
    """Offer to take the course of this run from the beginning."""
    return Button(texts.restart_button, RestartPress(run.run_id, run.step).data)


def _lose(run: Run, texts: Texts) -> Walk:
    """End a run whose place in the course is gone, and say so."""
    sorry = SendText(texts.course_changed, buttons=(restart_button(run, texts),))
    return Walk(replace(run, is_ended=True), (EndRun(run.run_id), sorry))
