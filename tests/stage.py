"""A stage for tests: a sandbox, a database and hosts in this process, and a learner who plays courses by script."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.config.settings import AlertSettings, BotSettings, HostSettings
from app.config.tokens import ALERTS, sandbox_token
from app.course.course import Course
from app.course.element import Dialog, End, Input
from app.course.markup import parse
from app.runtime.host import Host
from app.sandbox.client import LearnerClient, Message, SandboxClient, Transcript
from tests.database import query


class Stage:
    """Runs hosts against one sandbox and one database; ``scripts`` is an empty folder for courses.

    Hosts that start serve their pages at ``listen``, if it is set; with ``has_limits`` they keep Telegram's limits,
    with ``alerts`` they report failures.
    """

    def __init__(self, sandbox_url: str, client: SandboxClient, database_url: str, scripts: Path) -> None:
        self.sandbox_url = sandbox_url
        self.client = client
        self.database_url = database_url
        self.scripts = scripts
        self.listen: tuple[str, int] | None = None
        self.has_limits: bool | None = None
        self.alerts: AlertSettings | None = None
        self._running: dict[Host, asyncio.Task[None]] = {}
        self._processes: list[asyncio.subprocess.Process] = []

    def write(self, file: str, text: str) -> None:
        """Write a file below ``scripts``; the text may be indented."""
        path = self.scripts / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def course(self, text: str, folder: str = "") -> None:
        """Make this the default course of a folder."""
        self.write(f"{folder}courses.yml", "default: {path: course.yml}")
        self.write(f"{folder}course.yml", text)

    def bot(self, name: str = "bot", folder: str = "", **more: object) -> BotSettings:
        """Return the settings of a bot with the sandbox token of its name; it speaks English unless told otherwise."""
        chosen: dict[str, Any] = {"language": "en", **more}
        return BotSettings(name=name, bot_name=name, token=sandbox_token(name), folder=folder, **chosen)

    def settings(self, *bots: BotSettings) -> HostSettings:
        """Return the settings of a host with these bots, by default one."""
        return HostSettings(
            bots or (self.bot(),),
            self.database_url,
            self.sandbox_url,
            self.scripts,
            self.listen,
            self.has_limits,
            alerts=self.alerts,
        )

    def start(self, *bots: BotSettings) -> Host:
        """Start a host with these bots, by default one."""
        host = Host(self.settings(*bots))
        self._running[host] = asyncio.create_task(host.run())
        return host

    async def operator(self, learner_id: int = 99) -> LearnerClient:
        """Return whom hosts that are started from now on, also by ``spawn``, report failures to."""
        operator = self.learner(ALERTS, learner_id)
        await operator.send("/start")
        self.alerts = AlertSettings(str(learner_id), sandbox_token(ALERTS))
        return operator

    async def stop(self, host: Host) -> None:
        """Stop a host as SIGTERM does."""
        host.stop()
        await self._running.pop(host)

    async def spawn(self, name: str = "bot", folder: str = "", **more: str) -> asyncio.subprocess.Process:
        """Start a host in a process of its own, as a container does; end it with ``kill`` or ``terminate``.

        ``more`` are further variables of its environment.
        """
        environment = {
            **os.environ,
            "BOT_NAME": name,
            "BOT_FOLDER": folder,
            "BOT_API_TOKEN": sandbox_token(name),
            "DATABASE_URL": self.database_url,
            "TELEGRAM_API_URL": self.sandbox_url,
            "LANGUAGE": "en",
            "PYTHONPATH": str(Path(__file__).parent.parent),
            **({"ALERTS_CHAT_ID": self.alerts.chat_id, "ALERTS_BOT_TOKEN": self.alerts.token} if self.alerts else {}),
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", cwd=self.scripts.parent, env=environment, stderr=asyncio.subprocess.PIPE
        )
        self._processes.append(process)
        return process

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on the database beside the hosts, committed at once, and return its rows."""
        return query(self.database_url, statement, *parameters)

    async def ended(self, host: Host) -> None:
        """Wait until a host ends by itself, and raise what it raises."""
        await self._running.pop(host)

    async def close(self) -> None:
        """Stop all hosts."""
        for host in list(self._running):
            await self.stop(host)
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def learner(self, bot: str = "bot", learner_id: int = 7, **profile: str) -> LearnerClient:
        """Return a learner of a bot; their username is ``learnerN`` unless given."""
        return self.client.learner(sandbox_token(bot), learner_id, **{"username": f"learner{learner_id}", **profile})


