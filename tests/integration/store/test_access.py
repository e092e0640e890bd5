"""Who may do what: bans, counts of what was said and spent, participants of restricted courses."""

from __future__ import annotations

import psycopg
import pytest

from app.store.rows import Ban, ConversationRow, NewRun, Participant, RunOwner, Said, Standing, Usage
from app.store.store import Store
from tests.database import query


def said(run_id: int, chat_id: int = 7, course_id: str = "spring", **changed: str | None) -> ConversationRow:
    fields: dict[str, str | None] = {"element_id": "Talk", "element_type": "dialog", "role": "user", "report": "hi"}
    return ConversationRow(
        chat_id=chat_id,
        username="ann",
        course_id=course_id,
        run_id=run_id,
        **(fields | changed),  # type: ignore[arg-type]
    )


async def save(store: Store, botname: str, run: NewRun, *rows: ConversationRow, usage: tuple[Usage, ...] = ()) -> None:
    async with store.turn(botname) as turn:
        await turn.load([], [run.chat_id])
        await turn.save(runs_started=[run], rows=rows, usage=usage)


BANS = [
    pytest.param("NULL", (True, False), id="as the old job wrote it"),
    pytest.param("0", (True, False), id="by hand"),
    pytest.param("1", (False, True), id="exempt"),
    pytest.param("NULL), ('bot', 7, 1", (False, True), id="banned and exempt"),
    pytest.param("0), ('bot', 7, NULL", (True, False), id="banned twice"),
]


@pytest.mark.parametrize(("excluded", "expected"), BANS)
async def test_d27_a_ban_without_a_value_bans(
    store: Store, database_url: str, excluded: str, expected: tuple[bool, bool]
) -> None:
    query(database_url, f"INSERT INTO bannedparticipants (botname, chat_id, excluded) VALUES ('bot', 7, {excluded})")

    assert await store.standing("bot", 7, "spring") == Standing(*expected)
    assert await store.standing("bot", 8, "spring") == Standing()
    assert await store.standing("other", 7, "spring") == Standing()


async def test_d27_messages_are_counted_by_type_in_the_course(store: Store) -> None:
    await save(
        store,
        "bot",
        NewRun(1, 7, "ann", "spring"),
        said(1),
        said(1, element_id="Ex1"),
        said(1, role="bot"),
        said(1, element_type="input", element_id="Ex1_chat"),
    )
    await save(store, "bot", NewRun(2, 7, "ann", "spring"), said(2))
    await save(store, "bot", NewRun(3, 7, "ann", "summer"), said(3, course_id="summer"))
    await save(store, "bot", NewRun(4, 8, "bob", "spring"), said(4, chat_id=8))
    await save(store, "other", NewRun(5, 7, "ann", "spring"), said(5))

    assert await store.standing("bot", 7, "spring") == Standing(messages=3, messages_today=3)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
