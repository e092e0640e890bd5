"""Turns: load, save, order, scoping, and what is left when they break."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg.pq import Trace

from app.engine.event import PollRef
from app.store.errors import DataRefused, StoreUnavailable
from app.store.rows import (
    ChatRecord,
    ChatState,
    ConversationRow,
    Loaded,
    NewestPoll,
    NewMessage,
    NewRun,
    OutboxMessage,
    SentPoll,
)
from app.store.store import Store
from app.store.turn import Turn
from tests.database import query


def cut_connections(database_url: str) -> None:
    """What a restart of the server does to everyone else."""
    others = "pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
    query(database_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


async def save_in_a_turn(store: Store, update_id: int, **effect: Any) -> None:
    async with store.turn("bot") as turn:
        await turn.load([update_id], [7])
        await turn.save(**effect)


HELLO = NewMessage(7, "sendMessage", {"text": "hi"})


async def test_the_first_turn_of_a_chat(store: Store) -> None:
    async with store.turn("bot") as turn:
        loaded = await turn.load([12, 11], [8, 7], run_ids=2)

    assert loaded == Loaded(
        fresh=frozenset({11, 12}),
        chats={7: ChatRecord(None, is_blocked=False), 8: ChatRecord(None, is_blocked=False)},
        polls={},
        run_ids=(1, 2),
    )


async def test_a_turn_that_loads_nothing(store: Store) -> None:
    async with store.turn("bot") as turn:
        assert await turn.load([], []) == Loaded(frozenset(), {}, {}, ())
        assert await turn.save() == []


async def test_the_next_turn_finds_what_was_saved(store: Store) -> None:
    state = {"course": "Привет", "runs": {"default": {"step": 3, "scores": [0.5, None, True]}}}
    async with store.turn("bot") as turn:
        await turn.load([11], [7])
        await turn.save(chats=[ChatState(7, "ann", state)])
    await store.settle("bot", [], polls=[SentPoll("p1", 7, 1, 2, 300)])

    async with store.turn("bot") as turn:
        loaded = await turn.load([11, 12], [7], ["p1", "p2"])

    assert loaded == Loaded(
        fresh=frozenset({12}),
        chats={7: ChatRecord(state, username="ann")},
        polls={"p1": PollRef(1, 2, 300)},
        run_ids=(),
    )


async def test_a_turn_writes_runs_and_rows_as_the_old_program_did(store: Store, database_url: str) -> None:
    async with store.turn("bot") as turn:
        first, second = (await turn.load([1], [7], run_ids=2)).run_ids
        await turn.save(
            chats=[ChatState(7, "ann", {})],
            runs_started=[NewRun(first, 7, "ann", "default", "tg", "tg-may"), NewRun(second, 7, None, "spring")],
            runs_ended=[first],
            rows=[
                ConversationRow(7, None, "default", "Ex1", "quiz", "bot", first, '{"type": "quiz"}', "Which?"),
                ConversationRow(7, "ann", "default", "Ex1", "quiz", "user", first, None, "This", 0.5, 1),
            ],
        )

    assert query(
        database_url,
        "SELECT run_id, chat_id, username, botname, course_id, utm_source, utm_campaign, is_ended FROM run "
        "WHERE date_inserted IS NOT NULL ORDER BY 1",
    ) == [
        (first, 7, "ann", "bot", "default", "tg", "tg-may", True),
        (second, 7, None, "bot", "spring", None, None, None),
    ]
    assert query(
        database_url,
        "SELECT botname, chat_id, username, course_id, element_id, element_type, role, json, report, score, maxscore, "
        "run_id FROM conversation WHERE date_inserted IS NOT NULL ORDER BY conversation_id",
    ) == [
        ("bot", 7, "--empty--", "default", "Ex1", "quiz", "bot", '{"type": "quiz"}', "Which?", None, None, first),
        ("bot", 7, "ann", "default", "Ex1", "quiz", "user", None, "This", 0.5, 1.0, first),
    ]


async def test_messages_come_back_in_order_with_their_ids(store: Store) -> None:
    messages = [NewMessage(number % 3, "sendMessage", {"text": str(number)}) for number in range(50)]
    poll = NewMessage(1, "sendPoll", {"question": "?"}, run_id=4, step=5)
    async with store.turn("bot") as turn:
        await turn.load([1], [0, 1, 2])
        outbox = await turn.save(messages=[*messages, poll])

    assert outbox == [
        *(OutboxMessage(n + 1, m.chat_id, m.method, m.params) for n, m in enumerate(messages)),
        OutboxMessage(51, 1, "sendPoll", {"question": "?"}, 4, 5),
    ]
    assert await store.pending("bot") == outbox


async def test_load_and_save_take_one_round_trip_each(database_url: str, tmp_path: Path) -> None:
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, prepare_threshold=0)
    async with connection:
        with (tmp_path / "trace").open("w+") as trace:
            connection.pgconn.trace(trace.fileno())
            connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
            turn = Turn(connection, "bot", "host")
            (run_id,) = (await turn.load([1], [7, 8], ["p"], run_ids=1)).run_ids
            await turn.save(
                chats=[ChatState(7, None, {})], runs_started=[NewRun(run_id, 7, None, "c")], messages=[HELLO]
            )
            connection.pgconn.untrace()
            trace.seek(0)
            directions = "".join(re.findall(r"^([FB])\t", trace.read(), re.MULTILINE))

    assert re.sub(r"(.)\1+", r"\1", directions) == "FBFB"


async def test_a_turn_that_was_not_saved_leaves_nothing(store: Store) -> None:
    async with store.turn("bot") as turn:
        await turn.load([11], [7])
    with pytest.raises(TypeError, match="not JSON serializable"):
        await save_in_a_turn(store, 11, chats=[ChatState(7, None, {"object": object()})], messages=[HELLO])

    async with store.turn("bot") as turn:
        assert (await turn.load([11], [7])).fresh == {11}


async def test_d1_two_bots_of_one_person_do_not_mix(store: Store) -> None:
    async with store.turn("one") as turn:
        await turn.load([11], [7])
        outbox = await turn.save(chats=[ChatState(7, "ann", {"bot": 1})], runs_started=[NewRun(500, 7, "ann", "c")])
        assert outbox == []
    async with store.turn("one") as turn:
        await turn.load([12], [7])
        (mine,) = await turn.save(messages=[HELLO])
    await store.settle("one", [], polls=[SentPoll("p1", 7, 500, 1, 300)])

    async with store.turn("two") as turn:
        loaded = await turn.load([11], [7], ["p1"])
        poll = await turn.newest_poll(7, 500)
        await turn.save(chats=[ChatState(7, "ann", {"bot": 2})], runs_ended=[500])
    assert loaded == Loaded(frozenset({11}), {7: ChatRecord(None)}, {}, ())
    assert poll is None

    await store.settle("two", [mine.outbox_id])
    await store.mark_failed("two", mine.outbox_id, "no")
    await store.replace_params("two", mine.outbox_id, {})
    assert await store.block_chat("two", 7, 1000) == 0
    assert await store.pending("two") == []
    assert await store.pending("one") == [mine]
    async with store.turn("one") as turn:
        assert (await turn.load([], [7])).chats == {7: ChatRecord({"bot": 1}, username="ann")}
        assert await turn.newest_poll(7, 500) == NewestPoll("p1", True, PollRef(500, 1, 300))


async def test_d1_a_run_of_another_bot_is_not_ended(store: Store, database_url: str) -> None:
    async with store.turn("one") as turn:
        await turn.save(runs_started=[NewRun(500, 7, "ann", "c")])
    async with store.turn("two") as turn:
        await turn.save(runs_ended=[500])

    assert query(database_url, "SELECT is_ended FROM run") == [(None,)]


@pytest.mark.parametrize("saves", [True, False])
async def test_an_update_given_to_two_turns_at_once_is_fresh_in_one(store: Store, saves: bool) -> None:
    async with store.turn("bot") as first:
        assert (await first.load([11, 12], [7])).fresh == {11, 12}
        second = asyncio.create_task(fresh_of(store, [12, 13], [7]))
        await asyncio.sleep(0)
        if saves:
            await first.save(chats=[ChatState(7, None, {})])

    assert await second == ({13} if saves else {12, 13})


async def fresh_of(store: Store, update_ids: list[int], chat_ids: list[int]) -> frozenset[int]:
    async with store.turn("bot") as turn:
        loaded = await turn.load(update_ids, chat_ids)
        await turn.save()
        return loaded.fresh


async def test_turns_on_overlapping_chats_follow_each_other_without_deadlock(store: Store) -> None:
    random = Random(7)
    batches = [random.sample(range(12), random.randint(1, 8)) for _ in range(60)]

    async def count(number: int, chat_ids: list[int]) -> None:
        async with store.turn("bot") as turn:
            chats = (await turn.load([number, number + 1], chat_ids)).chats
            counted = [
                ChatState(id_, None, {"turns": (chat.state or {"turns": 0})["turns"] + 1})
                for id_, chat in chats.items()
            ]
            await turn.save(chats=random.sample(counted, len(counted)))

    await asyncio.gather(*(count(number, chat_ids) for number, chat_ids in enumerate(batches)))

    async with store.turn("bot") as turn:
        chats = (await turn.load([], list(range(12)))).chats
    assert {id_: chat.state for id_, chat in chats.items()} == {
        id_: {"turns": sum(id_ in batch for batch in batches)} for id_ in range(12)
    }


async def test_a_connection_that_dies_in_mid_turn_writes_nothing(store: Store, database_url: str) -> None:
    async def turn_that_is_cut() -> None:
        async with store.turn("bot") as turn:
            await turn.load([11], [7])
            cut_connections(database_url)
            await turn.save(chats=[ChatState(7, "ann", {})], messages=[HELLO])

    with pytest.raises(StoreUnavailable, match=r"^database 'flotilla_test\w+' at .* is unavailable: .*; try again$"):
        await turn_that_is_cut()

    assert await fresh_of(store, [11], [7]) == {11}
    assert await store.pending("bot") == []


async def test_all_connections_are_replaced_after_a_restart(store: Store, database_url: str) -> None:
    """One error, not one for each connection of the pool."""
    await asyncio.gather(*(fresh_of(store, [number], [number]) for number in range(40)))
    cut_connections(database_url)

    with pytest.raises(StoreUnavailable):
        await store.pending("bot")
    for _ in range(8):
        assert await store.pending("bot") == []


REFUSED = [
    pytest.param({"text": "a\0b"}, id="NUL in JSON"),
    pytest.param({"text": "\ud800"}, id="half a surrogate pair"),
    pytest.param({"number": float("nan")}, id="not a number"),
]


@pytest.mark.parametrize("value", REFUSED)
async def test_a_value_that_cannot_be_stored_is_told_apart_from_trouble(store: Store, value: dict[str, object]) -> None:
    with pytest.raises(DataRefused, match=r"^database 'flotilla_test\w+' at .* refused a value: "):
        await save_in_a_turn(store, 11, chats=[ChatState(7, "ann", value)], messages=[HELLO], rows=[row("x")])

    assert await fresh_of(store, [11], [7]) == {11}
    assert await store.pending("bot") == []


@pytest.mark.parametrize("report", ["a\0b", "\ud800"])
async def test_a_text_that_cannot_be_stored_is_refused(store: Store, report: str) -> None:
    with pytest.raises(DataRefused):
        await save_in_a_turn(store, 11, chats=[ChatState(7, "ann", {})], messages=[HELLO], rows=[row(report)])

    assert await fresh_of(store, [11], [7]) == {11}


def row(report: str) -> ConversationRow:
    return ConversationRow(7, "ann", "default", "Ex1", "input", "user", 1, None, report)


async def test_ten_megabytes_of_text_are_stored(store: Store) -> None:
    state = {"text": "ж" * 10_000_000}
    async with store.turn("bot") as turn:
        await turn.load([1], [7])
        await turn.save(chats=[ChatState(7, None, state)], rows=[row(state["text"])])

    async with store.turn("bot") as turn:
        assert (await turn.load([], [7])).chats == {7: ChatRecord(state)}


async def test_who_writes_again_is_not_blocked_any_more(store: Store) -> None:
    await fresh_of(store, [1], [7])
    await store.block_chat("bot", 7, 1000)
    async with store.turn("bot") as turn:
        assert (await turn.load([2], [7])).chats == {7: ChatRecord(None, is_blocked=True)}
        await turn.save(chats=[ChatState(7, "ann", {})])

    async with store.turn("bot") as turn:
        assert (await turn.load([3], [7])).chats == {7: ChatRecord({}, is_blocked=False, username="ann")}


async def test_the_newest_poll_of_a_run(store: Store) -> None:
    polls = [SentPoll(f"p{step}", 7, 1, step, 300 + step) for step in (2, 9, 4)]
    await store.settle("bot", [], polls=[*polls, SentPoll("other", 7, 2, 30, 1), SentPoll("else", 8, 1, 40, 1)])

    async with store.turn("bot") as turn:
        assert await turn.newest_poll(7, 1) == NewestPoll("p9", True, PollRef(1, 9, 309))
        assert await turn.newest_poll(7, 3) is None


PARTICIPANTS = """
    INSERT INTO courseparticipants (course_id, username, botname)
    VALUES ('spring', 'ann', NULL), ('spring', 'bob', 'bot'), ('spring', 'eve', 'other')
"""


@pytest.mark.parametrize(
    ("course_id", "username", "is_participant"),
    [
        ("spring", "ann", True),
        ("spring", "bob", True),
        ("spring", "eve", False),
        ("spring", "Ann", True),
        ("spring", None, False),
        ("summer", "ann", False),
    ],
)
async def test_who_may_take_a_restricted_course(
    store: Store, database_url: str, course_id: str, username: str | None, is_participant: bool
) -> None:
    query(database_url, PARTICIPANTS)
    async with store.turn("bot") as turn:
        await turn.load([1], [7])
        assert await turn.is_participant(course_id, username, 7) is is_participant


async def test_d28_a_participant_is_known_by_id_after_the_first_start(store: Store, database_url: str) -> None:
    query(database_url, PARTICIPANTS)
    async with store.turn("bot") as turn:
        await turn.load([1], [7])
        assert await turn.is_participant("spring", "ann", 7)
        await turn.save()

    async with store.turn("bot") as turn:
        await turn.load([2], [7, 8])
        assert await turn.is_participant("spring", "renamed", 7)
        assert await turn.is_participant("spring", None, 7)
        assert not await turn.is_participant("spring", "ann", 8)
