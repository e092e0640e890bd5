"""The elements of a course, as the loader hands them to the engine.

Source: course-format.md, section 2. Every element keeps its ``body``, the mapping as it stood in the file, because rows
and chat states store it: an element that is on a learner's screen is answered from that snapshot, whatever the file
says now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

Body = Mapping[str, Any]
"""An element as it stands in the file: JSON types only."""


class ParseMode(StrEnum):
    """How Telegram reads the markup of a text; ``MARKDOWN`` is the legacy one."""

    MARKDOWN = "Markdown"
    HTML = "HTML"


@dataclass(frozen=True, slots=True)
class Element:
    """What all elements have: their id (the mapping key), snapshot and line in the file (1-based, 0 when unknown)."""

    id: str
    body: Body = field(repr=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """A button under a message: goes on to the following element, to ``goto``, or on after ``wait``."""

    text: str
    goto: str | None = None
    wait: timedelta | None = None
    wait_text: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One answer of a poll."""

    text: str
    correct: bool = False
    feedback: str | None = None


@dataclass(frozen=True, slots=True)
class Message(Element):
    """A text, after its media; waits for a press when it has ``choices`` (from ``button`` or ``options``)."""

    text: str = ""
    media: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    parse_mode: ParseMode = ParseMode.MARKDOWN
    link_preview: bool | None = None


@dataclass(frozen=True, slots=True)
class Audio(Element):
    """Audio files; the text is the caption of the first, or a message before them when ``link_preview`` is false."""

    media: tuple[str, ...] = ()
    text: str = ""
    parse_mode: ParseMode = ParseMode.MARKDOWN
    link_preview: bool | None = None


class InputType(StrEnum):
    """How an answer is compared: trimmed and lower-cased text, or its digits only."""

    TEXT = "text"
    SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True)
class Input(Element):
    """Waits for a text; scored when it has a ``correct_answer``."""

    text: str = ""
    correct_answer: str | None = None
    input_type: InputType = InputType.TEXT
    feedback_correct: str | None = None
    feedback_incorrect: str | None = None
    parse_mode: ParseMode = ParseMode.MARKDOWN


@dataclass(frozen=True, slots=True)
class Quiz(Element):
    """A quiz poll; any option that is ``correct`` scores, the last of them is the one Telegram shows as right."""

    text: str = ""
    options: tuple[Option, ...] = ()
    media: tuple[str, ...] = ()
    parse_mode: ParseMode | None = None


@dataclass(frozen=True, slots=True)
class Question(Element):
    """A poll without a right answer."""

    text: str = ""
    options: tuple[Option, ...] = ()
    parse_mode: ParseMode | None = None


@dataclass(frozen=True, slots=True)
class MultiChoice(Element):
    """A poll with several answers, scored 1, 0.5 or 0; each verdict text is optional."""

    text: str = ""
    options: tuple[Option, ...] = ()
    feedback_correct: str | None = None
    feedback_partial: str | None = None
    feedback_incorrect: str | None = None
    parse_mode: ParseMode = ParseMode.MARKDOWN


@dataclass(frozen=True, slots=True)
class Jump(Element):
    """A text with buttons that lead to other elements."""

    text: str = ""
    choices: tuple[Choice, ...] = ()
    parse_mode: ParseMode = ParseMode.MARKDOWN


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a test says up to this rate of mistakes, in percent."""

    up_to: float
    text: str


@dataclass(frozen=True, slots=True)
class Test(Element):
    """The result of the scored elements whose ids begin with ``prefix``; ``verdicts`` grow in ``up_to``."""

    text: str = ""
    prefix: str = ""
    verdicts: tuple[Verdict, ...] = ()
    choices: tuple[Choice, ...] = ()
    parse_mode: ParseMode = ParseMode.MARKDOWN


@dataclass(frozen=True, slots=True)
class Revision(Element):
    """Repeats those elements whose ids begin with ``prefix`` that were not answered right."""

    text: str = ""
    prefix: str = ""
    no_mistakes: str = ""
    choices: tuple[Choice, ...] = ()
    parse_mode: ParseMode = ParseMode.MARKDOWN


@dataclass(frozen=True, slots=True)
class Delay(Element):
    """Stops the run, after a text if there is one, and goes on at ``goto`` after ``wait``."""

    wait: timedelta = timedelta()
    goto: str = ""
    text: str = ""
    parse_mode: ParseMode = ParseMode.MARKDOWN
    link_preview: bool | None = None


@dataclass(frozen=True, slots=True)
class End(Element):
    """The end of the run; elements after it are reachable by ``goto`` only."""

    text: str = ""
    parse_mode: ParseMode = ParseMode.MARKDOWN
    link_preview: bool | None = None


@dataclass(frozen=True, slots=True)
class Section(Element):
    """A divider of the course editor; learners never see it."""

    title: str = ""


@dataclass(frozen=True, slots=True)
class Speech:
    """How replies are spoken; ``voice`` and ``model`` stand for those of the bot when they are ``None``."""

    voice: str | None = None
    model: str | None = None
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a conversation that an author wrote beforehand; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Dialog(Element):
    """A conversation with a model, which ends it with a stop marker; ``None`` stands for the bot's own setting.

    ``conversation`` replaces ``prompt`` if there is any. ``parse_mode`` is that of the opening ``text``, ``is_html``
    says that the model writes HTML. ``speech`` is set when replies are spoken, ``language`` (ISO 639-1) is what
    learners speak. ``button`` lets the learner end the dialog at any time; after ``max_messages`` of them it ends by
    itself.
    """

    text: str = ""
    prompt: str = ""
    conversation: tuple[Line, ...] = ()
    model: str | None = None
    temperature: float | None = None
    reasoning: str | None = None
    auto_start: bool = False
    speech: Speech | None = None
    language: str | None = None
    button: str | None = None
    max_messages: int | None = None
    parse_mode: ParseMode = ParseMode.MARKDOWN
    is_html: bool = False
    link_preview: bool = False


class Form(StrEnum):
    """What a mini app asks for."""

    MULTIPLE_CHOICE = "multiple_choice"
    TYPEIN = "typein"


@dataclass(frozen=True, slots=True)
class MiniApp(Element):
    """A question in a web page that Telegram opens; ``app_url`` ``None`` stands for the page of the bot's host.

    ``question`` is HTML with ``{q1}`` placeholders for a ``typein``, a plain text with ``options`` otherwise.
    ``correct_answer`` ``None`` takes any answer, without a score.
    """

    text: str = ""
    button: str = ""
    app_url: str | None = None
    form: Form = Form.MULTIPLE_CHOICE
    question: str = ""
    options: tuple[str, ...] = ()
    correct_answer: str | None = None
    feedback_correct: str | None = None
    feedback_incorrect: str | None = None
    parse_mode: ParseMode = ParseMode.MARKDOWN


ScoredElement = Quiz | Input | MultiChoice | MiniApp
"""The elements that tests count and revisions repeat; inputs and mini apps only when they have a right answer."""

AnyElement = (
    Message | Audio | Input | Quiz | Question | MultiChoice
    | Dialog | MiniApp | Test | Jump | Revision | Delay | End | Section
)  # fmt: skip
"""Every element; the engine's ``match`` over it is closed by ``assert_never``."""
