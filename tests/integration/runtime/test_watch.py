"""Hosts that tell operators what goes wrong, without any Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.config.settings import WebhookSettings
from app.config.tokens import ALERTS, sandbox_token
from app.observe.metrics import TOKENS_REFUSED, meter_of
from app.runtime import alerts, keeper, signs, watch
from app.runtime.alerts import Pace
from app.runtime.bot import State
from app.runtime.host import Host, NoBotLeftError
from app.runtime.watch import wait_and_tell
from app.sandbox.client import Transcript
from app.store.store import Store
from app.store.watch import Alarm, Watched
from app.telegram import poller
from tests.stage import Stage, outage, said, until

COURSE = """
    A: {type: message, text: hello}
    B: {type: end, text: bye}
"""


QUICK = Pace(tick=0.05, group=0.1, hold=0.3, reminder=3600, patience=0.005)


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hosts of this process tell within a second what they tell within minutes."""
    monkeypatch.setattr(alerts, "PACE", QUICK)
    monkeypatch.setattr(watch, "REPORT_SECONDS", 0.5)


def told(*texts: str) -> Callable[[Transcript], bool]:
    """Return the condition that there are so many messages, each beginning so."""

    def is_so(chat: Transcript) -> bool:
        messages = chat.by_bot
        return len(messages) == len(texts) and all(
            message.text.startswith(text) for message, text in zip(messages, texts, strict=True)
        )

    return is_so


async def runs(host: Host, *states: State) -> None:
    await until(lambda: [bot.state for bot in host.bots] == list(states or (State.POLLING,)))


async def watched(stage: Stage) -> list[str]:
    async with await Store.open(stage.database_url) as store:
        return [bot.bot for bot in (await store.watch.situation()).bots]


async def test_a_revoked_token_is_told_and_forgotten_with_a_new_start(stage: Stage) -> None:
    stage.course(COURSE)
    operator = await stage.operator()
    host = stage.start(stage.bot("a"), stage.bot("b"))
    await runs(host, State.POLLING, State.POLLING)
    await stage.client.revoke(sandbox_token("a"))

    chat = await operator.wait_for(told("🔴 TokenRevoked: a\n"))
    assert chat.last is not None
    assert chat.last.text.splitlines()[1:] == [
        "Telegram refuses its token",
        "→ get a new token from @BotFather, put it into .env, flotilla up",
        "docs/runbook.md#tokenrevoked",
    ]
    await stage.stop(host)
    stage.start(stage.bot("b"))
    await operator.wait_for(told("🔴 TokenRevoked: a\n", "🟢 resolved: TokenRevoked: a (after"))


async def test_a_host_whose_only_token_is_revoked_tells_of_it_in_its_short_lives(stage: Stage) -> None:
    stage.course(COURSE)
    operator = await stage.operator()
    await stage.client.add_bot(sandbox_token("a"), "a", "A")
    await stage.client.revoke(sandbox_token("a"))
    async with asyncio.timeout(20):
        while not (await operator.transcript()).by_bot:
            with pytest.raises(NoBotLeftError):
                await stage.ended(stage.start(stage.bot("a")))

    await operator.wait_for(told("🔴 TokenRevoked: a\n"))


async def test_prometheus_hears_of_such_a_host_from_the_one_that_keeps_the_watch(stage: Stage) -> None:
    stage.course(COURSE)
    await stage.operator()
    await stage.client.add_bot(sandbox_token("a"), "a", "A")
    await stage.client.revoke(sandbox_token("a"))
    watcher, other = stage.start(stage.bot("b")), stage.start(stage.bot("c"))
    await runs(watcher)
    await runs(other)
    with pytest.raises(NoBotLeftError):
        await stage.ended(stage.start(stage.bot("a")))
    await until(lambda: refused() == {"a"})
    host = stage.start(replace(stage.bot("a"), token=sandbox_token("new")))
    await runs(host)
    await until(lambda: refused() == set())


async def test_what_a_host_says_of_tokens_ends_with_it(stage: Stage) -> None:
    stage.course(COURSE)
    await stage.operator()
    await stage.client.add_bot(sandbox_token("a"), "a", "A")
    await stage.client.revoke(sandbox_token("a"))
    with pytest.raises(NoBotLeftError):
        await stage.ended(stage.start(stage.bot("a")))
    assert refused() == set()


def refused() -> set[str]:
    """Return the bots whose tokens a scrape of this process says are refused."""
    return {sample.labels["bot"] for metric in TOKENS_REFUSED.collect() for sample in metric.samples if sample.value}


