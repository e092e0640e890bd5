"""Reads the texts of a course as its learners will get them.

``check_markup`` runs whenever a course is read, because what it finds is sent otherwise than it is written. ``prove``
is for authors who ask: what takes effect in another way than they may expect.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from app.config.options import DEFAULT_OPTIONS
from app.course import document
from app.course.course import Course
from app.course.document import Items, Node, Scalar, Table
from app.course.element import AnyElement, Audio, Dialog, MiniApp, ParseMode, Section, Test
from app.course.fields import MAX_RATE
from app.course.graph import check_graph
from app.course.markup import CAPTION_LIMIT, MarkupError, parse, split, utf16_length
from app.course.report import Place, Report, nearest, quote
from app.errors import Problem

MAX_BUTTONS = 100
"""Most buttons that Telegram takes under one message."""

LONG_BUTTON = 64
"""Phones show about half of this in one line and cut the rest."""

LONG_PROMPT = 20_000
"""A prompt is sent with every message of the learner, and paid for."""

NEAR = 25
"""Characters shown of what Telegram stumbles over."""

_KEYS = ("text", "feedback_correct", "feedback_partial", "feedback_incorrect", "no_mistakes")
_APP_KEYS = ("correct_feedback", "incorrect_feedback")
_PLACEHOLDERS = ("score", "maxscore")
_VOICE_KEYS = ("tts_voice", "tts_model", "tts_speed")


def check_markup(element: AnyElement, node: Table, report: Report) -> None:
    """Warn about every text of the element that would be sent without its markup because that is broken."""
    if isinstance(element, Section) or element.parse_mode is None:
        return
    for where, text in _shown(node):
        check_text(text, element.parse_mode, f"{element.id}/{where}", report)


def check_text(text: Scalar, parse_mode: ParseMode, where: str, report: Report) -> None:
    """Warn about a text whose markup is broken."""
    try:
        parse(text.text, parse_mode)
    except MarkupError as error:
        remedy = f"it is sent as plain text; {_REMEDIES[parse_mode]}"
        report.warning(text.place, where, f"Telegram {error}{_near(error, text.text)}", remedy)


def _near(error: MarkupError, text: str) -> str:
    """Return the beginning of what Telegram stumbles over: nobody counts bytes."""
    found = re.search(r"byte offset (\d+)", str(error))
    if found is None:
        return ""
    rest = text.encode(errors="replace")[int(found[1]) :].decode(errors="ignore")
    line = rest.partition("\n")[0]
    return f", near {quote(line if len(line) <= NEAR else line[: NEAR - 3] + '...')}"


_REMEDIES = {
    ParseMode.MARKDOWN: r"write \_ or \* for a sign that is no markup",
    ParseMode.HTML: "close every tag, and write &lt; for < and &amp; for &",
}


def prove(
    course: Course,
    text: str,
    starts: Collection[str] = (),
    stop_markers: Sequence[str] = DEFAULT_OPTIONS.stop_markers,
    serves_apps: bool = True,
) -> list[Problem]:
    """Report what an author should know of a course that can run; ``text`` is its file.

    ``starts`` are the elements that lists of courses name, ``stop_markers`` what ends the dialogs of the bot.
    ``serves_apps`` says whether the bot has a page for mini apps without an ``app_url``.
    """
    report = Report(course.source)
    root = document.parse(text, Report(course.source))
    if not isinstance(root, Table):
        return []
    for element in course.elements.values():
        node = root.items.get(element.id)
        if isinstance(node, Table):
            advise(element, node, report, stop_markers)
            if isinstance(element, MiniApp) and element.app_url is None and not serves_apps:
                problem = "has no 'app_url', and the bot serves no page for mini apps"
                report.warning(root.keys[element.id], element.id, problem, "set 'mini_apps: true' for the bot")
    return report.problems + check_graph(course, starts, lambda element_id: root.keys.get(element_id, Place()))


def advise(
    element: AnyElement, node: Table, report: Report, stop_markers: Sequence[str] = DEFAULT_OPTIONS.stop_markers
) -> None:
    """Report what an author may not expect of the element; ``stop_markers`` are those that end the bot's dialogs."""
    advice = _Advice(element, node, report)
    if isinstance(element, Section):
        return
    advice.on_lengths(element.parse_mode)
    advice.on_buttons()
    match element:
        case Audio():
            advice.on_caption(element)
        case Dialog():
            advice.on_dialog(element, stop_markers)
        case Test():
            advice.on_verdicts()
            advice.on_placeholders(element)
        case MiniApp():
            advice.on_app(element)
        case _:
            pass


