"""Courses in the database: replaced as a whole, read as a whole."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from app.store.errors import DataRefused
from app.store.rows import StoredCourse
from app.store.store import Store
from tests.database import query


def elements_of(*ids: str) -> list[tuple[str, str, str]]:
    return [(id_, "message", f'{{"element_data":{{"type":"message","text":"{id_}"}}}}') for id_ in ids]


def stored(course_id: str, *ids: str, yaml: str | None = None) -> StoredCourse:
    return StoredCourse(course_id, tuple((id_, json) for id_, _, json in elements_of(*ids)), yaml)


async def test_elements_keep_their_order(store: Store, database_url: str) -> None:
    await store.replace_course("bot", "spring", elements_of("Z", "A", "M"), "Z: {}", 5)
    await store.replace_course("bot", "empty", [])
    await store.replace_course("other", "spring", elements_of("Q"))

    assert await store.courses("bot") == [stored("empty"), stored("spring", "Z", "A", "M", yaml="Z: {}")]
    assert query(database_url, "SELECT DISTINCT element_type, bot_name FROM course_element ORDER BY 2") == [
        ("message", "bot"),
        ("message", "other"),
    ]


async def test_d45_a_course_is_replaced_as_a_whole(store: Store, database_url: str) -> None:
    await store.replace_course("bot", "spring", elements_of("A", "B"), "old", 5)
    await store.replace_course("bot", "spring", elements_of("C"), "new")

    assert await store.courses("bot") == [stored("spring", "C", yaml="new")]
    assert query(database_url, "SELECT creator_id FROM course") == [(5,)]


async def test_d45_a_replacement_that_fails_changes_nothing(store: Store) -> None:
    await store.replace_course("bot", "spring", elements_of("A", "B"), "old")
    with pytest.raises(DataRefused):
        await store.replace_course("bot", "spring", [*elements_of("C", "D"), ("E\0", "message", "{}")], "new")

    assert await store.courses("bot") == [stored("spring", "A", "B", yaml="old")]


async def test_d45_a_replacement_under_way_is_not_seen(store: Store, database_url: str) -> None:
    await store.replace_course("bot", "spring", elements_of("A", "B"))
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM course_element")
        assert await store.courses("bot") == [stored("spring", "A", "B")]


async def test_d45_readers_and_writers_at_once(store: Store) -> None:
    """Whatever the order, a reader sees one of the versions, and the last writer's is left whole."""
    versions = [stored("spring", *(f"{number}_{index}" for index in range(number))) for number in range(1, 13)]

    async def replace(number: int) -> None:
        await store.replace_course("bot", "spring", elements_of(*(f"{number}_{index}" for index in range(number))))

    await replace(1)
    writing = [replace(number) for number in range(2, 13)]
    seen: list[list[StoredCourse]] = []

    async def read() -> None:
        seen.append(await store.courses("bot"))

    await asyncio.gather(*(task for pair in zip(writing, [read() for _ in writing], strict=True) for task in pair))
    await read()

    assert all(len(courses) == 1 and courses[0] in versions for courses in seen)


async def test_a_course_is_deleted_with_its_elements(store: Store, database_url: str) -> None:
    await store.replace_course("bot", "spring", elements_of("A"))
    await store.replace_course("other", "spring", elements_of("A"))

    assert await store.delete_course("bot", "spring")
    assert not await store.delete_course("bot", "spring")
    assert await store.courses("bot") == []
    assert query(database_url, "SELECT bot_name FROM course_element") == [("other",)]


async def test_rows_of_the_old_program_that_lack_something(store: Store, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO course (course_id, bot_name) VALUES ('spring', 'bot')")
        connection.execute(
            "INSERT INTO course_element (course_id, bot_name, element_id, json) "
            "VALUES ('spring', 'bot', NULL, '{}'), ('spring', 'bot', 'A', NULL), ('lost', 'bot', 'A', '{}')"
        )

    assert await store.courses("bot") == [StoredCourse("spring", (("", "{}"), ("A", "")))]
