"""What a dialog asks the model: the prompt, and what was said so far (course-format.md, sections 4.3, 4.5 and 4.9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from app.config.settings import DialogSettings
from app.course.course import Course
from app.course.element import Dialog, Line
from app.course.prompt import Variable, render, variables
from app.dialog.history import Said, has_unasked_reply, history_of, in_turn, value_of
from app.dialog.reply import ReplyRequest
from app.observe.logs import get_log

RowsOf = Callable[[str], Awaitable[Sequence[Said]]]
"""Returns the rows of an element: this run's if there are any, else those of the newest earlier run of the course."""

STARTER = "Please begin."
"""Stands for the learner's first message where the model speaks first: servers refuse an empty one, and none."""

DEFAULT_TEMPERATURE = 0.0
DEFAULT_REASONING = "low"
"""What the format wants where neither the element nor the bot says anything."""

_log = get_log(__name__)


async def compose(dialog: Dialog, course: Course, rows_of: RowsOf, settings: DialogSettings) -> ReplyRequest:
    """Return what to ask the model now in a dialog, from the transcript as it is stored."""
    history = history_of(await rows_of(dialog.id))
    base = history.base or dialog.conversation
    system: tuple[Line, ...] = ()
    if not dialog.conversation and not any(line.role == "system" for line in base):
        # What has no value at the first reply has none later: it is not worth a warning each time.
        is_first = not any(line.role == "assistant" for line in history.turns)
        system = (Line("system", await rendered(dialog, course, rows_of, is_first=is_first)),)
    return ReplyRequest(
        model=dialog.model or settings.model,
        messages=(*system, *_said(dialog, base, history.turns)),
        temperature=_first_set(dialog.temperature, settings.temperature, DEFAULT_TEMPERATURE),
        reasoning=dialog.reasoning or settings.reasoning or DEFAULT_REASONING,
    )


async def rendered(dialog: Dialog, course: Course, rows_of: RowsOf, *, is_first: bool = True) -> str:
    """Return a dialog's prompt without comments, with the values of its variables; ``is_first``: tell what has none."""
    known = course.elements
    values: dict[Variable, str] = {}
    for variable in variables(dialog.prompt, known):
        if variable not in values:
            value = value_of(variable, await rows_of(variable.element_id))
            values[variable] = _known_text(variable, course, is_told=is_first) if value is None else value
    return render(dialog.prompt, values.__getitem__, known)


def _known_text(variable: Variable, course: Course, *, is_told: bool) -> str:
    """Return the text of an element the learner has not seen; nothing of what is not said yet, which may be told."""
    element = course.elements.get(variable.element_id)
    body: Mapping[str, object] = element.body if element else {}
    if element is None or isinstance(element, Dialog) or variable.is_answer or body.get("text") is None:
        if is_told:
            _log.warning("variable of a prompt has no value", element=variable.element_id, source=course.source)
        return ""
    return str(body["text"])


def _said(dialog: Dialog, base: tuple[Line, ...], turns: tuple[Line, ...]) -> tuple[Line, ...]:
    base = tuple(line if line.content.strip() else Line(line.role, STARTER) for line in base)
    if dialog.auto_start and has_unasked_reply(turns) and not (base and base[-1].role == "user"):
        turns = (Line("user", STARTER), *turns)
    return (*base, *in_turn(turns))


def _first_set(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
