"""Networks that fall silent, hosts that fight for a bot, and a Bot API in trouble."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import REGISTRY
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.runtime import crew
from app.runtime.bot import State
from app.runtime.host import Host
from app.sandbox.client import Transcript
from app.store.embedded import PORT
from tests.integration.faults.ledger import dead, once, pending, recorded, seen
from tests.proxy import Wire
from tests.stage import Stage, play, said, until

COURSE = "\n".join(
    f"""
Ready_{part}: {{type: message, text: ready {part}, button: Go}}
Quiz_{part}: {{type: quiz, text: quiz {part}, answers: [{{text: a, correct: yes}}, {{text: b}}]}}
Name_{part}: {{type: input, text: name {part}, correct_answer: Anna, feedback_correct: well {part}}}
"""
    for part in (1, 2, 3)
)
ANSWERS = {f"name {part}": "Anna" for part in (1, 2, 3)}
TEXTS = [*(f"{kind} {part}" for part in (1, 2, 3) for kind in ("ready", "quiz", "name", "well")), "Goodbye"]
LEARNERS = range(200, 210)
CUT_LEADER = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted AND datname = current_database()
    ORDER BY random() LIMIT 1
"""
LIBRARY = next(Path("/usr/lib").glob("*-linux-gnu/faketime/libfaketime.so.1"), None)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def course(stage: Stage) -> None:
    stage.course(COURSE + "End: {type: end, text: Goodbye}")


async def has_state(host: Host, state: State) -> None:
    await until(lambda: bool(host.bots) and host.bots[0].state is state, 60)


@asynccontextmanager
async def apart(stage: Stage) -> AsyncIterator[tuple[Wire, Host]]:
    """Return a host, not running, that reaches the database through a wire."""
    parts = conninfo_to_dict(stage.database_url)
    target = f"{parts['host']}/.s.PGSQL.{parts.get('port', PORT)}"
    async with Wire(target) as wire:
        through = make_conninfo(stage.database_url, host="127.0.0.1", port=wire.port)
        yield wire, Host(replace(stage.settings(), database_url=through))


@asynccontextmanager
async def wired(stage: Stage) -> AsyncIterator[tuple[Wire, Host]]:
    """Start a host that reaches the database through a wire."""
    async with apart(stage) as (wire, host):
        running = asyncio.create_task(host.run())
        try:
            await has_state(host, State.POLLING)
            yield wire, host
        finally:
            wire.heal()
            host.stop()
            await running


async def learn(stage: Stage, number: int) -> Transcript:
    learner = stage.learner(learner_id=number)
    await learner.send("/start")
    return await play(learner, said("Goodbye"), ANSWERS, patience=100, knows_repeats=True)


def sent_again() -> float:
    """Return how many messages hosts of this process said they may have sent twice."""
    names = ("flotilla_unknown_sends_total", "flotilla_resent_messages_total")
    return sum(REGISTRY.get_sample_value(name, {"bot": "bot"}) or 0.0 for name in names)


async def check(stage: Stage, chats: list[Transcript], counted: float) -> None:
    """See that nothing is lost or out of order, and that what came twice was counted."""
    await stage.client.wait_idle(stage.bot().token, patience=60)
    async with asyncio.timeout(60):
        while await asyncio.to_thread(pending, stage.database_url):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    first = recorded(stage.database_url, LEARNERS[0])
    assert len(first) == 25
    for number, chat in zip(LEARNERS, chats, strict=True):
        assert once(seen(chat)) == TEXTS
        assert recorded(stage.database_url, number) == first
    assert dead(stage.database_url) == 0
    assert sum(len(seen(chat)) - len(TEXTS) for chat in chats) <= counted


async def test_a_host_that_is_cut_off_is_replaced_and_comes_back(stage: Stage) -> None:
    counted = sent_again()
    async with wired(stage) as (wire, cut_off):
        standby = stage.start()
        await has_state(standby, State.STANDBY)
        learning = [asyncio.create_task(learn(stage, number)) for number in LEARNERS]
        await stage.learner(learner_id=LEARNERS[0]).wait_message()
        wire.silence()
        await has_state(standby, State.POLLING)
        await has_state(cut_off, State.STARTING)
        chats = await asyncio.gather(*learning)
        wire.heal()
        await has_state(cut_off, State.STANDBY)
        await check(stage, chats, sent_again() - counted)
        await stage.stop(standby)
        await has_state(cut_off, State.POLLING)


