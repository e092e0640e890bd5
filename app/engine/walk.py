"""Moving a run through its course (course-format.md, section 3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.course.course import Course
from app.course.element import AnyElement, Dialog, Revision, ScoredElement
from app.engine.action import Action, Button, EndRun, SendText, StartTimer
from app.engine.press import RestartPress
from app.engine.result import chain_of
from app.engine.scene import Scene, Walk, leave
from app.engine.screen import Awaited, awaited, show, show_dialog
from app.engine.state import Run, Talk
from app.texts import Texts


def walk(scene: Scene, course: Course, run: Run, element: AnyElement | None) -> Walk:
    """Show ``element`` and those after it, up to the first that waits; past the last of the course the run ends."""
    actions: list[Action] = list(leave(run))
    run = replace(run, is_waiting=False, is_adopted=False, talk=None)
    while element is not None:
        run = _placed(course, run, element)
        actions += show(element, run, scene)
        waits_for = awaited(element)
        if waits_for is Awaited.START:
            break
        if waits_for is not Awaited.NOTHING:
            return Walk(replace(run, is_waiting=waits_for is Awaited.TIME), tuple(actions))
        run, element = _following(course, run)
    return Walk(replace(run, is_ended=True, chain=None), (*actions, EndRun(run.run_id)))


def _placed(course: Course, run: Run, element: AnyElement) -> Run:
    chain = chain_of(element, course, run.scores) if isinstance(element, Revision) else run.chain
    talk = Talk(is_busy=element.auto_start) if isinstance(element, Dialog) else None
    return replace(run, element_id=element.id, step=run.step + 1, body=element.body, chain=chain, talk=talk)


def _following(course: Course, run: Run) -> tuple[Run, AnyElement | None]:
    """Return the next element: of the revision's chain while there is one, else of the course."""
    if run.chain is None:
        return run, course.after(run.element_id)
    for index, element_id in enumerate(run.chain.element_ids, 1):
        element = course.elements.get(element_id)
        if isinstance(element, ScoredElement):
            return replace(run, chain=replace(run.chain, element_ids=run.chain.element_ids[index:])), element
    return replace(run, chain=None), course.after(run.chain.revision_id)


def go_to(scene: Scene, course: Course, run: Run, element: AnyElement | None) -> Walk:
    """Go on at an element out of turn, which leaves a revision."""
    return walk(scene, course, replace(run, chain=None), element)


def advance(scene: Scene, run: Run) -> Walk:
    """Go on to the element that follows the one on screen in the course as it is now."""
    course = scene.courses.get(run.course_id)
    if course is None:
        return Walk(run, (SendText(scene.texts.course_unavailable),))
    if anchor(run) not in course.elements:
        return lose(run, scene.texts)
    following, element = _following(course, run)
    return walk(scene, course, following, element)


def pause(course: Course, run: Run, wait: timedelta, texts: Texts) -> Walk:
    """Stand still for so long; then comes what follows the element on screen as the course is now.

    Counts as a step, so that the other buttons become stale.
    """
    if run.element_id not in course.elements:
        return lose(run, texts)
    following = course.after(run.element_id)
    timer = StartTimer(run.run_id, run.course_id, following.id if following else None, wait)
    return Walk(replace(run, step=run.step + 1, is_waiting=True, is_adopted=False), (timer,))


def anchor(run: Run) -> str:
    """Return the id of the element that what comes next follows in the course."""
    return run.chain.revision_id if run.chain else run.element_id


def show_again(scene: Scene, run: Run) -> Walk:
    """Show the element on screen again as it is now; as a new step, so that its old buttons and poll become stale.

    A run that waits goes on waiting. A dialog is continued: it stays the same step, and keeps what was said.
    """
    course = scene.courses.get(run.course_id)
    if course is None:
        return Walk(run, (SendText(scene.texts.course_unavailable),))
    if run.is_waiting:
        return Walk(replace(run, step=run.step + 1), (SendText(scene.texts.wait_please),))
    element = course.elements.get(run.element_id)
    if element is None:
        return lose(run, scene.texts)
    if isinstance(element, Dialog) and isinstance(scene.element(run), Dialog):
        return _continued(scene, element, run)
    return walk(scene, course, run, element)


def _continued(scene: Scene, element: Dialog, run: Run) -> Walk:
    """Go on with a dialog; the model takes up the work that was left when the learner went to another course."""
    talk = run.talk or Talk()
    is_resumed = talk.is_behind and not talk.is_busy
    if is_resumed:
        talk = replace(talk, is_busy=True, is_behind=False)
    run = replace(run, body=element.body, talk=talk)
    return Walk(run, tuple(show_dialog(element, run, scene, is_new=False, has_work=is_resumed)))


def restart_button(run: Run, texts: Texts) -> Button:
    """Offer to take the course of this run from the beginning."""
    return Button(texts.restart_button, RestartPress(run.run_id, run.step).data)


def lose(run: Run, texts: Texts) -> Walk:
    """End a run whose place in the course is gone, and say so."""
    sorry = SendText(texts.course_changed, buttons=(restart_button(run, texts),))
    ended = replace(run, is_ended=True, is_waiting=False, is_adopted=False, talk=None)
    return Walk(ended, (*leave(run), EndRun(run.run_id), sorry))