async def test_d27_a_day_is_one_of_utc_wherever_the_server_is(database_url: str, zone: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    query(database_url, f"ALTER DATABASE {name} SET timezone = '{zone}'")
    async with await Store.open(database_url) as store:
        await save(store, "bot", NewRun(1, 7, "ann", "spring"), said(1), said(1), said(1))
        query(
            database_url,
            "UPDATE conversation SET date_inserted = date_trunc('day', now(), 'UTC') + "
            "(ARRAY[interval '-1 s', interval '1 s', now() - date_trunc('day', now(), 'UTC')])[conversation_id]",
        )
        assert await store.standing("bot", 7, "spring") == Standing(messages=3, messages_today=2)


async def test_tokens_are_the_bot_s_of_today(store: Store, database_url: str) -> None:
    usage = (Usage(7, "spring", 1, 100, 20), Usage(8, "summer", 2, 5, 1), Usage(9, "summer", 3, 70, 7))
    await save(store, "bot", NewRun(1, 7, "ann", "spring"), usage=usage)
    await save(store, "other", NewRun(2, 7, "ann", "spring"), usage=(Usage(7, "spring", 2, 1000, 1000),))
    query(database_url, "UPDATE token_usage SET day = day - 1 WHERE run_id = 3")

    assert await store.standing("bot", 8, "autumn") == Standing(tokens_today=126)


async def test_d27_ban_and_unban(store: Store) -> None:
    await store.ban("bot", 7, "spam")
    await store.ban("bot", 7, None)
    await store.unban("bot", 8, exempt=True)
    await store.unban("bot", 8, exempt=True)
    await store.ban("other", 9, "elsewhere")
    async with store.turn("bot") as turn:
        await turn.load([], [7])
        await turn.save()

    first, second = await store.bans("bot")
    assert first.banned_at is not None
    assert (first, second) == (
        Ban(7, None, False, "spam", first.banned_at),
        Ban(8, None, True, None, second.banned_at),
    )
    assert await store.standing("bot", 7, "spring") == Standing(is_banned=True)
    assert await store.standing("bot", 8, "spring") == Standing(is_exempt=True)

    await store.unban("bot", 7)
    await store.unban("bot", 9)
    assert await store.bans("bot") == [second]
    assert len(await store.bans("other")) == 1


async def test_who_is_banned_is_not_exempt_any_more(store: Store, database_url: str) -> None:
    query(
        database_url,
        "INSERT INTO bannedparticipants (botname, chat_id, excluded, banned_at) "
        "VALUES ('bot', 7, 1, '2020-01-01'), ('bot', 7, NULL, '2020-02-02'); "
        "INSERT INTO chat (botname, chat_id, username) VALUES ('bot', 7, 'ann'), ('other', 7, 'eve')",
    )
    await store.ban("bot", 7, "spam")

    assert await store.standing("bot", 7, "spring") == Standing(is_banned=True)
    (ban,) = await store.bans("bot")
    assert ban.banned_at is not None
    assert (ban.username, ban.is_exempt, ban.reason, ban.banned_at.year > 2020) == ("ann", False, "spam", True)


async def test_participants_are_added_once(store: Store, database_url: str) -> None:
    query(database_url, "INSERT INTO courseparticipants (course_id, username) VALUES ('spring', 'old')")
    names = ["@ann", "12345", " ann ", "bob", "old"]

    assert await store.add_participants("bot", "spring", names) == 3
    assert await store.add_participants("bot", "spring", names) == 0
    assert await store.add_participants("bot", "summer", ["ann"]) == 1
    assert await store.participants("bot", "spring") == [
        Participant("spring", "ann"),
        Participant("spring", "bob"),
        Participant("spring", "old"),
        Participant("spring", None, 12345),
    ]
    assert len(await store.participants("bot")) == 5
    assert await store.participants("other") == [Participant("spring", "old")]


async def may_take(store: Store, course_id: str, username: str | None, chat_id: int) -> bool:
    async with store.turn("bot") as turn:
        await turn.load([], [chat_id])
        is_participant = await turn.is_participant(course_id, username, chat_id)
        await turn.save()
        return is_participant


async def test_d28_a_person_without_a_username_is_added_by_number(store: Store) -> None:
    await store.add_participants("bot", "spring", ["12345"])

    assert await may_take(store, "spring", None, 12345)
    assert not await may_take(store, "spring", "12345", 999)


async def test_d28_capitals_of_a_username_do_not_matter(store: Store) -> None:
    assert await store.add_participants("bot", "spring", ["@Ann_Smith"]) == 1
    assert await store.add_participants("bot", "spring", ["ann_smith"]) == 0

    assert await may_take(store, "spring", "ann_Smith", 7)
    assert not await may_take(store, "spring", "ANN_SMITH", 8)
    assert await store.remove_participants("bot", "spring", ["ANN_smith"]) == 1
    assert not await may_take(store, "spring", "Ann_Smith", 7)


async def test_d28_a_participant_is_removed_by_either_name(store: Store, database_url: str) -> None:
    query(database_url, "INSERT INTO courseparticipants (course_id, username) VALUES ('spring', 'old')")
    await store.add_participants("bot", "spring", ["ann", "bob", "eve"])
    await store.add_participants("bot", "summer", ["ann"])
    assert await may_take(store, "spring", "ann", 7)

    assert await store.remove_participants("bot", "spring", ["7", "@bob", "old", "nobody"]) == 3
    assert await store.participants("bot") == [Participant("spring", "eve"), Participant("summer", "ann")]
    assert not await may_take(store, "spring", "ann", 7)


async def test_whose_run_it_is(store: Store, database_url: str) -> None:
    await save(store, "bot", NewRun(1, 7, "ann", "spring"))
    query(database_url, "INSERT INTO run (run_id, botname) VALUES (2, 'bot')")

    assert await store.owner_of_run(1) == RunOwner("bot", 7, "spring")
    assert await store.owner_of_run(2) is None
    assert await store.owner_of_run(3) is None


async def test_d1_a_transcript_is_of_this_run_or_the_newest_earlier_one(store: Store) -> None:
    await save(store, "bot", NewRun(1, 7, "ann", "spring"), said(1, report="first"))
    await save(store, "bot", NewRun(2, 7, "ann", "spring"), said(2, report="a"), said(2, role="bot", report="b"))
    await save(store, "bot", NewRun(3, 7, "ann", "summer"), said(3, course_id="summer", report="other course"))
    await save(store, "other", NewRun(4, 7, "ann", "spring"), said(4, report="other bot"))
    await save(store, "bot", NewRun(5, 8, "bob", "spring"), said(5, chat_id=8, report="other chat"))
    await save(store, "bot", NewRun(6, 7, "ann", "spring"), said(6, element_id="Else", report="other element"))
    await save(store, "bot", NewRun(7, 7, "ann", "spring"), said(7, report="later"))

    async def transcript(run_id: int) -> list[Said]:
        return await store.transcript("bot", 7, "spring", run_id, "Talk")

    assert await transcript(1) == [Said("user", "first")]
    assert await transcript(6) == [Said("user", "a"), Said("bot", "b")]
    assert await transcript(7) == [Said("user", "later")]
    assert await store.transcript("bot", 7, "spring", 7, "Never") == []
