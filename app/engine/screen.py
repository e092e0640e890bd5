"""What each element puts on the learner's screen, and what it then waits for (course-format.md, sections 2 and 3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import assert_never

from app.course.element import (
    AnyElement,
    Audio,
    Choice,
    Delay,
    Dialog,
    End,
    Input,
    Jump,
    Message,
    MiniApp,
    MultiChoice,
    Option,
    ParseMode,
    Question,
    Quiz,
    Revision,
    Section,
    Test,
)
from app.course.fields import MAX_OPTION_CHARACTERS, MAX_QUESTION_CHARACTERS
from app.course.markup import CAPTION_LIMIT, utf16_length
from app.engine.action import (
    Action,
    Button,
    JobKind,
    MediaKind,
    SendMedia,
    SendPoll,
    SendText,
    StartJob,
    StartTimer,
)
from app.engine.app import app_link
from app.engine.press import ChoicePress, ExitPress
from app.engine.result import result_of, verdict_of
from app.engine.row import bot_row
from app.engine.scene import Scene
from app.engine.state import Run, Talk
from app.texts import Texts

_CUT = "..."


class Awaited(Enum):
    """What leads on from an element that has been shown."""

    NOTHING = "nothing: the following element comes at once"
    PRESS = "a press of one of its buttons"
    TEXT = "a text"
    VOTE = "a vote in its poll"
    TIME = "its timer"
    START = "a new start: the run is over"
    APP = "an answer in its page"


def awaited(element: AnyElement) -> Awaited:
    """Tell what leads on from this element."""
    match element:
        case Message() | Jump() | Test() | Revision():
            return Awaited.PRESS if element.choices else Awaited.NOTHING
        case Audio() | Section():
            return Awaited.NOTHING
        case Input() | Dialog():
            return Awaited.TEXT
        case Quiz() | Question() | MultiChoice():
            return Awaited.VOTE
        case Delay():
            return Awaited.TIME
        case End():
            return Awaited.START
        case MiniApp():
            return Awaited.APP
        case _:
            assert_never(element)


def show(element: AnyElement, run: Run, scene: Scene) -> Iterator[Action]:
    """Put the element that ``run`` stands on onto the screen, and into the transcript."""
    match element:
        case Message():
            return _message(element, run)
        case Audio():
            return _audio(element, run)
        case Input():
            return _input(element, run)
        case Quiz():
            return _quiz(element, run)
        case Question():
            return _question(element, run)
        case MultiChoice():
            return _multi_choice(element, run)
        case Jump():
            return _jump(element, run)
        case Test():
            return _test(element, run)
        case Revision():
            return _revision(element, run)
        case Delay():
            return _delay(element, run)
        case End():
            return _end(element, run)
        case Dialog():
            return show_dialog(element, run, scene, has_work=element.auto_start)
        case Section():
            return iter(())
        case MiniApp():
            return _miniapp(element, run, scene)
        case _:
            assert_never(element)


def _message(element: Message, run: Run) -> Iterator[Action]:
    if element.media:
        yield SendMedia(element.media, MediaKind.PHOTO)
    link_preview = bool(element.link_preview) if element.choices else element.link_preview
    yield SendText(element.text, element.parse_mode, link_preview, _buttons(element.choices, run))
    yield bot_row(run, element.text)


def _audio(element: Audio, run: Run) -> Iterator[Action]:
    if _fits_caption(element):
        yield SendMedia(element.media, MediaKind.AUDIO, element.text, element.parse_mode)
    else:
        yield SendText(element.text, element.parse_mode, link_preview=False)
        yield SendMedia(element.media, MediaKind.AUDIO)
    yield bot_row(run, element.text or f"Audio files: {len(element.media)}")


def _fits_caption(element: Audio) -> bool:
    return not element.text or (element.link_preview is not False and utf16_length(element.text) <= CAPTION_LIMIT)


def _input(element: Input, run: Run) -> Iterator[Action]:
    yield SendText(element.text, element.parse_mode)
    yield bot_row(run, element.text)


def _quiz(element: Quiz, run: Run) -> Iterator[Action]:
    if element.media:
        yield SendMedia(element.media, MediaKind.PHOTO)
    correct = [index for index, option in enumerate(element.options) if option.correct]
    shown_as_right = correct[-1] if correct else None
    yield from _poll(run, element.text, element.parse_mode, element.options, correct_option=shown_as_right)
    yield bot_row(run, element.text)


def _question(element: Question, run: Run) -> Iterator[Action]:
    yield from _poll(run, element.text, element.parse_mode, element.options)
    yield bot_row(run, element.text)


def _multi_choice(element: MultiChoice, run: Run) -> Iterator[Action]:
    yield from _poll(run, element.text, element.parse_mode, element.options, allows_multiple_answers=True)
    yield bot_row(run, element.text)


def _jump(element: Jump, run: Run) -> Iterator[Action]:
    yield SendText(element.text, element.parse_mode, buttons=_buttons(element.choices, run))
    yield bot_row(run, element.text)


def _test(element: Test, run: Run) -> Iterator[Action]:
    result = result_of(element.prefix, run.scores)
    text = element.text.replace("{score}", f"{result.score:g}").replace("{maxscore}", f"{result.maxscore:g}")
    report = f"{text}\n{verdict_of(element.verdicts, result)}"
    yield SendText(report, element.parse_mode, buttons=_buttons(element.choices, run))
    yield bot_row(run, report, result)


def _revision(element: Revision, run: Run) -> Iterator[Action]:
    text = element.no_mistakes if run.chain is None else element.text
    yield SendText(text, element.parse_mode, buttons=_buttons(element.choices, run))
    yield bot_row(run, text)


def _delay(element: Delay, run: Run) -> Iterator[Action]:
    if element.text:
        yield SendText(element.text, element.parse_mode, element.link_preview)
    yield bot_row(run, element.text or f"Waits {element.wait}, then {element.goto}")
    yield StartTimer(run.run_id, run.course_id, element.goto, element.wait)


def _end(element: End, run: Run) -> Iterator[Action]:
    if element.text:
        yield SendText(element.text, element.parse_mode, element.link_preview)
    yield bot_row(run, element.text or "Course ended")


def show_dialog(
    element: Dialog, run: Run, scene: Scene, *, is_new: bool = True, has_work: bool = False
) -> Iterator[Action]:
    """Open a dialog, or show again what opened it; ``has_work`` lets the model speak now."""
    buttons = exit_buttons(element, run, scene) or _own_exit(element, run, scene.texts)
    yield SendText(element.text, element.parse_mode, element.link_preview, buttons)
    if is_new:
        yield bot_row(run, element.text)
    if has_work:
        yield StartJob(run.run_id, run.step, JobKind.REPLY)


_HOPELESS_AFTER = 3
"""After so many messages a learner may leave a dialog whose prompt never asks the model to end it."""


def exit_buttons(element: Dialog, run: Run, scene: Scene) -> tuple[Button, ...]:
    """Offer to leave the dialog when it has gone on for long."""
    talk, options = run.talk or Talk(), scene.options
    instructions = "\n".join((element.prompt, *(line.content for line in element.conversation)))
    can_end = any(marker in instructions for marker in options.stop_markers)
    patience = options.exit_after if can_end else min(_HOPELESS_AFTER, options.exit_after)
    return (exit_button(element, run, scene.texts),) if talk.messages >= patience else ()


def _own_exit(element: Dialog, run: Run, texts: Texts) -> tuple[Button, ...]:
    return (exit_button(element, run, texts),) if element.button else ()


def exit_button(element: Dialog, run: Run, texts: Texts) -> Button:
    """Return the button that ends a dialog."""
    return Button(element.button or texts.exit_button, ExitPress(run.run_id, run.step).data)


def _miniapp(element: MiniApp, run: Run, scene: Scene) -> Iterator[Action]:
    link = app_link(element, run, scene.options)
    if link is not None:
        yield SendText(element.text, element.parse_mode, buttons=(Button(element.button, "", link),))
    else:
        skip = Button(scene.texts.skip_button, ExitPress(run.run_id, run.step).data)
        yield SendText(element.text, element.parse_mode)
        yield SendText(scene.texts.page_missing, buttons=(skip,))
    yield bot_row(run, element.text)


def _buttons(choices: tuple[Choice, ...], run: Run) -> tuple[Button, ...]:
    return tuple(
        Button(choice.text, ChoicePress(run.run_id, run.step, index).data) for index, choice in enumerate(choices)
    )


def _poll(
    run: Run,
    question: str,
    parse_mode: ParseMode | None,
    options: tuple[Option, ...],
    *,
    correct_option: int | None = None,
    allows_multiple_answers: bool = False,
) -> Iterator[Action]:
    """Send a poll within Telegram's limits; a question that is too long for one is shown in full before it."""
    if len(question) > MAX_QUESTION_CHARACTERS:
        yield SendText(question, parse_mode)
    yield SendPoll(
        run.run_id,
        run.step,
        _cut(question, MAX_QUESTION_CHARACTERS),
        tuple(_cut(option.text, MAX_OPTION_CHARACTERS) for option in options),
        correct_option,
        allows_multiple_answers,
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(_CUT)] + _CUT
