"""Going on with the learners of the old program: its database filled by hand, adopted, and every next press works."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from app.config.tokens import sandbox_token
from app.course.loader import load_course
from app.sandbox.client import LearnerClient, SandboxClient, Transcript
from app.sandbox.server import Sandbox
from app.store.migrate import migrate
from tests.integration.store.old_tables import OLD_TABLES
from tests.stage import Stage, said

COURSE = """
    Start: {type: message, text: Welcome, button: Begin}
    Menu:
      type: jump
      text: Where to?
      options:
        - {text: Quiz, goto: Q_1}
        - {text: Later, wait: 1d, wait_text: See you}
        - {text: On}
    Ask: {type: input, text: Your name?, correct_answer: Ann}
    Q_1:
      type: quiz
      text: One?
      answers: [{text: A, correct: yes}, {text: B}]
    Q_2:
      type: quiz
      text: Two?
      answers: [{text: A, correct: yes}, {text: B}]
    Result:
      type: test
      text: "{score} of {maxscore}"
      prefix: Q_
      score: {50: good, 100: bad}
      button: Next
    Again: {type: revision, text: Repeat, prefix: Q_, no_mistakes: None, button: Go}
    Pause: {type: delay, text: Wait a day, wait: 1d, goto: Late}
    Finish: {type: end, text: The end}
    Late: {type: message, text: Late news, button: Ok}
    Last: {type: message, text: Bye}