@dataclass(frozen=True, slots=True)
class _Advice:
    """What is said about one element."""

    element: AnyElement
    node: Table
    report: Report

    def on_lengths(self, parse_mode: ParseMode | None) -> None:
        """Say which texts are longer than one message."""
        for where, text in _shown(self.node):
            parts = len(split(text.text, parse_mode))
            if parts > 1:
                length = utf16_length(text.text)
                self._hint(where, text, f"has {length} characters and is sent as {parts} messages")

    def on_buttons(self) -> None:
        """Say which buttons are cut on phones, and when there are more than Telegram takes."""
        buttons = list(_buttons(self.node))
        for where, text in buttons:
            if len(text.text.strip()) > LONG_BUTTON:
                length = len(text.text.strip())
                self._hint(where, text, f"has {length} characters, phones cut a button after about 30", "shorten it")
        if len(buttons) > MAX_BUTTONS:
            where, text = buttons[MAX_BUTTONS]
            problem = f"is button {MAX_BUTTONS + 1}, Telegram takes {MAX_BUTTONS} under a message"
            self._warn(where, text, problem, "put the others under a message of their own")

    def on_caption(self, element: Audio) -> None:
        """Say when a text is too long to be a caption."""
        text = self.node.items.get("text")
        if isinstance(text, Scalar) and element.link_preview is not False and not _is_caption(element):
            problem = f"is longer than a caption takes ({CAPTION_LIMIT}), it is sent as a message before the files"
            self._hint("text", text, problem)

    def on_dialog(self, element: Dialog, stop_markers: Sequence[str]) -> None:
        """Say when a dialog does not end by itself, is dear, or has settings of a voice that it does not use."""
        key = "conversation" if element.conversation else "prompt"
        prompt = self.node.items.get(key, self.node)
        said = "\n".join([line.content for line in element.conversation] or [element.prompt])
        if len(said) > LONG_PROMPT:
            problem = f"has {len(said)} characters, which the model reads again for every message of the learner"
            self._hint(key, prompt, problem, "shorten it to save time and money")
        ends = any(marker in said for marker in stop_markers) or element.button or element.max_messages
        if stop_markers and not ends:
            problem = f"does not ask the model for {stop_markers[0]}, so the dialog does not end by itself"
            remedy = f"tell the model when to write {stop_markers[0]}; until then learners leave by a button"
            self._warn(key, prompt, problem, remedy)
        for key in _VOICE_KEYS if element.speech is None else ():
            if key in self.node.items:
                self._warn(key, self.node.items[key], "has no effect", "add 'voice_response: yes', or remove it")

    def on_app(self, element: MiniApp) -> None:
        """Say when Telegram would not open the page."""
        url = self.node.items.get("app_url")
        if url is not None and (element.app_url or "").startswith("http://"):
            self._warn("app_url", url, "does not begin with https://, Telegram opens no other pages", "use https://")

    def on_verdicts(self) -> None:
        """Say which verdicts of a test are never shown."""
        table = self.node.items.get("score")
        if not isinstance(table, Table):
            return
        seen: dict[float, str] = {}
        for key, text in table.items.items():
            rate = _rate(key)
            if rate is None:
                continue
            if rate < 0:
                self._warn(f"score/{key}", text, "is never shown: there are no fewer than 0 % mistakes", "use 0 to 100")
            elif rate in seen:
                problem = f"is the same rate of mistakes as {quote(seen[rate])}, only one of them is shown"
                self._warn(f"score/{key}", text, problem, "remove one of them")
            elif isinstance(text, Scalar) and not text.text.strip():
                self._warn(f"score/{key}", text, "is empty", "write what the learner should read")
            seen.setdefault(rate, key)
        # The first from 100 on serves for all mistakes there can be.
        for rate in sorted(rate for rate in seen if rate >= MAX_RATE)[1:]:
            key, problem = seen[rate], f"is never shown: there are no more than {MAX_RATE} % mistakes"
            self._warn(f"score/{key}", table.items[key], problem, "use 0 to 100")

    def on_placeholders(self, element: Test) -> None:
        """Say which placeholders of a test stand for nothing."""
        for name in dict.fromkeys(re.findall(r"\{(\w+)\}", element.text)):
            if name not in _PLACEHOLDERS:
                remedy = nearest(name, _PLACEHOLDERS, "known: {score}, {maxscore}")
                self._warn("text", self.node.items["text"], f"'{{{name}}}' is shown as it is", remedy)

    def _warn(self, where: str, node: Node, text: str, remedy: str = "") -> None:
        self.report.warning(node.place, f"{self.element.id}/{where}", text, remedy)

    def _hint(self, where: str, node: Node, text: str, remedy: str = "") -> None:
        self.report.hint(node.place, f"{self.element.id}/{where}", text, remedy)


def _is_caption(element: Audio) -> bool:
    try:
        plain = parse(element.text, element.parse_mode).plain
    except MarkupError:
        plain = element.text
    return utf16_length(plain) <= CAPTION_LIMIT


def _rate(key: str) -> float | None:
    try:
        rate = float(key)
    except ValueError:
        return None
    return rate if isfinite(rate) else None


def _shown(node: Table) -> Iterator[tuple[str, Scalar]]:
    """Yield the texts that are sent as messages with the element's markup; what stands in a poll has none."""
    answers = node.items.get("answers")
    for key in _KEYS:
        text = node.items.get(key)
        if isinstance(text, Scalar) and not (key == "text" and answers is not None):
            yield key, text
    yield from _texts_of_rows("answers", "feedback", node)
    yield from _texts_of_rows("options", "wait_text", node)
    yield from _texts_of(node, "score")
    yield from _texts_of(node, "answer", _APP_KEYS)


def _texts_of_rows(rows: str, key: str, node: Table) -> Iterator[tuple[str, Scalar]]:
    items = node.items.get(rows)
    for number, row in enumerate(items.items if isinstance(items, Items) else (), 1):
        text = row.items.get(key) if isinstance(row, Table) else row if key == "text" else None
        if isinstance(text, Scalar):
            yield f"{rows}/{number}/{key}", text


def _texts_of(node: Table, key: str, keys: Sequence[str] | None = None) -> Iterator[tuple[str, Scalar]]:
    """Yield the texts of a mapping; of some of its keys, if they are given."""
    table = node.items.get(key)
    for name, text in table.items.items() if isinstance(table, Table) else ():
        if isinstance(text, Scalar) and (keys is None or name in keys):
            yield f"{key}/{name}", text


def _buttons(node: Table) -> Iterator[tuple[str, Scalar]]:
    button = node.items.get("button")
    if isinstance(button, Scalar):
        yield "button", button
    yield from _texts_of_rows("options", "text", node)
