"""Plugins: real hosts whose bots have a ``handlers.py``."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import pytest
from prometheus_client import REGISTRY
from psycopg import AsyncConnection

from app.config.settings import Mode, WebhookSettings
from app.runtime import plugins
from app.runtime.host import Host
from app.sandbox.client import LearnerClient
from app.texts import texts_for
from tests.stage import Stage, outage, said, until

EN = texts_for("en")
ROOT = Path(__file__).parents[3]

COURSE = """
A: {type: message, text: Welcome, button: Go}
B: {type: input, text: Name?, correct_answer: Ann, feedback_correct: Right}
C: {type: end, text: Bye}
"""
PREAMBLE = """
import asyncio, time
from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from app.runtime.control import CourseControlError
router = Router()
"""
PING = """
@router.message(Command("ping"))
async def ping(message, bot_name):
    await message.answer(f"pong of {bot_name}")
"""

Starter = Callable[[str], Host]


@pytest.fixture
def start(stage: Stage) -> Starter:
    """Return what starts the default bot with these handlers."""

    def begin(handlers: str) -> Host:
        stage.course(COURSE)
        write(stage, handlers)
        return stage.start()

    return begin


def write(stage: Stage, handlers: str, folder: str = "") -> None:
    stage.write(f"{folder}handlers.py", PREAMBLE + textwrap.dedent(handlers))


async def texts(learner: LearnerClient, count: int) -> list[str]:
    chat = await learner.wait_for(lambda chat: len(chat.by_bot) >= count)
    return [message.text for message in chat.by_bot]


async def query(stage: Stage, statement: LiteralString) -> list[tuple[Any, ...]]:
    async with await AsyncConnection.connect(stage.database_url) as connection:
        return await (await connection.execute(statement)).fetchall()


def counted(outcome: str, bot: str) -> float:
    labels = {"bot": bot, "outcome": outcome}
    return REGISTRY.get_sample_value("flotilla_plugin_updates_total", labels) or 0.0


async def logged(capsys: pytest.CaptureFixture[str], part: str) -> str:
    """Wait until the log says this; return the lines that do."""
    seen = ""

    def has_come() -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return part in seen

    await until(has_come)
    return "\n".join(line for line in seen.splitlines() if part in line)


# --- what a plugin gets ---------------------------------------------------------------------------------------------


async def test_a_plugin_gets_what_the_course_does_not_use(stage: Stage, start: Starter) -> None:
    start("""
        @router.message()
        async def any_message(message):
            await message.answer("plugin: " + (message.text or message.content_type))
    """)
    learner = stage.learner()
    for number, text in enumerate(["hello", "/start", "/weather", "what now"], 1):
        await learner.send(text)
        await texts(learner, number)
    assert await texts(learner, 4) == ["plugin: hello", "Welcome", "plugin: /weather", "plugin: what now"]
    await learner.press((await learner.transcript()).by_bot[1])
    await learner.wait_for(said("Name?"))
    await learner.send_voice()
    await learner.wait_for(said("plugin: voice"))
    await learner.send("Ann")
    await learner.wait_for(said("Bye"))
    assert (await texts(learner, 8))[4:] == ["Name?", "plugin: voice", "Right", "Bye"]


async def test_what_no_handler_takes_gets_the_hint(stage: Stage, start: Starter) -> None:
    start(
        PING
        + """
@router.message(Command("buttons"))
async def buttons(message, course):
    await course.send(message.chat.id, "press", buttons=[("Mine", "mine"), ("Other", "other")])

@router.callback_query(F.data == "mine")
async def mine(query):
    await query.answer("taken")