"""


class OldProgram:
    """Writes rows and sends messages as the old program did (course-format.md, 2, 5 and 6)."""

    def __init__(self, stage: Stage, connection: psycopg.Connection[Any], http: aiohttp.ClientSession) -> None:
        self._stage = stage
        self._connection = connection
        self._http = http
        self.bodies: dict[str, dict[str, Any]] = {}

    def run(self, bot: str, chat_id: int, course_id: str = "default", is_ended: bool | None = None) -> int:
        query = (
            "INSERT INTO run (chat_id, username, botname, course_id, is_ended) VALUES (%s, %s, %s, %s, %s)"
            " RETURNING run_id"
        )
        row = self._connection.execute(query, (chat_id, f"learner{chat_id}", bot, course_id, is_ended)).fetchone()
        assert row is not None
        return int(row[0])

    def row(
        self,
        run_id: int | None,
        chat_id: int,
        element_id: str,
        *,
        role: str = "bot",
        score: float | None = None,
        course_id: str = "default",
        **snapshot: object,
    ) -> None:
        body, maxscore = self.bodies[element_id], None if score is None else 1
        self._connection.execute(
            "INSERT INTO conversation (chat_id, username, course_id, element_id, element_type, role, json, report,"
            " score, maxscore, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                chat_id, f"learner{chat_id}", course_id, element_id, body["type"], role,
                json.dumps({"element_data": body, **snapshot}), body.get("text"), score, maxscore, run_id,
            ),
        )  # fmt: skip

    def wait(self, bot: str, chat_id: int, element_id: str | None, due: datetime) -> None:
        self._connection.execute(
            "INSERT INTO waiting_element (chat_id, waiting_till_date, is_waiting, element_id, course_id, botname)"
            " VALUES (%s, %s, true, %s, 'default', %s)",
            (chat_id, due, element_id, bot),
        )

    async def meet(self, bot: str, chat_id: int) -> LearnerClient:
        """Take the first /start of a learner, without which a bot may send nothing."""
        learner = self._stage.learner(bot, chat_id)
        await learner.open()
        await learner.send("/start")
        update = (await self._call(bot, "getUpdates"))[-1]
        await self._call(bot, "getUpdates", offset=update["update_id"] + 1)
        return learner

    async def say(self, bot: str, chat_id: int, text: str, *buttons: tuple[str, str]) -> None:
        """Send a message with inline buttons (text, callback data)."""
        keyboard = {"inline_keyboard": [[{"text": text, "callback_data": data}] for text, data in buttons]}
        await self._call(bot, "sendMessage", chat_id=chat_id, text=text, reply_markup=keyboard)

    async def poll(self, bot: str, chat_id: int, question: str) -> None:
        options = [{"text": "A"}, {"text": "B"}]
        await self._call(
            bot, "sendPoll", chat_id=chat_id, question=question, options=options, is_anonymous=False, type="quiz",
            correct_option_id=0, correct_option_ids=[0],
        )  # fmt: skip

    async def _call(self, bot: str, method: str, **params: object) -> Any:
        url = f"{self._stage.sandbox_url}/bot{sandbox_token(bot)}/{method}"
        async with self._http.post(url, json=params) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["result"]


@pytest.fixture
async def stage(empty_database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A sandbox with two bots, the old program's empty tables, and a config with its scripts."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(OLD_TABLES)
    (tmp_path / "scripts").mkdir()
    bots = "".join(f"  - {{name: {name}, folder: {name}}}\n" for name in ("one", "two"))
    (tmp_path / "bots_config.yaml").write_text(f"telegram: sandbox\nbots:\n{bots}")
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        for name in ("one", "two"):
            await client.add_bot(sandbox_token(name), name, name)
        stage = Stage(sandbox.url, client, empty_database_url, tmp_path / "scripts")
        stage.course(COURSE, "one/")
        stage.course("Hello: {type: message, text: Hello from two, button: Next}\nBye: {type: end, text: Bye}", "two/")
        yield stage
        await stage.close()


@pytest.fixture
async def old(stage: Stage) -> AsyncIterator[OldProgram]:
    with psycopg.connect(stage.database_url, autocommit=True) as connection:
        async with aiohttp.ClientSession() as http:
            old = OldProgram(stage, connection, http)
            for folder in ("one", "two"):
                old.bodies |= _bodies(stage.scripts / folder / "course.yml")
            yield old


def _bodies(path: Path) -> dict[str, dict[str, Any]]:
    course, problems = load_course(path.read_text(), path.name)
    assert not [problem for problem in problems if problem.severity == "error"]
    return {element_id: dict(element.body) for element_id, element in course.elements.items()}


async def adopt(stage: Stage, *arguments: str) -> tuple[int, str]:
    """Migrate and adopt as an operator does; return the exit code and what was printed."""
    migrate(stage.database_url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli.main", "adopt", *arguments,
        cwd=stage.scripts.parent,
        env={**os.environ, "DATABASE_URL": stage.database_url, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def polled(question: str) -> Callable[[Transcript], bool]:
    return lambda chat: chat.last is not None and chat.last.poll is not None and chat.last.poll.question == question


async def press(learner: LearnerClient, button: int, then: Callable[[Transcript], bool]) -> None:
    """Press a button of the last message and wait for what follows."""
    message = (await learner.transcript()).last
    assert message is not None
    await learner.press(message, button)
    await learner.wait_for(then)


async def test_every_learner_s_next_press_works(stage: Stage, old: OldProgram) -> None:
    begin, menu, later, ask, quiz, result, ended = range(101, 108)
    for chat_id, element_id in (
        (begin, "Start"), (menu, "Menu"), (later, "Menu"), (ask, "Ask"), (quiz, "Q_2"), (result, "Result"),
        (ended, "Finish"),
    ):  # fmt: skip
        await old.meet("one", chat_id)
        run_id = old.run("one", chat_id, is_ended=chat_id == ended or None)
        if element_id in ("Q_2", "Result"):
            old.row(run_id, chat_id, "Q_1")
            old.row(run_id, chat_id, "Q_1", role="user")
            old.row(run_id, chat_id, "Q_1", score=1.0)
        if element_id == "Result":
            old.row(run_id, chat_id, "Q_2", score=0.0)
        old.row(run_id, chat_id, element_id)
    await old.say("one", begin, "Welcome", ("Begin", "got_it"))
    for chat_id in (menu, later):
        await old.say("one", chat_id, "Where to?", ("Quiz", "goto_Q_1"), ("Later", "wait_1d"), ("On", "got_it"))
    await old.poll("one", quiz, "Two?")
    await old.say("one", result, "1 of 2", ("Next", "got_it"))

    code, output = await adopt(stage, "--yes")
    assert code == 0, output
    assert "one: 7 chats go on\n1 run has ended and stays so\n" in output

    stage.start(stage.bot("one", "one/"), stage.bot("two", "two/"))

    await press(stage.learner("one", begin), 0, said("Where to?"))
    await press(stage.learner("one", menu), 0, polled("One?"))
    await press(stage.learner("one", later), 1, said("See you"))
    await press(stage.learner("one", result), 0, said("Repeat"))
    asked = stage.learner("one", ask)
    await asked.send("Ann")
    await asked.wait_for(lambda chat: chat.last is not None and chat.last.poll is not None)
    voter = stage.learner("one", quiz)
    poll = (await voter.transcript()).last
    assert poll is not None
    await voter.vote(poll, 0)
    await voter.wait_for(said("2 of 2\ngood"))
    done = stage.learner("one", ended)
    await done.send("hello?")
    await done.wait_for(said("This course is over"))


async def test_waits_keep_their_due_time(stage: Stage, old: OldProgram) -> None:
    overdue, coming, jumped = 201, 202, 203
    for chat_id, element_id in ((overdue, "Pause"), (coming, "Pause"), (jumped, "Menu")):
        await old.meet("one", chat_id)
        old.row(old.run("one", chat_id), chat_id, element_id)
    local = datetime(2026, 1, 5, 12, 0)  # noqa: DTZ001 - the old program wrote its local time
    old.wait("one", overdue, "Late", local)
    old.wait("one", coming, "Late", local + timedelta(days=36500))
    old.wait("one", jumped, None, local)

    code, output = await adopt(stage, "--yes", "--time-zone", "Europe/Moscow")
    assert code == 0, output
    assert "3 waits keep their due time (read as Europe/Moscow time; --time-zone changes that)" in output
    with psycopg.connect(stage.database_url) as connection:
        rows = connection.execute(
            "SELECT element_id, due_at AT TIME ZONE 'UTC' FROM waiting_element ORDER BY waiting_element_id"
        ).fetchall()
    assert rows == [
        ("Late", local - timedelta(hours=3)),
        ("Late", local + timedelta(days=36500, hours=-3)),
        ("Ask", local - timedelta(hours=3)),
    ]

    stage.start(stage.bot("one", "one/"))
    await stage.learner("one", overdue).wait_for(said("Late news"))
    await stage.learner("one", jumped).wait_for(said("Your name?"))
    assert (await stage.learner("one", coming).transcript()).by_bot == ()


async def test_d1_mixed_chats_belong_to_the_bot_of_the_course(stage: Stage, old: OldProgram) -> None:
    """The newest run of a course was looked up without the bot, so that rows of one stand under the other's run."""
    person = 301
    for bot in ("one", "two"):
        await old.meet(bot, person)
    first = old.run("one", person)
    old.row(first, person, "Start")
    second = old.run("two", person)
    old.row(second, person, "Hello")
    old.row(second, person, "Menu")  # an element of the first bot's course
    await old.say("one", person, "Where to?", ("Quiz", "goto_Q_1"), ("Later", "wait_1d"), ("On", "got_it"))
    await old.say("two", person, "Hello from two", ("Next", "got_it"))

    code, output = await adopt(stage, "--yes")
    assert code == 0, output
    assert f"one, chat {person}: 1 rows stood under a run of two; their elements are of this bot" in output

    stage.start(stage.bot("one", "one/"), stage.bot("two", "two/"))
    await press(stage.learner("one", person), 0, polled("One?"))
    await press(stage.learner("two", person), 0, said("Bye"))
    with psycopg.connect(stage.database_url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT botname, run_id, element_id FROM conversation WHERE element_id IN ('Menu', 'Hello')"
        ).fetchall()
    assert sorted(rows) == [("one", first, "Menu"), ("two", second, "Hello")]