async def test_a_killed_host_is_told_by_another_and_resolved_when_the_bot_runs_again(stage: Stage) -> None:
    stage.course(COURSE)
    operator = await stage.operator()
    killed = await stage.spawn("a")
    await stage.client.wait_bot(sandbox_token("a"), lambda _: True)
    await _is_watched(stage, "a")
    other = stage.start(stage.bot("b"))
    third = stage.start(stage.bot("c"))
    await runs(other)
    await runs(third)
    killed.kill()

    chat = await operator.wait_for(told("🔴 BotDown: a\n"))
    assert chat.last is not None
    assert chat.last.text.splitlines()[1:3] == ["no process runs it", "a: its host is gone"]
    stage.start(stage.bot("a"))
    await operator.wait_for(told("🔴 BotDown: a\n", "🟢 resolved: BotDown: a (after"))
    await asyncio.gather(stage.stop(other), stage.stop(third))
    assert await watched(stage) == ["a"]


async def _is_watched(stage: Stage, bot: str) -> None:
    await _has_bot(stage, bot, lambda _: True)


async def test_a_bot_that_crashes_again_and_again_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "CRASHES", 2)
    stage.course(COURSE)
    operator = await stage.operator()
    stage.start(stage.bot("b"))
    for _ in range(2):
        process = await stage.spawn("a")
        await _is_led(stage, "a")
        process.kill()
        await process.wait()
        await _is_gone(stage, "a")
    stage.start(stage.bot("a"))

    await operator.wait_for(lambda chat: any("BotCrashLoop: a\n" in message.text for message in chat.by_bot))


async def _is_led(stage: Stage, bot: str) -> None:
    await _has_bot(stage, bot, lambda found: found.is_led and found.is_alive)


async def _is_gone(stage: Stage, bot: str) -> None:
    await _has_bot(stage, bot, lambda found: not found.is_alive)


async def _has_bot(stage: Stage, bot: str, condition: Callable[[Watched], bool]) -> None:
    await _situation(stage, lambda bots: any(condition(found) for found in bots if found.bot == bot))


async def _situation(stage: Stage, condition: Callable[[Sequence[Watched]], bool]) -> None:
    """Wait for what hosts write down, which announces itself to nobody."""
    async with await Store.open(stage.database_url) as store, asyncio.timeout(20):
        while not condition((await store.watch.situation()).bots):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_bot_that_is_not_answered_is_told_and_resolved(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "POLL_SECONDS", 1)
    monkeypatch.setattr(signs, "POLL_SECONDS", 2)
    stage.course(COURSE)
    operator = await stage.operator()
    host = stage.start(stage.bot("a"))
    await until(lambda: bool(host.bots) and host.bots[0].last_poll is not None)
    await stage.client.add_fault("delay", bot=sandbox_token("a"), method="getUpdates", seconds=4.0)

    await operator.wait_for(told("🔴 BotNotPolling: a\n"))
    await operator.wait_for(told("🔴 BotNotPolling: a\n", "🟢 resolved: BotNotPolling: a (after"))


async def test_messages_that_do_not_get_out_are_told_and_resolved(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "OUTBOX_SECONDS", 0.5)
    stage.course(COURSE)
    operator = await stage.operator()
    stage.start(stage.bot("a"))
    await stage.client.add_fault("500", bot=sandbox_token("a"), method="sendMessage", times=4)
    learner = stage.learner("a")
    await learner.send("/start")

    await operator.wait_for(told("🔴 OutboxStuck: a\n"))
    await learner.wait_for(said("bye"))
    await operator.wait_for(told("🔴 OutboxStuck: a\n", "🟢 resolved: OutboxStuck: a (after"))


async def test_a_database_that_is_away_is_one_message_of_one_host(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "PACE", replace(QUICK, patience=0.03))  # nobody misses bots before they are back
    stage.course(COURSE)
    operator = await stage.operator()
    first, second = stage.start(stage.bot("a"), stage.bot("b")), stage.start(stage.bot("c"))
    await runs(first, State.POLLING, State.POLLING)
    await runs(second)
    await _is_watched(stage, "c")
    async with outage(stage):
        await operator.wait_for(told("🔴 DatabaseDown\nthe database does not answer"))

    await operator.wait_for(told("🔴 DatabaseDown\n", "🟢 resolved: DatabaseDown (after"))
    await runs(first, State.POLLING, State.POLLING)


async def test_a_bot_that_an_operator_stops_is_not_missed(stage: Stage) -> None:
    stage.course(COURSE)
    await stage.operator()
    host = stage.start(stage.bot("a"), stage.bot("b"))
    await runs(host, State.POLLING, State.POLLING)
    await _is_watched(stage, "a")
    await host.crew.stop("a")
    await _situation(stage, lambda bots: [bot.bot for bot in bots] == ["b"])

    await host.crew.start("a")
    await _is_watched(stage, "a")