"""
    )
    learner = stage.learner()
    for number, text in enumerate(["/ping", "/pong", "/start", "words", "/buttons"], 1):
        await learner.send(text)
        await texts(learner, number)
    assert await texts(learner, 5) == [
        "pong of bot", EN.unknown_command.format(name="pong"), "Welcome", EN.press_button, "press",
    ]  # fmt: skip
    message = (await learner.transcript()).by_bot[-1]
    notices = [await learner.wait_notice(await learner.press(message, label)) for label in ("Mine", "Other")]
    assert [notice.text for notice in notices] == ["taken", EN.stale_button]


async def test_a_stale_button_of_the_course_is_none_of_the_plugin(stage: Stage, start: Starter) -> None:
    start("""
        @router.callback_query()
        async def anything(query):
            await query.answer("taken")
    """)
    learner = stage.learner()
    for number in (1, 2):
        await learner.send("/start")
        await texts(learner, number)
        stale = (await learner.transcript()).by_bot[0]
    notice = await learner.wait_notice(await learner.press(stale))
    assert notice.text == EN.stale_button


async def test_a_plugin_gets_types_of_updates_and_chats_that_courses_have_no_use_for(
    stage: Stage, start: Starter
) -> None:
    host = start("""
        @router.message(F.chat.type == "group")
        async def group(message, learner, course):
            await course.send(learner.chat_id, f"in the group: {message.text}")

        @router.edited_message()
        async def edited(message, learner, course):
            await course.send(learner.chat_id, f"corrected: {message.text}")
    """)
    learner = stage.learner()
    await learner.send("/start")
    await texts(learner, 1)
    assert host.bots[0].plugin.allowed_updates() == ["message", "callback_query", "poll_answer", "edited_message"]
    person = {"id": 7, "is_bot": False, "first_name": "Ann"}
    told = {"message_id": 900, "date": 1, "from": person, "text": "hi"}
    await stage.client.inject(
        stage.bot().token,
        {"message": {**told, "chat": {"id": -5, "type": "group", "title": "Class"}}},
        {"edited_message": {**told, "chat": {"id": 7, "type": "private"}, "text": "Ann", "edit_date": 2}},
        {"channel_post": {**told, "chat": {"id": -6, "type": "channel", "title": "News"}}},
    )
    assert sorted(await texts(learner, 3)) == ["Welcome", "corrected: Ann", "in the group: hi"]
    await stage.client.wait_idle(stage.bot().token)
    # The one of a type without handlers was not even looked at.
    assert await query(stage, "SELECT count(*) FROM seen_update") == [(3,)]


BLOCKED = """
    @router.my_chat_member()
    async def changed(change, learner, course):
        await course.tag(learner.chat_id, change.new_chat_member.status)
