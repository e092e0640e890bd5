"""Updates of every shape: nothing that Telegram, or who pretends to be Telegram, sends makes decoding fail."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.telegram.decode import decode
from tests.fuzz.corpus import HOSTILE_TEXT
from tests.fuzz.target import check_update

NUMBERS = st.integers() | st.sampled_from([0, 1, -1, 2**31, 2**52, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**400])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | HOSTILE_TEXT
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE_TEXT, inner, max_size=3)
)


def shape(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with these fields; each may be missing or be anything."""
    crooked = {name: strategy | ANYTHING for name, strategy in fields.items()}
    return st.fixed_dictionaries(fields) | st.fixed_dictionaries({}, optional=crooked)


USERS = shape(id=NUMBERS, is_bot=st.booleans(), username=HOSTILE_TEXT, language_code=HOSTILE_TEXT)
CHATS = shape(id=NUMBERS, type=st.sampled_from(["private", "group", "channel"]))
COMMANDS = st.sampled_from(["/start", "/start ", "/go ", "/restart", "/menu", "/", "/start@bot "])
DATA = st.sampled_from(["c:1:1:0", "s:1:1", "r:1:1", "e:1:1", "t:1:1", "c:" + "9" * 18 + ":1:0", "m:" + "0" * 32])
MESSAGES = shape(
    **{"from": USERS},
    chat=CHATS,
    message_id=NUMBERS,
    text=st.builds("{}{}".format, COMMANDS, HOSTILE_TEXT) | HOSTILE_TEXT,
    voice=shape(file_id=HOSTILE_TEXT, duration=NUMBERS),
)
PRESSES = shape(**{"from": USERS}, id=HOSTILE_TEXT, data=DATA | HOSTILE_TEXT, message=shape(message_id=NUMBERS))
VOTES = shape(user=USERS, poll_id=HOSTILE_TEXT, option_ids=st.lists(NUMBERS, max_size=4))
_UPDATES = (
    shape(update_id=NUMBERS, message=MESSAGES)
    | shape(update_id=NUMBERS, callback_query=PRESSES)
    | shape(update_id=NUMBERS, poll_answer=VOTES)
    | ANYTHING
)


@st.composite
def hostile_updates(draw: st.DrawFn) -> Any:
    """Return what is nearly an update."""
    return draw(_UPDATES)


@given(hostile_updates())
def test_any_update(raw: object) -> None:
    check_update(raw)


def test_an_update_that_is_nested_as_deep_as_python_goes() -> None:
    raw: Any = {"text": "x"}
    for _ in range(50_000):
        raw = {"message": raw, "reply_to_message": [raw]}
    assert decode({"update_id": 1, "message": raw}) is not None
