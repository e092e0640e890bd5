"""The engine's actions to Bot API requests, as they stand in the outbox."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from app.course.element import ParseMode
from app.course.markup import CAPTION_LIMIT, MarkupError, parse, split, utf16_length
from app.engine.action import Button, RemoveButtons, SendMedia, SendPoll, SendSpeech, SendText, StopPoll

SEND_MEDIA = "sendMedia"
"""An outbox method that is not the Bot API's: files whose types show when they are sent; see ``media``."""

SEND_SPEECH = "sendSpeech"
"""Another one: a text that is spoken when it is sent; ``messages`` are sent instead if that fails.

``caption`` is missing when the text does not fit into one: then ``messages`` follow the voice. Once it is sent,
``spoken`` is taken away.
"""

MessageAction = SendText | SendSpeech | SendMedia | SendPoll | StopPoll | RemoveButtons
"""The actions that go through the outbox."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that goes along with a call, as its parameter ``name``."""

    name: str
    content: bytes = field(repr=False)
    file_name: str


@dataclass(frozen=True, slots=True)
class Request:
    """One call to be made; ``run_id`` and ``step`` are set for polls, which are bound to them once they are sent."""

    method: str
    params: Mapping[str, Any]
    run_id: int | None = None
    step: int | None = None
    upload: Upload | None = None


def encode(chat_id: int, action: MessageAction) -> list[Request]:
    """Return the requests that perform the action, in order; a long text makes several."""
    match action:
        case SendText():
            return _text(chat_id, action)
        case SendSpeech():
            return [_speech(chat_id, action)]
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
    parts = split(action.text, action.parse_mode)
    common: dict[str, Any] = {"chat_id": chat_id, **_parse_mode(action.parse_mode)}
    if action.link_preview is False:
        common["link_preview_options"] = {"is_disabled": True}
    requests = [{**common, "text": part} for part in parts]
    if action.buttons and requests:
        requests[-1]["reply_markup"] = _keyboard(action.buttons)
    if action.replaces is not None and requests:
        first, *others = requests
        edit = Request("editMessageText", {**first, "message_id": action.replaces})
        return [edit, *(Request("sendMessage", params) for params in others)]
    return [Request("sendMessage", params) for params in requests]


def new_message(edit: Mapping[str, Any]) -> Request:
    """Return the request that sends as a new message what could not become the text of an old one."""
    return Request("sendMessage", {key: value for key, value in edit.items() if key != "message_id"})


def _speech(chat_id: int, action: SendSpeech) -> Request:
    speech = action.speech
    messages = _text(chat_id, SendText(action.text, action.parse_mode, buttons=action.buttons))
    params: dict[str, Any] = {
        "chat_id": chat_id,
        "spoken": action.spoken,
        "voice": {"voice": speech.voice, "model": speech.model, "speed": speech.speed},
        "messages": [dict(message.params) for message in messages],
    }
    plain = _plain(action.text, action.parse_mode)
    if utf16_length(plain) <= CAPTION_LIMIT:
        params["caption"] = f"<tg-spoiler>{html.escape(plain, quote=False)}</tg-spoiler>" if plain else ""
    return Request(SEND_SPEECH, params)


def voice_call(speech: Mapping[str, Any], content: bytes) -> Request:
    """Return the call that sends a spoken text: with its caption and buttons, or without if a text will follow."""
    params: dict[str, Any] = {"chat_id": speech["chat_id"]}
    if "caption" in speech:
        params |= {"caption": speech["caption"], "parse_mode": ParseMode.HTML.value}
        markup = speech["messages"][-1].get("reply_markup") if speech["messages"] else None
        params |= {"reply_markup": markup} if markup else {}
    return Request("sendVoice", params, upload=Upload("voice", content, "voice.mp3"))


def _plain(text: str, mode: ParseMode | None) -> str:
    try:
        return parse(text, mode).plain.strip()
    except MarkupError:
        return text.strip()


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
    return {"inline_keyboard": [[_button(button)] for button in buttons]}


def _button(button: Button) -> dict[str, Any]:
    if button.app_url is not None:
        return {"text": button.text, "web_app": {"url": button.app_url}}
    return {"text": button.text, "callback_data": button.data}
