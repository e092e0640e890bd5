"""The data behind inline buttons: which run and step a button belongs to, and what it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from app.engine.event import ButtonPressed, CommandReceived, CourseGiven, Event, StartRequested


@dataclass(frozen=True, slots=True)
class ChoicePress:
    """Take a choice of the element on screen; ``index`` counts its choices from 0."""

    run_id: int
    step: int
    index: int

    @property
    def data(self) -> str:
        """The callback data of such a button."""
        return f"c:{self.run_id}:{self.step}:{self.index}"


@dataclass(frozen=True, slots=True)
class ResumePress:
    """Go on with an unfinished run."""

    run_id: int
    step: int

    @property
    def data(self) -> str:
        """The callback data of such a button."""
        return f"r:{self.run_id}:{self.step}"


@dataclass(frozen=True, slots=True)
class RestartPress:
    """Take the course of a run from the beginning, in a new run."""

    run_id: int
    step: int

    @property
    def data(self) -> str:
        """The callback data of such a button."""
        return f"s:{self.run_id}:{self.step}"


@dataclass(frozen=True, slots=True)
class ExitPress:
    """Leave the dialog on screen, or a mini app that cannot be shown."""

    run_id: int
    step: int

    @property
    def data(self) -> str:
        """The callback data of such a button."""
        return f"e:{self.run_id}:{self.step}"


@dataclass(frozen=True, slots=True)
class RetryPress:
    """Ask the model again, in the dialog on screen."""

    run_id: int
    step: int

    @property
    def data(self) -> str:
        """The callback data of such a button."""
        return f"t:{self.run_id}:{self.step}"


@dataclass(frozen=True, slots=True)
class MenuPress:
    """Start or resume a course, whatever is on screen.

    ``digest`` stands for the course id, see ``menu_press``: ids may be longer than callback data.
    """

    digest: str

    @property
    def data(self) -> str:
        """The callback data of such a button."""
        return f"m:{self.digest}"


@dataclass(frozen=True, slots=True)
class LegacyPress:
    """A button that the old program sent: ``got_it``, ``goto_ELEMENT`` or ``wait_INTERVAL``."""

    data: str


Press = ChoicePress | ResumePress | RestartPress | ExitPress | RetryPress | MenuPress | LegacyPress
"""Everything a button can ask for."""

_DATA = re.compile(r"([crset])((?::[0-9]{1,18}){2,3})")
_MENU = re.compile(r"m:([0-9a-f]{32})")
_LEGACY = re.compile(r"got_it|(?:goto|wait)_.*", re.DOTALL)


def menu_press(course_id: str) -> MenuPress:
    """Return the press that asks for this course."""
    return MenuPress(blake2b(course_id.encode("utf-8", "replace"), digest_size=16).hexdigest())


def parse_press(data: str) -> Press | None:
    """Return what the button asks for, ``None`` when neither the engine nor the old program sent it."""
    if menu := _MENU.fullmatch(data):
        return MenuPress(menu[1])
    if _LEGACY.fullmatch(data):
        return LegacyPress(data)
    found = _DATA.fullmatch(data)
    if found is None:
        return None
    kind, numbers = found[1], [int(number) for number in found[2][1:].split(":")]
    match kind, numbers:
        case "c", [run_id, step, index]:
            return ChoicePress(run_id, step, index)
        case "r", [run_id, step]:
            return ResumePress(run_id, step)
        case "s", [run_id, step]:
            return RestartPress(run_id, step)
        case "e", [run_id, step]:
            return ExitPress(run_id, step)
        case "t", [run_id, step]:
            return RetryPress(run_id, step)
        case _:
            return None


_STARTING_COMMANDS = ("restart", "go")


def needs_run_id(event: Event) -> bool:
    """Tell whether this event may start a run, so that its ``run_id`` must be a fresh one."""
    match event:
        case StartRequested() | CourseGiven():
            return True
        case ButtonPressed():
            return isinstance(parse_press(event.data), RestartPress | MenuPress)
        case CommandReceived():
            return event.name in _STARTING_COMMANDS
        case _:
            return False