"""


@pytest.mark.parametrize("has_webhook", [False, True])
async def test_telegram_is_asked_for_what_the_plugin_takes(stage: Stage, *, has_webhook: bool) -> None:
    stage.course(COURSE)
    write(stage, BLOCKED)
    settings = stage.bot()
    if has_webhook:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            stage.listen = ("127.0.0.1", probe.getsockname()[1])
        webhook = WebhookSettings(f"http://127.0.0.1:{stage.listen[1]}/webhook/bot", "s3cret", max_connections=20)
        settings = stage.bot(mode=Mode.WEBHOOK, webhook=webhook)
    stage.start(settings)
    learner = stage.learner()
    await learner.send("/start")
    await texts(learner, 1)
    await learner.block()
    async with asyncio.timeout(20):
        while not (tags := await query(stage, "SELECT chat_id, tag FROM tag")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert tags == [(7, "kicked")]


async def test_votes_in_polls_of_the_plugin(stage: Stage, start: Starter) -> None:
    start("""
        @router.message(Command("poll"))
        async def poll(message):
            await message.answer_poll("Tea?", ["yes", "no"], is_anonymous=False)

        @router.poll_answer()
        async def voted(answer, learner, course):
            await course.send(learner.chat_id, f"you chose {answer.option_ids}")
    """)
    learner = stage.learner()
    await learner.send("/start")
    await texts(learner, 1)
    await learner.send("/poll")
    chat = await learner.wait_for(lambda chat: len(chat.by_bot) == 2)
    await learner.vote(chat.by_bot[-1], 1)
    await learner.wait_for(said("you chose [1]"))


async def test_an_update_reaches_the_plugin_once(stage: Stage, start: Starter) -> None:
    start(PING)
    learner = stage.learner()
    await learner.send("/ping")
    await texts(learner, 1)
    assert await stage.client.repeat(stage.bot().token) == 1
    await stage.client.wait_idle(stage.bot().token)
    await learner.send("/start")
    assert await texts(learner, 2) == ["pong of bot", "Welcome"]


async def test_a_chat_is_served_in_order_and_beside_others(stage: Stage, start: Starter) -> None:
    start("""
        release = asyncio.Event()

        @router.message(F.text == "wait")
        async def wait(message):
            await release.wait()
            await message.answer("waited")

        @router.message(F.text == "release")
        async def let_go(message):
            release.set()

        @router.message()
        async def other(message):
            await message.answer(message.text)
    """)
    ann, bob = stage.learner(learner_id=7), stage.learner(learner_id=8)
    for text in ("wait", "one", "two", "/start"):
        await ann.send(text)
    assert await texts(ann, 1) == ["Welcome"]  # a handler that waits delays no course
    await bob.send("three")
    assert await texts(bob, 1) == ["three"]
    await bob.send("release")
    assert await texts(ann, 4) == ["Welcome", "waited", "one", "two"]


# --- what a plugin can do -------------------------------------------------------------------------------------------


async def test_a_plugin_starts_courses(stage: Stage, start: Starter) -> None:
    stage.course(COURSE, "x/")
    start("""
        @router.message(Command("jump"))
        async def jump(message, course, learner, command):
            try:
                await course.start(learner.chat_id, *command.args.split())
            except CourseControlError as error:
                await message.answer(str(error))
    """)
    learner = stage.learner()
    await learner.send("/jump default")
    await learner.send("/jump default B")
    await learner.wait_for(said("Name?"))
    assert await texts(learner, 2) == ["Welcome", "Name?"]
    await learner.send("Ann")
    await learner.wait_for(said("Bye"))
    await learner.send("/jump other")
    await learner.wait_for(said("course.start: there is no course 'other'; there are: default"))
    await learner.send("/jump default Z")
    await learner.wait_for(said("course.start: the course 'default' has no element 'Z'"))
    assert (
        await query(stage, "SELECT chat_id, username, course_id FROM run ORDER BY run_id")
        == [(7, "learner7", "default")] * 2
    )


async def test_messages_of_a_plugin_are_in_order_with_those_of_the_course(stage: Stage, start: Starter) -> None:
    start("""
        @router.message(Command("both"))
        async def both(message, course, learner):
            await course.send(learner.chat_id, "<b>before</b>", parse_mode="HTML")
            await course.start(learner.chat_id, "default")
            await course.send(learner.chat_id, "after")
            for text, data in ((" ", "a"), ("x", "c:1:2:3"), ("x", "b" * 65)):
                try:
                    await course.send(learner.chat_id, text, buttons=[("label", data)])
                except CourseControlError as error:
                    await course.send(learner.chat_id, str(error))
    """)
    learner = stage.learner()
    await learner.send("/both")
    assert await texts(learner, 6) == [
        "before",
        "Welcome",
        "after",
        "course.send: the text is empty",
        "course.send: button data 'c:1:2:3' looks like the course's own; use another prefix",
        f"course.send: button data {'b' * 65!r} has 65 bytes; use 1 to 64",
    ]


async def test_a_plugin_knows_its_learners(stage: Stage, start: Starter) -> None:
    start("""
        @router.message(Command("me"))
        async def me(message, course, store, learner):
            for tag in ("a", "b", "a"):
                await course.tag(learner.chat_id, tag)
            gone = await course.untag(learner.chat_id, "b"), await course.untag(learner.chat_id, "b")
            facts = await store.learner(learner.chat_id)
            run = facts.run
            await message.answer(
                f"{facts.username} {facts.course_id} {run.element_id} {run.is_ended} {run.score:g}/{run.maxscore:g}"
                f" {sorted(facts.tags)} {gone} {await store.tagged('a')} {await store.learner(1)}"
            )
            await course.tag(learner.chat_id, "")
    """)
    learner = stage.learner()
    await learner.send("/start")
    await learner.press(await learner.wait_message())
    await learner.wait_for(said("Name?"))
    await learner.send("Ann")
    await learner.wait_for(said("Bye"))
    await learner.send("/me")
    await learner.wait_for(said("learner7 default C True 1/1 ['a'] (True, False) [7] None"))
    assert await query(stage, "SELECT botname, chat_id, tag FROM tag") == [("bot", 7, "a")]


async def test_a_conversation_survives_a_restart(stage: Stage, start: Starter) -> None:
    host = start("""
        class Order(StatesGroup):
            size = State()

        @router.message(Command("order"))
        async def order(message, state: FSMContext):
            await state.set_state(Order.size)
            await state.update_data(of="tea")
            await message.answer("how much?")

        @router.message(Order.size)
        async def size(message, state: FSMContext):
            await message.answer(f"{message.text} of {(await state.get_data())['of']}")
            await state.clear()
    """)
    learner = stage.learner()
    await learner.send("/order")
    await texts(learner, 1)
    await stage.stop(host)
    stage.start()
    await learner.send("a pot")
    await learner.wait_for(said("a pot of tea"))
    await learner.send("a cup")
    await learner.wait_for(said(EN.no_run))
    assert await query(stage, "SELECT count(*) FROM plugin_state") == [(0,)]


# --- what a plugin cannot do ----------------------------------------------------------------------------------------


async def test_a_handler_that_fails_is_reported_and_the_learner_told(
    stage: Stage, start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    before = counted("failed", "bot")
    start(
        PING
        + """
