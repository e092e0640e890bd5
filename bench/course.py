"""The courses that the learners of the benchmark take, one folder each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from app.runtime.library import Library
from bench.botapi import ANSWER

STEPS = 40
"""Elements of a course."""

TEXT = (
    "*Step {number} of {steps}.* Ships ask, and the lighthouse answers: one long flash, two short ones, then a pause "
    "of seven seconds. Sailors know every lighthouse by its rhythm, and no two along one coast have the same.\n\n"
    "Is this the light that you have been looking for? Write _yes_ or _no_."
)


def write(scripts: Path) -> None:
    """Write the folders ``input``, ``quiz``, ``press`` and ``wait``."""
    _write(scripts, "input", _input)
    _write(scripts, "quiz", _quiz)
    _write(scripts, "press", _press)
    _write(scripts, "wait", _wait, steps=1)
    for folder in scripts.iterdir():
        if problems := Library(scripts, f"{folder.name}/").problems:
            raise ValueError(problems[0])


def _write(scripts: Path, folder: str, element: Callable[[int], dict[str, object]], steps: int = STEPS) -> None:
    (scripts / folder).mkdir(parents=True)
    (scripts / folder / "courses.yml").write_text(yaml.safe_dump({"default": {"path": "course.yml"}}))
    elements = {f"Step_{number}": element(number) for number in range(1, steps + 1)}
    elements["Last_1"] = {"type": "end", "text": "That was all."}
    (scripts / folder / "course.yml").write_text(yaml.safe_dump(elements, sort_keys=False, allow_unicode=True))


def _text(number: int) -> str:
    return TEXT.format(number=number, steps=STEPS)


def _input(number: int) -> dict[str, object]:
    return {"type": "input", "text": _text(number), "correct_answer": ANSWER}


def _quiz(number: int) -> dict[str, object]:
    answers = [{"text": "Yes", "correct": True}, {"text": "No"}, {"text": "Perhaps"}]
    return {"type": "quiz", "text": f"Step {number}: is this the light that you have looked for?", "answers": answers}


def _press(number: int) -> dict[str, object]:
    return {"type": "message", "text": _text(number), "button": "Go on"}


def _wait(number: int) -> dict[str, object]:
    return {"type": "delay", "text": _text(number), "wait": "1d", "goto": "Last_1"}