async def test_a_revision_goes_on_with_its_chain(stage: Stage, old: OldProgram) -> None:
    chat_id = 401
    learner = await old.meet("one", chat_id)
    run_id = old.run("one", chat_id)
    for element_id in ("Q_1", "Q_2"):
        old.row(run_id, chat_id, element_id, score=0.0)
    body = old.bodies["Q_1"]
    old.bodies["Again"], revision = body, old.bodies["Again"]
    chain = {"revision_element": revision, "data": [{"element_id": "Q_2", "json": json.dumps({"element_data": body})}]}
    old.row(run_id, chat_id, "Again", revision=chain)
    await old.poll("one", chat_id, "One?")

    assert (await adopt(stage, "--yes"))[0] == 0
    stage.start(stage.bot("one", "one/"))
    poll = (await learner.transcript()).last
    assert poll is not None
    await learner.vote(poll, 0)
    await learner.wait_for(polled("Two?"))


async def test_it_says_first_what_it_will_do_and_can_be_run_twice(stage: Stage, old: OldProgram) -> None:
    old.row(old.run("one", 501), 501, "Start")
    old.row(old.run("stranger", 502), 502, "Start")

    code, output = await adopt(stage, "--dry-run")
    assert (code, output) == (
        0,
        "one: 1 chat goes on\nnot touched: 1 chat of 'stranger'; "
        "for these, choose the bot that says 'bot_name: stranger' in the config\n",
    )
    assert _states(stage) == []

    assert (await adopt(stage, "--yes"))[1].endswith("done; start the fleet, and everybody goes on where they stand\n")
    before = _states(stage)
    assert [(row[0], row[1]) for row in before] == [("one", 501)]

    code, output = await adopt(stage, "--yes")
    assert code == 0
    assert output.startswith("1 chat is known already and stays as it is\nno chat is left to adopt\n")
    assert _states(stage) == before