@contextlib.asynccontextmanager
async def outage(stage: Stage) -> AsyncIterator[None]:
    """Keep everybody out of the stage's database meanwhile."""
    name = str(conninfo_to_dict(stage.database_url)["dbname"])
    server_url = make_conninfo(stage.database_url, dbname="postgres")
    async with await AsyncConnection.connect(server_url, autocommit=True) as server:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        await server.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            await server.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a state of this process that announces itself to nobody."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def script_of(course: Course) -> tuple[dict[str, str], Callable[[Transcript], bool]]:
    """Return how a learner gets through a course: what to answer to which question, and how to tell the end."""
    answers, ends = {}, set()
    for element in course.elements.values():
        match element:
            case Input():
                answers[_plain(element)] = element.correct_answer or "well"
            case Dialog():
                answers[_plain(element)] = "Good evening!"
            case End():
                ends.add(_plain(element))
    return answers, lambda chat: chat.last is not None and chat.last.text.strip() in ends


def _plain(element: Dialog | End | Input) -> str:
    return parse(element.text, element.parse_mode).plain.strip()


async def play(
    learner: LearnerClient,
    until: Callable[[Transcript], bool],
    answers: Mapping[str, str] | None = None,
    on_progress: Callable[[], None] = lambda: None,
    patience: float = 20.0,
    choose: Callable[[int], int] = lambda _: 0,
    knows_repeats: bool = False,
) -> Transcript:
    """Go through a course until the chat fulfils a condition: press the first button, vote for the first option, send
    a page back as it is.

    ``answers`` maps a part of a question to what is typed in reply to it; ``patience`` is for each single step, in
    seconds; ``choose`` picks one of so many buttons; who ``knows_repeats`` ignores what looks like an earlier message.
    """
    done: set[int | str] = set()
    while True:
        on_progress()
        chat = await learner.wait_for(
            lambda chat: until(chat) or _task(chat, done, answers or {}) is not None,  # noqa: B023 - awaited at once
            patience,
        )
        task = _task(chat, done, answers or {})
        if until(chat) or task is None:
            return chat
        done |= {task.id, _look(task)} if knows_repeats else {task.id}
        if task.buttons and task.buttons[0].app_url:
            await send_page(learner, task)
        elif task.buttons:
            await learner.press(task, choose(len(task.buttons)))
        elif task.poll:
            await learner.vote(task, 0)
        else:
            await learner.send(next(answer for part, answer in (answers or {}).items() if part in task.text))


async def send_page(learner: LearnerClient, message: Message, answer: str = "well") -> dict[str, Any]:
    """Open the mini app of a message, answer its question over HTTP as its page does, and return what it is told."""
    app = await learner.open_app(message)
    address, _, number = app.url.partition("#")[0].rpartition("/")
    body = {"conversation_id": int(number), "answer": answer, "init_data": app.init_data}
    async with aiohttp.ClientSession() as http, http.post(f"{address}/api/submit_response", json=body) as response:
        told: dict[str, Any] = await response.json()
        return told


def _look(message: Message) -> str:
    return message.poll.question if message.poll else message.text


def _task(chat: Transcript, done: set[int | str], answers: Mapping[str, str]) -> Message | None:
    last = chat.last
    if last is None or last.id in done or _look(last) in done:
        return None
    is_open = last.poll is not None and last.poll.vote is None and not last.poll.is_closed
    is_asked = any(part in last.text for part in answers)
    return last if last.buttons or is_open or is_asked else None


def said(text: str) -> Callable[[Transcript], bool]:
    """Return the condition that the bot's last message contains a text."""
    return lambda chat: chat.last is not None and text in chat.last.text
