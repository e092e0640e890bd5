"""What a check found: one line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad it is: a failure keeps bots from working, or soon will."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; ``remedy`` says what to do if it is not well."""

    check: str
    grade: Grade
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.grade:<8} {self.check:<10} {self.text}"
        return f"{line}; {self.remedy}" if self.remedy else line


def ok(check: str, text: str) -> Finding:
    """Say that all is well."""
    return Finding(check, Grade.OK, text)


def warning(check: str, text: str, remedy: str = "") -> Finding:
    """Say what may become a failure, or is one for some."""
    return Finding(check, Grade.WARNING, text, remedy)


def fail(check: str, text: str, remedy: str = "") -> Finding:
    """Say what keeps bots from working."""
    return Finding(check, Grade.FAIL, text, remedy)


def some(names: list[str], most: int = 5) -> str:
    """Name the first of them, and count the rest."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
