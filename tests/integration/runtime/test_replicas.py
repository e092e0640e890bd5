"""Several processes for one bot: they share the updates of a webhook; of a polled bot the second waits for its turn."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.config.settings import BotSettings, Mode, WebhookSettings
from app.runtime import keeper
from app.runtime.bot import State
from app.runtime.host import Host
from app.runtime.keeper import Pace
from app.runtime.webhook import SECRET_HEADER
from app.sandbox.client import Transcript
from tests.integration.runtime.test_kill import recorded, resent, seen
from tests.stage import Stage, outage, play, said, until

SECRET = "s3cret"
COURSE = """
    Ready: {type: message, text: hello, button: Go}
    Quiz:
      type: quiz
      text: quiz
      answers: [{text: right, correct: yes, feedback: well guessed}, {text: wrong}]
    Typed: {type: input, text: enter, correct_answer: well, feedback_correct: well typed}
    Wait: {type: delay, wait: 1s, goto: Multi}
    Multi:
      type: multi_choice
      text: multi
      answers: [{text: a, correct: yes}, {text: b}]
      feedback_correct: well chosen
    End: {type: end, text: Goodbye}
"""
ANSWERS = {"enter": "well"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Balancer:
    """What a proxy does before replicas: each request goes to the next of them, and a refused one to nobody."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.taken: dict[int, int] = {}
        self.refused = 0
        """A learner whose updates do not get through."""
        self._turns = count()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/webhook/bot"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Balancer]:
        app = web.Application()
        app.router.add_post("/webhook/bot", self._pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._http:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self._port = runner.addresses[0][1]
                yield self
        finally:
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        port = self.ports[next(self._turns) % len(self.ports)]
        url = f"http://127.0.0.1:{port}{request.path}"
        body = await request.read()
        if self.refused and f'"id": {self.refused},'.encode() in body:
            return web.Response(status=502)
        headers = {SECRET_HEADER: request.headers.get(SECRET_HEADER, "")}
        try:
            async with self._http.post(url, data=io.BytesIO(body), headers=headers) as response:
                answer = await response.read()
        except aiohttp.ClientError:
            return web.Response(status=502)
        self.taken[port] = self.taken.get(port, 0) + (response.status == 200)
        return web.Response(status=response.status, body=answer)


@pytest.fixture
async def balancer() -> AsyncIterator[Balancer]:
    async with Balancer().running() as balancer:
        yield balancer


def hooked(stage: Stage, balancer: Balancer, **more: object) -> BotSettings:
    webhook = WebhookSettings(balancer.url, SECRET, max_connections=100)
    return stage.bot(mode=Mode.WEBHOOK, webhook=webhook, **more)


def replica(stage: Stage, balancer: Balancer, **more: object) -> Host:
    """Start a replica in this process."""
    stage.listen = ("127.0.0.1", free_port())
    balancer.ports.append(stage.listen[1])
    return stage.start(hooked(stage, balancer, **more))


async def spawned(stage: Stage, balancer: Balancer, port: int) -> asyncio.subprocess.Process:
    """Start a replica in a process of its own, at a port."""
    if port not in balancer.ports:
        balancer.ports.append(port)
    return await stage.spawn(
        BOT_MODE="webhook", WEBHOOK_URL=balancer.url, WEBHOOK_SECRET_TOKEN=SECRET, PAGES_PORT=str(port)
    )


async def undisturbed(stage: Stage) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return what a learner sees and what is recorded when one process polls and nothing fails."""
    host = stage.start()
    learner = stage.learner(learner_id=1)
    await learner.send("/start")
    chat = await play(learner, said("Goodbye"), ANSWERS)
    await stage.stop(host)
    return seen(chat), recorded(stage, 1)


def learn(stage: Stage, learner_id: int, **more: object) -> Awaitable[Transcript]:
    async def learn() -> Transcript:
        learner = stage.learner(learner_id=learner_id)
        await learner.send("/start")
        return await play(learner, said("Goodbye"), ANSWERS, patience=200, **more)  # type: ignore[arg-type]

    return asyncio.create_task(learn())


async def states(*hosts: Host) -> None:
    """Wait until one host leads and the others take part."""
    wanted = sorted([State.WEBHOOK, *[State.STANDBY] * (len(hosts) - 1)])
    await until(lambda: sorted(bot.state for host in hosts for bot in host.bots) == wanted)


def nothing_is_left(stage: Stage) -> None:
    for table in ("outbox", "dead_update", "job", "waiting_element WHERE is_waiting"):
        assert stage.query(f"SELECT count(*) FROM {table}") == [(0,)]


@pytest.mark.timeout(400)
async def test_two_replicas_share_two_hundred_learners(stage: Stage, balancer: Balancer) -> None:
    stage.course(COURSE)
    texts, rows = await undisturbed(stage)
    hosts = [replica(stage, balancer) for _ in range(2)]
    await states(*hosts)
    ids = range(100, 300)
    chats = await asyncio.gather(*[learn(stage, learner_id) for learner_id in ids])
    for learner_id, chat in zip(ids, chats, strict=True):
        assert seen(chat) == texts
        assert recorded(stage, learner_id) == rows
    for host in hosts:
        await stage.stop(host)
    nothing_is_left(stage)
    assert min(balancer.taken.values()) > 200


async def test_many_short_messages_come_in_order(stage: Stage, balancer: Balancer) -> None:
    """Telegram waits for no answer before it delivers what another person wrote; one person's texts are in order."""
    stage.course("\n".join(f"Q{number}: {{type: input, text: question {number}}}" for number in range(1, 41)))
    hosts = [replica(stage, balancer) for _ in range(2)]
    await states(*hosts)
    await stage.client.add_fault("429", method="sendMessage", times=1, retry_after=1)
    learners = [stage.learner(learner_id=learner_id) for learner_id in range(100, 110)]
    for learner in learners:
        await learner.send("/start")
        for number in range(1, 40):
            await learner.send(str(number))
    for learner in learners:
        chat = await learner.wait_for(said("question 40"), 60)
        assert seen(chat) == [f"question {number}" for number in range(1, 41)]


@pytest.mark.timeout(400)
async def test_replicas_are_killed_in_turn(stage: Stage, balancer: Balancer) -> None:
    stage.course(COURSE)
    texts, rows = await undisturbed(stage)
    order, ports = random.Random(4), [free_port(), free_port()]
    processes = {port: await spawned(stage, balancer, port) for port in ports}
    progress: asyncio.Queue[None] = asyncio.Queue()
    ids = range(100, 150)
    learning = [
        learn(stage, learner_id, on_progress=lambda: progress.put_nowait(None), knows_repeats=True)
        for learner_id in ids
    ]
    repeats = 0
    for turn in range(6):
        for _ in range(order.randint(10, 30)):
            await progress.get()
        victim = ports[turn % 2]
        processes[victim].kill()
        repeats += resent(await processes[victim].communicate())
        processes[victim] = await spawned(stage, balancer, victim)
    chats = await asyncio.gather(*learning)
    for process in processes.values():
        process.terminate()
        repeats += resent(await process.communicate())
        assert process.returncode == 0
    for learner_id, chat in zip(ids, chats, strict=True):
        assert list(dict.fromkeys(seen(chat))) == texts
        assert recorded(stage, learner_id) == rows
    assert sum(len(chat.by_bot) - len(texts) for chat in chats) <= repeats
    nothing_is_left(stage)


async def test_what_a_killed_replica_had_to_send_is_sent_by_another(stage: Stage, balancer: Balancer) -> None:
    """Nothing is written to the bot any more: the other replica finds by itself what is left."""
    stage.course(COURSE)
    port = free_port()
    first = await spawned(stage, balancer, port)
    await stage.client.add_fault("500", method="sendMessage", times=1000)
    learner = stage.learner()
    await learner.send("/start")
    await until(lambda: stage.query("SELECT count(*) FROM outbox") == [(1,)])
    host = replica(stage, balancer)
    await until(lambda: [bot.state for bot in host.bots] == [State.STANDBY])
    first.kill()
    await first.wait()
    await stage.client.clear_faults()
    await learner.wait_for(said("hello"), 30)


async def test_the_database_is_away_for_both_replicas(stage: Stage, balancer: Balancer) -> None:
    stage.course(COURSE)
    texts, rows = await undisturbed(stage)
    hosts = [replica(stage, balancer) for _ in range(2)]
    await states(*hosts)
    progress: asyncio.Queue[None] = asyncio.Queue()
    ids = range(100, 130)
    learning = [
        learn(stage, learner_id, on_progress=lambda: progress.put_nowait(None), knows_repeats=True)
        for learner_id in ids
    ]
    for _ in range(3):
        for _ in range(20):
            await progress.get()
        async with outage(stage):
            await until(lambda: all(bot.state is State.STARTING for host in hosts for bot in host.bots))
    chats = await asyncio.gather(*learning)
    for learner_id, chat in zip(ids, chats, strict=True):
        assert list(dict.fromkeys(seen(chat))) == texts
        assert recorded(stage, learner_id) == rows
    await states(*hosts)
    for host in hosts:
        await stage.stop(host)
    nothing_is_left(stage)


async def chatter(stage: Stage, learner_id: int, ended: asyncio.Event) -> None:
    """Write to the bot again and again, each time when it has answered."""
    learner = stage.learner(learner_id=learner_id)
    while not ended.is_set():
        await learner.wait_message(await learner.send("/start"))


async def test_what_a_replica_takes_counts_as_delivered(
    stage: Stage, balancer: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One learner's updates do not get through, and the leader gets none at all; the webhook works all the same."""
    monkeypatch.setattr(keeper, "PACE", Pace(check=0.2, trial=0.2, patience=1.0, polling=60.0))
    stage.course("Q: {type: input, text: question}\nE: {type: end, text: Goodbye}")
    leader = replica(stage, balancer, fallback=Mode.POLLING)
    await states(leader)
    balancer.ports.clear()
    other = replica(stage, balancer, fallback=Mode.POLLING)
    await states(leader, other)
    balancer.refused, ended = 8, asyncio.Event()
    lost = stage.learner(learner_id=8)
    await lost.send("/start")
    chatting = asyncio.create_task(chatter(stage, 9, ended))
    looks: set[object] = set()

    def has_looked_often() -> bool:
        looks.add(leader.bots[0].webhook_checked_at)
        return len(looks) > 12

    await until(has_looked_often)
    assert leader.bots[0].state is State.WEBHOOK
    ended.set()
    await chatting
    await until(lambda: leader.bots[0].state is State.POLLING)
    await lost.wait_for(said("question"))


# --- a polled bot and its standby -----------------------------------------------------------------------------------


async def test_a_standby_goes_on_when_the_first_is_killed(stage: Stage) -> None:
    stage.course(COURSE)
    first = await stage.spawn()
    learner = stage.learner()
    await learner.send("/start")
    chat = await learner.wait_for(said("hello"))
    host = stage.start()
    await until(lambda: [bot.state for bot in host.bots] == [State.STANDBY])
    first.kill()
    await learner.press(chat.by_bot[-1])
    await play(learner, said("Goodbye"), ANSWERS)


class Wire:
    """The network between a host and the database, which can be cut: then nothing comes through, nor is it refused."""

    def __init__(self, database_url: str) -> None:
        parameters = conninfo_to_dict(database_url)
        self._socket = Path(str(parameters["host"])) / f".s.PGSQL.{parameters['port']}"
        self._database_url = database_url
        self._is_cut = False
        self._hosts: set[asyncio.StreamWriter] = set()
        self._backends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        """Lay the wire, and return the address of the database behind it."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        try:
            yield make_conninfo(self._database_url, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._hosts | self._backends:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    def cut(self) -> None:
        """Cut it; the server finds out, as its keepalives do, while the host waits for an answer."""
        self._is_cut = True
        for backend in self._backends:
            backend.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hosts.add(writer)
        if self._is_cut:
            return
        back_reader, back_writer = await asyncio.open_unix_connection(self._socket)
        self._backends.add(back_writer)
        for work in (self._carry(reader, back_writer), self._carry(back_reader, writer)):
            self._tasks.add(asyncio.create_task(work))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (content := await source.read(65536)) and not self._is_cut:
                sink.write(content)
                await sink.drain()
        if not self._is_cut:
            sink.close()


async def test_a_standby_goes_on_when_the_first_is_cut_off(stage: Stage) -> None:
    stage.course(COURSE)
    wire = Wire(stage.database_url)
    async with wire.laid() as url:
        first = await stage.spawn(DATABASE_URL=url)
        learner = stage.learner()
        await learner.send("/start")
        chat = await learner.wait_for(said("hello"))
        host = stage.start()
        await until(lambda: [bot.state for bot in host.bots] == [State.STANDBY])
        wire.cut()
        await learner.press(chat.by_bot[-1])
        chat = await play(learner, said("Goodbye"), ANSWERS, patience=60, knows_repeats=True)
        first.kill()
    assert stage.query("SELECT count(*) FROM run") == [(1,)]
    assert [row[0] for row in recorded(stage, 7) if row[1] == "user"] == ["Ready", "Quiz", "Typed", "Multi"]


# --- many bots in one process ---------------------------------------------------------------------------------------


Trouble = Callable[[Stage, str], Awaitable[None]]


async def storm(stage: Stage, bot: str) -> None:
    await stage.client.add_fault("429", bot=bot, times=100_000, retry_after=30)


async def hang(stage: Stage, bot: str) -> None:
    await stage.client.add_fault("delay", bot=bot, times=100_000, seconds=600)


async def revoked(stage: Stage, bot: str) -> None:
    await stage.client.revoke(bot)


async def broken(stage: Stage, bot: str) -> None:
    await stage.client.add_fault("drop_before", bot=bot, times=100_000)


@pytest.mark.parametrize("trouble", [storm, hang, revoked, broken])
async def test_a_bots_trouble_is_nobody_elses(stage: Stage, trouble: Trouble) -> None:
    stage.course(COURSE)
    names = [f"bot{number}" for number in range(10)]
    host = stage.start(*[stage.bot(name) for name in names])
    await until(lambda: len(host.bots) == 10 and all(bot.state is State.POLLING for bot in host.bots))
    ill = stage.learner("bot0", 100)
    await ill.send("/start")
    await ill.wait_for(said("hello"))
    await trouble(stage, stage.bot("bot0").token)
    for learner_id in range(101, 131):
        await stage.learner("bot0", learner_id).send("/start")

    async def learn(name: str, learner_id: int) -> list[str]:
        learner = stage.learner(name, learner_id)
        await learner.send("/start")
        return seen(await play(learner, said("Goodbye"), ANSWERS, patience=60))

    everybody = await asyncio.gather(*[learn(name, learner_id) for name in names[1:] for learner_id in (1, 2, 3)])
    assert all(texts == everybody[0] for texts in everybody)
    assert [bot.state for bot in host.bots[1:]] == [State.POLLING] * 9
    await stage.client.clear_faults()


@pytest.mark.timeout(400)
async def test_a_thousand_bots_in_one_process(stage: Stage) -> None:
    stage.course("A: {type: message, text: one, button: On}\nB: {type: end, text: Goodbye}")
    names = [f"bot{number}" for number in range(1000)]
    host = stage.start(*[stage.bot(name) for name in names])
    await until(lambda: len(host.bots) == 1000 and all(bot.state is State.POLLING for bot in host.bots), 200)
    connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert stage.query(connections) <= [(5,)]

    async def learn(name: str) -> list[str]:
        learner = stage.learner(name)
        await learner.send("/start")
        return seen(await play(learner, said("Goodbye"), patience=60))

    assert await asyncio.gather(*[learn(name) for name in names[::20]]) == [["one", "Goodbye"]] * 50
