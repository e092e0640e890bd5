"""What a real process writes: lines with their bot and ids, no secret, and no learner's text unless it is asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from app.runtime.ask import ask
from tests.stage import Stage, said

COURSE = """
    A: {type: input, text: one}
    B: {type: input, text: two}
    C: {type: input, text: three}
    D: {type: end, text: bye}
"""
TOKEN = "123456789:MARKER_MARKER-MARKER_MARKER_MARKER1"
HANDLERS = """
import logging
from aiogram import Router

router = Router()
log = logging.getLogger(__name__)
log.info("loaded here")
log.debug("not written")


@router.edited_message()
async def edited(message, bot):
    log.warning("edited with %s", bot.token)
    raise ValueError(f"cannot use {bot.token}")
"""
REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'no such answer' USING DETAIL = 'it was ' || NEW.report;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON conversation
        FOR EACH ROW WHEN (NEW.report LIKE 'boom%') EXECUTE FUNCTION refuse()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="fl-") as folder:
        yield Path(folder, "control.sock")


class Log:
    """The lines of a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        self._process, self._stream = process, process.stderr
        self.text = ""

    async def line(self, event: str, level: str | None = None) -> dict[str, Any]:
        """Wait for a line, and return it without its time."""
        while True:
            async with asyncio.timeout(30):
                raw = (await self._stream.readline()).decode()
            assert raw, f"{event!r} was never written:\n{self.text}"
            self.text += raw
            line: dict[str, Any] = json.loads(raw)
            if line["event"] == event and level in (None, line["level"]):
                del line["timestamp"]
                return line

    async def end(self) -> str:
        """Stop the process and return all it has written."""
        self._process.terminate()
        self.text += (await self._stream.read()).decode()
        assert await self._process.wait() == 0
        return self.text


@pytest.fixture
async def spawn(stage: Stage, place: Path) -> Callable[..., Any]:
    """Start the bot ``math_bot`` of a service called ``maths`` in a process of its own."""
    await stage.client.add_bot(TOKEN, "math_bot", "Maths")

    async def start(**environment: str) -> Log:
        stage.course(COURSE)
        variables = {"BOT_SERVICE": "maths", "BOT_API_TOKEN": TOKEN, "CONTROL_SOCKET": str(place)}
        return Log(await stage.spawn("math_bot", **variables, **environment))

    return start


async def test_a_line_of_a_turn_says_where_it_belongs(stage: Stage, spawn: Callable[..., Any]) -> None:
    with psycopg.connect(stage.database_url) as connection:
        connection.execute(REFUSE)
    log = await spawn(LOG_LEVEL="debug")
    learner = stage.client.learner(TOKEN, 7, username="anna")
    await learner.send("/start")
    await learner.wait_for(said("one"))
    started = await log.line("update")
    assert started == {
        "event": "update",
        "level": "debug",
        "bot": "maths",
        "chat": 7,
        "update": started["update"],
        "kind": "message",
    }
    await learner.send("boom SECRET-OF-ANNA")
    ids = {"bot": "maths", "chat": 7, "update": started["update"] + 1, "run": 1, "element": "A"}
    assert await log.line("update") == {"event": "update", "level": "debug", "kind": "message", **ids}
    failed = await log.line("turn failed, trying its updates one by one")
    trace = failed.pop("exception")
    assert failed == {
        "event": "turn failed, trying its updates one by one",
        "level": "error",
        "bot": "maths",
        "updates": 1,
    }
    aside = await log.line("update set aside")
    assert aside.pop("exception").splitlines()[-1] == trace.splitlines()[-1]
    assert aside == {"event": "update set aside", "level": "error", **ids}
    assert "no such answer" in trace
    assert "SECRET-OF-ANNA" not in await log.end()


async def test_the_level_of_a_running_bot_and_the_texts_of_learners(
    stage: Stage, spawn: Callable[..., Any], place: Path
) -> None:
    log = await spawn(LOG_TEXTS="true")
    learner = stage.client.learner(TOKEN, 7, username="anna")

    async def told(level: str, bot: str | None) -> dict[str, Any]:
        return await asyncio.to_thread(ask, place, {"do": "level", "bot": bot, "level": level})

    await learner.send("/start")
    await learner.wait_for(said("one"))
    assert await told("debug", "maths") == {"ok": True, "bot": "maths", "level": "debug"}
    status = await asyncio.to_thread(ask, place, {"do": "status"})
    assert [bot["log_level"] for bot in status["bots"]] == ["debug"]
    await learner.send("first words")
    line = await log.line("update")
    assert (line["text"], line["chat"], line["run"], line["element"]) == ("first words", 7, 1, "A")
    await learner.wait_for(said("two"))
    assert await told("info", None) == {"ok": True, "bot": None, "level": "info"}
    await learner.send("second words")
    await learner.wait_for(said("three"))
    assert (await told("debug", "other"))["error"] == "there is no bot 'other' here; this host runs 'maths'"
    assert "is no request; write one like" in (await told("loud", "maths"))["error"]
    text = await log.end()
    assert text.count("first words") == 1
    assert "second words" not in text


async def test_a_token_does_not_come_out(stage: Stage, spawn: Callable[..., Any]) -> None:
    stage.write("handlers.py", HANDLERS)
    log = await spawn()
    loaded = await log.line("loaded here")
    assert (loaded["bot"], loaded["level"]) == ("maths", "info")
    await log.line("polling")
    anna = {"id": 7, "first_name": "Anna", "is_bot": False}
    chat = {"id": 7, "type": "private", "first_name": "Anna"}
    message = {"message_id": 1, "date": 1, "edit_date": 2, "chat": chat, "from": anna, "text": "x"}
    await stage.client.inject(TOKEN, {"edited_message": message})
    warning = await log.line("edited with ...")
    update = warning.pop("update")
    plugin = warning.pop("logger")
    assert (plugin.partition("_plugin_")[0], plugin.rpartition(".")[2]) == ("flotilla", "handlers")
    assert warning == {"event": "edited with ...", "level": "warning", "bot": "maths", "chat": 7}
    failed = await log.line("handler of the plugin failed")
    assert failed.pop("exception").endswith("ValueError: cannot use ...")
    assert failed == {
        "event": "handler of the plugin failed",
        "level": "error",
        "bot": "maths",
        "update": update,
        "chat": 7,
        "kind": "edited_message",
    }
    text = await log.end()
    assert "MARKER" not in text
    assert "not written" not in text


async def test_text_lines_of_a_process(stage: Stage, spawn: Callable[..., Any]) -> None:
    log = await spawn(LOG_FORMAT="text", BOT_LOG_LEVEL="debug", LOG_LEVEL="error")
    learner = stage.client.learner(TOKEN, 7, username="anna")
    await learner.send("/start")
    await learner.wait_for(said("one"))
    lines = [line.partition("Z ")[2] for line in (await log.end()).splitlines()]
    number = lines[-1].rpartition("=")[2]
    assert lines == [
        "[info     ] polling                        bot=maths courses=1",
        f"[debug    ] update                         bot=maths chat=7 kind=message update={number}",
    ]
