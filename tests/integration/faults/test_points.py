"""SIGKILL at every named point of a turn (design, section 4): nothing is lost, and doubled only after a send.

The database holds a turn or a deletion by a trigger that waits for a lock of the test; a gate holds calls of the Bot
API and of the webhook. When the point is reached the host's process is killed, which is then at no other point.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import psycopg
import pytest

from app.sandbox.client import LearnerClient, Transcript
from tests.integration.faults.ledger import counted, dead, once, pending, recorded, seen
from tests.model_server import Fault, ModelServer
from tests.proxy import Gate, Hold, Moment
from tests.stage import Stage, said

COURSE = """
    Hello: {type: message, text: Hello}
    Quiz: {type: quiz, text: Quiz, answers: [{text: a, correct: yes, feedback: Right}, {text: b}]}
    Name: {type: input, text: Name, correct_answer: Anna, feedback_correct: Well}
    Bye: {type: end, text: Bye}
"""
LATER = """
    Hello: {type: message, text: Hello}
    Wait: {type: delay, wait: 1d, goto: Later}
    Later: {type: message, text: Later}
    Bye: {type: end, text: Bye}
"""
TALK = """
    Talk: {type: dialog, text: Hello, prompt: "Be kind, then write {STOP}."}
    Bye: {type: end, text: Bye}
"""
MODEL = '{"base_url": "%s", "model": "tiny", "api_key_env": "MODEL_KEY"}'

LOCK = 4711
TRIGGERS = f"""
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_xact_lock_shared({LOCK} + TG_ARGV[0]::integer);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON conversation DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION hold(0);
    CREATE TRIGGER hold_deletion AFTER DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION hold(1);
"""
WAITING = """
    SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND objid = %s AND NOT granted
