"""The course engine: ``step(courses, chat, event, texts) -> (chat, actions)``, a pure function.

What an element shows and how it takes an answer is in ``screen`` and ``answer``; how a run moves is in ``walk``; here
is what each event means. Source: course-format.md, sections 1.6, 1.7 and 3, and the arrows of section 7.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, assert_never

from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, Choice, Input, Jump, Message, MultiChoice, ParseMode, Question, Quiz
from app.course.grammar import element_of
from app.engine.action import Action, AnswerPress, Button, EndRun, RemoveButtons, SendText, StartRun, StopPoll
from app.engine.answer import Reply, answer_input, answer_poll
from app.engine.event import (
    ButtonPressed,
    CommandReceived,
    ContentReceived,
    Event,
    PollAnswered,
    StartRequested,
    TextReceived,
)
from app.engine.payload import parse_payload
from app.engine.press import ChoicePress, RestartPress, ResumePress, parse_press
from app.engine.row import user_row
from app.engine.screen import Awaited, awaited
from app.engine.state import Chat, Offer, Run
from app.engine.walk import Walk, advance, restart_button, show_again, walk
from app.texts import Texts


class Step(NamedTuple):
    """The chat after an event, and what is to be done, in order."""

    chat: Chat
    actions: tuple[Action, ...] = ()


def step(courses: Courses, chat: Chat, event: Event, texts: Texts) -> Step:
    """Apply one event to one chat; never raises for anything a learner can send."""
    match event:
        case StartRequested():
            return _start_requested(courses, chat, event, texts)
        case CommandReceived():
            return Step(chat, (SendText(texts.unknown_command.format(name=event.name)),))
        case TextReceived():
            return _text_received(courses, chat, event, texts)
        case ContentReceived():
            return _content_received(courses, chat, texts)
        case ButtonPressed():
            return _button_pressed(courses, chat, event, texts)
        case PollAnswered():
            return _poll_answered(courses, chat, event, texts)
        case _:
            assert_never(event)


# --- starting -------------------------------------------------------------------------------------------------------


def _start_requested(courses: Courses, chat: Chat, event: StartRequested, texts: Texts) -> Step:
    wanted = Offer(*parse_payload(event.payload, courses))
    course = courses.get(wanted.course_id)
    if course is None or courses.start_of(wanted.course_id) is None:
        return Step(chat, (SendText(texts.unknown_course),))
    entry = courses.entries[wanted.course_id]
    if entry.restricted and not event.is_participant:
        return Step(chat, (_decline(entry, texts),))
    fresh = _begin(courses, course, chat, wanted, event.run_id, texts)
    run = chat.runs.get(wanted.course_id)
    if run is not None and _has_progress(run, fresh.chat.runs[wanted.course_id]):
        return Step(replace(chat, offer=wanted), (_offer(run, texts),))
    return fresh


def _decline(entry: Entry, texts: Texts) -> SendText:
    if entry.decline_text:
        return SendText(entry.decline_text, ParseMode.MARKDOWN)
    return SendText(texts.not_admitted)


def _has_progress(run: Run, fresh: Run) -> bool:
    """Tell whether an unfinished run has got further than the one that a start would begin."""
    return not run.is_ended and (bool(run.scores) or run.element_id != fresh.element_id)


def _offer(run: Run, texts: Texts) -> SendText:
    resume = Button(texts.resume_button, ResumePress(run.run_id, run.step).data)
    return SendText(texts.offer_resume, buttons=(resume, restart_button(run, texts)))


def _begin(courses: Courses, course: Course, chat: Chat, wanted: Offer, run_id: int, texts: Texts) -> Step:
    superseded = chat.runs.get(wanted.course_id)
    ended = () if superseded is None or superseded.is_ended else (EndRun(superseded.run_id),)
    started = StartRun(run_id, wanted.course_id, wanted.utm_source, wanted.utm_campaign)
    run = Run(run_id, wanted.course_id, element_id="", step=0, body={})
    return _go(chat, (*ended, started), walk(course, run, courses.start_of(wanted.course_id), texts))


# --- pressing -------------------------------------------------------------------------------------------------------


def _button_pressed(courses: Courses, chat: Chat, event: ButtonPressed, texts: Texts) -> Step:
    press = parse_press(event.data)
    match press:
        case ChoicePress():
            return _choice_pressed(courses, chat, event, press, texts)
        case ResumePress():
            return _resume_pressed(courses, chat, event, press, texts)
        case RestartPress():
            return _restart_pressed(courses, chat, event, press, texts)
        case None:
            return _refuse(chat, event, texts.stale_button)
        case _:
            assert_never(press)


def _choice_pressed(courses: Courses, chat: Chat, event: ButtonPressed, press: ChoicePress, texts: Texts) -> Step:
    run = _open_run(chat)
    if run is None or (run.run_id, run.step) != (press.run_id, press.step):
        return _refuse(chat, event, texts.stale_button)
    choice = _choice(_on_screen(courses, run), press.index)
    if choice is None:
        return _refuse(chat, event, texts.stale_button)
    return _choose(courses, chat, run, choice, event, texts)


def _choice(element: AnyElement | None, index: int) -> Choice | None:
    if isinstance(element, Message | Jump) and index < len(element.choices):
        return element.choices[index]
    return None


def _choose(courses: Courses, chat: Chat, run: Run, choice: Choice, event: ButtonPressed, texts: Texts) -> Step:
    course = courses.get(run.course_id)
    if course is None:
        return _stay(chat, event, texts.course_unavailable)
    if choice.goto is None:
        if choice.wait is not None:
            return _refuse(chat, event, texts.not_supported_yet)
        return _go(chat, _pressed(event, run, choice.text), advance(courses, run, texts))
    target = course.elements.get(choice.goto)
    if target is None:
        return _stay(chat, event, texts.target_missing)
    return _go(chat, _pressed(event, run, choice.text), walk(course, run, target, texts))


def _resume_pressed(courses: Courses, chat: Chat, event: ButtonPressed, press: ResumePress, texts: Texts) -> Step:
    run = _run_of(chat, press)
    if run is None or run.is_ended:
        return _refuse(chat, event, texts.stale_button)
    if courses.get(run.course_id) is None:
        return _stay(chat, event, texts.course_unavailable)
    return _go(chat, _pressed(event, run, texts.resume_button), show_again(courses, run, texts))


def _restart_pressed(courses: Courses, chat: Chat, event: ButtonPressed, press: RestartPress, texts: Texts) -> Step:
    run = _run_of(chat, press)
    if run is None:
        return _refuse(chat, event, texts.stale_button)
    course = courses.get(run.course_id)
    if course is None:
        return _stay(chat, event, texts.course_unavailable)
    offer = chat.offer if chat.offer and chat.offer.course_id == run.course_id else Offer(run.course_id)
    begun = _begin(courses, course, chat, offer, event.run_id, texts)
    return Step(begun.chat, (*_pressed(event, run, texts.restart_button), *begun.actions))


def _run_of(chat: Chat, press: ResumePress | RestartPress) -> Run | None:
    """Return the run that stands where it stood when the button was sent."""
    for run in chat.runs.values():
        if (run.run_id, run.step) == (press.run_id, press.step):
            return run
    return None


def _refuse(chat: Chat, event: ButtonPressed, notice: str) -> Step:
    return Step(chat, (AnswerPress(event.callback_id, notice),))


def _stay(chat: Chat, event: ButtonPressed, explanation: str) -> Step:
    """Leave everything as it is, the button too: it may work later."""
    return Step(chat, (AnswerPress(event.callback_id), SendText(explanation)))


def _pressed(event: ButtonPressed, run: Run, button: str) -> tuple[Action, ...]:
    used_up = (RemoveButtons(event.message_id),) if event.message_id is not None else ()
    return (AnswerPress(event.callback_id), *used_up, user_row(run, button))


# --- answering ------------------------------------------------------------------------------------------------------


def _text_received(courses: Courses, chat: Chat, event: TextReceived, texts: Texts) -> Step:
    run = _open_run(chat)
    element = _on_screen(courses, run) if run else None
    if run is not None and isinstance(element, Input):
        return _take(courses, chat, run, answer_input(element, run, event.text), texts)
    return Step(chat, (_hint(chat, element, texts),))


def _content_received(courses: Courses, chat: Chat, texts: Texts) -> Step:
    run = _open_run(chat)
    return Step(chat, (_hint(chat, _on_screen(courses, run) if run else None, texts),))


def _poll_answered(courses: Courses, chat: Chat, event: PollAnswered, texts: Texts) -> Step:
    run = _open_run(chat)
    if run is None or not _is_about(event, run):
        return Step(chat)
    element = _on_screen(courses, run)
    if not isinstance(element, Quiz | Question | MultiChoice) or not _are_options(event.option_ids, element.options):
        return Step(chat)
    closed = (StopPoll(event.poll.message_id),) if event.poll else ()
    reply = answer_poll(element, run, event.option_ids)
    return _take(courses, chat, run, reply._replace(actions=(*closed, *reply.actions)), texts)


def _is_about(event: PollAnswered, run: Run) -> bool:
    """Tell whether the vote belongs to the step on screen, as one of an unknown poll does while that step has none."""
    if event.poll is None:
        return not event.is_bound
    return (event.poll.run_id, event.poll.step) == (run.run_id, run.step)


def _are_options(option_ids: tuple[int, ...], options: tuple[object, ...]) -> bool:
    return bool(option_ids) and all(0 <= index < len(options) for index in option_ids)


def _take(courses: Courses, chat: Chat, run: Run, reply: Reply, texts: Texts) -> Step:
    if reply.score is not None:
        run = replace(run, scores={**run.scores, run.element_id: reply.score})
    return _go(chat, reply.actions, advance(courses, run, texts))


def _hint(chat: Chat, element: AnyElement | None, texts: Texts) -> SendText:
    """Say what would lead on from here, to a learner who did something else."""
    run = chat.run
    if run is None:
        return SendText(texts.no_run)
    if run.is_ended:
        return SendText(texts.course_finished, buttons=(restart_button(run, texts),))
    match awaited(element) if element else Awaited.NOTHING:
        case Awaited.PRESS:
            return SendText(texts.press_button)
        case Awaited.TEXT:
            return SendText(texts.text_please)
        case Awaited.VOTE:
            return SendText(texts.vote_first)
        case Awaited.VERSION:
            return SendText(texts.not_supported_yet)
        case Awaited.NOTHING | Awaited.START:
            return _offer(run, texts)
        case _ as unexpected:
            assert_never(unexpected)


# --- the state ------------------------------------------------------------------------------------------------------


def _open_run(chat: Chat) -> Run | None:
    """Return the run the learner is in, ``None`` when there is none or it has ended."""
    return chat.run if chat.run is not None and not chat.run.is_ended else None


def _on_screen(courses: Courses, run: Run) -> AnyElement | None:
    """Return the element the learner sees: the snapshot, whatever the file says now."""
    course = courses.get(run.course_id)
    element = course.elements.get(run.element_id) if course else None
    if element is not None and element.body == run.body:
        return element
    return element_of(run.element_id, run.body)


def _go(chat: Chat, actions: tuple[Action, ...], walked: Walk) -> Step:
    run = walked.run
    moved = replace(chat, runs={**chat.runs, run.course_id: run}, course_id=run.course_id, offer=None)
    return Step(moved, (*actions, *walked.actions))
