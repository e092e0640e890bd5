"""The course engine: ``step(courses, chat, event, texts) -> (chat, actions)``, a pure function.

What an element shows and how it takes an answer is in ``screen`` and ``answer``; how a run moves is in ``walk``; what
commands and conversations do is in ``command`` and ``dialog``; here is what each event means. Source: course-format.md,
sections 1.6, 1.7 and 3, and the arrows of section 7.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from app.config.options import DEFAULT_OPTIONS, Options
from app.course.course import Courses
from app.course.element import Choice, Dialog, Input, Jump, Message, MiniApp, ParseMode, Revision, Test
from app.engine.action import Action, ReopenRun, SendText, StartTimer, StopPoll
from app.engine.answer import PollElement, Reply, answer_input, answer_poll
from app.engine.app import answer_app, app_link
from app.engine.button import explain, pressed, refuse
from app.engine.command import command_received, menu_pressed
from app.engine.dialog import hear, leave_dialog, reply_failed, reply_received, retry_pressed, say, voice_transcribed
from app.engine.event import (
    AppAnswered,
    ButtonPressed,
    CommandReceived,
    ContentReceived,
    CourseGiven,
    Event,
    PollAnswered,
    ReplyFailed,
    ReplyReceived,
    StartRequested,
    TextReceived,
    TimeReached,
    VoiceTranscribed,
)
from app.engine.hint import hint
from app.engine.legacy import choice_meant
from app.engine.navigation import follow_keyword, keyword_in
from app.engine.payload import parse_payload
from app.engine.press import (
    ChoicePress,
    ExitPress,
    LegacyPress,
    MenuPress,
    RestartPress,
    ResumePress,
    RetryPress,
    parse_press,
)
from app.engine.row import bot_row
from app.engine.scene import Scene, Step
from app.engine.start import begin, run_of, start, start_over
from app.engine.state import Chat, Offer, Run
from app.engine.walk import advance, go_to, lose, pause, show_again
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
            return command_received(scene, event)
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
            return _app_answered(scene, event)
        case CourseGiven():
            return _course_given(scene, event)
        case _:
            assert_never(event)


# --- starting -------------------------------------------------------------------------------------------------------


def _start_requested(scene: Scene, event: StartRequested) -> Step:
    wanted = Offer(*parse_payload(event.payload, scene.courses))
    return start(scene, wanted, event.run_id, is_participant=event.is_participant)


def _course_given(scene: Scene, event: CourseGiven) -> Step:
    """Begin where a plugin says, also a restricted course; it was asked for a course that is there."""
    course = scene.courses.get(event.course_id)
    if course is None:
        return scene.stay()
    first = scene.courses.start_of(event.course_id)
    element = first if event.element_id is None else course.elements.get(event.element_id)
    return begin(scene, course, Offer(event.course_id), event.run_id, element) if element else scene.stay()


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
            return _exit_pressed(scene, event, press)
        case RetryPress():
            return retry_pressed(scene, event, press)
        case MenuPress():
            return menu_pressed(scene, event, press)
        case LegacyPress():
            return _legacy_pressed(scene, event, press)
        case None:
            return refuse(scene, event)._replace(is_unused=True)
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


def _legacy_pressed(scene: Scene, event: ButtonPressed, press: LegacyPress) -> Step:
    run = scene.run
    if run is None or not run.is_adopted or run.is_waiting:
        return refuse(scene, event)._replace(is_unused=True)
    element = scene.element(run)
    if not isinstance(element, Message | Jump | Test | Revision):
        return refuse(scene, event)
    choice = choice_meant(press.data, element.choices)
    return _choose(scene, event, run, choice, element.parse_mode) if choice else refuse(scene, event)


def _exit_pressed(scene: Scene, event: ButtonPressed, press: ExitPress) -> Step:
    match scene.on_screen(press.run_id, press.step):
        case run, Dialog() as element:
            return leave_dialog(scene, event, run, element)
        case run, MiniApp() as element if app_link(element, run, scene.options) is None:
            return scene.go(pressed(event, run, scene.texts.skip_button), advance(scene, run))
        case _:
            return refuse(scene, event)


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
    run = run_of(scene.chat, press)
    if run is None or run.is_ended:
        return refuse(scene, event)
    if scene.courses.get(run.course_id) is None:
        return explain(scene, event, scene.texts.course_unavailable)
    shown = show_again(scene, run)
    return scene.go(pressed(event, run, scene.texts.resume_button), shown)


def _restart_pressed(scene: Scene, event: ButtonPressed, press: RestartPress) -> Step:
    run = run_of(scene.chat, press)
    if run is None:
        return refuse(scene, event)
    course, offer = scene.courses.get(run.course_id), scene.chat.offer
    if course is None:
        return explain(scene, event, scene.texts.course_unavailable)
    wanted = offer if offer is not None and offer.course_id == run.course_id else Offer(run.course_id)
    begun = start_over(scene, course, wanted, event.run_id, is_participant=event.is_participant)
    return Step(begun.chat, (*pressed(event, run, scene.texts.restart_button), *begun.actions))


# --- answering ------------------------------------------------------------------------------------------------------


def _text_received(scene: Scene, event: TextReceived) -> Step:
    run = scene.run
    element = scene.element(run) if run is not None else None
    match run, element:
        case Run(), Input():
            return _take(scene, run, answer_input(element, run, event.text))
        case Run(), Dialog():
            return say(scene, run, element, event.text)
    keyword = keyword_in(event.text) if scene.options.has_keywords else None
    return follow_keyword(scene, run, keyword, event.text) if run and keyword else scene.leave_unused(hint(scene))


def _content_received(scene: Scene, event: ContentReceived) -> Step:
    run = scene.run
    is_heard = event.kind == "voice" and event.file_id is not None
    if run is not None and is_heard and isinstance(scene.element(run), Dialog):
        return hear(scene, run, event)
    return scene.leave_unused(hint(scene))


def _poll_answered(scene: Scene, event: PollAnswered) -> Step:
    run = scene.run
    element = scene.element(run) if run is not None and _is_about(event, run) else None
    if run is None or not isinstance(element, PollElement):
        return scene.stay() if event.poll is not None else scene.leave_unused()
    if not _are_options(event.option_ids, element):
        return scene.stay()
    closed = (StopPoll(event.poll.message_id),) if event.poll else ()
    reply = answer_poll(element, run, event.option_ids)
    return _take(scene, run, reply._replace(actions=(*closed, *reply.actions)))


def _app_answered(scene: Scene, event: AppAnswered) -> Step:
    match scene.on_screen(event.run_id, event.step):
        case run, MiniApp() as element:
            return _take(scene, run, answer_app(element, run, event.answer, scene.texts))
        case _:
            return scene.stay()


def _is_about(event: PollAnswered, run: Run) -> bool:
    """Tell whether the vote belongs to the step on screen, as one in an unknown poll does while that step has none.

    The polls of the old program are never known.
    """
    if event.poll is None:
        return run.is_adopted or not event.is_bound
    return (event.poll.run_id, event.poll.step) == (run.run_id, run.step)


def _are_options(option_ids: tuple[int, ...], element: PollElement) -> bool:
    return bool(option_ids) and all(0 <= index < len(element.options) for index in option_ids)


def _take(scene: Scene, run: Run, reply: Reply) -> Step:
    if reply.score is not None:
        run = replace(run, scores={**run.scores, run.element_id: reply.score})
    return scene.go(reply.actions, advance(scene, run))


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
