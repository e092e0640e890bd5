"""What reads hostile input, each as a function of a text that fails when something does not hold.

Hypothesis and atheris both drive these; ``TARGETS`` names them with the texts to begin from.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from app.cli.participants import read_people
from app.config.load import load_fleet
from app.course.course import Course, Courses, Entry
from app.course.element import ParseMode
from app.course.graph import check_graph
from app.course.interval import parse_interval
from app.course.loader import elements_of, load_course, load_list, load_stored, resolve
from app.course.markup import TEXT_LIMIT, MarkupError, parse, split, utf16_length
from app.course.media import is_link, media_url
from app.course.prompt import render, variables
from app.course.report import Place, has_errors
from app.course.stored import Stored
from app.dialog.history import history_of
from app.engine.event import ButtonPressed, Event, Learner, StartRequested
from app.engine.payload import parse_payload
from app.engine.press import parse_press
from app.engine.reply import spoken, to_html
from app.engine.state import Chat, from_json
from app.errors import InputError
from app.runtime.decision import Decision, Rules
from app.runtime.draft import shown
from app.store.rows import Loaded, Said
from app.telegram.decode import decode
from app.telegram.init_data import InitDataRefused, claimed_language, learner_of
from tests.fuzz.corpus import CONFIG, COURSES, EVERYTHING, LISTS

ANN = Learner(7, "ann", "en")
AT = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "700:demo-token_A"


@cache
def example() -> Courses:
    """Return a list with one course that has an element of every type."""
    course, problems = load_course(EVERYTHING, "everything.yml")
    assert not has_errors(problems), problems
    return Courses({"default": Entry("default", "everything.yml")}, {"default": course})


def require_storable(value: Any) -> None:
    """Fail unless PostgreSQL can hold the value as ``jsonb``, and Telegram's JSON can carry it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    assert "\\u0000" not in text
    text.encode()


def play(courses: Courses, chat: Chat, event: Event) -> Chat:
    """Apply the event as a turn does; the state survives JSON, and what is to be sent can be."""
    chat_id = event.learner.chat_id
    decision = Decision({chat_id: chat})
    decision.decide(Rules("bot", courses), Loaded(frozenset(), {}, {}, ()), event)
    written = (decision.states[chat_id], *decision.rows, *decision.messages, *decision.started, *decision.jobs)
    require_storable([asdict(one) for one in written])
    state = json.loads(json.dumps(decision.states[chat_id].state))
    assert from_json(state) == decision.chats[chat_id]
    return decision.chats[chat_id]


