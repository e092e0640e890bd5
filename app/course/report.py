"""What is wrong in one file, collected while it is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from app.errors import Problem, Severity

_MAX_QUOTE = 60
_MAX_WORD = 200
_MAX_SUGGESTIONS = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file, counted from 1; 0 means unknown."""

    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The problems of one file, in the order they were found."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def error(self, place: Place, where: str, text: str, remedy: str = "") -> None:
        """Report something that keeps the file from being used."""
        self._add("error", place, where, text, remedy)

    def warning(self, place: Place, where: str, text: str, remedy: str = "") -> None:
        """Report something that the author should know."""
        self._add("warning", place, where, text, remedy)

    def hint(self, place: Place, where: str, text: str, remedy: str = "") -> None:
        """Report what will happen where nothing is wrong."""
        self._add("hint", place, where, text, remedy)

    def nearest(self, word: str, known: Iterable[str], otherwise: str = "") -> str:
        """Return the remedy for a misspelt word, for the first ones of a file: comparing takes its time."""
        return nearest(word, known, otherwise) if len(self.problems) < _MAX_SUGGESTIONS else otherwise

    def _add(self, severity: Severity, place: Place, where: str, text: str, remedy: str) -> None:
        self.problems.append(Problem(self.file, place.line, place.column, where, text, remedy, severity))


def has_errors(problems: Iterable[Problem]) -> bool:
    """Tell whether any of the problems is an error."""
    return any(problem.severity == "error" for problem in problems)


def quote(text: str) -> str:
    """Return the repr of a text that may be long."""
    return repr(text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 3] + "...")


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the remedy for a misspelt word: the known one that looks most like it."""
    # Comparing takes quadratic time, and nobody misspells a word of this length.
    close = get_close_matches(word, list(known), n=1) if len(word) <= _MAX_WORD else []
    return f"did you mean {quote(close[0])}?" if close else otherwise
