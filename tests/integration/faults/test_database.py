"""PostgreSQL in trouble: hosts stay up, stop acknowledging, go on by themselves, and lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.runtime.bot import State
from app.runtime.host import Host
from app.sandbox.client import SandboxClient, Transcript
from app.sandbox.server import Sandbox
from tests.database import query
from tests.integration.faults.ledger import dead, once, pending, recorded, seen
from tests.integration.faults.server import Server
from tests.proxy import Wire
from tests.stage import Stage, play, said, until

COURSE = "\n".join(
    f"""
Ready_{part}: {{type: message, text: ready {part}, button: Go}}
Quiz_{part}:
  type: quiz
  text: quiz {part}
  answers: [{{text: a, correct: yes, feedback: right {part}}}, {{text: b}}]
Name_{part}: {{type: input, text: name {part}, correct_answer: Anna, feedback_correct: well {part}}}
"""
    for part in (1, 2, 3)
)
ANSWERS = {f"name {part}": "Anna" for part in (1, 2, 3)}
LEARNERS = range(100, 112)
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'fleet'"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server(server_folder: Path) -> Iterator[Server]:
    """A PostgreSQL of this test."""
    server = Server(server_folder / "first")
    server.start()
    yield server
    server.close()


@asynccontextmanager
async def stage_on(database_url: str, scripts: Path) -> AsyncIterator[Stage]:
    await asyncio.to_thread(scripts.mkdir)
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        stage = Stage(sandbox.url, client, database_url, scripts)
        stage.course(COURSE + "End: {type: end, text: Goodbye}")
        yield stage
        await stage.close()


@pytest.fixture
async def stage(server: Server, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage on that server."""
    async with stage_on(await asyncio.to_thread(server.database), tmp_path / "scripts") as stage:
        yield stage


async def has_state(host: Host, state: State) -> None:
    await until(lambda: bool(host.bots) and host.bots[0].state is state, 60)


async def nothing_pending(database_url: str) -> None:
    async with asyncio.timeout(30):
        while await asyncio.to_thread(pending, database_url):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Class:
    """Learners who go through the course; ``progress`` counts their steps."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._progress: asyncio.Queue[None] = asyncio.Queue()
        self._learning = [asyncio.create_task(self._learn(number)) for number in LEARNERS]

    async def _learn(self, number: int) -> Transcript:
        learner = self.stage.learner(learner_id=number)
        await learner.send("/start")
        return await play(learner, said("Goodbye"), ANSWERS, self._note, patience=100, knows_repeats=True)

    def _note(self) -> None:
        self._progress.put_nowait(None)

    async def progress(self, steps: int) -> None:
        """Wait until so many steps are done."""
        async with asyncio.timeout(100):
            for _ in range(steps):
                await self._progress.get()

    async def check(self, database_url: str) -> None:
        """Wait for all, and see that nothing is lost, doubled or out of order."""
        chats = await asyncio.gather(*self._learning)
        await self.stage.client.wait_idle(self.stage.bot().token)
        await nothing_pending(database_url)
        texts = [f"{kind} {part}" for part in (1, 2, 3) for kind in ("ready", "quiz", "right", "name", "well")]
        first = recorded(database_url, LEARNERS[0])
        for number, chat in zip(LEARNERS, chats, strict=True):
            assert once(seen(chat)) == [*texts, "Goodbye"]
            assert recorded(database_url, number) == first
        assert len(first) == 25
        assert dead(database_url) == 0
        assert sum(len(seen(chat)) - len(texts) - 1 for chat in chats) == 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart(server: Server, stage: Stage, mode: str) -> None:
    host = stage.start()
    await has_state(host, State.POLLING)
    school = Class(stage)
    for _ in range(3):
        await school.progress(15)
        await asyncio.to_thread(server.restart, mode)
    await school.check(stage.database_url)
    assert host.bots[0].state is State.POLLING


async def test_connections_that_drop_again_and_again(server: Server, stage: Stage) -> None:
    host = stage.start()
    await has_state(host, State.POLLING)
    school = Class(stage)
    for _ in range(6):
        await school.progress(10)
        await asyncio.to_thread(server.execute, TERMINATE)
    await school.check(stage.database_url)
    assert host.bots[0].state is State.POLLING


async def test_nothing_is_acknowledged_while_the_database_is_down(server: Server, stage: Stage) -> None:
    host = stage.start()
    await has_state(host, State.POLLING)
    await asyncio.to_thread(server.stop)
    learners = [stage.learner(learner_id=number) for number in LEARNERS]
    for learner in learners:
        await learner.send("/start")
    await has_state(host, State.STARTING)
    assert (await stage.client.bots())[0]["pending_updates"] == len(learners)
    assert not host.is_healthy
    await asyncio.to_thread(server.start)
    for learner in learners:
        await learner.wait_for(said("ready 1"), patience=60)
    await has_state(host, State.POLLING)
    assert host.is_healthy
    await nothing_pending(stage.database_url)


async def test_a_database_that_refuses_to_write(
    server: Server, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    await has_state(stage.start(), State.POLLING)
    school = Class(stage)
    await school.progress(20)
    await asyncio.to_thread(server.set, "default_transaction_read_only", "on")
    await refused(capsys, "cannot execute INSERT in a read-only transaction")
    assert (await stage.client.bots())[0]["pending_updates"] > 0
    await asyncio.to_thread(server.set, "default_transaction_read_only", "off")
    await school.check(stage.database_url)


async def refused(capsys: pytest.CaptureFixture[str], reason: str) -> None:
    """Wait until the host says that the database refuses."""
    log = ""

    def is_said() -> bool:
        nonlocal log
        log += capsys.readouterr().out
        return "database unavailable" in log and reason in log

    await until(is_said, 60)


@pytest.fixture
def small_disk(server: Server, tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB that PostgreSQL may use."""
    disk = server.folder.parent / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0755", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    server.own(disk)
    yield disk
    server.close()
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_a_full_disk(
    server: Server, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = small_disk / "space"
    place.mkdir()
    server.own(place)
    await asyncio.to_thread(server.execute, f"CREATE TABLESPACE small LOCATION '{place}'")
    url = await asyncio.to_thread(server.database, "fleet", "TABLESPACE small")
    async with stage_on(url, tmp_path / "scripts") as stage:
        host = stage.start()
        await has_state(host, State.POLLING)
        ballast = small_disk / "ballast"
        fill(ballast)
        school = Class(stage)
        await refused(capsys, "No space left on device")
        assert (await stage.client.bots())[0]["pending_updates"] > 0
        ballast.unlink()
        await school.check(url)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))


