"""Turns of hostile updates against PostgreSQL: nothing raises, everything is acknowledged, and counts once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.engine.state import from_json
from app.runtime.decision import Rules
from app.runtime.turn import apply
from app.telegram.decode import Update, decode
from tests.fuzz.conftest import Database
from tests.fuzz.corpus import HOSTILE_TEXT
from tests.fuzz.target import example as courses
from tests.fuzz.test_decode import hostile_updates

EXAMPLES = settings.default.max_examples // 2
IDS = st.sampled_from([7, 8, -1, 2**63 - 1, -(2**63)])


def from_(learner: int, **more: Any) -> dict[str, Any]:
    return {"id": learner, **more}


def said(learner: int, text: str, **more: Any) -> dict[str, Any]:
    return {"message": {"chat": {"id": learner, "type": "private"}, "from": from_(learner, **more), "text": text}}


TEXTS = st.sampled_from(["/start", "/restart", "/next", "/menu", "5"]) | HOSTILE_TEXT
ACTIONS = st.one_of(
    st.builds(said, IDS, TEXTS, username=HOSTILE_TEXT, language_code=HOSTILE_TEXT),
    st.builds(said, IDS, HOSTILE_TEXT.map("/start {}".format)),
    st.builds(
        lambda learner, data: {"callback_query": {"id": "1", "from": from_(learner), "data": data}},
        IDS,
        st.builds("{}:{}:{}".format, st.sampled_from("rset"), st.integers(0, 40), st.integers(0, 5)) | HOSTILE_TEXT,
    ),
    st.builds(
        lambda learner, poll, options: {
            "poll_answer": {"poll_id": poll, "user": from_(learner), "option_ids": options}
        },
        IDS,
        HOSTILE_TEXT,
        st.lists(st.integers(-1, 3), max_size=3),
    ),
)


def decoded(raws: list[object]) -> list[Update]:
    return [update for raw in raws if (update := decode(raw)) is not None]


def check(database: Database, updates: list[Update]) -> None:
    botname, store = database.new_bot(), database.store
    rules = Rules(botname, courses())
    database.run(apply(store, rules, updates))
    relevant = {update.update_id for update in updates if update.event is not None}
    seen = database.query("SELECT update_id FROM seen_update WHERE botname = %s", botname)
    assert {update_id for (update_id,) in seen} == relevant
    assert database.query("SELECT error FROM dead_update WHERE botname = %s", botname) == []
    chats = database.query("SELECT chat_id, state FROM chat WHERE botname = %s", botname)
    assert {chat_id for chat_id, _ in chats} == {update.chat_id for update in updates if update.event is not None}
    for _, state in chats:
        from_json(state)
    statement = "SELECT count(*) FROM conversation WHERE botname = %s"
    before = database.query(statement, botname)
    again = database.run(apply(store, rules, updates))
    assert again.seen == sum(update.event is not None for update in updates)
    assert again.messages == []
    assert database.query(statement, botname) == before


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(hostile_updates(), max_size=5))
def test_updates_of_any_shape(database: Database, raws: list[object]) -> None:
    by_id = {update.update_id: update for update in decoded(raws)}
    check(database, list(by_id.values()))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=1, max_size=8))
@example([said(7, "/start x__utmsII" + "s" * 4000 + "__utmcII" + "c" * 4000), said(7, "x" * 100_000)])
@example([said(7, "/start " + "c" * 4000), said(7, "/" + "n" * 4000)])
@example([said(7, "/start", username="u" * 4000, language_code="l" * 4000), said(7, "\0\ud800 5")])
def test_updates_that_learners_could_send(database: Database, actions: list[dict[str, Any]]) -> None:
    check(database, decoded([{"update_id": number, **action} for number, action in enumerate(actions)]))


@pytest.mark.parametrize(
    ("text", "extra"),
    [("hello", None), ("\0\ud800", 10**400), ("\\u0000", float("nan")), ("", [float("inf")])],
)
def test_an_update_that_cannot_be_applied_is_buried(database: Database, text: str, extra: object) -> None:
    botname = database.new_bot()
    database.query("INSERT INTO chat (botname, chat_id, state) VALUES (%s, 7, '{\"v\": 99}')", botname)
    raws: list[object] = [
        {"update_id": 1, **said(7, text), "extra": extra},
        {"update_id": 2, **said(8, "/start")},
    ]
    result = database.run(apply(database.store, Rules(botname, courses()), decoded(raws)))
    assert database.query("SELECT update_id FROM dead_update WHERE botname = %s", botname) == [(1,)]
    seen = database.query("SELECT update_id FROM seen_update WHERE botname = %s ORDER BY 1", botname)
    assert seen == [(1,), (2,)]
    assert {message.chat_id for message in result.messages} == {7, 8}


@pytest.mark.parametrize("raw", [None, [], {}, {"update_id": None}, {"update_id": True}, {"update_id": 2**63}])
def test_what_is_no_update(raw: object) -> None:
    assert decode(raw) is None
