"""What hosts tell each other in the database: what runs, who is gone, what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from app.store.lock import BotLocks
from app.store.rows import NewMessage
from app.store.store import Store
from app.store.watch import Alarm, Entry, Watched

Host = tuple[Store, BotLocks]
NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)


@asynccontextmanager
async def host(database_url: str) -> AsyncIterator[Host]:
    async with await Store.open(database_url) as store:
        locks = BotLocks(database_url, store.host)
        yield store, locks
        await locks.close()


@pytest.fixture
async def first(database_url: str) -> AsyncIterator[Host]:
    async with host(database_url) as first:
        yield first


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[Host]:
    async with host(database_url) as second:
        yield second


async def kill(locks: BotLocks) -> None:
    """Let a host be dead for the others; its backend needs a moment to leave."""
    await locks.close()
    async with await psycopg.AsyncConnection.connect(**locks._parameters) as connection:
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('flotilla host:' || %s, 0))", (locks.host,)
        )


async def report(host: Host, *entries: Entry) -> None:
    await host[0].watch.report(host[0].host, entries, is_first=True)


async def watched(store: Store) -> list[Watched]:
    return list((await store.watch.situation()).bots)


def row(host: Host, bot: str = "a", *, is_alive: bool = True, is_led: bool = True, crashes: int = 0) -> Watched:
    return Watched(bot, host[0].host, is_alive, is_led, {}, crashes, None, 0)


async def execute(database_url: str, statement: str, *values: object) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute(statement, values)  # type: ignore[arg-type]


async def test_one_host_of_the_fleet_watches(first: Host, second: Host) -> None:
    assert await first[1].watch()
    assert not await second[1].watch()
    assert await first[1].watch()

    await kill(first[1])
    assert await second[1].watch()


async def test_a_host_that_was_cut_off_watches_no_more(first: Host, second: Host, database_url: str) -> None:
    await first[1].watch()
    death = await first[1].live("a")
    await execute(database_url, "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'")
    await death.wait()

    assert await second[1].watch()
    assert not await first[1].watch()


async def test_a_bot_is_led_or_not_and_its_host_is_alive_or_gone(first: Host, second: Host) -> None:
    assert await first[1].watch()
    await second[1].watch()
    await first[1].acquire("profoa")
    await report(first, Entry("a", "profoa"), Entry("b", "b"))
    await report(second, Entry("a", "profoa"))

    assert await watched(second[0]) == [row(first), row(second), row(first, "b", is_led=False)]

    await kill(first[1])
    assert await watched(second[0]) == [
        row(first, is_alive=False, is_led=False),
        row(second, is_led=False),
        row(first, "b", is_alive=False, is_led=False),
    ]


async def test_a_host_that_is_gone_has_crashed_once_the_bot_starts_again(first: Host, second: Host) -> None:
    await first[1].watch()
    await report(first, Entry("a", "a"), Entry("b", "b"))
    await kill(first[1])
    await second[1].watch()
    await report(second, Entry("a", "a"))

    assert await watched(second[0]) == [
        row(second, is_led=False, crashes=1),
        row(first, "b", is_alive=False, is_led=False),
    ]


async def test_a_host_that_lives_has_not_crashed(first: Host, second: Host) -> None:
    for host in (first, second):
        await host[1].watch()
        await report(host, Entry("a", "a"))

    assert await watched(first[0]) == [row(first, is_led=False), row(second, is_led=False)]


async def test_what_ends_as_it_should_is_no_longer_watched(first: Host, second: Host) -> None:
    for host in (first, second):
        await host[1].watch()
        await report(host, Entry("a", "a"), Entry("b", "b"))
    await first[0].watch.leave(first[0].host)
    await second[0].watch.report(second[0].host, [Entry("b", "b", is_over=True)])

    assert await watched(first[0]) == [row(second, is_led=False)]


async def test_a_bot_that_was_stopped_can_be_started_again(first: Host) -> None:
    await first[1].watch()
    await report(first, Entry("a", "a", is_over=True))
    await report(first, Entry("a", "a"))

    assert await watched(first[0]) == [row(first, is_led=False)]


async def test_troubles_are_those_of_the_newest_report(first: Host) -> None:
    await first[1].watch()
    await report(first, Entry("a", "a", troubles={"BotNotPolling": "for 2 min", "WebhookErrors": ""}))
    await report(first, Entry("a", "a", troubles={"WebhookErrors": "«gone»"}))

    assert [bot.troubles for bot in await watched(first[0])] == [{"WebhookErrors": "«gone»"}]


async def test_the_age_of_the_outbox_and_late_timers_are_seen(first: Host, database_url: str) -> None:
    await first[1].watch()
    await report(first, Entry("a", "profoa"), Entry("b", "b"))
    async with first[0].turn("profoa") as turn:
        await turn.load([], [7])
        await turn.save(messages=[NewMessage(7, "sendMessage", {"text": "one"})])
    await execute(database_url, "UPDATE outbox SET created_at = now() - interval '10 minutes'")
    timer = "INSERT INTO waiting_element (botname, chat_id, run_id, is_waiting, due_at) VALUES ('profoa', 7, 1, true, "
    await execute(database_url, timer + "now() - interval '2 minutes')")
    await execute(database_url, timer + "now() - interval '2 seconds')")

    late, well = await watched(first[0])
    assert late.outbox_age is not None
    assert 600 <= late.outbox_age < 660
    assert (late.timers_late, well.outbox_age, well.timers_late) == (1, None, 0)


async def test_connections_are_counted(first: Host) -> None:
    situation = await first[0].watch.situation()

    assert 1 <= situation.connections < situation.max_connections


async def test_alarms_are_kept_for_the_next_watcher(first: Host, second: Host) -> None:
    one = Alarm("BotDown", "a", "gone", NOW)
    two = Alarm("DiskNearlyFull", "", "3% free", NOW + timedelta(seconds=1))
    await first[0].watch.keep([], [one, two])
    told = replace(one, detail="still gone", gone_at=NOW, told_at=NOW)
    await first[0].watch.keep([one, two], [told])

    assert list((await second[0].watch.situation()).alarms) == [told]


async def test_a_bot_that_is_down_for_days_is_given_up(first: Host, second: Host, database_url: str) -> None:
    await first[1].watch()
    await report(first, Entry("a", "a"), Entry("b", "b"))
    await kill(first[1])
    now = datetime.now(UTC)
    alarms = [Alarm("BotDown", "a", "", now - timedelta(days=4)), Alarm("BotDown", "b", "", now - timedelta(days=2))]
    await second[0].watch.keep([], alarms)
    await second[0].watch.forget("BotDown")

    assert [bot.bot for bot in await watched(second[0])] == ["b"]
    await execute(database_url, "UPDATE watch SET ended_at = ended_at - interval '4 days'")
    await second[0].watch.forget("BotDown")
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        left = await connection.execute("SELECT bot FROM watch")
        assert await left.fetchall() == [("b",)]
