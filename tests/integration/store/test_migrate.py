"""Migrations: from nothing, over the old program's tables, at once, again; and what the program accepts."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

import app
from app.store.embedded import program_folder
from app.store.errors import StoreUnavailable
from app.store.migrate import migrate
from app.store.rows import ChatState, NewRun
from app.store.schema import SchemaMismatch, known_migrations
from app.store.store import Store
from tests.database import query
from tests.integration.store.old_tables import OLD_TABLES

ROOT = Path(__file__).parents[3]

OLD_ROWS = """
    INSERT INTO run (chat_id, username, botname, course_id) VALUES (7, 'ann', 'one', 'c'), (7, 'ann', 'two', 'd');
    INSERT INTO conversation (chat_id, username, course_id, element_id, role, run_id)
        VALUES (7, 'ann', 'c', 'E1', 'bot', 1), (7, 'ann', 'd', 'E1', 'bot', 2), (7, 'ann', 'd', 'E2', 'bot', NULL);
    INSERT INTO waiting_element (chat_id, is_waiting) VALUES (7, true);
    INSERT INTO course (course_id, bot_name) VALUES ('c', 'one');
    INSERT INTO course_element (course_id, bot_name) VALUES ('c', 'one');
    INSERT INTO courseparticipants (course_id, username) VALUES ('c', 'ann');
    INSERT INTO bannedparticipants (botname, chat_id) VALUES ('one', 8);
    INSERT INTO gen_settings (id) VALUES (1);
    INSERT INTO cache (key) VALUES ('k');
"""


def dump(database_url: str) -> str:
    """The schema as pg_dump writes it, without the tables of yoyo and the key that pg_dump makes up every time."""
    program = program_folder(Path()) / "pg_dump"
    options = ["--schema-only", "--no-owner", "--no-privileges", "--exclude-table=*yoyo*"]
    done = subprocess.run([program, *options, "-d", database_url], check=True, capture_output=True, text=True)
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def test_schema_sql_is_what_the_migrations_add_up_to(database_url: str, empty_database_url: str) -> None:
    query(empty_database_url, (ROOT / "db/schema.sql").read_text())

    assert dump(empty_database_url) == dump(database_url)


def test_migrating_again_does_nothing(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == known_migrations()
    assert migrate(empty_database_url) == []


def test_every_migration_says_which_program_still_works(database_url: str) -> None:
    rows = query(database_url, "SELECT migration_id FROM schema_version ORDER BY 1")
    assert [migration_id for (migration_id,) in rows] == known_migrations()


def test_a_migration_whose_record_was_lost_in_a_crash_can_be_repeated(database_url: str) -> None:
    query(database_url, "DELETE FROM _yoyo_migration")
    before = dump(database_url)

    assert migrate(database_url) == known_migrations()
    assert dump(database_url) == before


async def test_programs_that_migrate_at_once_wait_for_each_other(empty_database_url: str) -> None:
    done = await asyncio.gather(*(asyncio.to_thread(migrate, empty_database_url) for _ in range(3)))

    assert sorted(done) == [[], [], known_migrations()]


def test_a_lock_of_yoyo_that_a_crash_left_does_no_harm(empty_database_url: str) -> None:
    migrate(empty_database_url)
    query(empty_database_url, "INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    query(empty_database_url, "DELETE FROM _yoyo_migration")

    assert migrate(empty_database_url) == known_migrations()


async def test_a_database_of_the_old_program_is_adopted_in_place(empty_database_url: str) -> None:
    query(empty_database_url, OLD_TABLES + OLD_ROWS)
    assert migrate(empty_database_url) == known_migrations()

    kept = "SELECT conversation_id, run_id, element_id, botname FROM conversation ORDER BY 1"
    assert query(empty_database_url, kept) == [(1, 1, "E1", "one"), (2, 2, "E1", "two"), (3, None, "E2", None)]
    for table in ("waiting_element", "course", "course_element", "courseparticipants", "bannedparticipants", "cache"):
        assert query(empty_database_url, f"SELECT count(*) FROM {table}") == [(1,)]

    async with await Store.open(empty_database_url) as store:
        await store.check_schema()
        async with store.turn("one") as turn:
            (run_id,) = (await turn.load([1], [7], run_ids=1)).run_ids
            assert await turn.is_participant("c", "ann", 7)
            await turn.save(chats=[ChatState(7, "ann", {})], runs_started=[NewRun(run_id, 7, "ann", "c")])
    assert query(empty_database_url, "SELECT run_id, botname FROM run ORDER BY 1") == [
        (1, "one"),
        (2, "two"),
        (3, "one"),
    ]


async def check_schema(database_url: str) -> None:
    async with await Store.open(database_url) as store:
        await store.check_schema()


async def test_the_program_starts_on_its_own_schema(database_url: str) -> None:
    await check_schema(database_url)


async def test_the_program_refuses_a_database_without_tables(empty_database_url: str) -> None:
    with pytest.raises(
        SchemaMismatch, match=r"^database '\w+' at .* has no tables of Flotilla; run `flotilla migrate`$"
    ):
        await check_schema(empty_database_url)


async def test_the_program_refuses_a_schema_that_is_too_new(database_url: str) -> None:
    query(database_url, "INSERT INTO schema_version VALUES ('9999_future', '99.0')")
    with pytest.raises(
        SchemaMismatch, match=r"needs Flotilla 99\.0 or newer, and this is .*; use a version that works"
    ):
        await check_schema(database_url)


def test_the_database_knows_the_newest_version_that_found_it_complete(database_url: str) -> None:
    newest = "SELECT migration_id, migrated_by FROM schema_version WHERE migrated_by IS NOT NULL"
    assert query(database_url, newest) == [(known_migrations()[-1], app.__version__)]
    query(database_url, "UPDATE schema_version SET migrated_by = '99.0' WHERE migrated_by IS NOT NULL")
    migrate(database_url)
    assert query(database_url, newest) == [(known_migrations()[-1], "99.0")]


async def test_the_program_refuses_a_schema_that_is_too_old(database_url: str) -> None:
    """As it was before versions were written down there."""
    query(database_url, "DELETE FROM schema_version WHERE migration_id >= '0007'")
    query(database_url, "ALTER TABLE schema_version DROP COLUMN migrated_by")
    with pytest.raises(SchemaMismatch, match=r"lacks the migrations 0007_pins.* that Flotilla .* needs; run `flotilla"):
        await check_schema(database_url)


async def test_the_program_accepts_a_newer_schema_that_accepts_it(database_url: str) -> None:
    query(database_url, "INSERT INTO schema_version VALUES ('9999_future', '0.1.0')")
    await check_schema(database_url)


def test_a_password_is_not_shown_when_the_database_is_away() -> None:
    with pytest.raises(StoreUnavailable, match="Connection refused") as caught:
        migrate("postgresql://bot:sekret@127.0.0.1:1/fleet")
    assert "sekret" not in f"{caught.value}{caught.value.__cause__}"