@router.message(F.text == "exit")
async def leave(message):
    raise SystemExit(1)

@router.message(F.text == "cancel")
async def cancel(message):
    raise asyncio.CancelledError

@router.message()
async def fail(message):
    raise ValueError("no such thing")
"""
    )
    learner = stage.learner()
    for number, text in enumerate(["oh", "exit", "cancel", "/ping"], 1):
        await learner.send(text)
        await texts(learner, number)
    assert await texts(learner, 4) == [EN.apology, EN.apology, EN.apology, "pong of bot"]
    output = capsys.readouterr().out
    assert "handler of the plugin failed" in output
    assert "ValueError: no such thing" in output
    assert 'raise ValueError("no such thing")' in output
    assert counted("failed", "bot") - before == 3


async def test_a_handler_that_is_too_slow_is_stopped(
    stage: Stage, start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    start(
        PING
        + """
time_limit = 0.2

@router.message(F.text == "stubborn")
async def stubborn(message):
    while True:
        try:
            await asyncio.sleep(0.5)
            break
        except asyncio.CancelledError:
            pass

@router.message()
async def slow(message):
    await asyncio.Event().wait()
"""
    )
    learner = stage.learner()
    for number, text in enumerate(["slow", "stubborn", "/ping"], 1):
        await learner.send(text)
        await texts(learner, number)
    assert await texts(learner, 3) == [EN.apology, EN.apology, "pong of bot"]
    assert "handler of the plugin was too slow, stopped" in capsys.readouterr().out


async def test_a_handler_that_blocks_the_process_is_named(
    stage: Stage, start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    start("""
        @router.message()
        async def block(message):
            time.sleep(1.2)
            await message.answer("done")
    """)
    learner = stage.learner()
    await learner.send("x")
    await learner.wait_for(said("done"))
    warning = await logged(capsys, "plugin blocks the process")
    assert "bot=bot" in warning
    assert "use asyncio.to_thread" in warning


async def test_a_plugin_that_is_flooded_delays_no_course(stage: Stage, start: Starter) -> None:
    refused, handled = counted("refused", "bot"), counted("handled", "bot")
    start("""
        release = asyncio.Event()

        @router.message(F.chat.id == 7)
        async def wait(message):
            await release.wait()

        @router.message()
        async def let_go(message):
            release.set()
    """)
    ann, bob = stage.learner(learner_id=7), stage.learner(learner_id=8)
    for _ in range(24):
        await ann.send("x")
    # One is with the handler, 19 wait, and what is more gets the course's hint.
    assert await texts(ann, 4) == [EN.no_run] * 4
    await ann.send("/start")
    await ann.wait_for(said("Welcome"))
    await bob.send("release")
    await until(lambda: counted("handled", "bot") - handled == 21)
    assert counted("refused", "bot") - refused == 4


async def test_a_plugin_of_one_bot_touches_no_other(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one/", "two/", "three/"):
        stage.course(COURSE, folder)
    stage.write("one/words.py", "WORD = 'first'\n")
    write(stage, "from .words import WORD\n" + PING.replace("pong of", "{WORD} pong of"), "one/")
    write(stage, "from aiogram import Dispatcher\nraise RuntimeError('broken')\n", "two/")
    bots = [
        stage.bot("a", "one/"), stage.bot("b", "one/"), stage.bot("c", "two/"), stage.bot("d", "three/"),
    ]  # fmt: skip
    host = stage.start(*bots)
    for bot, answer in [
        ("a", "first pong of a"),
        ("b", "first pong of b"),
        ("c", EN.unknown_command.format(name="ping")),
        ("d", EN.unknown_command.format(name="ping")),
    ]:
        learner = stage.learner(bot)
        await learner.send("/ping")
        assert await texts(learner, 1) == [answer]
    assert "two/handlers.py:10: RuntimeError: broken; plugin not loaded, the bot runs without it" in (
        capsys.readouterr().out
    )
    assert [bool(bot.plugin.kinds) for bot in host.bots] == [True, True, False, False]
    assert not list(stage.scripts.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("handlers", "problem"),
    [
        ("import words\n", "handlers.py:1: ModuleNotFoundError: No module named 'words'; write `from .words import"),
        ("import nowhere.x\n", "handlers.py:1: ModuleNotFoundError: No module named 'nowhere'; install nowhere in the"),
        ("x = 1\n\nif:\n", "handlers.py:3: SyntaxError: invalid syntax; plugin not loaded"),
        ("x = 1\n", "handlers.py: it has no `router`; write `router = aiogram.Router()`"),
        ("router = 1\n", "handlers.py: TypeError: router is int, not aiogram.Router"),
        ("from .. import x\n", "handlers.py:1: ImportError: attempted relative import beyond top-level package"),
        ("from .outside import x\n", "outside.py is a link that leads out of"),
        ("import sys\nsys.exit(2)\n", "handlers.py:2: SystemExit: 2"),
        ("from .bad import x\n", "bad.py:2: ZeroDivisionError: division by zero"),
        ("import aiogram\nrouter = aiogram.Router()\ntime_limit = 'a'\n", "time_limit: 'a' is no number of seconds"),
    ],
)
async def test_a_plugin_that_cannot_be_loaded(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str], handlers: str, problem: str
) -> None:
    stage.course(COURSE)
    stage.write("words.py", "x = 1\n")
    stage.write("bad.py", "x = 1\n1 / 0\n")
    (tmp_path / "secret.py").write_text("x = 1\n")
    (stage.scripts / "outside.py").symlink_to(tmp_path / "secret.py")
    stage.write("handlers.py", handlers)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await texts(learner, 1)
    assert problem in capsys.readouterr().out


async def test_an_import_that_hangs_keeps_no_bot_from_running(
    stage: Stage, start: Starter, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "LOAD_SECONDS", 0.3)
    start("time.sleep(3)\n")
    learner = stage.learner()
    await learner.send("/start")
    assert await texts(learner, 1) == ["Welcome"]
    assert "handlers.py: not loaded within 0.3 s; plugin not loaded, the bot runs without it" in capsys.readouterr().out


STUBBORN = """
@router.startup()
async def begin():
    while not asyncio.current_task().cancelling() > 1:
        try:
            await asyncio.sleep(60)
        except:
            pass
