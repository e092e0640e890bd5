import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.state import Chain, Chat, Offer, Run, Score, StateVersionError, Talk, from_json, to_json

NAMES = st.text(max_size=5)
UTM = st.none() | NAMES
BODIES = st.dictionaries(
    NAMES, st.none() | st.booleans() | st.integers() | NAMES | st.lists(NAMES, max_size=2), max_size=3
)
SCORES = st.builds(Score, st.sampled_from([0.0, 0.5, 1.0]), st.just(1.0), st.integers(1, 3))
TALKS = st.none() | st.builds(Talk, st.integers(0, 9), st.booleans(), st.booleans())
CHAINS = st.none() | st.builds(Chain, NAMES, st.lists(NAMES, max_size=3).map(tuple))


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    runs = {
        name: Run(
            run_id=draw(st.integers(0)),
            course_id=name,
            element_id=draw(NAMES),
            step=draw(st.integers(0)),
            body=draw(BODIES),
            is_ended=draw(st.booleans()),
            scores=draw(st.dictionaries(NAMES, SCORES, max_size=3)),
            is_waiting=draw(st.booleans()),
            chain=draw(CHAINS),
            talk=draw(TALKS),
            is_adopted=draw(st.booleans()),
        )
        for name in names
    }
    return Chat(runs, draw(st.sampled_from([None, *names])), draw(st.none() | st.builds(Offer, NAMES, UTM, UTM)))


@given(chats())
def test_a_stored_chat_is_read_back(chat: Chat) -> None:
    assert from_json(json.loads(json.dumps(to_json(chat)))) == chat


CHAT = Chat(
    runs={
        "spring": Run(
            run_id=12,
            course_id="spring",
            element_id="Ex1_2",
            step=3,
            body={"type": "quiz", "text": "?"},
            scores={"Ex1_1": Score(0.5, 1), "Ex1_2": Score(0, 1, attempt=2)},
            chain=Chain("Again", ("Ex1_3",)),
        ),
        "default": Run(9, "default", "End", 1, {"type": "end"}, is_ended=True),
        "autumn": Run(10, "autumn", "Night", 2, {"type": "delay"}, is_waiting=True),
        "winter": Run(11, "winter", "Chat", 2, {"type": "dialog"}, talk=Talk(4, is_busy=True), is_adopted=True),
    },
    course_id="spring",
    offer=Offer("default", "tg"),
)
STORED = {
    "v": 1,
    "runs": {
        "spring": {
            "id": 12,
            "element": "Ex1_2",
            "step": 3,
            "body": {"type": "quiz", "text": "?"},
            "scores": {"Ex1_1": [0.5, 1], "Ex1_2": [0, 1, 2]},
            "chain": ["Again", "Ex1_3"],
        },
        "default": {"id": 9, "element": "End", "step": 1, "body": {"type": "end"}, "ended": True},
        "autumn": {"id": 10, "element": "Night", "step": 2, "body": {"type": "delay"}, "waiting": True},
        "winter": {
            "id": 11,
            "element": "Chat",
            "step": 2,
            "body": {"type": "dialog"},
            "talk": [4, True, False],
            "adopted": True,
        },
    },
    "course": "spring",
    "offer": ["default", "tg", None],
}


def test_how_a_chat_is_stored() -> None:
    assert to_json(CHAT) == STORED
    assert to_json(Chat()) == {"v": 1, "runs": {}}


def test_an_empty_object_is_a_new_chat() -> None:
    assert from_json({}) == Chat()


def test_unknown_keys_are_ignored() -> None:
    newer = STORED | {"since": "later", "runs": {key: run | {"new": 1} for key, run in STORED["runs"].items()}}
    assert from_json(newer) == CHAT


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(StateVersionError) as raised:
        from_json({"v": 2})
    assert str(raised.value) == "chat.state: version 2 is not known, this program reads 1; run a newer one"
