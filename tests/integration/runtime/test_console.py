"""A running host is asked, and told to stop and start single bots, at its socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.runtime.ask import NoAnswerError, ask
from app.runtime.bot import State
from app.runtime.console import console
from app.runtime.crew import Crew
from app.runtime.host import Host, NoBotLeftError
from app.runtime.status import FILE_NAME
from tests.stage import Stage, outage, said, until

COURSE = """
    A: {type: message, text: hello, button: On}
    B: {type: input, text: type}
    C: {type: end, text: bye}
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a socket can be; pytest's own folders have long names."""
    with TemporaryDirectory(prefix="fl-") as folder:
        yield Path(folder, "control.sock")


@asynccontextmanager
async def hosting(stage: Stage, place: Path, *names: str) -> AsyncIterator[Host]:
    """A host whose bots are at work, with its socket."""
    stage.course(COURSE)
    host = stage.start(*(stage.bot(name) for name in names))
    async with console(place, host):
        await until(lambda: bool(host.bots) and all(bot.state is State.POLLING for bot in host.bots))
        yield host


async def told(place: Path, **request: Any) -> dict[str, Any]:
    """Ask as a program beside the host does."""
    return await asyncio.to_thread(ask, place, request)


def found_at(place: Path) -> str | None:
    return stat.filemode(place.stat().st_mode) if place.exists() else None


async def states(place: Path) -> dict[str, str]:
    return {bot["bot"]: bot["state"] for bot in (await told(place, do="status"))["bots"]}


