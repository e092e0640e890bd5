"""Bot API updates to events; whatever comes, nothing raises."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.event import (
    ButtonPressed,
    CommandReceived,
    ContentReceived,
    Learner,
    PollAnswered,
    StartRequested,
    TextReceived,
)
from app.telegram.decode import Update, clean, decode

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
ANNA = {"id": 7, "is_bot": False, "first_name": "Anna", "username": "anna", "language_code": "ru"}
LEARNER = Learner(7, "anna", "ru")


def message(**fields: object) -> dict[str, object]:
    return {"update_id": 1, "message": {"message_id": 5, "from": ANNA, "chat": {"id": 7, "type": "private"}, **fields}}


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("/start", StartRequested(LEARNER, NOW, "")),
        ("/start spring__utmsIItg", StartRequested(LEARNER, NOW, "spring__utmsIItg")),
        ("/START@some_bot  x ", StartRequested(LEARNER, NOW, "x")),
        ("/help", CommandReceived(LEARNER, NOW, "help", "")),
        ("/go course element", CommandReceived(LEARNER, NOW, "go", "course element")),
        ("/", CommandReceived(LEARNER, NOW, "", "")),
        ("/3 apples", CommandReceived(LEARNER, NOW, "3", "apples")),
        ("hello /start", TextReceived(LEARNER, NOW, "hello /start")),
        (" /start", TextReceived(LEARNER, NOW, " /start")),
        ("a\x00b", TextReceived(LEARNER, NOW, "ab")),
        ("\ud83d", TextReceived(LEARNER, NOW, "?")),
    ],
)
def test_texts(text: str, event: object) -> None:
    raw = message(text=text)
    assert decode(raw, NOW) == Update(1, raw, 7, event)


def test_d11_unknown_commands_are_commands() -> None:
    update = decode(message(text="/whatever it is"), NOW)
    assert update is not None
    assert update.event == CommandReceived(LEARNER, NOW, "whatever", "it is")


@pytest.mark.parametrize("kind", ["photo", "sticker", "document", "video_note", "location"])
def test_other_content(kind: str) -> None:
    update = decode(message(**{kind: {"file_id": "x"}}), NOW)
    assert update is not None
    assert update.event == ContentReceived(LEARNER, NOW, kind)


@pytest.mark.parametrize(
    ("voice", "event"),
    [
        ({"file_id": "x", "duration": 3}, ContentReceived(LEARNER, NOW, "voice", "x", 3)),
        ({"file_id": "x"}, ContentReceived(LEARNER, NOW, "voice", "x")),
        ({"file_id": "x", "duration": "3"}, ContentReceived(LEARNER, NOW, "voice", "x")),
        ({"duration": 3}, ContentReceived(LEARNER, NOW, "voice")),
        ("x", ContentReceived(LEARNER, NOW, "voice")),
    ],
)
def test_voice(voice: object, event: ContentReceived) -> None:
    raw = message(voice=voice)
    assert decode(raw, NOW) == Update(1, raw, 7, event)


def test_d7_what_an_inline_bot_wrote_is_not_the_learners() -> None:
    raw = message(text="got it", via_bot={"id": 9, "is_bot": True, "first_name": "Gif"})
    assert decode(raw, NOW) == Update(1, raw)


def test_edited_messages_have_no_effect() -> None:
    raw = {"update_id": 1, "edited_message": message(text="other")["message"]}
    assert decode(raw, NOW) == Update(1, raw)


def test_press() -> None:
    raw = {
        "update_id": 2,
        "callback_query": {"id": "99", "from": ANNA, "message": {"message_id": 4}, "data": "c:1:2:3"},
    }
    assert decode(raw, NOW) == Update(2, raw, 7, ButtonPressed(LEARNER, NOW, "99", "c:1:2:3", 4), callback_id="99")


def test_press_of_an_inline_message_has_no_message() -> None:
    raw = {"update_id": 2, "callback_query": {"id": "99", "from": ANNA, "inline_message_id": "x"}}
    assert decode(raw, NOW) == Update(2, raw, 7, ButtonPressed(LEARNER, NOW, "99", "", None), callback_id="99")


def test_vote() -> None:
    raw = {
        "update_id": 3,
        "poll_answer": {"poll_id": "p", "user": ANNA, "option_ids": [2, 0], "option_persistent_ids": ["a"]},
    }
    assert decode(raw, NOW) == Update(3, raw, 7, PollAnswered(LEARNER, NOW, "p", (2, 0)))


@pytest.mark.parametrize(
    "raw",
    [
        {"update_id": 4, "edited_message": message(text="x")["message"]},
        {"update_id": 4, "channel_post": {"text": "x"}},
        {"update_id": 4, "my_chat_member": {"from": ANNA}},
        {"update_id": 4, "something_of_2030": {"x": 1}},
        {"update_id": 4},
        {"update_id": 4, "message": None},
        {"update_id": 4, "message": {"text": "no sender"}},
        {"update_id": 4, "message": {"from": ANNA, "text": "no chat"}},
        {"update_id": 4, "message": {"from": ANNA, "chat": {"id": -5, "type": "group"}, "text": "in a group"}},
        {
            "update_id": 4,
            "message": {"from": {**ANNA, "is_bot": True}, "chat": {"id": 7, "type": "private"}, "text": "a bot"},
        },
        {
            "update_id": 4,
            "message": {"from": {**ANNA, "id": 2**63}, "chat": {"id": 7, "type": "private"}, "text": "big"},
        },
        {"update_id": 4, "message": {"from": ANNA, "chat": {"id": 7, "type": "private"}, "new_chat_title": "service"}},
        {"update_id": 4, "poll_answer": {"poll_id": "p", "user": None, "option_ids": [0]}},
        {"update_id": 4, "poll_answer": {"poll_id": "p", "user": ANNA, "option_ids": ["0"]}},
        {"update_id": 4, "callback_query": {"id": None, "from": ANNA}},
    ],
)
def test_what_no_course_uses_has_no_event(raw: dict[str, object]) -> None:
    assert decode(raw, NOW) == Update(4, raw)


@pytest.mark.parametrize("raw", [None, 1, "x", [], {}, {"update_id": "1"}, {"update_id": True}, {"update_id": 2**70}])
def test_what_is_no_update(raw: object) -> None:
    assert decode(raw, NOW) is None


def test_unknown_fields_do_no_harm() -> None:
    raw = message(text="hi", field_of_2030={"deep": [1]})
    update = decode(raw, NOW)
    assert update is not None
    assert update.event == TextReceived(LEARNER, NOW, "hi")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    "from",
    "user",
    "id",
    "chat",
    "type",
    "text",
    "data",
    "message",
    "message_id",
    "poll_id",
    "option_ids",
    "username",
]
BODY = st.recursive(JSON, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6), max_leaves=12)


@given(st.dictionaries(st.sampled_from(["message", "callback_query", "poll_answer"]), BODY, max_size=2))
def test_no_shape_raises(parts: dict[str, object]) -> None:
    assert decode({"update_id": 1, **parts}, NOW) is not None


@given(st.text())
def test_clean_text_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert "\x00" not in cleaned
    cleaned.encode("utf-8")
