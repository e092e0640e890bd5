"""Waiting for a database, and what to do when it does not come."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from app.store.connection import seldom, wait_until_ready
from app.store.embedded import EmbeddedPostgres
from app.store.errors import StoreUnavailable
from app.store.store import Store


async def refusal_of(database_url: str) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await wait_until_ready(database_url, 0, lambda remaining, reason: None)
    return str(caught.value)


async def test_a_database_that_answers_is_not_waited_for(database_url: str) -> None:
    told: list[str] = []
    await wait_until_ready(database_url, 0, lambda remaining, reason: told.append(reason))
    assert told == []


async def test_the_wait_counts_down_and_ends_when_the_database_answers(server_folder: Path) -> None:
    postgres = EmbeddedPostgres(server_folder / "postgres", durable=False)
    url = postgres.start()
    postgres.stop()
    told: list[tuple[float, str]] = []

    def start_at_the_second_call(remaining: float, reason: str) -> None:
        told.append((remaining, reason))
        if len(told) == 2:
            postgres.start()

    await wait_until_ready(url, 60, start_at_the_second_call)
    postgres.stop()

    (first, first_reason), (second, _) = told
    assert 60 > first > second > 0
    assert "No such file or directory" in first_reason


def test_the_same_reason_is_told_seldom() -> None:
    told: list[tuple[float, str]] = []
    tell = seldom(lambda remaining, reason: told.append((remaining, reason)))
    for remaining in range(60, 0, -1):
        tell(remaining, "it starts" if remaining < 45 else "nobody there")
    assert told == [
        (60, "nobody there"), (50, "nobody there"), (44, "it starts"), (34, "it starts"), (24, "it starts"),
        (14, "it starts"), (4, "it starts"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("database_url", "remedy"),
    [
        ("postgresql://bot:sekret@127.0.0.1:1/fleet", "start PostgreSQL, or correct host and port in DATABASE_URL"),
        ("postgresql://bot:sekret@nowhere.invalid/fleet", "correct the host in DATABASE_URL"),
        ("postgresql:///fleet?host=/nowhere", "start PostgreSQL, or correct the socket folder in DATABASE_URL"),
    ],
)
async def test_a_server_that_cannot_be_reached(database_url: str, remedy: str) -> None:
    refusal = await refusal_of(database_url)
    assert refusal.startswith("database 'fleet' at ")
    assert refusal.endswith(f"; {remedy}")
    assert "sekret" not in refusal


async def test_a_database_that_does_not_exist(postgres_url: str) -> None:
    url = psycopg.conninfo.make_conninfo(postgres_url, dbname="nowhere")
    assert (await refusal_of(url)).endswith("; create the database, or correct its name in DATABASE_URL")


async def test_a_user_that_does_not_exist(postgres_url: str) -> None:
    url = psycopg.conninfo.make_conninfo(postgres_url, user="nobody_here")
    assert (await refusal_of(url)).endswith("; create the user, or correct it in DATABASE_URL")


async def test_a_wrong_password(server_folder: Path) -> None:
    folder = server_folder / "postgres"
    with EmbeddedPostgres(folder, durable=False) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE ROLE bot LOGIN PASSWORD 'right'")
            (folder / "pg_hba.conf").write_text("local all bot scram-sha-256\nlocal all all trust\n")
            connection.execute("SELECT pg_reload_conf()")
        wrong = await refusal_of(psycopg.conninfo.make_conninfo(url, user="bot", password="sekret"))
        missing = await refusal_of(psycopg.conninfo.make_conninfo(url, user="bot"))

    assert wrong.endswith("; put the right user and password into DATABASE_URL")
    assert missing.endswith("; put the password into DATABASE_URL")
    assert "sekret" not in wrong


async def test_opening_a_store_without_database() -> None:
    with pytest.raises(StoreUnavailable, match=r"^database 'fleet' at '/nowhere' \(user ''\) is unavailable: "):
        await Store.open("postgresql:///fleet?host=/nowhere")
