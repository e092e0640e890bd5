"""The fields that only dialogs have (course-format.md, section 4.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from app.course.element import Line, Speech
from app.course.fields import Fields
from app.course.report import quote

MAX_TEMPERATURE = 2.0
"""The highest temperature that models take."""

VOICES: Mapping[str, str] = {
    "alloy": "21m00Tcm4TlvDq8ikWAM",
    "nova": "21m00Tcm4TlvDq8ikWAM",
    "echo": "EXAVITQu4vr4xnSDxMaL",
    "fable": "ErXwobaYiN019PkySvjV",
    "onyx": "pNInz6obpgDQGcFmaJgB",
    "shimmer": "TxGEqnHWrfWFTfGW9XjX",
}
"""The ElevenLabs voice that each voice name of OpenAI stands for, as the old program had it."""

_MODELS_OF_BOT = {"tts-1", "tts-1-hd"}
"""Speech models that stand for the one of the bot."""

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_LANGUAGE = re.compile(r"[a-z]{2,3}")


class Role(StrEnum):
    """Who speaks a line of a prepared conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


def prompt(fields: Fields, conversation: tuple[Line, ...]) -> str:
    """Return the prompt, which only a prepared conversation can stand in for."""
    if not conversation:
        return fields.required_text("prompt")
    if fields.has("prompt"):
        fields.warning("prompt", "has no effect beside 'conversation'", "write it as the line of role 'system' there")
    return fields.text("prompt") or ""


def conversation(fields: Fields) -> tuple[Line, ...]:
    """Return the lines that were said before the dialog begins."""
    return tuple(line for row in fields.rows("conversation", "content") if (line := _line(row)) is not None)


def _line(fields: Fields) -> Line | None:
    fields.check_keys(("role", "content"))
    role, content = fields.word("role", Role, Role.USER), fields.text("content")
    if not fields.has("role"):
        fields.warning("", f"'role' is missing, {Role.USER.value!r} is used", f"known: {', '.join(Role)}")
    if content is None:
        fields.warning("", "has no 'content' and is skipped", "write what is said")
        return None
    return Line(role.value, content)


def temperature(fields: Fields) -> float | None:
    """Return how freely the model writes; 0 is a value like any other."""
    number = fields.number("temperature")
    if number is None or 0 <= number <= MAX_TEMPERATURE:
        return number
    nearest = min(max(number, 0.0), MAX_TEMPERATURE)
    fields.warning("temperature", f"{number:g} is not from 0 to {MAX_TEMPERATURE:g}, {nearest:g} is used")
    return nearest


def reasoning(fields: Fields) -> str | None:
    """Return how long the model thinks; ``reasoning_effort`` is the same as ``reasoning``, which wins."""
    key = "reasoning" if fields.has("reasoning") else "reasoning_effort"
    if key == "reasoning" and fields.has("reasoning_effort"):
        fields.warning("reasoning_effort", "has no effect beside 'reasoning'", "remove one of them")
    effort = (fields.text(key) or "").strip().lower()
    if effort and effort not in _EFFORTS:
        remedy = fields.report.nearest(effort, _EFFORTS, f"known: {', '.join(_EFFORTS)}")
        fields.warning(key, f"{quote(effort)} is not known, the model may refuse it", remedy)
    return effort or None


def language(fields: Fields) -> str | None:
    """Return the language that learners speak, ``None`` when it is to be found out."""
    text = fields.text("transcription_language")
    if text is None:
        return None
    code = text.strip().lower()
    if _LANGUAGE.fullmatch(code):
        return code
    fields.warning(
        "transcription_language", f"{quote(text)} is not a code of a language and is not used", "write for example 'ru'"
    )
    return None


def speech(fields: Fields) -> Speech | None:
    """Return how replies are spoken, ``None`` when they are written."""
    voice, model = fields.text("tts_voice"), fields.text("tts_model")
    speed = _speed(fields)
    if not fields.flag("voice_response"):
        return None
    voice, model = (voice or "").strip(), (model or "").strip()
    return Speech(VOICES.get(voice.lower(), voice) or None, None if model in _MODELS_OF_BOT else model or None, speed)


def _speed(fields: Fields) -> float:
    speed = fields.number("tts_speed")
    if speed is None:
        return 1.0
    if speed <= 0:
        fields.warning("tts_speed", f"{speed:g} is not a speed, 1 is used", "write for example 0.9")
        return 1.0
    return speed