@pytest.fixture
def pair(server: Server, server_folder: Path) -> Iterator[tuple[Server, Server]]:
    """A primary and a standby that has all its commits."""
    server.database()
    standby = server.standby(server_folder / "second")
    standby.start()
    server.set("synchronous_standby_names", "'standby'")
    yield server, standby
    standby.close()


@pytest.mark.parametrize("way", ["several hosts in DATABASE_URL", "an address that leads elsewhere"])
async def test_a_failover(pair: tuple[Server, Server], tmp_path: Path, way: str) -> None:
    first, second = pair
    async with Wire(first.socket) as wire:
        if way.startswith("several"):
            hosts = ",".join(str(conninfo_to_dict(one.url)["host"]) for one in pair)
            url = make_conninfo(first.url, dbname="fleet", host=hosts, target_session_attrs="read-write")
        else:
            url = make_conninfo(f"postgresql://postgres@127.0.0.1:{wire.port}/fleet")
        async with stage_on(url, tmp_path / "scripts") as stage:
            host = stage.start()
            await has_state(host, State.POLLING)
            school = Class(stage)
            await school.progress(40)
            await asyncio.to_thread(first.stop, "immediate")
            wire.lead_to(second.socket)  # which only reads
            await has_state(host, State.STARTING)
            await asyncio.to_thread(second.promote)
            await school.check(make_conninfo(second.url, dbname="fleet"))
            assert host.bots[0].state is State.POLLING


async def test_a_standby_is_no_database_to_work_on(pair: tuple[Server, Server], tmp_path: Path) -> None:
    """A host that is started on it waits until it may write."""
    second = pair[1]
    url = make_conninfo(second.url, dbname="fleet")
    async with stage_on(url, tmp_path / "scripts") as stage:
        host = stage.start()
        await until(lambda: bool(host.bots))
        school = Class(stage)
        await has_state(host, State.STARTING)
        await asyncio.to_thread(second.promote)
        await school.check(url)
    assert query(url, "SELECT pg_is_in_recovery()") == [(False,)]