def of_update(text: str) -> None:
    """An update is decoded without an error, into an event that can be stored and played."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return
    check_update(raw)


def check_update(raw: object) -> None:
    """Check what becomes of one update, whatever it is."""
    update = decode(raw, AT)
    if update is None or update.event is None:
        return
    event, learner = update.event, update.event.learner
    assert update.chat_id == learner.chat_id
    assert -(2**63) <= learner.chat_id < 2**63
    assert -(2**63) <= update.update_id < 2**63
    require_storable([str(getattr(event, name)) for name in event.__slots__ if name != "callback_id"])
    chat = play(example(), Chat(), StartRequested(learner, AT, "", run_id=1))
    play(example(), chat, event)


def of_press(text: str) -> None:
    """Callback data is read or refused; what is read comes out as it went in; pressing it never fails."""
    press = parse_press(text)
    if press is not None:
        assert parse_press(press.data) == press
    chat = play(example(), Chat(), StartRequested(ANN, AT, "", run_id=1))
    play(example(), chat, ButtonPressed(ANN, AT, "1", text.replace("\0", ""), 5, run_id=2))


def of_payload(text: str) -> None:
    """The payload of a start link names some course, known or not."""
    assert parse_payload(text, example()).course_id


def of_course(text: str) -> None:
    """A course file gives a course and problems; one without errors can be stored, read back, checked and begun."""
    course, problems = load_course(text, "a.yml")
    for problem in problems:
        str(problem).encode("utf-8", "surrogatepass")
    require_storable([element.body for element in course.elements.values()])
    if not has_errors(problems):
        _check_course(course, text)


def _check_course(course: Course, text: str) -> None:
    rows = elements_of(text, "a.yml")
    again, problems = load_stored("a", Stored(tuple((key, body) for key, _, body in rows)))
    assert not has_errors(problems)
    assert {key: one.body for key, one in again.elements.items()} == {
        key: one.body for key, one in course.elements.items()
    }
    check_graph(course, [], lambda _: Place())
    courses = Courses({"default": Entry("default", "a.yml")}, {"default": course})
    play(courses, Chat(), StartRequested(ANN, AT, "", run_id=1))


def of_list(text: str) -> None:
    """A list of courses gives entries; no path of one leads out of ``scripts/``."""
    listing, _ = load_list(text, "scripts/courses.yml")
    for entry in listing.entries.values():
        check_path(entry.path)


def check_path(path: str, folder: str = "school/") -> None:
    """Check that a path is refused, or is one below ``scripts/``."""
    with suppress(ValueError):
        found = resolve(path, folder)
        assert found.startswith("scripts/")
        assert ".." not in found.split("/")
        assert "\\" not in found


def of_stored(text: str) -> None:
    """A course of the database gives a course and problems, and its rows can be shown to a model."""
    load_stored("a", Stored((("E_1", text), ("E_2", text))))
    load_stored("a", Stored((), text))
    history_of([Said("bot", text, text), Said("user", text, None)])


def of_config(text: str) -> None:
    """A config gives a fleet, or an ``InputError`` that can be printed and holds no secret."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scripts").mkdir()
        (folder / "scripts/courses.yml").write_text("default: {path: a.yml}")
        (folder / "bots_config.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        told, fleet = "", None
        try:
            fleet = load_fleet(folder / "bots_config.yaml", {"SECRET": TOKEN}, need_secrets=False)
        except InputError as error:
            told = str(error)
        assert TOKEN not in told
        told.encode("utf-8", "surrogatepass")
        assert told or (fleet and fleet.bots)


def of_markup(text: str) -> None:
    """A text is read as Telegram reads it or refused; its parts fit, can be read, and show the text in its order."""
    for parse_mode in (None, *ParseMode):
        try:
            plain = parse(text, parse_mode).plain
        except MarkupError:
            plain, parse_mode = text, None
        parts = split(text, parse_mode, 20)
        shown = [parse(part, parse_mode).plain for part in parts]
        assert all(utf16_length(part) <= 20 for part in shown) or len(parts) == 1
        assert "".join("".join(shown).split()) == "".join(plain.split())


def of_reply(text: str) -> None:
    """Any reply becomes HTML that Telegram takes, in parts that fit, without a stop marker."""
    text = text.encode("utf-8", "replace").decode()
    html = to_html(text)
    parse(html, ParseMode.HTML)
    for part in split(html, ParseMode.HTML):
        assert utf16_length(parse(part, ParseMode.HTML).plain) <= TEXT_LIMIT
    assert "{STOP}" not in shown(text, ("{STOP}", "#end"))
    for language in (None, "el"):
        assert "<b>" in text or "<b>" not in spoken(html, language)


def of_prompt(text: str) -> None:
    """What variables stand for is not read again, whoever said it."""
    marked = "{{Sea_1}} <!-- gone --> {{Talk_1[3}}"
    for variable in variables(text):
        assert "}}" not in variable.element_id
    rendered = render(text, lambda _: marked)
    found = sum(1 for _ in variables(text))
    assert rendered.count(marked) >= found
    assert render("a {{x}} b", lambda _: text) == f"a {text} b"


def of_interval(text: str) -> None:
    """An interval is read or refused."""
    with suppress(ValueError):
        assert parse_interval(text).total_seconds() >= 0


def of_media(text: str) -> None:
    """A link is to http or https, also after it was rewritten."""
    url = media_url(text)
    if is_link(url):
        assert url.lower().startswith(("http://", "https://"))
        assert not any(character in url for character in " \n\t")


def of_init_data(text: str) -> None:
    """Nobody is let in without Telegram's signature."""
    claimed_language(text)
    try:
        learner_of(text, TOKEN, AT)
    except InitDataRefused:
        return
    raise AssertionError("unsigned init_data was taken")


def of_people(text: str) -> None:
    """A list of participants gives people who can be stored, or an ``InputError``."""
    with suppress(InputError):
        for person in read_people(text, "list.csv", "spring"):
            assert person.name.isascii()
            assert person.name.isalnum() or "_" in person.name
            assert not person.name.isdecimal() or int(person.name) < 2**63


@dataclass(frozen=True, slots=True)
class Target:
    """A function to be driven, and what to begin from."""

    check: Callable[[str], None]
    seeds: tuple[str, ...]


def _message(**content: object) -> str:
    user = {"id": 7, "is_bot": False, "first_name": "Ann", "username": "ann", "language_code": "en"}
    message = {"message_id": 5, "date": 1, "chat": {"id": 7, "type": "private"}, "from": user, **content}
    return json.dumps({"update_id": 1, "message": message})


UPDATES = (
    _message(text="/start spring__utmsIItg"),
    _message(text="/go default Sea_1"),
    _message(text="hello"),
    _message(voice={"file_id": "f", "duration": 3}),
    _message(photo=[]),
    '{"update_id": 2, "callback_query": {"id": "9", "from": {"id": 7}, "data": "c:1:1:0", "message": {}}}',
    '{"update_id": 3, "poll_answer": {"poll_id": "p", "user": {"id": 7}, "option_ids": [0, 1]}}',
)
CSV = ("username,course\nann,spring\n@bob2,\n", "7\n8\n", "chat_id;course\n42;a\n")
LINKS = (
    "https://drive.google.com/file/d/1aB/view",
    "https://example.org/a b.jpg",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "\0http://example.org/a",
)

TARGETS: Mapping[str, Target] = {
    "update": Target(of_update, UPDATES),
    "press": Target(of_press, ("c:1:1:0", "r:1:2", "m:" + "0" * 32, "goto_Sea_1", "wait_1d")),
    "payload": Target(of_payload, ("spring__utmsIItg__utmcIIx", "utmsIIa__utmcIIb", "")),
    "course": Target(of_course, (EVERYTHING, *COURSES)),
    "list": Target(of_list, LISTS),
    "stored": Target(of_stored, ('{"element_data": {"type": "end", "text": "Bye"}}', EVERYTHING)),
    "config": Target(of_config, (CONFIG, "telegram: sandbox\nbots:\n- {name: a, folder: ''}\n")),
    "markup": Target(of_markup, ("*a* _b_ [c](d) `e`", "<b>a <i>b</i></b> &lt; <pre>c</pre>", "```py\nx\n```")),
    "reply": Target(of_reply, ("**a** _b_\n\n- c\n- d\n\n> e\n\n```py\nx\n```\n[f](https://g) {STOP}",)),
    "prompt": Target(of_prompt, ("Be {{Sea_1}} <!-- {{x}} --> {{3]Talk_1}} {{Talk_1[2}} {{a.answer}}",)),
    "interval": Target(of_interval, ("1d", "1h:30m", "1d12h", "")),
    "media": Target(of_media, LINKS),
    "init_data": Target(of_init_data, ('user={"id":7}&auth_date=1&hash=00', "query_id=a&user=%7B%7D&hash=")),
    "people": Target(of_people, CSV),
}  # fmt: skip