"""
CANCELLED = """
@router.startup()
async def begin():
    asyncio.current_task().cancel()
    await asyncio.sleep(60)
"""


@pytest.mark.parametrize(
    ("handlers", "problem"),
    [(STUBBORN, "handlers.py: not loaded within 0.3 s"), (CANCELLED, "RuntimeError: it was cancelled by itself")],
    ids=["stubborn", "cancelled"],
)
async def test_a_startup_that_does_not_end_well_keeps_no_bot_from_running(
    start: Starter,
    stage: Stage,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    handlers: str,
    problem: str,
) -> None:
    monkeypatch.setattr(plugins, "LOAD_SECONDS", 0.3 if handlers == STUBBORN else 30.0)
    start(handlers)
    learner = stage.learner()
    await learner.send("/start")
    assert await texts(learner, 1) == ["Welcome"]
    assert f"{problem}; plugin not loaded, the bot runs without it" in capsys.readouterr().out


def test_who_has_no_plugin_pays_for_none() -> None:
    code = "import sys, app.runtime.main; print('aiogram' in sys.modules, 'app.telegram.plugins' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# --- life -----------------------------------------------------------------------------------------------------------


async def test_a_plugin_is_read_again_when_a_file_of_it_changes(
    stage: Stage, start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.write("words.py", "WORD = 'one'\n")
    handlers = """
from .words import WORD

@router.shutdown()
async def bye(bot_name):
    print(f"goodbye from {WORD} of {bot_name}")
