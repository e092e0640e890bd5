"""What Prometheus is told: a real run, scraped over HTTP and read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import __version__
from app.config.settings import BotSettings, Mode, WebhookSettings
from app.observe.logs import configure_logs
from app.observe.metrics import METHODS, OTHER, UPDATE_TYPES, MetricsAddressError
from app.observe.plain import structlog
from app.runtime import figures
from app.runtime import host as host_module
from app.runtime.bot import State
from app.runtime.host import Host
from app.runtime.plugins import Outcome
from tests.integration.runtime.test_replicas import free_port
from tests.stage import Stage, outage, play, said, until

COURSE = """
    Ready: {type: message, text: hello, button: Go}
    Quiz: {type: quiz, text: quiz, answers: [{text: a, correct: yes, feedback: right}, {text: b}]}
    Typed: {type: input, text: enter, correct_answer: well, feedback_correct: well typed}
    Bye: {type: end, text: Goodbye}
"""

CLOSED = {
    "type": UPDATE_TYPES | {OTHER},
    "method": METHODS | {OTHER},
    "state": {state.value for state in State} | {"used", "idle", "waiting"},
    "window": {"5m", "24h", "7d"},
    "stage": {"started", "25%", "50%", "75%", "finished"},
    "direction": {"input", "output"},
    "kind": {"reply", "transcription", OTHER},
    "status": {"400", "401", "413", "503"},
    "course": {"default"},
    "version": {__version__},
    "outcome": {"committed", "seen", "dead"}
    | {"sent", "flood", "unavailable", "rejected", "refused"}
    | {"delivered", "postponed"}
    | {"done", "dropped", "postponed", "given up"}
    | {outcome.value for outcome in Outcome},
}
"""The values that labels may have; bots are the rest."""

Values = dict[tuple[str, ...], float]


class Scrape:
    """What one scrape told."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def of(self, bot: str, family: str) -> Values:
        """Return the values of a bot by their other labels, in the order of their names; no buckets."""
        return {
            tuple(value for label, value in sorted(sample.labels.items()) if label != "bot"): sample.value
            for sample in (self.families[family].samples if family in self.families else ())
            if sample.labels.get("bot") == bot and not sample.name.endswith(("_bucket", "_sum"))
        }

    def single(self, family: str) -> float:
        """Return the value of a family that has but one."""
        (sample,) = self.families[family].samples
        return sample.value

    def labels(self) -> dict[str, set[str]]:
        """Return all values of all labels of our own families."""
        found: dict[str, set[str]] = {}
        for family in self.families.values():
            for sample in family.samples if family.name.startswith("flotilla_") else ():
                for label, value in sample.labels.items():
                    found.setdefault(label, set()).add(value)
        return found


async def scrape(host: Host) -> Scrape:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{host.metrics_port}/metrics") as response,
    ):
        assert response.status == 200
        return Scrape(await response.text())


