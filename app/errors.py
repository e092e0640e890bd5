"""The base of all errors that Flotilla raises, and problems found in input files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78
"""Exit code of a configuration or course error (sysexits.h EX_CONFIG)."""

Severity = Literal["error", "warning", "hint"]
"""A hint says what will happen where nothing is wrong."""


class FlotillaError(Exception):
    """Something the operator or author can act on; its text says place, value and remedy."""

    exit_code = EXIT_FAILED


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file that a person wrote.

    ``file`` is the path as the person would type it; ``line`` and ``column`` count from 1, 0 means the whole file.
    ``where`` is the path inside the file (``bots/test_bot/folder``, ``Intro_1/answers/2/text``); ``text`` says what is
    wrong; ``remedy`` what to do about it.
    """

    file: str
    line: int
    column: int
    where: str
    text: str
    remedy: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}" + (f":{self.column}" if self.column else "")
        parts = [place] + ([self.where] if self.where else []) + [self.text]
        return ": ".join(parts) + (f"; {self.remedy}" if self.remedy else "")


class InputError(FlotillaError):
    """A file that a person wrote has errors; ``problems`` lists all of them, in file order."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
