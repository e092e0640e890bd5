"""Courses that change while learners are in them: files and the database, through a running host."""

from __future__ import annotations

import psycopg
import pytest

from app.course.loader import elements_of
from app.runtime.bot import State
from app.runtime.host import Host
from app.store.store import Store
from tests.stage import Stage, outage, until

COURSE = """
a: {type: message, text: First, button: On}
b: {type: message, text: %s, button: On}
c: {type: end, text: Bye}
"""


@pytest.fixture
def stored(stage: Stage) -> Stage:
    """A stage whose default course is in the database."""
    stage.write("courses.yml", "default: {path: db}")
    return stage


async def until_text(host: Host, text: str, course_id: str = "default") -> None:
    """Wait until the host's courses have this text in the second element: nothing tells learners of it."""
    library = host.bots[0].library
    await until(lambda: library.courses.courses[course_id].elements["b"].body["text"] == text)


async def keep(store: Store, text: str) -> None:
    await store.replace_course("bot", "default", elements_of(text, "course.yml"), text)


async def test_a_stored_course_is_there_from_the_first_start(stored: Stage, store: Store) -> None:
    await keep(store, COURSE % "Second")
    stored.start()
    ann = stored.learner()
    await ann.send("/start")
    assert (await ann.wait_message()).text == "First"


async def test_d45_a_learner_stays_on_their_place_when_a_stored_course_is_replaced(stored: Stage, store: Store) -> None:
    await keep(store, COURSE % "Second")
    host = stored.start()
    ann = stored.learner()
    await ann.send("/start")
    first = await ann.wait_message()
    await keep(store, COURSE % "Replaced")
    await until_text(host, "Replaced")
    await ann.press(first)
    assert (await ann.wait_message(first.id)).text == "Replaced"


async def test_a_broken_stored_course_changes_nothing(stored: Stage, store: Store, database_url: str) -> None:
    await keep(store, COURSE % "Second")
    host = stored.start()
    ann = stored.learner()
    await ann.send("/start")
    first = await ann.wait_message()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE course_element SET json = '{' WHERE element_id = 'b'")
    await until(lambda: host.bots[0].library.problems != [])
    assert "is not valid JSON" in str(host.bots[0].library.problems[0])
    await ann.press(first)
    assert (await ann.wait_message(first.id)).text == "Second"


async def test_a_file_and_the_database_change_side_by_side(stage: Stage, store: Store) -> None:
    stage.write("courses.yml", "default: {path: course.yml}\nspring: {path: db}")
    stage.write("course.yml", COURSE % "of the file")
    await store.replace_course("bot", "spring", elements_of(COURSE % "of the database", "course.yml"))
    host = stage.start()
    ann, ben = stage.learner(), stage.learner(learner_id=8)
    await ann.send("/start")
    await ben.send("/start spring")
    firsts = [await ann.wait_message(), await ben.wait_message()]
    stage.write("course.yml", COURSE % "edited")
    await store.replace_course("bot", "spring", elements_of(COURSE % "replaced", "course.yml"))
    await until_text(host, "edited")
    await until_text(host, "replaced", "spring")
    await ann.press(firsts[0])
    await ben.press(firsts[1])
    assert (await ann.wait_message(firsts[0].id)).text == "edited"
    assert (await ben.wait_message(firsts[1].id)).text == "replaced"


async def test_an_outage_of_the_database_keeps_its_courses(stage: Stage, store: Store) -> None:
    stage.write("courses.yml", "default: {path: course.yml}\nspring: {path: db}")
    stage.write("course.yml", COURSE % "of the file")
    await store.replace_course("bot", "spring", elements_of(COURSE % "of the database", "course.yml"))
    host = stage.start()
    ann, ben = stage.learner(), stage.learner(learner_id=8)
    await ann.send("/start")
    await ben.send("/start spring")
    firsts = [await ann.wait_message(), await ben.wait_message()]
    async with outage(stage):
        await until(lambda: host.bots[0].state is State.STARTING)
        host.bots[0].library.database_changed()
        stage.write("course.yml", COURSE % "edited meanwhile")
        await until_text(host, "edited meanwhile")
        assert host.bots[0].library.changed()
    await ann.press(firsts[0])
    await ben.press(firsts[1])
    assert (await ann.wait_message(firsts[0].id, patience=60)).text == "edited meanwhile"
    assert (await ben.wait_message(firsts[1].id, patience=60)).text == "of the database"
    async with await Store.open(stage.database_url) as anew:
        await anew.replace_course("bot", "spring", elements_of(COURSE % "replaced", "course.yml"))
    await until_text(host, "replaced", "spring")
