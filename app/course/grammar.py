"""The element types of the course format: which keys each takes, and how each is read (course-format.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.course import dialog, miniapp
from app.course.document import Items, Node, Scalar, Table, from_data
from app.course.element import (
    AnyElement,
    Audio,
    Body,
    Choice,
    Delay,
    Dialog,
    End,
    Input,
    InputType,
    Jump,
    Message,
    MiniApp,
    MultiChoice,
    Option,
    Question,
    Quiz,
    Revision,
    Section,
    Test,
)
from app.course.fields import HTML_REPLIES, Fields, Target
from app.course.report import Place, Report, nearest, quote

_NATIVE_KEYS = {
    "correct", "link_preview", "mark", "auto_start", "voice_response", "temperature", "tts_speed", "max_messages",
}  # fmt: skip
"""Keys whose value is no text; their value stands in a body as YAML reads it, every other as it was written."""

_LEGACY_DELAY = ("continue", "yes_text", "no_text")


@dataclass(frozen=True, slots=True)
class _Start:
    """What every element begins with."""

    id: str
    body: Body
    line: int


@dataclass(frozen=True, slots=True)
class _Type:
    keys: tuple[str, ...]
    read: Callable[[_Start, Fields], AnyElement]


def _instead_of_type(node: Table) -> str:
    """Return the remedy if a key was to be ``type``, by what it looks like: without a type, keys are not known."""
    if "type" in node.items:
        return ""
    unknown = (key for key in node.items if key not in _ALL_KEYS)
    meant = next((key for key in unknown if nearest(key.lower(), ["type"])), None)
    return f"write 'type' instead of {quote(meant)}" if meant is not None else ""


def read_element(element_id: str, node: Node, place: Place, report: Report, targets: list[Target]) -> AnyElement | None:
    """Read one element; ``None`` when its type is not known, which is reported."""
    if not isinstance(node, Table):
        report.error(place, element_id, "an element must be a mapping", "write 'type: message' and so on below it")
        return None
    fields = Fields(Table(node.items, node.keys, place), element_id, report, targets)
    name = fields.required_text("type", _instead_of_type(node)).strip()
    if name not in TYPES:
        if name:
            fields.error(
                "type", f"unknown element type {quote(name)}", report.nearest(name, TYPES, f"known: {', '.join(TYPES)}")
            )
        return None
    kind = TYPES[name]
    fields.check_keys(kind.keys, _ALL_KEYS)
    return kind.read(_Start(element_id, body_of(node), place.line), fields)


def element_of(element_id: str, body: Body) -> AnyElement | None:
    """Read an element from its snapshot, as a row or a chat state holds it; ``None`` when its type is not known."""
    return read_element(element_id, from_data(body), Place(), Report(""), [])


def body_of(node: Node, key: str = "") -> Any:
    """Return what stands below ``key`` as a snapshot holds it: texts as they were written, and JSON types."""
    match node:
        case Table():
            return {name: body_of(item, name) for name, item in node.items.items()}
        case Items():
            return [body_of(item, key) for item in node.items]
        case Scalar():
            return node.value if node.value is None or key in _NATIVE_KEYS else node.text


def _message(start: _Start, fields: Fields) -> Message:
    choices = fields.choices()
    if choices and fields.has("button"):
        fields.warning("button", "has no effect beside 'options'", "make it one of the options")
    return Message(
        start.id, start.body, start.line,
        text=fields.required_text("text"), media=fields.media(), choices=choices or _button(fields),
        parse_mode=fields.markup(), link_preview=fields.flag("link_preview"),
    )  # fmt: skip


def _button(fields: Fields) -> tuple[Choice, ...]:
    button = fields.text("button")
    return () if button is None else (Choice(button.strip()),)


def _audio(start: _Start, fields: Fields) -> Audio:
    if not fields.has("media"):
        fields.error("", "'media' is missing or empty", "add the links of the audio files")
    return Audio(
        start.id, start.body, start.line,
        media=fields.media(), text=fields.text("text") or "",
        parse_mode=fields.markup(), link_preview=fields.flag("link_preview"),
    )  # fmt: skip


def _input(start: _Start, fields: Fields) -> Input:
    answer, input_type = fields.text("correct_answer"), fields.word("input_type", InputType, InputType.TEXT)
    if answer is None and fields.has("feedback_incorrect"):
        fields.warning("feedback_incorrect", "has no effect without 'correct_answer'", "add 'correct_answer'")
    if input_type is InputType.SEQUENCE and answer is not None and not any(map(str.isdecimal, answer)):
        fields.warning(
            "correct_answer",
            "has no digits, so that any answer without digits is right",
            "use digits, or 'input_type: text'",
        )
    return Input(
        start.id, start.body, start.line,
        text=fields.required_text("text"), correct_answer=answer, input_type=input_type,
        feedback_correct=fields.text("feedback_correct"), feedback_incorrect=fields.text("feedback_incorrect"),
        parse_mode=fields.markup(),
    )  # fmt: skip


def _quiz(start: _Start, fields: Fields) -> Quiz:
    options = fields.answers(("text", "correct", "feedback"))
    right = [option.text for option in options if option.correct]
    if options and not right:
        fields.error("answers", "no answer is correct", "add 'correct: yes' to the right one")
    if len(right) > 1:
        text = f"{len(right)} answers are correct: any of them scores, Telegram shows {quote(right[-1])} as right"
        fields.warning("answers", text, "use multi_choice for several right answers")
    return Quiz(
        start.id, start.body, start.line,
        text=fields.question(), options=options, media=fields.media(), parse_mode=fields.parse_mode(),
    )  # fmt: skip


def _question(start: _Start, fields: Fields) -> Question:
    options = fields.answers(("text", "feedback"))
    return Question(
        start.id, start.body, start.line,
        text=fields.question(), options=options, parse_mode=fields.parse_mode(),
    )  # fmt: skip


def _multi_choice(start: _Start, fields: Fields) -> MultiChoice:
    options: tuple[Option, ...] = fields.answers(("text", "correct", "feedback"))
    if fields.has("button"):
        fields.warning("button", "has no effect", "the vote itself goes on; remove it")
    return MultiChoice(
        start.id, start.body, start.line,
        text=fields.question(), options=options,
        feedback_correct=fields.text("feedback_correct"),
        feedback_partial=fields.text("feedback_partial"),
        feedback_incorrect=fields.text("feedback_incorrect"),
        parse_mode=fields.markup(),
    )  # fmt: skip


def _jump(start: _Start, fields: Fields) -> Jump:
    choices = fields.choices()
    if not choices:
        fields.error(
            "options" if fields.has("options") else "", "'options' is missing or empty", "add at least one option"
        )
    return Jump(
        start.id, start.body, start.line,
        text=fields.required_text("text"), choices=choices, parse_mode=fields.markup(),
    )  # fmt: skip


def _test(start: _Start, fields: Fields) -> Test:
    return Test(
        start.id, start.body, start.line,
        text=fields.required_text("text"), prefix=fields.required_text("prefix").strip(), verdicts=fields.verdicts(),
        choices=_button(fields), parse_mode=fields.markup(),
    )  # fmt: skip


def _revision(start: _Start, fields: Fields) -> Revision:
    return Revision(
        start.id, start.body, start.line,
        text=fields.required_text("text"), prefix=fields.required_text("prefix").strip(),
        no_mistakes=fields.required_text("no_mistakes"), choices=_button(fields), parse_mode=fields.markup(),
    )  # fmt: skip


def _end(start: _Start, fields: Fields) -> End:
    return End(
        start.id, start.body, start.line,
        text=fields.text("text") or "", parse_mode=fields.markup(), link_preview=fields.flag("link_preview"),
    )  # fmt: skip


def _section(start: _Start, fields: Fields) -> Section:
    return Section(start.id, start.body, start.line, title=fields.text("title") or "")


def _dialog(start: _Start, fields: Fields) -> Dialog:
    conversation, button = dialog.conversation(fields), fields.text("button")
    return Dialog(
        start.id, start.body, start.line,
        text=fields.required_text("text"), prompt=dialog.prompt(fields, conversation), conversation=conversation,
        model=(fields.text("model") or "").strip() or None,
        temperature=dialog.temperature(fields), reasoning=dialog.reasoning(fields),
        auto_start=bool(fields.flag("auto_start")), speech=dialog.speech(fields), language=dialog.language(fields),
        button=button and button.strip(), max_messages=fields.count("max_messages"),
        parse_mode=fields.markup(), is_html=(fields.text("parse_mode") or "").strip() == HTML_REPLIES,
        link_preview=bool(fields.flag("link_preview")),
    )  # fmt: skip


def _miniapp(start: _Start, fields: Fields) -> MiniApp:
    question = miniapp.question(fields)
    answer = miniapp.answer(fields, question)
    return MiniApp(
        start.id, start.body, start.line,
        text=fields.required_text("text"), button=fields.required_text("button").strip(),
        app_url=miniapp.app_url(fields), form=question.form, question=question.text, options=question.options,
        correct_answer=answer.actual,
        feedback_correct=answer.correct_feedback, feedback_incorrect=answer.incorrect_feedback,
        parse_mode=fields.markup(),
    )  # fmt: skip


def _delay(start: _Start, fields: Fields) -> AnyElement:
    text, wait, goto = fields.text("text"), fields.interval("wait"), fields.goto()
    if text is not None and not fields.has("wait") and not fields.has("goto"):
        unused = ", ".join(repr(key) for key in _LEGACY_DELAY if fields.has(key))
        ignored = f"; {unused} not used" if unused else ""
        fields.warning("", f"'wait' and 'goto' are missing, it is shown as a message without a button{ignored}")
        return Message(
            start.id, start.body, start.line,
            text=text, parse_mode=fields.markup(), link_preview=fields.flag("link_preview"),
        )  # fmt: skip
    if not fields.has("wait") or goto is None:
        fields.error("", "'wait' or 'goto' is missing", "a delay needs both")
    return Delay(
        start.id, start.body, start.line,
        wait=wait or timedelta(), goto=goto or "", text=text or "",
        parse_mode=fields.markup(), link_preview=fields.flag("link_preview"),
    )  # fmt: skip


_SHOWN = ("type", "text", "parse_mode", "link_preview")

TYPES: Mapping[str, _Type] = {
    "message": _Type((*_SHOWN, "media", "button", "options"), _message),
    "audio": _Type((*_SHOWN, "media"), _audio),
    "input": _Type(
        ("type", "text", "parse_mode", "correct_answer", "input_type", "feedback_correct", "feedback_incorrect"), _input
    ),
    "quiz": _Type(("type", "text", "parse_mode", "media", "answers"), _quiz),
    "question": _Type(("type", "text", "parse_mode", "answers"), _question),
    "multi_choice": _Type(
        (
            "type", "text", "parse_mode", "answers",
            "feedback_correct", "feedback_partial", "feedback_incorrect", "mark", "button",
        ),
        _multi_choice,
    ),
    "jump": _Type(("type", "text", "parse_mode", "options"), _jump),
    "end": _Type(_SHOWN, _end),
    "section": _Type(("type", "title"), _section),
    "delay": _Type((*_SHOWN, "wait", "goto", *_LEGACY_DELAY), _delay),
    "dialog": _Type(
        (
            *_SHOWN, "prompt", "conversation", "model", "temperature", "reasoning", "reasoning_effort", "auto_start",
            "voice_response", "transcription_language", "tts_voice", "tts_model", "tts_speed", "button", "max_messages",
        ),
        _dialog,
    ),
    "miniapp": _Type(("type", "text", "parse_mode", "button", "app_url", "question", "answer"), _miniapp),
    "test": _Type(("type", "text", "parse_mode", "prefix", "score", "button"), _test),
    "revision": _Type(("type", "text", "parse_mode", "prefix", "no_mistakes", "button"), _revision),
}  # fmt: skip
"""Every element type of the format."""

_ALL_KEYS = frozenset(key for kind in TYPES.values() for key in kind.keys)
