"""The commands beside ``/start`` (course-format.md, section 1.8; D11, D30)."""

from __future__ import annotations

from collections.abc import Iterator

from app.config.options import COMMANDS, Options
from app.engine.action import AnswerPress, Button, SendText
from app.engine.button import refuse
from app.engine.event import ButtonPressed, CommandReceived
from app.engine.hint import hint
from app.engine.navigation import Direction, move
from app.engine.press import MenuPress, menu_press
from app.engine.row import user_row
from app.engine.scene import Scene, Step
from app.engine.start import begin, course_of, start, start_over
from app.engine.state import Offer
from app.texts import Texts

ADMIN_COMMAND = "go"
"""The one for ``Options.admins``; nobody else learns that it exists."""

MENU_BUTTONS = 50
"""Most courses of one message; Telegram takes up to 100 buttons."""


def descriptions(texts: Texts, options: Options) -> list[tuple[str, str]]:
    """Return the commands that learners may use, each with what it does: the arguments of ``setMyCommands``."""
    described = {
        "menu": texts.command_menu,
        "restart": texts.command_restart,
        "next": texts.command_next,
        "back": texts.command_back,
        "help": texts.command_help,
    }
    return [(name, described[name]) for name in COMMANDS if name in options.commands]


def command_received(scene: Scene, event: CommandReceived) -> Step:
    """Do what a command says; a command that is unknown or switched off is never an answer."""
    if event.name == ADMIN_COMMAND and event.learner.chat_id in scene.options.admins:
        return _go(scene, event)
    match event.name if event.name in scene.options.commands else None:
        case "menu":
            return scene.stay(*_menu(scene))
        case "restart":
            return _restart(scene, event)
        case "next":
            return _move(scene, event, Direction.NEXT)
        case "back":
            return _move(scene, event, Direction.BACK)
        case "help":
            return scene.stay(SendText(_help(scene)))
        case _:
            return scene.leave_unused(SendText(scene.texts.unknown_command.format(name=event.name)))


def menu_pressed(scene: Scene, event: ButtonPressed, press: MenuPress) -> Step:
    """Start the course as ``/start`` does; the menu stays, it belongs to no step."""
    course_id = course_of(press, scene.courses)
    if course_id is None:
        return refuse(scene, event)
    started = start(scene, Offer(course_id), event.run_id, is_participant=event.is_participant)
    return Step(started.chat, (AnswerPress(event.callback_id), *started.actions))


def _menu(scene: Scene) -> Iterator[SendText]:
    buttons = tuple(_menu_buttons(scene))
    if not buttons:
        yield SendText(scene.texts.menu_empty)
    for begin_at in range(0, len(buttons), MENU_BUTTONS):
        yield SendText(scene.texts.menu, buttons=buttons[begin_at : begin_at + MENU_BUTTONS])


def _menu_buttons(scene: Scene) -> Iterator[Button]:
    """Offer the courses that anybody may start, and those that the learner has begun."""
    for course_id, entry in scene.courses.entries.items():
        course = scene.courses.get(course_id)
        is_open = not entry.restricted or course_id in scene.chat.runs
        if is_open and course is not None and course.first() is not None:
            yield Button(entry.title or course_id, menu_press(course_id).data)


def _restart(scene: Scene, event: CommandReceived) -> Step:
    run = scene.chat.run
    if run is None:
        return scene.stay(hint(scene))
    course = scene.courses.get(run.course_id)
    if course is None:
        return scene.stay(SendText(scene.texts.course_unavailable))
    begun = start_over(scene, course, Offer(run.course_id), event.run_id, is_participant=event.is_participant)
    return Step(begun.chat, (user_row(run, "/restart"), *begun.actions))


def _move(scene: Scene, event: CommandReceived, direction: Direction) -> Step:
    run = scene.run
    return scene.stay(hint(scene)) if run is None else move(scene, run, direction, f"/{event.name}")


def _help(scene: Scene) -> str:
    lines = (f"/{name} – {description}" for name, description in descriptions(scene.texts, scene.options))
    return "\n".join((scene.texts.help, "", *lines))


def _go(scene: Scene, event: CommandReceived) -> Step:
    course_id, element_id = (*event.arguments.split(maxsplit=1), "", "")[:2]
    course = scene.courses.get(course_id)
    if course is None:
        return scene.stay(SendText(scene.texts.go_usage.format(courses=", ".join(scene.courses.courses))))
    element = course.elements.get(element_id) if element_id else scene.courses.start_of(course_id)
    if element is None:
        return scene.stay(SendText(scene.texts.go_no_element.format(course=course_id, element=element_id or "-")))
    return begin(scene, course, Offer(course_id), event.run_id, element)