@asynccontextmanager
async def measured(stage: Stage, *bots: BotSettings) -> AsyncIterator[Host]:
    """Run a host that serves metrics at any port."""
    host = Host(replace(stage.settings(*bots), metrics=("127.0.0.1", 0), disk=stage.scripts))
    running = asyncio.create_task(host.run())
    try:
        await until(lambda: bool(host.bots) and all(bot.state is not State.STARTING for bot in host.bots))
        yield host
    finally:
        host.stop()
        await running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refresh all figures all the time."""
    monkeypatch.setattr(figures, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(figures, "FUNNEL_SECONDS", 0.0)
    monkeypatch.setattr(host_module, "FIGURES_SECONDS", 0.02)
    monkeypatch.setattr(host_module, "CERTIFICATE_DELAY", 0.0)


@pytest.fixture
def logging() -> Iterator[None]:
    """Log as a process does: that is where errors are counted."""
    before = structlog.get_config()
    configure_logs("json")
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("logging")
async def test_a_run_in_figures(stage: Stage) -> None:
    stage.course(COURSE)
    name = "metered"
    async with measured(stage, replace(stage.bot(name), bot_name="other_name")) as host:
        await stage.client.add_fault("429", bot=stage.bot(name).token, method="sendPoll", retry_after=1)
        anna, boris = stage.learner(name, 7), stage.learner(name, 8)
        await anna.send("/start")
        await play(anna, said("Goodbye"), {"enter": "well"})
        await stage.client.add_fault("400", method="sendMessage", description="no way")
        await boris.send("/start")
        await boris.wait_message()
        await boris.send_file("photo", b"x", "image/jpeg")
        await stage.client.inject(stage.bot(name).token, {"surprise": {}}, {"my_chat_member": {}})
        await stage.client.wait_idle(stage.bot(name).token)
        (bot,) = host.bots
        since = datetime.now(UTC)
        await until(lambda: bot.figures is not None and bot.figures.at > since and bot.figures.outbox == 0)
        found = await scrape(host)

    _updates_and_sends_are_counted(found, name)
    _the_bot_does_well(found, name)
    _the_funnel_is_known(found, name)
    _the_host_is_told_of(found, stage)
    _labels_are_closed(found)
    assert stage.bot(name).token not in found.text
    assert stage.bot(name).token.partition(":")[2] not in found.text


def _updates_and_sends_are_counted(found: Scrape, name: str) -> None:
    assert found.of(name, "flotilla_received_updates") == {
        ("message",): 4,
        ("callback_query",): 1,
        ("poll_answer",): 1,
        ("my_chat_member",): 1,
        (OTHER,): 1,
    }
    assert found.of(name, "flotilla_updates") == {("committed",): 6, ("seen",): 0, ("dead",): 0}
    sends = found.of(name, "flotilla_sends")
    sent = sum(calls for (_, outcome), calls in sends.items() if outcome == "sent")
    sends.pop(("stopPoll", "sent"), None)  # missing when the vote was quicker than the note of the poll
    assert sends == {
        ("sendMessage", "sent"): sends["sendMessage", "sent"],
        ("sendMessage", "rejected"): 1,
        ("editMessageReplyMarkup", "sent"): 1,
        ("sendPoll", "flood"): 1,
        ("sendPoll", "sent"): 1,
    }
    assert found.of(name, "flotilla_flood_waits") == {(): 1}
    assert found.of(name, "flotilla_errors") == {(): 1}
    assert found.of(name, "flotilla_dead_updates") == {(): 0}
    assert found.of(name, "flotilla_receive_to_commit_seconds") == {(): 8}
    (turns,) = found.of(name, "flotilla_turn_seconds").values()
    assert 1 <= turns <= 8
    # The apology for the refused message is none that a turn has queued.
    assert found.of(name, "flotilla_receive_to_sent_seconds") == {(): sent - 1}


def _the_bot_does_well(found: Scrape, name: str) -> None:
    states = {(state.value,): float(state is State.POLLING) for state in State}
    assert found.of(name, "flotilla_bot_state") == states
    assert found.of(name, "flotilla_outbox_messages") == {(): 0}
    assert found.of(name, "flotilla_outbox_age_seconds") == {(): 0}
    assert found.of(name, "flotilla_timers_late") == {(): 0}
    assert found.of(name, "flotilla_jobs_open") == {(): 0}
    ((_, age),) = found.of(name, "flotilla_poll_age_seconds").items()
    assert 0 <= age < 60
    absent = ("webhook_pending_updates", "webhook_last_error_timestamp_seconds", "certificate_expiry_timestamp_seconds")
    assert [found.of(name, f"flotilla_{family}") for family in absent] == [{}, {}, {}]


def _the_funnel_is_known(found: Scrape, name: str) -> None:
    assert found.of(name, "flotilla_active_learners") == {("5m",): 2, ("24h",): 2, ("7d",): 2}
    assert found.of(name, "flotilla_course_runs") == {
        ("default", "started"): 2,
        ("default", "25%"): 2,
        ("default", "50%"): 1,
        ("default", "75%"): 1,
        ("default", "finished"): 1,
    }
    assert found.of(name, "flotilla_course_conversion_ratio") == {("default",): 0.5}


def _the_host_is_told_of(found: Scrape, stage: Stage) -> None:
    assert found.of("", "flotilla_errors") in ({}, {(): found.of("", "flotilla_errors").get((), 0)})
    disk = shutil.disk_usage(stage.scripts)
    assert found.single("flotilla_disk_size_bytes") == disk.total
    assert 0 < found.single("flotilla_disk_free_bytes") < disk.total
    assert found.single("flotilla_database_bytes") > 1_000_000
    assert 0 < found.single("flotilla_database_connections") < found.single("flotilla_database_max_connections")
    assert abs(found.single("flotilla_figures_timestamp_seconds") - time.time()) < 60
    pool = {sample.labels["state"]: sample.value for sample in found.families["flotilla_pool_connections"].samples}
    assert set(pool) == {"used", "idle", "waiting"}
    assert 1 <= pool["used"] + pool["idle"] <= 4
    process = ("process_cpu_seconds", "process_resident_memory_bytes", "process_start_time_seconds")
    assert all(found.single(family) > 0 for family in process)


def _labels_are_closed(found: Scrape) -> None:
    labels = found.labels()
    labels.pop("le")
    labels.pop("bot")
    assert {label: values - CLOSED[label] for label, values in labels.items()} == {label: set() for label in labels}


async def test_a_webhook_and_its_certificate(stage: Stage, tmp_path: Path) -> None:
    stage.course(COURSE)
    stage.listen = ("127.0.0.1", free_port())
    hook = WebhookSettings(f"http://127.0.0.1:{stage.listen[1]}/webhook/hooked", "s3cret")
    async with measured(stage, stage.bot("hooked", mode=Mode.WEBHOOK, webhook=hook)) as host:
        (bot,) = host.bots
        await until(lambda: bot.state is State.WEBHOOK and bot.webhook_info is not None)
        found = await scrape(host)
        assert found.of("hooked", "flotilla_webhook_pending_updates") == {(): 0}
        assert found.of("hooked", "flotilla_webhook_last_error_timestamp_seconds") == {}
        assert found.of("hooked", "flotilla_poll_age_seconds") == {}
        async with aiohttp.ClientSession() as http, http.post(hook.url, data=b"{}") as response:
            assert response.status == 401
        found = await scrape(host)
        assert found.of("hooked", "flotilla_refused_requests") == {("401",): 1}
        _labels_are_closed(found)
        assert "s3cret" not in found.text


async def test_a_standby_knows_no_figures(stage: Stage) -> None:
    stage.course(COURSE)
    async with measured(stage, stage.bot("doubled")) as leader:
        (bot,) = leader.bots
        await until(lambda: bot.figures is not None)
        known = await scrape(leader)
        assert known.of("doubled", "flotilla_outbox_messages") == {(): 0}
    other = stage.start(stage.bot("doubled"))
    await until(lambda: [bot.state for bot in other.bots] == [State.POLLING])
    async with measured(stage, stage.bot("doubled")) as standby:
        await until(lambda: standby._figures.database is not None)
        found = await scrape(standby)
    assert found.of("doubled", "flotilla_bot_state") == {
        (state.value,): float(state is State.STANDBY) for state in State
    }
    families = ("outbox_messages", "outbox_age_seconds", "timers_late", "jobs_open", "active_learners", "course_runs")
    assert [found.of("doubled", f"flotilla_{family}") for family in families] == [{}] * len(families)
    assert found.single("flotilla_database_bytes") > 0


async def test_an_outage_leaves_the_last_figures(stage: Stage) -> None:
    stage.course(COURSE)
    async with measured(stage, stage.bot("lasting")) as host:
        await stage.learner("lasting").send("/start")
        (bot,) = host.bots
        await until(lambda: bot.figures is not None and bot.figures.active_5m == 1 and bot.funnels is not None)
        async with outage(stage):
            first = await scrape(host)
            second = await scrape(host)
        assert second.of("lasting", "flotilla_active_learners") == {("5m",): 1, ("24h",): 1, ("7d",): 1}
        at = "flotilla_figures_timestamp_seconds"
        assert first.single(at) == second.single(at)
        since = second.single(at)
        await until(lambda: host._figures.database is not None and host._figures.database.at.timestamp() > since)


async def test_a_poll_that_is_never_answered_grows_old(stage: Stage) -> None:
    stage.course(COURSE)
    token = stage.bot("waiting").token
    await stage.client.add_fault("500", bot=token, method="getUpdates", times=100_000)
    async with measured(stage, stage.bot("waiting")) as host:
        (bot,) = host.bots
        await until(lambda: bot.polled_since is not None)
        first, second = await scrape(host), await scrape(host)
        assert bot.last_poll is None
        await stage.client.clear_faults()
    ages = [found.of("waiting", "flotilla_poll_age_seconds")[()] for found in (first, second)]
    assert 0 <= ages[0] < ages[1] < 60


async def test_a_port_in_use_is_an_error(stage: Stage) -> None:
    stage.course(COURSE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        host = Host(replace(stage.settings(stage.bot()), metrics=("127.0.0.1", port)))
        with pytest.raises(MetricsAddressError) as caught:
            await host.run()
    assert str(caught.value) == (
        f"port {port} of 127.0.0.1 cannot be used for metrics (address already in use); "
        "stop the program that uses it, or choose another with METRICS_PORT"
    )


async def test_metrics_are_gone_with_the_host(stage: Stage) -> None:
    stage.course(COURSE)
    async with measured(stage, stage.bot("passing")) as host:
        port = host.metrics_port
        assert port is not None
        assert "passing" in (await scrape(host)).text
    assert host.metrics_port is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