async def test_one_bot_is_stopped_and_started_while_the_other_goes_on(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one", "two") as host:
        first, second = stage.learner("one"), stage.learner("two")
        for learner in (first, second):
            await learner.send("/start")
            await learner.wait_for(said("hello"))
        assert await told(place, do="stop", bot="one") == {"ok": True, "bot": "one", "state": "stopped"}
        assert await states(place) == {"one": "stopped", "two": "polling"}
        assert host.is_healthy
        await first.press((await first.transcript()).by_bot[-1])
        await second.press((await second.transcript()).by_bot[-1])
        await second.wait_for(said("type"))
        assert (await first.transcript()).last == (await first.transcript()).by_bot[-1]
        assert await told(place, do="start", bot="one") == {"ok": True, "bot": "one", "state": "starting"}
        await first.wait_for(said("type"))
        assert await states(place) == {"one": "polling", "two": "polling"}


async def test_the_status_file_knows_of_an_order_when_it_is_answered(
    stage: Stage, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.runtime.host.STATUS_SECONDS", 3600.0)
    stage.course(COURSE)
    host = Host(stage.settings(stage.bot("one"), stage.bot("two")), place.with_name("heartbeat"))
    running = asyncio.create_task(host.run())
    async with console(place, host):
        await until(lambda: bool(host.bots) and all(bot.state is State.POLLING for bot in host.bots))
        await told(place, do="stop", bot="one")
        status = json.loads(place.with_name(FILE_NAME).read_bytes())
    assert {bot["bot"]: bot["state"] for bot in status["bots"]} == {"one": "stopped", "two": "polling"}
    host.stop()
    await running


async def test_a_restart_reaches_a_bot_that_runs_and_one_that_does_not(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one") as host:
        learner = stage.learner("one")
        await learner.send("/start")
        await learner.wait_for(said("hello"))
        for order in ("restart", "stop", "restart"):
            assert (await told(place, do=order, bot="one"))["ok"]
        await learner.press((await learner.transcript()).by_bot[-1])
        await learner.wait_for(said("type"))
        assert host.bots[0].state is State.POLLING


async def test_orders_for_one_bot_at_the_same_time_are_carried_out_one_after_the_other(
    stage: Stage, place: Path
) -> None:
    async with hosting(stage, place, "one") as host:
        orders = ["restart", "stop", "start", "stop", "restart", "start"]
        answers = await asyncio.gather(*(told(place, do=order, bot="one") for order in orders))
        assert all(answer["ok"] for answer in answers)
        await told(place, do="start", bot="one")
        await until(lambda: host.bots[0].state is State.POLLING)


async def test_a_host_goes_on_without_the_bots_that_were_stopped(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one", "two") as host:
        await told(place, do="stop", bot="one")
        await stage.client.revoke(stage.bot("two").token)
        await until(lambda: host.bots[1].state is State.REFUSED)
        await told(place, do="stop", bot="two")
        assert await states(place) == {"one": "stopped", "two": "stopped"}
        await told(place, do="start", bot="two")
        await until(lambda: host.bots[1].state is State.REFUSED)
        note = "it has the token it had; for a new one in .env restart the whole process"
        again = {"ok": True, "bot": "two", "state": "starting", "note": note}
        assert await told(place, do="start", bot="two") == again
        await until(lambda: host.bots[1].state is State.REFUSED)
        await told(place, do="start", bot="one")
        await until(lambda: host.bots[0].state is State.POLLING)
        await stage.client.revoke(stage.bot("one").token)
        with pytest.raises(NoBotLeftError, match="no bot is left to run; see the errors above"):
            await stage.ended(host)


async def test_who_is_told_something_before_all_are_started_is_not_started_anew(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one", "two") as host:
        for name in ("one", "two"):
            await host.crew.stop(name)
        crew = Crew(host.bots)
        await crew.stop("one")
        await crew.start("two")
        await until(lambda: host.bots[1].state is State.POLLING)
        crew.begin(lambda _: 0.0)
        assert [bot.state for bot in host.bots] == [State.STOPPED, State.POLLING]
        await crew.end()


async def test_a_bot_that_has_ended_by_a_defect_is_started_again(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one", "two") as host:
        await told(place, do="stop", bot="two")  # as the only other one, it keeps the host running
        async with await AsyncConnection.connect(stage.database_url, autocommit=True) as connection:
            await connection.execute("ALTER TABLE waiting_element RENAME TO elsewhere")
            await told(place, do="restart", bot="one")
            await until(lambda: host.bots[0].state is State.FAILED)
            assert await states(place) == {"one": "failed", "two": "stopped"}
            await connection.execute("ALTER TABLE elsewhere RENAME TO waiting_element")
        assert await told(place, do="start", bot="one") == {"ok": True, "bot": "one", "state": "starting"}
        await until(lambda: host.bots[0].state is State.POLLING)
        learner = stage.learner("one")
        await learner.send("/start")
        await learner.wait_for(said("hello"))


async def test_another_host_leads_a_bot_that_was_stopped(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one") as host:
        standby = stage.start(stage.bot("one"))
        await until(lambda: bool(standby.bots) and standby.bots[0].state is State.STANDBY)
        await told(place, do="stop", bot="one")
        await until(lambda: standby.bots[0].state is State.POLLING)
        await told(place, do="start", bot="one")
        await until(lambda: host.bots[0].state is State.STANDBY)
        assert await states(place) == {"one": "standby"}


async def test_a_bot_stopped_without_a_database_leaves_its_chats_to_others_later(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one", "two") as host:
        learner = stage.learner("one")
        await learner.send("/start")
        await learner.wait_for(said("hello"))
        async with outage(stage):
            await told(place, do="stop", bot="one")
            assert not host.bots[0].has_left
        await until(lambda: host.bots[0].has_left)
        stage.start(stage.bot("one"))
        await learner.press((await learner.transcript()).by_bot[-1])
        await learner.wait_for(said("type"))


async def test_requests_that_nobody_understands(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one"):
        remedy = 'write one like {"do": "status"} or {"do": "restart", "bot": "NAME"}'
        assert await told(place, do="stop", bot="x") == {
            "ok": False,
            "error": "there is no bot 'x' here; this host runs 'one'",
        }
        assert await told(place, do="dance") == {"ok": False, "error": f'{{"do": "dance"}} is no request; {remedy}'}
        reader, writer = await asyncio.open_unix_connection(place)
        writer.write(b'{"do": "\\ud800"}\nwhat\n[]\n{"do": "status"}\n')
        answers = [json.loads(await reader.readline()) for _ in range(4)]
        assert [answer.get("error") for answer in answers] == [
            f'{{"do": "\ud800"}} is no request; {remedy}',
            "the request is no JSON",
            "the request is no JSON object",
            None,
        ]
        writer.write(b"x" * 70_000 + b"\n")
        assert await reader.read() == b""
        writer.close()
        assert await states(place) == {"one": "polling"}


async def test_the_socket_is_for_its_user_alone_and_goes_with_the_host(stage: Stage, place: Path) -> None:
    async with hosting(stage, place, "one"):
        assert found_at(place) == "srw-------"
    assert found_at(place) is None
    reason = "no such file or directory"
    with pytest.raises(NoAnswerError) as caught:
        ask(place, {"do": "status"})
    assert str(caught.value) == f"no host answers at {str(place)!r} ({reason}); is it running?"


async def test_a_socket_that_a_killed_host_has_left_is_replaced(stage: Stage, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    async with hosting(stage, place, "one"):
        assert await states(place) == {"one": "polling"}


async def test_a_socket_with_a_long_path(stage: Stage, place: Path) -> None:
    long = place.parent / ("folder" * 20) / "control.sock"
    async with hosting(stage, long, "one"):
        assert found_at(long) == "srw-------"
        assert await states(long) == {"one": "polling"}
    assert found_at(long) is None


@pytest.fixture
def taken() -> Iterator[Callable[[Path, str], None]]:
    """Put there what is no socket that a host has left."""
    with socket.socket(socket.AF_UNIX) as other:

        def take(place: Path, found: str) -> None:
            if found == "host":
                other.bind(str(place))
                other.listen()
            else:
                place.write_text("mine")

        yield take


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ("file", "there is another file; CONTROL_SOCKET may name another place"),
        ("host", "another host listens there; CONTROL_SOCKET may name another place"),
        ("folder", "file exists"),
    ],
)
async def test_a_host_goes_on_where_no_socket_can_be(
    stage: Stage,
    place: Path,
    found: str,
    reason: str,
    taken: Callable[[Path, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken(place, found)
    before = found_at(place)
    async with hosting(stage, place / "control.sock" if found == "folder" else place, "one"):
        learner = stage.learner("one")
        await learner.send("/start")
        await learner.wait_for(said("hello"))
    assert f"this host cannot be asked while it runs reason='{reason}'" in capsys.readouterr().out
    assert found_at(place) == before


async def test_a_process_is_asked_by_the_program_beside_it(stage: Stage, place: Path) -> None:
    stage.course(COURSE)
    process = await stage.spawn("one", CONTROL_SOCKET=str(place))
    learner = stage.learner("one")
    await learner.send("/start")
    await learner.wait_for(said("hello"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app.runtime.ask", *arguments]
        return subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), "CONTROL_SOCKET": str(place)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    stopped = await asyncio.to_thread(run, '{"do": "stop", "bot": "one"}')
    assert (stopped.returncode, stopped.stdout) == (0, '{"ok": true, "bot": "one", "state": "stopped"}\n')
    unknown = await asyncio.to_thread(run, '{"do": "stop", "bot": "x"}')
    error = "there is no bot 'x' here; this host runs 'one'"
    assert (unknown.returncode, json.loads(unknown.stdout)) == (1, {"ok": False, "error": error})
    assert run("status", "now").returncode == 2
    process.terminate()
    assert await process.wait() == 0
    gone = run('{"do": "status"}')
    assert (gone.returncode, json.loads(gone.stdout)["ok"]) == (1, False)


async def answer_of(place: Path, **request: Any) -> dict[str, Any]:
    """Ask a process as soon as it answers; a killed one leaves its socket."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(NoAnswerError):
                return await told(place, **request)
            await asyncio.sleep(0.05)


async def state_of(place: Path) -> str:
    """Return the state of the only bot once its host knows it."""
    async with asyncio.timeout(30):
        while not (bots := (await answer_of(place, do="status"))["bots"]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return str(bots[0]["state"])


async def test_a_bot_stopped_alone_stays_so_when_its_container_dies_and_starts_again(stage: Stage, place: Path) -> None:
    stage.course(COURSE)
    learner = stage.learner("one")
    variables = {"CONTROL_SOCKET": str(place), "HOST_PLACE": "container"}
    process = await stage.spawn("one", **variables)
    await learner.send("/start")
    await learner.wait_for(said("hello"))
    await told(place, do="stop", bot="one")
    process.kill()
    await process.wait()
    process = await stage.spawn("one", **variables)
    assert await state_of(place) == "stopped"
    assert await told(place, do="start", bot=None) == {"ok": True, "bots": ["one"]}
    await learner.press((await learner.transcript()).by_bot[-1])
    await learner.wait_for(said("type"))
    await told(place, do="stop", bot="one")
    assert await told(place, do="forget stops") == {"ok": True}
    process.kill()
    await process.wait()
    await stage.spawn("one", **variables)
    assert await state_of(place) != "stopped"


async def test_hosts_elsewhere_and_runs_start_what_was_stopped(stage: Stage, place: Path) -> None:
    stage.course(COURSE)
    for where, expected in (("here", State.STOPPED), ("there", State.POLLING), (None, State.POLLING)):
        first = Host(stage.settings(stage.bot("one"), stage.bot("two")), place="here")
        running = asyncio.create_task(first.run())
        async with console(place, first):
            await until(lambda: len(first.bots) == 2)  # noqa: B023 - awaited at once
            await told(place, do="stop", bot="one")
        first.stop()
        await running
        second = Host(stage.settings(stage.bot("one"), stage.bot("two")), place=where)
        running = asyncio.create_task(second.run())
        await until(lambda: len(second.bots) == 2 and second.bots[1].state is State.POLLING)  # noqa: B023
        await until(lambda: second.bots[0].state is expected)  # noqa: B023
        second.stop()
        await running


async def test_an_order_that_cannot_be_remembered_is_carried_out_and_says_so(stage: Stage, place: Path) -> None:
    stage.course(COURSE)
    host = Host(stage.settings(stage.bot("one")), place="here")
    running = asyncio.create_task(host.run())
    async with console(place, host):
        await until(lambda: bool(host.bots) and host.bots[0].state is State.POLLING)
        async with outage(stage):
            answer = await told(place, do="stop", bot="one")
        assert (answer["ok"], answer["state"]) == (True, "stopped")
        assert answer["note"].startswith("this holds only until its container restarts: database ")
    host.stop()
    await running