async def test_a_chat_that_takes_no_alerts_harms_no_bot(stage: Stage) -> None:
    stage.course(COURSE)
    operator = await stage.operator()
    await operator.block()
    host = stage.start(stage.bot("a"), stage.bot("b"))
    await runs(host, State.POLLING, State.POLLING)
    await stage.client.revoke(sandbox_token("a"))
    learner = stage.learner("b")
    await learner.send("/start")
    await learner.wait_for(said("bye"))

    await operator.unblock()
    await operator.wait_for(told("🔴 TokenRevoked: a\n"))


async def test_alerts_whose_own_token_is_wrong_harm_no_bot(stage: Stage) -> None:
    stage.course(COURSE)
    await stage.operator()
    await stage.client.revoke(sandbox_token(ALERTS))
    await stage.client.add_bot(sandbox_token("a"), "a", "A")
    await stage.client.revoke(sandbox_token("a"))
    with structlog.testing.capture_logs() as logs:
        host = stage.start(stage.bot("a"), stage.bot("b"))
        await runs(host, State.REFUSED, State.POLLING)
        await until(lambda: any("alert" in line["event"] for line in logs))
    learner = stage.learner("b")
    await learner.send("/start")
    await learner.wait_for(said("bye"))

    (first, *_) = [line for line in logs if "alert" in line["event"]]
    assert first.pop("seconds") < 2
    assert first == {
        "event": "an alert cannot be sent; see alerts/chat_id and alerts/token_env, and let the chat admit the bot",
        "log_level": "warning",
        "chat": "99",
        "reason": "Unauthorized",
    }


async def test_a_webhook_that_is_not_reached_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "PACE", keeper.Pace(check=0.1))
    stage.course(COURSE)
    operator = await stage.operator()
    stage.start(stage.bot("a", webhook=WebhookSettings("http://127.0.0.1:1/a", "secret")))
    await stage.learner("a").send("/start")

    chat = await operator.wait_for(told("🔴 WebhookErrors: a\n"))
    assert chat.last is not None
    assert chat.last.text.splitlines()[1] == "Telegram cannot deliver updates to its webhook"


async def test_many_errors_in_the_log_are_told(stage: Stage) -> None:
    stage.course(COURSE)
    operator = await stage.operator()
    host = stage.start(stage.bot("erring"))
    await runs(host)
    await _is_watched(stage, "erring")
    meter_of("erring").errors.inc(10)

    await operator.wait_for(told("🔴 BotErrors: erring\n"))


@contextlib.asynccontextmanager
async def ready_server() -> AsyncIterator[str]:
    """What says that it is ready, as Prometheus and Alertmanager do."""

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ready")

    app = web.Application()
    app.router.add_get("/-/ready", ready)
    async with TestServer(app) as server:
        yield str(server.make_url("/-/ready"))


async def test_what_alertmanager_tells_is_told_by_no_host_and_the_rest_once_it_is_gone(stage: Stage) -> None:
    stage.course(COURSE)
    operator = await stage.operator()
    assert stage.alerts is not None
    async with ready_server() as prometheus:
        async with ready_server() as alertmanager:
            stage.alerts = replace(stage.alerts, monitoring=(prometheus, alertmanager))
            host = stage.start(stage.bot("a"), stage.bot("b"), stage.bot("c"))
            await runs(host, State.POLLING, State.POLLING, State.POLLING)
            await stage.client.revoke(sandbox_token("a"))
            await _alarm(stage, lambda alarms: any(alarm.told_at for alarm in alarms))
            assert (await operator.transcript()).by_bot == ()
        await stage.client.revoke(sandbox_token("b"))

        await operator.wait_for(told("🔴 TokenRevoked: b\n"))


async def _alarm(stage: Stage, condition: Callable[[Sequence[Alarm]], bool]) -> None:
    async with await Store.open(stage.database_url) as store, asyncio.timeout(20):
        while not condition((await store.watch.situation()).alarms):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_hosts_that_start_without_a_database_are_told_of_by_the_speaker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "START_SECONDS", 0.1)
    stage.course(COURSE)
    operator = await stage.operator()
    assert stage.alerts is not None
    async with outage(stage):
        alert = replace(stage.alerts, is_speaker=True)
        waiting = asyncio.create_task(wait_and_tell(stage.settings(), alert, lambda _seconds, _reason: None))
        await operator.wait_for(told("🔴 DatabaseDown\n"))
    await waiting
    stage.start(stage.bot("a"))

    await operator.wait_for(told("🔴 DatabaseDown\n", "🟢 resolved: DatabaseDown (after"))
