"""The data behind inline buttons: which run and step a button belongs to, and what it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.engine.event import ButtonPressed, Event, StartRequested


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


Press = ChoicePress | ResumePress | RestartPress | ExitPress | RetryPress
"""Everything a button of the engine can ask for."""

_DATA = re.compile(r"([crset])((?::[0-9]{1,18}){2,3})")


def parse_press(data: str) -> Press | None:
    """Return what the button asks for, ``None`` when the data is not the engine's."""
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


def needs_run_id(event: Event) -> bool:
    """Tell whether this event may start a run, so that its ``run_id`` must be a fresh one."""
    match event:
        case StartRequested():
            return True
        case ButtonPressed():
            return isinstance(parse_press(event.data), RestartPress)
        case _:
            return False