"""
ALIVE = "SELECT pid FROM pg_stat_activity WHERE pid = %s"

pytestmark = pytest.mark.timeout(240)


class Point(StrEnum):
    """Where the process is killed."""

    BEFORE_COMMIT = "before COMMIT"
    AFTER_COMMIT = "after COMMIT, before the host hears of it"
    BEFORE_ACKNOWLEDGEMENT = "after COMMIT, before the acknowledgement"
    BEFORE_SEND = "after COMMIT, before the send"
    AFTER_SEND = "after the send, before the host hears of it"
    BEFORE_DELETION = "after the send, before its deletion"


TWICE = (Point.AFTER_SEND, Point.BEFORE_DELETION)
"""Where a message may be sent twice: the ``unknown`` window."""


class Scene:
    """A bot whose process can be stopped at a point."""

    def __init__(self, stage: Stage, api: Gate, hook: Gate | None, variables: dict[str, str]) -> None:
        self.stage = stage
        self.learner = stage.learner()
        self.counted = 0
        self._api = api
        self._hook = hook
        self._variables = variables
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the program as a container does."""
        self._process = await self.stage.spawn(TELEGRAM_API_URL=self._api.url, **self._variables)

    async def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self.counted += counted((await self._process.communicate())[1])
        assert self._process.returncode == 0

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self.counted += counted((await self._process.communicate())[1])

    async def kill_at(self, point: Point, act: Callable[[], Awaitable[object]], *, is_started: bool = True) -> None:
        """Let something happen, kill the process when its turn is at the point, and start another."""
        match point:
            case Point.BEFORE_COMMIT:
                await self._kill_in_database(0, act, is_done=False)
            case Point.AFTER_COMMIT:
                await self._kill_in_database(0, act, is_done=True)
            case Point.BEFORE_DELETION:
                await self._kill_in_database(1, act, is_done=False)
            case Point.BEFORE_ACKNOWLEDGEMENT:
                await self._kill_in_call(self._acknowledgement(), act, is_all_sent=True)
            case Point.BEFORE_SEND:
                await self._kill_in_call(self._api.hold(Moment.BEFORE, is_send), act)
            case Point.AFTER_SEND:
                await self._kill_in_call(self._api.hold(Moment.AFTER, is_send), act)
        if is_started:
            await self.start()

    async def settled(self) -> None:
        """Wait until nothing is under way: no update unconfirmed, no message unsent."""
        await self.stage.client.wait_idle(self.stage.bot().token, patience=60)
        async with asyncio.timeout(60):
            await self._all_sent()

    async def _all_sent(self) -> None:
        while await asyncio.to_thread(self.stage.query, "SELECT 1 FROM outbox"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _acknowledgement(self) -> Hold:
        if self._hook is not None:
            return self._hook.hold(Moment.AFTER, lambda *_: True)
        return self._api.hold(Moment.BEFORE, lambda name, body: name == "getUpdates" and body["offset"] > 0)

    async def _kill_in_call(
        self, hold: Hold, act: Callable[[], Awaitable[object]], *, is_all_sent: bool = False
    ) -> None:
        await act()
        async with asyncio.timeout(60):
            await hold.reached.wait()
            if is_all_sent:
                await self._all_sent()
        await self.kill()
        hold.over.set()

    async def _kill_in_database(self, number: int, act: Callable[[], Awaitable[object]], *, is_done: bool) -> None:
        """Kill the process while the database holds its transaction, which then is done or is not."""
        async with await psycopg.AsyncConnection.connect(self.stage.database_url, autocommit=True) as own:
            await own.execute("SELECT pg_advisory_lock(%s)", [LOCK + number])
            await act()
            pid = (await _rows(own, WAITING, LOCK + number))[0]
            await self.kill()
            if not is_done:
                await own.execute("SELECT pg_terminate_backend(%s)", [pid])
            await own.execute("SELECT pg_advisory_unlock(%s)", [LOCK + number])
            await _rows(own, ALIVE, pid, is_empty=True)


async def _rows(own: psycopg.AsyncConnection[Any], text: str, value: int, *, is_empty: bool = False) -> list[int]:
    """Wait until there are rows, or none, and return their first columns."""
    async with asyncio.timeout(60):
        while True:
            cursor = await own.execute(text, [value])  # type: ignore[call-overload]
            found = [first for (first,) in await cursor.fetchall()]
            if bool(found) is not is_empty:
                return found
            await asyncio.sleep(0.01)


def is_send(name: str, body: dict[str, Any]) -> bool:
    return name in ("sendMessage", "sendPoll")


@asynccontextmanager
async def scene(stage: Stage, mode: str = "polling", **variables: str) -> AsyncIterator[Scene]:
    """Open a scene whose process is running."""
    stage.query(TRIGGERS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with Gate([stage.sandbox_url]) as api, Gate([f"http://127.0.0.1:{port}"]) as hook:
        if mode == "webhook":
            url = f"{hook.url}/webhook/bot"
            variables |= {"BOT_MODE": "webhook", "WEBHOOK_URL": url, "WEBHOOK_SECRET_TOKEN": "s3cret"}
            variables["PAGES_PORT"] = str(port)
        opened = Scene(stage, api, hook if mode == "webhook" else None, variables)
        await opened.start()
        yield opened
        await stage.close()


async def learn(learner: LearnerClient, apply: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]) -> None:
    """Go through the course; the first two acts of the learner are performed by ``apply``."""
    await apply(lambda: learner.send("/start"))
    chat = await learner.wait_for(said_poll, patience=60)
    await apply(lambda: learner.vote(poll_of(chat), 0))
    await learner.wait_for(said("Name"), patience=60)
    await learner.send("Anna")
    await learner.wait_for(said("Bye"), patience=60)


def said_poll(chat: Transcript) -> bool:
    return chat.last is not None and chat.last.poll is not None


def poll_of(chat: Transcript) -> int:
    assert chat.last is not None
    return int(chat.last.id)


async def undisturbed(stage: Stage) -> list[Any]:
    """Return what is recorded of the course when nothing fails."""
    host = stage.start()
    await learn(stage.learner(learner_id=1), lambda act: _just(act))
    await stage.stop(host)
    return recorded(stage.database_url, 1)


async def _just(act: Callable[[], Awaitable[object]]) -> None:
    await act()


async def check(scene: Scene, point: Point, kills: int, expected: list[str]) -> None:
    """See that all is there, in order, and what came twice was counted and is where it may be."""
    await scene.settled()
    await scene.stop()
    texts = seen(await scene.learner.transcript())
    assert once(texts) == expected
    assert (pending(scene.stage.database_url), dead(scene.stage.database_url)) == (0, 0)
    doubled = len(texts) - len(expected)
    assert doubled == 0 if point not in TWICE else kills <= doubled <= scene.counted, (doubled, scene.counted)
    assert point is not Point.AFTER_SEND or doubled == kills


@pytest.mark.parametrize("mode", ["polling", "webhook"])
@pytest.mark.parametrize("point", Point)
async def test_a_kill_in_every_turn_of_a_course(stage: Stage, point: Point, mode: str) -> None:
    stage.course(COURSE)
    rows = await undisturbed(stage)
    async with scene(stage, mode) as opened:

        async def disturbed(act: Callable[[], Awaitable[object]]) -> None:
            await opened.settled()
            await opened.kill_at(point, act)

        await learn(opened.learner, disturbed)
        await check(opened, point, 2, ["Hello", "Quiz", "Right", "Name", "Well", "Bye"])
        assert recorded(stage.database_url, 7) == rows


@pytest.mark.parametrize("point", [point for point in Point if point is not Point.BEFORE_ACKNOWLEDGEMENT])
async def test_a_kill_while_a_wait_is_delivered(stage: Stage, point: Point) -> None:
    stage.course(LATER)
    async with scene(stage) as opened:
        await opened.learner.send("/start")
        await opened.learner.wait_for(said("Hello"))
        await opened.settled()
        await opened.kill_at(point, lambda: asyncio.to_thread(let_a_day_pass, stage))
        await opened.learner.wait_for(said("Bye"), patience=60)
        await check(opened, point, 1, ["Hello", "Later", "Bye"])
        assert [row[0] for row in recorded(stage.database_url, 7)] == ["Hello", "Wait", "Later", "Bye"]


def let_a_day_pass(stage: Stage) -> None:
    stage.query("UPDATE waiting_element SET due_at = now()")
    stage.query("NOTIFY flotilla_timer, 'bot'")


@pytest.mark.parametrize("point", [point for point in Point if point is not Point.BEFORE_ACKNOWLEDGEMENT])
async def test_a_kill_while_a_reply_of_the_model_is_taken(stage: Stage, point: Point) -> None:
    stage.course(TALK)
    async with ModelServer() as model, scene(stage, DIALOG=MODEL % model.url, MODEL_KEY="x") as opened:
        await opened.learner.send("/start")
        await opened.learner.wait_for(said("Hello"))
        await opened.learner.send("hi")
        await opened.learner.wait_for(said("You said: hi"))
        await opened.settled()

        async def hear() -> None:
            """Be past the turn of the learner's own text when the point is looked for."""
            model.fail(Fault(hold=0))
            await opened.learner.send("bye")
            await model.wait_for(2)
            await opened.settled()

        await hear()

        async def answer() -> None:
            model.release()

        await opened.kill_at(point, answer)
        await opened.learner.wait_for(said("Bye"), patience=60)
        await check(opened, point, 1, ["Hello", "You said: hi", "Goodbye!", "Bye"])
        roles = [(row[0], row[1]) for row in recorded(stage.database_url, 7)]
        talk = [("Talk", "bot"), ("Talk", "user"), ("Talk", "bot"), ("Talk", "user"), ("Talk", "bot")]
        assert roles == [*talk, ("Bye", "bot")]


async def test_a_vote_in_a_poll_whose_sender_died_counts(stage: Stage) -> None:
    """The learner has it, the database does not know, and the next process has older messages to send again first."""
    stage.course(COURSE)
    async with scene(stage) as opened:
        learner = opened.learner

        async def until_the_poll_is_there() -> None:
            await learner.send("/start")
            await learner.wait_for(said_poll)

        await opened.kill_at(Point.BEFORE_DELETION, until_the_poll_is_there, is_started=False)
        await stage.client.add_fault("500", method="sendMessage", times=3)
        await learner.vote(poll_of(await learner.transcript()), 0)
        await opened.start()
        await learner.wait_for(said("Name"), patience=60)
        await learner.send("Anna")
        await learner.wait_for(said("Bye"), patience=60)
        await opened.settled()
        await opened.stop()
    assert once(seen(await learner.transcript())) == ["Hello", "Quiz", "Right", "Name", "Well", "Bye"]
    answers = [row[2] for row in recorded(stage.database_url, 7) if row[1] == "user"]
    assert answers == ["a", "Anna"]