async def test_nobody_waits_while_the_operator_thinks(stage: Stage, old: OldProgram) -> None:
    old.row(old.run("one", 501), 501, "Start")
    migrate(stage.database_url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", "app.cli.main", "adopt",
        cwd=stage.scripts.parent,
        env={**os.environ, "DATABASE_URL": stage.database_url, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readuntil(b"do it? [y/N]: ") == (b"one: 1 chat goes on\ndo it? [y/N]: ")
    with psycopg.connect(stage.database_url) as host:
        host.execute("SET lock_timeout = '5s'")
        host.execute("INSERT INTO chat (botname, chat_id) VALUES ('one', 7)")
    old.row(old.run("one", 502), 502, "Start")
    process.stdin.write(b"y\n")
    assert await process.stdout.readuntil(b"do it? [y/N]: ") == (
        b"the database has changed meanwhile; now it is:\none: 2 chats go on\ndo it? [y/N]: "
    )
    assert [row for row in _states(stage) if row[2] is not None] == []
    process.stdin.write(b"y\n")
    assert b"done; start the fleet" in await process.stdout.read()
    assert await process.wait() == 0
    assert [row[1] for row in _states(stage) if row[2] is not None] == [501, 502]


async def test_a_wait_that_nobody_will_end_is_told(stage: Stage, old: OldProgram) -> None:
    old.row(old.run("one", 501), 501, "Start")
    assert (await adopt(stage, "--yes"))[0] == 0
    old.wait("one", 501, "Late", datetime(2026, 1, 5, 12, 0))  # noqa: DTZ001 - the old program wrote its local time
    assert (await adopt(stage, "--yes"))[1].endswith(
        "one, chat 501: the old program left a wait, which will never end: the chat is known already\n"
    )


async def test_an_unknown_time_zone_is_named(stage: Stage, old: OldProgram) -> None:
    code, output = await adopt(stage, "--yes", "--time-zone", "Mars")
    assert (code, output) == (1, "there is no time zone 'Mars'; write it like Europe/Moscow or UTC\n")


def _states(stage: Stage) -> list[tuple[Any, ...]]:
    with psycopg.connect(stage.database_url) as connection:
        return connection.execute("SELECT botname, chat_id, state FROM chat ORDER BY botname, chat_id").fetchall()
