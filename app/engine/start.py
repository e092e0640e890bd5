"""Starting a course: by a link, in the menu, over again (course-format.md, sections 1.5 to 1.7)."""

from __future__ import annotations

from collections.abc import Iterator

from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, ParseMode
from app.engine.action import Action, Button, EndRun, SendText, StartRun
from app.engine.event import ButtonPressed, CommandReceived, Event, StartRequested
from app.engine.payload import parse_payload
from app.engine.press import MenuPress, RestartPress, ResumePress, menu_press, parse_press
from app.engine.scene import Scene, Step, leave
from app.engine.state import Chat, Offer, Run
from app.engine.walk import restart_button, walk
from app.texts import Texts


def requested_course(event: Event, courses: Courses, chat: Chat) -> str | None:
    """Return the id of the course that an event asks to start, ``None`` if none; the course need not exist.

    ``is_participant`` of the event says whether the learner may, if that course is restricted.
    """
    match event:
        case StartRequested():
            return parse_payload(event.payload, courses).course_id
        case CommandReceived(name="restart"):
            return chat.course_id
        case ButtonPressed():
            match parse_press(event.data):
                case MenuPress() as press:
                    return course_of(press, courses)
                case RestartPress() as press if run := run_of(chat, press):
                    return run.course_id
    return None


def course_of(press: MenuPress, courses: Courses) -> str | None:
    """Return the id of the course that a button of the menu asks for, ``None`` if it is not in the list any more."""
    return next((course_id for course_id in courses.entries if menu_press(course_id) == press), None)


def run_of(chat: Chat, press: ResumePress | RestartPress) -> Run | None:
    """Return the run that stands where it stood when the button was sent."""
    for run in chat.runs.values():
        if (run.run_id, run.step) == (press.run_id, press.step):
            return run
    return None


def start(scene: Scene, wanted: Offer, run_id: int, *, is_participant: bool) -> Step:
    """Begin a course; a learner who has begun it and not finished is asked first."""
    course = scene.courses.get(wanted.course_id)
    if course is None or course.first() is None:
        return scene.stay(SendText(scene.texts.unknown_course))
    if refused := decline(scene, wanted.course_id, is_participant=is_participant):
        return scene.stay(refused)
    fresh = begin(scene, course, wanted, run_id, scene.courses.start_of(wanted.course_id))
    run = scene.chat.runs.get(wanted.course_id)
    if run is not None and _has_progress(run, fresh.chat.runs[wanted.course_id]):
        offered = Chat(scene.chat.runs, scene.chat.course_id, wanted)
        return Step(offered, (offer(run, scene.texts),))
    return fresh


def start_over(scene: Scene, course: Course, wanted: Offer, run_id: int, *, is_participant: bool) -> Step:
    """Begin a course anew without asking."""
    if refused := decline(scene, wanted.course_id, is_participant=is_participant):
        return scene.stay(refused)
    return begin(scene, course, wanted, run_id, scene.courses.start_of(wanted.course_id))


def decline(scene: Scene, course_id: str, *, is_participant: bool) -> SendText | None:
    """Return the refusal of a restricted course, ``None`` when the learner may start it (D28)."""
    entry = scene.courses.entries.get(course_id)
    if entry is None or not entry.restricted or is_participant:
        return None
    return _refusal(entry, scene.texts)


def _refusal(entry: Entry, texts: Texts) -> SendText:
    if entry.decline_text:
        return SendText(entry.decline_text, ParseMode.MARKDOWN)
    return SendText(texts.not_admitted)


def _has_progress(run: Run, fresh: Run) -> bool:
    """Tell whether an unfinished run has got further than the one that a start would begin."""
    has_talked = run.talk is not None and run.talk.messages > 0
    has_moved = run.is_waiting or run.element_id != fresh.element_id
    return not run.is_ended and (bool(run.scores) or has_talked or has_moved)


def offer(run: Run, texts: Texts) -> SendText:
    """Ask whether to go on with a run or to begin anew."""
    resume = Button(texts.resume_button, ResumePress(run.run_id, run.step).data)
    return SendText(texts.offer_resume, buttons=(resume, restart_button(run, texts)))


def begin(scene: Scene, course: Course, wanted: Offer, run_id: int, element: AnyElement | None) -> Step:
    """Begin a new run at an element; it supersedes the one before of this course."""
    superseded = scene.chat.runs.get(wanted.course_id)
    ended = () if superseded is None else tuple(_supersede(superseded))
    started = StartRun(run_id, wanted.course_id, wanted.utm_source, wanted.utm_campaign)
    run = Run(run_id, wanted.course_id, element_id="", step=0, body={})
    return scene.go((*ended, started), walk(scene, course, run, element))


def _supersede(run: Run) -> Iterator[Action]:
    yield from leave(run)
    if not run.is_ended:
        yield EndRun(run.run_id)