async def test_a_host_without_another_waits_for_its_network(stage: Stage) -> None:
    counted = sent_again()
    async with wired(stage) as (wire, host):
        learning = [asyncio.create_task(learn(stage, number)) for number in LEARNERS]
        await stage.learner(learner_id=LEARNERS[0]).wait_message()
        wire.silence()
        await has_state(host, State.STARTING)
        wire.heal()
        await check(stage, await asyncio.gather(*learning), sent_again() - counted)


async def test_a_host_stops_though_its_database_has_fallen_silent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database's machine stands still: its system takes in what nobody answers."""
    monkeypatch.setattr(crew, "STOP_SECONDS", 1.0)
    async with apart(stage) as (wire, host):
        running = asyncio.create_task(host.run())
        learner = stage.learner()
        await learner.send("/start")
        await learner.wait_message()
        wire.silence()
        await learner.send("hello")
        host.stop()
        # Much longer than it takes, and so short that, with the seconds for the turn under way, nobody has to kill it.
        async with asyncio.timeout(20):
            await running


async def test_hosts_that_lose_the_lead_again_and_again(stage: Stage) -> None:
    counted = sent_again()
    hosts = [stage.start() for _ in range(3)]
    await until(lambda: any(host.bots and host.bots[0].state is State.POLLING for host in hosts))
    learning = [asyncio.create_task(learn(stage, number)) for number in LEARNERS]
    while not all(task.done() for task in learning):
        stage.query(CUT_LEADER)
        await asyncio.wait(learning, timeout=1.5)
    await check(stage, [task.result() for task in learning], sent_again() - counted)


async def test_a_stranger_who_takes_updates_delays_but_loses_nothing(stage: Stage) -> None:
    """What another program was given, and did not confirm, comes to the bot all the same."""
    counted = sent_again()
    await has_state(stage.start(), State.POLLING)
    url = f"{stage.sandbox_url}/bot{stage.bot().token}/getUpdates"
    learning = [asyncio.create_task(learn(stage, number)) for number in LEARNERS]
    async with aiohttp.ClientSession() as http:
        for _ in range(10):
            async with http.get(url, params={"timeout": "1"}) as response:
                assert response.status in (200, 409)
    await check(stage, await asyncio.gather(*learning), sent_again() - counted)


async def test_a_bot_api_in_all_kinds_of_trouble(stage: Stage) -> None:
    counted, chance = sent_again(), random.Random(4)
    await has_state(stage.start(), State.POLLING)
    learning = [asyncio.create_task(learn(stage, number)) for number in LEARNERS]
    for _ in range(12):
        for kind in ("500", "429", "drop_before", "drop_after", "delay"):
            method = chance.choice(["sendMessage", "sendPoll", "getUpdates", "answerCallbackQuery"])
            await stage.client.add_fault(kind, method=method, times=2, retry_after=1, seconds=0.5)
        await asyncio.wait(learning, timeout=0.3)
    await stage.client.clear_faults()
    await check(stage, await asyncio.gather(*learning), sent_again() - counted)


@pytest.mark.skipif(LIBRARY is None, reason="faketime is not installed")
async def test_a_clock_that_jumps(stage: Stage, tmp_path: Path) -> None:
    """A host whose clock goes a day forth and two back delivers waits when they are due by the database's clock."""
    stage.course("A: {type: delay, text: wait, wait: 3s, goto: B}\nB: {type: end, text: Goodbye}")
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    process = await stage.spawn(
        LD_PRELOAD=str(LIBRARY),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    learners = [stage.learner(learner_id=number) for number in LEARNERS]
    for learner, offset in zip(learners, ("+86400", "-86400") * 5, strict=True):
        await learner.send("/start")
        await learner.wait_for(said("wait"))
        (tmp_path / "next").write_text(f"{offset}\n")
        os.replace(tmp_path / "next", clock)
    for learner in learners:
        assert seen(await learner.wait_for(said("Goodbye"), patience=60)) == ["wait", "Goodbye"]
    early = "SELECT count(*) FROM waiting_element WHERE is_waiting OR due_at > now()"
    assert stage.query(early) == [(0,)]
    process.terminate()
    await process.communicate()
    assert process.returncode == 0