"""
    host = start(handlers + PING.replace("pong of", "{WORD} of"))
    learner = stage.learner()
    await learner.send("/ping")
    await learner.wait_for(said("one of bot"))
    stage.write("words.py", "WORD = 'two'\n")
    await logged(capsys, "goodbye from one of bot")
    await until(lambda: bool(host.bots[0].plugin.kinds))
    await learner.send("/ping")
    await learner.wait_for(said("two of bot"))

    stage.write("words.py", "WORD = \n")
    assert "words.py:1: SyntaxError" in await logged(capsys, "it runs on as it was")
    await learner.send("/ping")
    assert (await texts(learner, 3))[-1] == "two of bot"

    (stage.scripts / "handlers.py").unlink()
    await until(lambda: not host.bots[0].plugin.kinds)
    await learner.send("/ping")
    await learner.wait_for(said(EN.unknown_command.format(name="ping")))


async def test_a_plugin_that_comes_later(stage: Stage) -> None:
    stage.course(COURSE)
    host = stage.start()
    learner = stage.learner()
    await learner.send("/ping")
    await learner.wait_for(said(EN.unknown_command.format(name="ping")))
    write(stage, PING)
    await until(lambda: bool(host.bots[0].plugin.kinds))
    await learner.send("/ping")
    await learner.wait_for(said("pong of bot"))


async def test_a_stop_lets_handlers_finish(stage: Stage, start: Starter) -> None:
    host = start("""
        begun = asyncio.Event()

        @router.message()
        async def slow(message, course):
            await message.answer("begun")
            await asyncio.sleep(0.5)
            await course.send(message.chat.id, "ended")
    """)
    learner = stage.learner()
    await learner.send("x")
    await texts(learner, 1)
    await stage.stop(host)
    assert await texts(learner, 2) == ["begun", "ended"]


async def test_a_plugin_after_the_database_was_away(stage: Stage, start: Starter) -> None:
    host = start(
        PING
        + """
@router.message(Command("wait"))
async def wait(message):
    await message.answer("begun")
    await asyncio.Event().wait()
"""
    )
    learner = stage.learner()
    await learner.send("/wait")
    await texts(learner, 1)
    async with outage(stage):
        # Another host could have the bot now: the handler is stopped, and the plugin given up.
        await until(lambda: not host.bots[0].plugin.kinds)
    await learner.send("/ping")
    assert await texts(learner, 2) == ["begun", "pong of bot"]


async def test_the_plugin_of_the_lighthouse(stage: Stage) -> None:
    shutil.copytree(ROOT / "scripts/lighthouse", stage.scripts / "lighthouse")
    stage.start(stage.bot("lighthouse", "lighthouse/"))
    learner = stage.learner("lighthouse")
    await learner.send("/start")
    await texts(learner, 1)
    await learner.send("/tide")
    message = (await learner.wait_for(said("High water at"))).by_bot[-1]
    notice = await learner.wait_notice(await learner.press(message, "Enter it in the logbook"))
    assert notice.text == "Entered. Keepers who watch the tide: 1"
    await learner.press((await learner.transcript()).by_bot[0])
    await learner.wait_for(said("Augustin Fresnel"))


async def test_the_example_of_the_documentation(stage: Stage) -> None:
    stage.course(COURSE)
    stage.write("courses.yml", "default: {path: course.yml}\nknots: {path: course.yml}\n")
    _, _, example = (ROOT / "docs/plugins.md").read_text(encoding="utf-8").partition("```python\n")
    stage.write("handlers.py", example.partition("```")[0])
    stage.start()
    learner = stage.learner()
    for number, text in enumerate(["/result", "/start", "/result", "/feedback", "Shorter", "/again"], 1):
        await learner.send(text)
        await texts(learner, number)
    assert await texts(learner, 6) == [
        "You have not begun yet: /start",
        "Welcome",
        "0 of 0 points",
        "What could be better?",
        "Thank you!",
        "Once more?",
    ]
    await learner.press((await learner.transcript()).by_bot[-1], "Knots")
    await learner.wait_for(said("Welcome"))
    assert await query(stage, "SELECT chat_id, tag FROM tag") == [(7, "gave feedback")]
    assert await query(stage, "SELECT course_id FROM run ORDER BY run_id") == [("default",), ("knots",)]
