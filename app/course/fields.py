"""The fields of one mapping of a course file: what is odd is reported, what can be understood is used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import count
from math import isfinite, nan
from typing import TypeVar

from app.course.document import Items, Node, Scalar, Table
from app.course.element import Choice, Option, ParseMode, Verdict
from app.course.interval import LONGEST, IntervalTooLong, parse_interval
from app.course.media import is_link, media_url
from app.course.report import Place, Report, quote

MAX_QUESTION_CHARACTERS = 300
MAX_OPTIONS = 12
MIN_OPTIONS = 2
MAX_OPTION_CHARACTERS = 100
"""Limits of a poll (Bot API, ``sendPoll`` and ``InputPollOption``)."""

MAX_RATE = 100
"""The highest rate of mistakes, in percent."""

_TRUE = {"true", "yes", "on", "1", "y"}
_FALSE = {"false", "no", "off", "0", "n", ""}
HTML_REPLIES = "HTML!"
"""The markup by which the model of a dialog writes HTML too; elsewhere it is plain HTML."""

_PARSE_MODES = {
    "HTML": ParseMode.HTML,
    HTML_REPLIES: ParseMode.HTML,
    "Markdown": ParseMode.MARKDOWN,
    "markdown": ParseMode.MARKDOWN,
}

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Target:
    """A ``goto`` of the file, to be checked when all elements are known."""

    element_id: str
    where: str
    place: Place


@dataclass(frozen=True, slots=True)
class Fields:
    """Reads the fields of ``table``, which stands at ``where`` in the file; ``targets`` collects every ``goto``."""

    table: Table
    where: str
    report: Report
    targets: list[Target] = field(default_factory=list)

    def error(self, key: str, text: str, remedy: str = "") -> None:
        """Report an error of a field, or of the whole mapping when ``key`` is empty."""
        self.report.error(self._place(key), self._where(key), text, remedy)

    def warning(self, key: str, text: str, remedy: str = "") -> None:
        """Report a warning about a field, or about the whole mapping when ``key`` is empty."""
        self.report.warning(self._place(key), self._where(key), text, remedy)

    def check_keys(self, known: Collection[str], known_elsewhere: Collection[str] = ()) -> None:
        """Warn about every key that is not ``known``."""
        for key in self.table.items:
            if key in known:
                continue
            if key in known_elsewhere:
                self.warning(key, "has no effect here", f"known keys: {', '.join(known)}")
            else:
                remedy = self.report.nearest(key, known, "check its spelling and indentation")
                self.warning(key, "unknown key", remedy)

    def has(self, key: str) -> bool:
        """Tell whether the field is there and not null."""
        node = self.table.items.get(key)
        return node is not None and not (isinstance(node, Scalar) and node.value is None)

    def text(self, key: str) -> str | None:
        """Return a text, ``None`` when there is none; numbers, booleans and dates are read as they were written."""
        node = self.table.items.get(key)
        if isinstance(node, Items | Table):
            self.error(key, f"must be a text, not a {_kind(node)}", "put the text in quotes or below a '|'")
            return None
        return _text(node)

    def required_text(self, key: str, remedy: str = "") -> str:
        """Return a text; a missing one is an error."""
        text = self.text(key)
        if text is None and not isinstance(self.table.items.get(key), Items | Table):
            place = key if key in self.table.items else ""
            self.error(place, f"{key!r} is missing or empty", remedy or f"add '{key}: ...'")
        return text or ""

    def flag(self, key: str) -> bool | None:
        """Return a yes or no, ``None`` when there is none; quoted words count as what they say (D15)."""
        node = self.table.items.get(key)
        if isinstance(node, Items | Table):
            self.error(key, f"must be yes or no, not a {_kind(node)}")
            return None
        if node is None or node.value is None:
            return None
        word = str(node.value).strip().lower()
        if word not in _TRUE | _FALSE:
            self.warning(key, f"{quote(node.text)} is taken for yes", "write yes or no")
        return word not in _FALSE

    def number(self, key: str) -> float | None:
        """Return a number, ``None`` when there is none; a quoted one is a number too."""
        return self._number(key, "0.7")

    def _number(self, key: str, example: str) -> float | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = nan
        if isfinite(number):
            return number
        self.warning(key, f"{quote(text)} is not a number and is not used", f"write for example {example}")
        return None

    def count(self, key: str) -> int | None:
        """Return a whole number of at least 1, ``None`` when there is none; a quoted one is a number too."""
        number = self._number(key, "20")
        if number is None:
            return None
        if number >= 1 and number.is_integer():
            return int(number)
        self.warning(key, f"{number:g} is not a whole number of at least 1 and is not used", "write for example 20")
        return None

    def word(self, key: str, words: type[Word], default: Word) -> Word:
        """Return one of a set of words; another one is reported and means the default."""
        text = self.text(key)
        if text is None:
            return default
        try:
            return words(text.strip())
        except ValueError:
            known = [word.value for word in words]
            self.warning(
                key,
                f"{quote(text)} is not known, {default.value!r} is used",
                self.report.nearest(text, known, f"known: {', '.join(known)}"),
            )
            return default

    def parse_mode(self) -> ParseMode | None:
        """Return how the author marks up texts, ``None`` when they do not say."""
        text = self.text("parse_mode")
        if text is None:
            return None
        mode = _PARSE_MODES.get(text.strip())
        if mode is None:
            self.warning("parse_mode", f"{quote(text)} is not known, 'Markdown' is used", "write HTML or Markdown")
        return mode or ParseMode.MARKDOWN

    def markup(self) -> ParseMode:
        """Return how texts are marked up: legacy Markdown unless the author says otherwise."""
        return self.parse_mode() or ParseMode.MARKDOWN

    def media(self) -> tuple[str, ...]:
        """Return the links to download ``media`` from; what is no link is skipped with a warning."""
        return tuple(url for where, node in self._items("media") if (url := self._link(where, node)))

    def _link(self, where: str, node: Node) -> str | None:
        url = media_url(_text(node) or "") if isinstance(node, Scalar) else ""
        if is_link(url):
            return url
        shown = quote(node.text) if isinstance(node, Scalar) else f"a {_kind(node)}"
        self.report.warning(
            node.place, where, f"{shown} is not a link and is skipped", "write a URL that begins with https://"
        )
        return None

    def interval(self, key: str) -> timedelta | None:
        """Return an interval, ``None`` when there is none."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return parse_interval(text)
        except IntervalTooLong:
            self.error(key, f"{quote(text)} is too long", f"{LONGEST.days}d is the longest")
            return None
        except ValueError:
            self.error(key, f"{quote(text)} is not an interval", "write for example 30s, 1h:30m or 1d12h")
            return None

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the verdicts of ``score`` in ascending order; keys are numbers, in quotes or not (D33)."""
        node = self.table.items.get("score")
        if not self.has("score"):
            self.warning("", "'score' is missing, no verdict is shown", "add for example 'score: {100: Well done!}'")
            return ()
        if not isinstance(node, Table):
            self.error("score", "must be a mapping of numbers to texts", "write for example '{20: Good, 100: Hm}'")
            return ()
        thresholds = self.inner("score", node)
        verdicts = sorted(filter(None, map(thresholds._verdict, node.items)), key=lambda verdict: verdict.up_to)
        if verdicts and verdicts[-1].up_to < MAX_RATE:
            text = f"ends at {verdicts[-1].up_to:g}, its verdict also serves for more mistakes"
            self.warning("score", text, f"add a verdict for {MAX_RATE}")
        return tuple(verdicts)

    def _verdict(self, key: str) -> Verdict | None:
        try:
            up_to = float(key)
        except ValueError:
            up_to = nan
        if not isfinite(up_to):
            self.error(key, f"{quote(key)} is not a number", "write a rate of mistakes in percent, from 0 to 100")
            return None
        return Verdict(up_to, self.text(key) or "")

    def goto(self) -> str | None:
        """Return the id of the element that ``goto`` names and remember to check it."""
        target = self.text("goto")
        if target is not None:
            self.targets.append(Target(target, self._where("goto"), self._place("goto")))
        return target

    def choices(self) -> tuple[Choice, ...]:
        """Return the buttons of ``options``."""
        return tuple(_choice(fields) for fields in self.rows("options"))

    def question(self) -> str:
        """Return the text of a poll."""
        text = self.required_text("text")
        if len(text.strip()) > MAX_QUESTION_CHARACTERS:
            problem = f"has {len(text.strip())} characters, the question of a poll takes {MAX_QUESTION_CHARACTERS}"
            self.warning("text", problem, "it is sent as a message before the poll")
        return text

    def answers(self, known: Collection[str]) -> tuple[Option, ...]:
        """Return the poll options of ``answers``, as many as a poll takes, no two with the same text."""
        options: list[Option] = []
        for fields in self.rows("answers"):
            fields.check_keys(known)
            options.append(_distinct(_option(fields), options, fields))
        if not MIN_OPTIONS <= len(options) <= MAX_OPTIONS:
            text = f"a poll takes {MIN_OPTIONS} to {MAX_OPTIONS} answers, not {len(options)}"
            self.error("answers" if "answers" in self.table.items else "", text)
        return tuple(options)

    def rows(self, key: str, only: str = "text") -> Iterator[Fields]:
        """Yield each mapping of a list; a bare text stands for its field ``only``."""
        for where, node in self._items(key):
            if isinstance(node, Items):
                self.report.error(node.place, where, f"must be a mapping with {only!r}, not a list")
                continue
            table = node if isinstance(node, Table) else Table({only: node}, {only: node.place}, node.place)
            yield Fields(table, where, self.report, self.targets)

    def _items(self, key: str) -> Iterator[tuple[str, Node]]:
        """Yield the items of a list with where they stand; a single value stands for a list of one."""
        if not self.has(key):
            return
        node = self.table.items[key]
        items = node.items if isinstance(node, Items) else (node,)
        for number, item in enumerate(items, 1):
            yield f"{self._where(key)}/{number}", item

    def inner(self, key: str, table: Table) -> Fields:
        """Return the fields of the mapping that stands below ``key``."""
        return Fields(table, self._where(key), self.report, self.targets)

    def _place(self, key: str) -> Place:
        return self.table.keys.get(key, self.table.place)

    def _where(self, key: str) -> str:
        return f"{self.where}/{key}" if key else self.where


def _choice(fields: Fields) -> Choice:
    fields.check_keys(("text", "goto", "wait", "wait_text"))
    text, goto, wait = fields.required_text("text").strip(), fields.goto(), fields.interval("wait")
    if wait is not None and goto is not None:
        fields.warning("wait", "has no effect beside 'goto'", "remove one of them")
        return Choice(text, goto)
    return Choice(text, goto, wait, fields.text("wait_text"))


def _option(fields: Fields) -> Option:
    text = fields.required_text("text").strip()
    if len(text) > MAX_OPTION_CHARACTERS:
        fields.error("text", f"has {len(text)} characters, an answer takes {MAX_OPTION_CHARACTERS}", "shorten it")
    return Option(text, bool(fields.flag("correct")), fields.text("feedback"))


def _distinct(option: Option, others: Sequence[Option], fields: Fields) -> Option:
    """Return the option with a number added when its text is taken: Telegram refuses a poll with two equal options."""
    taken = [other.text for other in others]
    if not option.text or option.text not in taken:
        return option
    text = f"has the same text as answer {taken.index(option.text) + 1}: {quote(option.text)}"
    fields.warning("text", text, "a number is added; change one of them")
    endings = (f" ({number})" for number in count(2))
    candidates = (option.text[: MAX_OPTION_CHARACTERS - len(ending)] + ending for ending in endings)
    return replace(option, text=next(candidate for candidate in candidates if candidate not in taken))


def _text(node: Node | None) -> str | None:
    """Return the text of a scalar as it was written, ``None`` when it is missing, null or blank."""
    if not isinstance(node, Scalar) or node.value is None or not node.text.strip():
        return None
    return node.text


def _kind(node: Items | Table) -> str:
    return "list" if isinstance(node, Items) else "mapping"
