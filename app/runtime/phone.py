"""A learner's phone, without Telegram: the messages that the engine asks for, and whether Telegram would take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import assert_never

from app.course.element import ParseMode
from app.course.fields import MAX_OPTION_CHARACTERS, MAX_OPTIONS, MAX_QUESTION_CHARACTERS, MIN_OPTIONS
from app.course.markup import CAPTION_LIMIT, TEXT_LIMIT, MarkupError, parse, split, utf16_length
from app.course.media import is_link
from app.course.proof import MAX_BUTTONS
from app.engine.action import (
    Action,
    AnswerPress,
    Button,
    CancelJobs,
    CancelTimers,
    EndRun,
    RecordRow,
    RemoveButtons,
    ReopenRun,
    SendMedia,
    SendPoll,
    SendSpeech,
    SendText,
    StartJob,
    StartRun,
    StartTimer,
    StopPoll,
)

MAX_BUTTON_DATA = 64
"""Bytes of UTF-8 (Bot API, ``InlineKeyboardButton``)."""

MAX_NOTICE = 200
"""Characters of a notice on a press (Bot API, ``answerCallbackQuery``)."""


@dataclass(slots=True)
class Phone:
    """What a learner can touch: the buttons and open polls of each message, by message id; ids count from 1."""

    buttons: dict[int, tuple[Button, ...]] = field(default_factory=dict)
    polls: dict[int, SendPoll] = field(default_factory=dict)
    messages: int = 0

    def show(self, action: Action) -> Iterator[str]:
        """Do what the action does to the messages; yield what Telegram would refuse about it."""
        match action:
            case SendText():
                self._put(action.replaces, action.buttons)
                yield from _text_refused(action.text, action.parse_mode)
                yield from _buttons_refused(action.buttons)
            case SendSpeech():
                self._put(None, action.buttons)
                yield from _text_refused(action.text, action.parse_mode)
                yield from _buttons_refused(action.buttons)
                if not action.spoken.strip():
                    yield "there is nothing to speak"
            case SendMedia():
                self.messages += len(action.urls)
                yield from _media_refused(action)
            case SendPoll():
                self.messages += 1
                self.polls[self.messages] = action
                yield from _poll_refused(action)
            case StopPoll():
                self.polls.pop(action.message_id, None)
            case RemoveButtons():
                self.buttons.pop(action.message_id, None)
            case AnswerPress():
                if len(action.text) > MAX_NOTICE:
                    yield f"a notice of {len(action.text)} characters, Telegram takes {MAX_NOTICE}"
            case (
                StartRun() | EndRun() | ReopenRun() | StartTimer() | CancelTimers() | StartJob() | CancelJobs()
                | RecordRow()
            ):  # fmt: skip
                pass
            case _:
                assert_never(action)

    def _put(self, replaces: int | None, buttons: tuple[Button, ...]) -> None:
        if replaces is None:
            self.messages += 1
        message_id = self.messages if replaces is None else replaces
        self.buttons.pop(message_id, None)
        if buttons:
            self.buttons[message_id] = buttons


@lru_cache(maxsize=10_000)
def _text_refused(text: str, parse_mode: ParseMode | None) -> tuple[str, ...]:
    """Return what Telegram would refuse about a text, in as many messages as it takes.

    Broken markup is no reason: the sender goes on with the plain text, and ``app.course.proof`` names the author's.
    """
    if not _visible(text, parse_mode).strip():
        return ("an empty text",)
    parts = [_visible(part, parse_mode) for part in split(text, parse_mode)]
    return tuple(f"a text of {utf16_length(part)} characters" for part in parts if utf16_length(part) > TEXT_LIMIT)


def _visible(text: str, parse_mode: ParseMode | None) -> str:
    try:
        return parse(text, parse_mode).plain
    except MarkupError:
        return text


def _buttons_refused(buttons: Sequence[Button]) -> Iterator[str]:
    if len(buttons) > MAX_BUTTONS:
        yield f"{len(buttons)} buttons under one message, Telegram takes {MAX_BUTTONS}"
    for button in buttons:
        if not button.text.strip():
            yield "a button without a text"
        if button.app_url is not None and not is_link(button.app_url):
            yield f"a button with the address {button.app_url!r}, which is no link"
        if button.app_url is None and not 1 <= len(button.data.encode()) <= MAX_BUTTON_DATA:
            yield f"a button with {len(button.data.encode())} bytes of data, Telegram takes 1 to {MAX_BUTTON_DATA}"


def _media_refused(action: SendMedia) -> Iterator[str]:
    if not action.urls:
        yield "media without a link"
    if utf16_length(_visible(action.caption, action.parse_mode)) > CAPTION_LIMIT:
        yield f"a caption of more than {CAPTION_LIMIT} characters"


def _poll_refused(poll: SendPoll) -> Iterator[str]:
    if not 1 <= len(poll.question.strip()) <= MAX_QUESTION_CHARACTERS:
        yield f"a poll with a question of {len(poll.question)} characters"
    if not MIN_OPTIONS <= len(poll.options) <= MAX_OPTIONS:
        yield f"a poll with {len(poll.options)} answers"
    if not all(1 <= len(option.strip()) <= MAX_OPTION_CHARACTERS for option in poll.options):
        yield "a poll with an answer that is empty or too long"
    if len(set(poll.options)) < len(poll.options):
        yield "a poll with two equal answers"
    if poll.correct_option is not None and not 0 <= poll.correct_option < len(poll.options):
        yield f"a quiz whose right answer is number {poll.correct_option + 1}"
