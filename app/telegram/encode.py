"""The engine's actions to Bot API requests, as they stand in the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from app.course.element import ParseMode
from app.course.markup import split
from app.engine.action import Button, RemoveButtons, SendMedia, SendPoll, SendText, StopPoll

MESSAGE_LIMIT = 4096
"""Longest text of a message, in UTF-16 code units after the markup is parsed."""

SEND_MEDIA = "sendMedia"
"""The one outbox method that is not the Bot API's: files whose types show when they are sent; see ``media``."""

MessageAction = SendText | SendMedia | SendPoll | StopPoll | RemoveButtons
"""The actions that go through the outbox."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to be made; ``run_id`` and ``step`` are set for polls, which are bound to them once they are sent."""

    method: str
    params: Mapping[str, Any]
    run_id: int | None = None
    step: int | None = None


def encode(chat_id: int, action: MessageAction) -> list[Request]:
    """Return the requests that perform the action, in order; a long text makes several."""
    match action:
        case SendText():
            return _text(chat_id, action)
        case SendMedia():
            return [_media(chat_id, action)]
        case SendPoll():
            return [_poll(chat_id, action)]
        case StopPoll():
            return [Request("stopPoll", {"chat_id": chat_id, "message_id": action.message_id})]
        case RemoveButtons():
            return [Request("editMessageReplyMarkup", {"chat_id": chat_id, "message_id": action.message_id})]
        case _:
            assert_never(action)


def _text(chat_id: int, action: SendText) -> list[Request]:
    parts = split(action.text, action.parse_mode, MESSAGE_LIMIT)
    common: dict[str, Any] = {"chat_id": chat_id, **_parse_mode(action.parse_mode)}
    if action.link_preview is False:
        common["link_preview_options"] = {"is_disabled": True}
    requests = [{**common, "text": part} for part in parts]
    if action.buttons and requests:
        requests[-1]["reply_markup"] = _keyboard(action.buttons)
    return [Request("sendMessage", params) for params in requests]


def _media(chat_id: int, action: SendMedia) -> Request:
    params: dict[str, Any] = {"chat_id": chat_id, "kind": action.kind.value, "media": list(action.urls)}
    if action.caption:
        params |= {"caption": action.caption, **_parse_mode(action.parse_mode)}
    return Request(SEND_MEDIA, params)


def _poll(chat_id: int, action: SendPoll) -> Request:
    params: dict[str, Any] = {
        "chat_id": chat_id,
        "question": action.question,
        "options": [{"text": option} for option in action.options],
        "is_anonymous": False,
        "allows_revoting": False,
    }
    if action.correct_option is not None:
        # Bot API 9.6 renamed the parameter; servers of either age take the one they know.
        params |= {
            "type": "quiz",
            "correct_option_id": action.correct_option,
            "correct_option_ids": [action.correct_option],
        }
    if action.allows_multiple_answers:
        params["allows_multiple_answers"] = True
    return Request("sendPoll", params, action.run_id, action.step)


def _parse_mode(mode: ParseMode | None) -> dict[str, str]:
    return {"parse_mode": mode.value} if mode is not None else {}


def _keyboard(buttons: tuple[Button, ...]) -> dict[str, Any]:
    return {"inline_keyboard": [[{"text": button.text, "callback_data": button.data}] for button in buttons]}
