"""Arguments of calls: how they are read, and that no value breaks a method."""

from __future__ import annotations

import contextlib
import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.course.markup import Entity, Parsed
from app.sandbox.arguments import Arguments, entity_bodies, trimmed
from app.sandbox.changes import Changes
from app.sandbox.errors import ApiError
from app.sandbox.learner import COMMAND, Hand
from app.sandbox.methods import METHODS
from app.sandbox.state import Bot


@pytest.mark.parametrize(
    ("value", "text", "boolean", "integer"),
    [
        (None, "", False, 0),
        ("", "", False, 0),
        ("True", "True", True, 0),
        ("yes", "yes", True, 0),
        (True, "true", True, 0),
        (1, "1", True, 1),
        (" 7 ", " 7 ", False, 7),
        (-3, "-3", False, -3),
        (1.5, "1.5", False, 0),
        (["ы"], '["ы"]', False, 0),
    ],
)
def test_values_of_any_type(value: Any, text: str, boolean: bool, integer: int) -> None:
    args = Arguments({"x": value})
    assert (args.text("x"), args.boolean("x"), args.integer("x")) == (text, boolean, integer)


def test_null_is_absent() -> None:
    args = Arguments({"x": None})
    assert ("x" in args, args.boolean("x", True), args.integer("x", 7), args.json("x", "")) == (False, True, 7, None)


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [
        (Parsed("a"), Parsed("a")),
        (Parsed("  "), Parsed("")),
        (Parsed(" ab ", (Entity("bold", 0, 4),)), Parsed("ab", (Entity("bold", 0, 2),))),
        (Parsed(" 🏟 ", (Entity("bold", 1, 2),)), Parsed("🏟", (Entity("bold", 0, 2),))),
        (Parsed("a  ", (Entity("bold", 1, 2),)), Parsed("a")),
    ],
)
def test_white_space_around_a_text_goes(parsed: Parsed, expected: Parsed) -> None:
    assert trimmed(parsed) == expected


def test_entities_without_empty_fields() -> None:
    parsed = Parsed("ab", (Entity("bold", 0, 1), Entity("text_link", 1, 1, url="http://a.io/")))
    assert entity_bodies(parsed) == [
        {"type": "bold", "offset": 0, "length": 1},
        {"type": "text_link", "offset": 1, "length": 1, "url": "http://a.io/"},
    ]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("/start", ["/start"]),
        ("/start a_b", ["/start"]),
        ("go /now and /then@my_bot", ["/now", "/then@my_bot"]),
        ("a/b /c/d http://x.io/y /", []),
        ("/старт", []),
    ],
)
def test_commands_in_a_text(text: str, commands: list[str]) -> None:
    assert COMMAND.findall(text) == commands


NAMES = [
    "chat_id",
    "text",
    "parse_mode",
    "entities",
    "reply_markup",
    "caption",
    "caption_entities",
    "photo",
    "video",
    "audio",
    "media",
    "question",
    "options",
    "type",
    "correct_option_id",
    "correct_option_ids",
    "explanation",
    "is_anonymous",
    "message_id",
    "callback_query_id",
    "action",
    "file_id",
    "commands",
    "scope",
    "url",
    "secret_token",
    "offset",
    "limit",
    "allowed_updates",
    "link_preview_options",
    "max_connections",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KNOWN = st.sampled_from([42, "42", 1, "quiz", "HTML", "Markdown", "typing", "[", "{}", "http://a.io/x.png", "photo"])
KEYS = st.sampled_from(["inline_keyboard", "text", "url", "callback_data", "type", "media", "offset", "length"])
VALUES = st.recursive(
    SCALARS | KNOWN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(METHODS)), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
def test_no_argument_breaks_a_method(method: str, params: dict[str, Any]) -> None:
    bot = Bot("1:x", "bot1", "Bot", Changes())
    Hand(bot, 42).send_text("/start")
    result = None
    with contextlib.suppress(ApiError):
        result = METHODS[method](bot, Arguments({"chat_id": 42, "text": "x"} | params))
    if inspect.iscoroutine(result):
        result.close()
        return
    json.dumps(result)
