"""The course engine: ``step(courses, chat, event, texts) -> (chat, actions)``, a pure function.

What an element shows and how it takes an answer is in ``screen`` and ``answer``; how a run moves is in ``walk``; here
is what each event means. Source: course-format.md, sections 1.6, 1.7 and 3, and the arrows of section 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from app.config.options import DEFAULT_OPTIONS, Options
from app.course.course import Course, Courses, Entry
from app.course.element import Choice, Dialog, Input, Jump, Message, ParseMode, Revision, Test
from app.engine.action import (
    Action,
    Button,
    EndRun,
    ReopenRun,
    SendText,
    StartRun,
    StartTimer,
    StopPoll,
)
from app.engine.answer import PollElement, Reply, answer_input, answer_poll
from app.engine.button import explain, pressed, refuse
from app.engine.dialog import exit_pressed, hear, reply_failed, reply_received, retry_pressed, say, voice_transcribed
from app.engine.event import (
    AppAnswered,
    ButtonPressed,
    CommandReceived,
    ContentReceived,
    Event,
    PollAnswered,
    ReplyFailed,
    ReplyReceived,
    StartRequested,
    TextReceived,
    TimeReached,
    VoiceTranscribed,
)
from app.engine.payload import parse_payload
from app.engine.press import ChoicePress, ExitPress, RestartPress, ResumePress, RetryPress, parse_press
from app.engine.row import bot_row
from app.engine.scene import Scene, Step, leave
from app.engine.screen import Awaited, awaited
from app.engine.state import Chat, Offer, Run
from app.engine.walk import advance, go_to, lose, pause, restart_button, show_again, walk
from app.texts import Texts

__all__ = ["Step", "step"]

UNAVAILABLE_WAIT = timedelta(minutes=1)
"""How much later a timer is tried again whose course cannot be loaded now."""


def step(courses: Courses, chat: Chat, event: Event, texts: Texts, options: Options = DEFAULT_OPTIONS) -> Step:
    """Apply one event to one chat; never raises for anything a learner can send."""
    scene = Scene(courses, chat, texts, options)
    match event:
        case StartRequested():
            return _start_requested(scene, event)
        case CommandReceived():
            return scene.stay(SendText(texts.unknown_command.format(name=event.name)))
        case TextReceived():
            return _text_received(scene, event)
        case ContentReceived():
            return _content_received(scene, event)
        case ButtonPressed():
            return _button_pressed(scene, event)
        case PollAnswered():
            return _poll_answered(scene, event)
        case TimeReached():
            return _time_reached(scene, event)
        case ReplyReceived():
            return reply_received(scene, event)
        case ReplyFailed():
            return reply_failed(scene, event)
        case VoiceTranscribed():
            return voice_transcribed(scene, event)
        case AppAnswered():
            return scene.stay()
        case _:
            assert_never(event)


# --- starting -------------------------------------------------------------------------------------------------------


def _start_requested(scene: Scene, event: StartRequested) -> Step:
    wanted = Offer(*parse_payload(event.payload, scene.courses))
    course = scene.courses.get(wanted.course_id)
    if course is None or course.first() is None:
        return scene.stay(SendText(scene.texts.unknown_course))
    entry = scene.courses.entries[wanted.course_id]
    if entry.restricted and not event.is_participant:
        return scene.stay(_decline(entry, scene.texts))
    fresh = _begin(scene, course, wanted, event.run_id)
    run = scene.chat.runs.get(wanted.course_id)
    if run is not None and _has_progress(run, fresh.chat.runs[wanted.course_id]):
        return Step(replace(scene.chat, offer=wanted), (_offer(run, scene.texts),))
    return fresh


def _decline(entry: Entry, texts: Texts) -> SendText:
    if entry.decline_text:
        return SendText(entry.decline_text, ParseMode.MARKDOWN)
    return SendText(texts.not_admitted)


def _has_progress(run: Run, fresh: Run) -> bool:
    """Tell whether an unfinished run has got further than the one that a start would begin."""
    has_talked = run.talk is not None and run.talk.messages > 0
    has_moved = run.is_waiting or run.element_id != fresh.element_id
    return not run.is_ended and (bool(run.scores) or has_talked or has_moved)


def _offer(run: Run, texts: Texts) -> SendText:
    resume = Button(texts.resume_button, ResumePress(run.run_id, run.step).data)
    return SendText(texts.offer_resume, buttons=(resume, restart_button(run, texts)))


def _begin(scene: Scene, course: Course, wanted: Offer, run_id: int) -> Step:
    superseded = scene.chat.runs.get(wanted.course_id)
    ended = () if superseded is None else tuple(_supersede(superseded))
    started = StartRun(run_id, wanted.course_id, wanted.utm_source, wanted.utm_campaign)
    run = Run(run_id, wanted.course_id, element_id="", step=0, body={})
    return scene.go((*ended, started), walk(scene, course, run, scene.courses.start_of(wanted.course_id)))


def _supersede(run: Run) -> Iterator[Action]:
    yield from leave(run)
    if not run.is_ended:
        yield EndRun(run.run_id)


# --- pressing -------------------------------------------------------------------------------------------------------


def _button_pressed(scene: Scene, event: ButtonPressed) -> Step:
    press = parse_press(event.data)
    match press:
        case ChoicePress():
            return _choice_pressed(scene, event, press)
        case ResumePress():
            return _resume_pressed(scene, event, press)
        case RestartPress():
            return _restart_pressed(scene, event, press)
        case ExitPress():
            return exit_pressed(scene, event, press)
        case RetryPress():
            return retry_pressed(scene, event, press)
        case None:
            return refuse(scene, event)
        case _:
            assert_never(press)


def _choice_pressed(scene: Scene, event: ButtonPressed, press: ChoicePress) -> Step:
    found = scene.on_screen(press.run_id, press.step)
    if found is None:
        return refuse(scene, event)
    run, element = found
    if not isinstance(element, Message | Jump | Test | Revision) or press.index >= len(element.choices):
        return refuse(scene, event)
    return _choose(scene, event, run, element.choices[press.index], element.parse_mode)


def _choose(scene: Scene, event: ButtonPressed, run: Run, choice: Choice, parse_mode: ParseMode) -> Step:
    course, texts = scene.courses.get(run.course_id), scene.texts
    if course is None:
        return explain(scene, event, texts.course_unavailable)
    taken = pressed(event, run, choice.text)
    if choice.goto is not None:
        target = course.elements.get(choice.goto)
        if target is None:
            return explain(scene, event, texts.target_missing)
        return scene.go(taken, go_to(scene, course, run, target))
    if choice.wait is not None:
        return scene.go((*taken, *_wait_text(run, choice, parse_mode)), pause(course, run, choice.wait, texts))
    return scene.go(taken, advance(scene, run))


def _wait_text(run: Run, choice: Choice, parse_mode: ParseMode) -> tuple[Action, ...]:
    text = choice.wait_text
    return (SendText(text, parse_mode), bot_row(run, text)) if text else ()


def _resume_pressed(scene: Scene, event: ButtonPressed, press: ResumePress) -> Step:
    run = _run_of(scene.chat, press)
    if run is None or run.is_ended:
        return refuse(scene, event)
    if scene.courses.get(run.course_id) is None:
        return explain(scene, event, scene.texts.course_unavailable)
    shown = show_again(scene, run)
    return scene.go(pressed(event, run, scene.texts.resume_button), shown)


def _restart_pressed(scene: Scene, event: ButtonPressed, press: RestartPress) -> Step:
    run = _run_of(scene.chat, press)
    if run is None:
        return refuse(scene, event)
    course, offer = scene.courses.get(run.course_id), scene.chat.offer
    if course is None:
        return explain(scene, event, scene.texts.course_unavailable)
    wanted = offer if offer is not None and offer.course_id == run.course_id else Offer(run.course_id)
    begun = _begin(scene, course, wanted, event.run_id)
    return Step(begun.chat, (*pressed(event, run, scene.texts.restart_button), *begun.actions))


def _run_of(chat: Chat, press: ResumePress | RestartPress) -> Run | None:
    """Return the run that stands where it stood when the button was sent."""
    for run in chat.runs.values():
        if (run.run_id, run.step) == (press.run_id, press.step):
            return run
    return None


# --- answering ------------------------------------------------------------------------------------------------------


def _text_received(scene: Scene, event: TextReceived) -> Step:
    run = scene.run
    element = scene.element(run) if run is not None else None
    match run, element:
        case Run(), Input():
            return _take(scene, run, answer_input(element, run, event.text))
        case Run(), Dialog():
            return say(scene, run, element, event.text)
        case _:
            return scene.stay(_hint(scene))


def _content_received(scene: Scene, event: ContentReceived) -> Step:
    run = scene.run
    is_heard = event.kind == "voice" and event.file_id is not None
    if run is not None and is_heard and isinstance(scene.element(run), Dialog):
        return hear(scene, run, event)
    return scene.stay(_hint(scene))


def _poll_answered(scene: Scene, event: PollAnswered) -> Step:
    run = scene.run
    if run is None or not _is_about(event, run):
        return scene.stay()
    element = scene.element(run)
    if not isinstance(element, PollElement) or not _are_options(event.option_ids, element):
        return scene.stay()
    closed = (StopPoll(event.poll.message_id),) if event.poll else ()
    reply = answer_poll(element, run, event.option_ids)
    return _take(scene, run, reply._replace(actions=(*closed, *reply.actions)))


def _is_about(event: PollAnswered, run: Run) -> bool:
    """Tell whether the vote belongs to the step on screen, as one in an unknown poll does while that step has none."""
    if event.poll is None:
        return not event.is_bound
    return (event.poll.run_id, event.poll.step) == (run.run_id, run.step)


def _are_options(option_ids: tuple[int, ...], element: PollElement) -> bool:
    return bool(option_ids) and all(0 <= index < len(element.options) for index in option_ids)


def _take(scene: Scene, run: Run, reply: Reply) -> Step:
    if reply.score is not None:
        run = replace(run, scores={**run.scores, run.element_id: reply.score})
    return scene.go(reply.actions, advance(scene, run))


def _hint(scene: Scene) -> SendText:
    """Say what would lead on from here, to a learner who did something else."""
    run, texts = scene.chat.run, scene.texts
    if run is None:
        return SendText(texts.no_run)
    if run.is_ended:
        return SendText(texts.course_finished, buttons=(restart_button(run, texts),))
    element = scene.element(run)
    awaits = awaited(element) if element is not None else Awaited.NOTHING
    if run.is_waiting:
        return SendText(texts.wait_please)
    match awaits:
        case Awaited.PRESS:
            return SendText(texts.press_button)
        case Awaited.TEXT:
            return SendText(texts.text_please)
        case Awaited.VOTE:
            return SendText(texts.vote_first)
        case Awaited.VERSION:
            return SendText(texts.not_supported_yet)
        case Awaited.NOTHING | Awaited.TIME | Awaited.START:
            return _offer(run, texts)
        case _:
            assert_never(awaits)


# --- waiting --------------------------------------------------------------------------------------------------------


def _time_reached(scene: Scene, event: TimeReached) -> Step:
    """Go on where the timer leads, also from another course or after the end; a run that was superseded stays so."""
    run = next((run for run in scene.chat.runs.values() if run.run_id == event.run_id), None)
    if run is None:
        return scene.stay()
    course = scene.courses.get(run.course_id)
    if course is None:
        return scene.stay(StartTimer(run.run_id, run.course_id, event.element_id, UNAVAILABLE_WAIT))
    reopened = (ReopenRun(run.run_id),) if run.is_ended else ()
    awake = replace(run, is_ended=False, is_waiting=False)
    if event.element_id is not None and event.element_id not in course.elements:
        return scene.go(reopened, lose(awake, scene.texts))
    target = course.elements[event.element_id] if event.element_id is not None else None
    return scene.go(reopened, go_to(scene, course, awake, target))
