"""What is told of each bot, from what the engine and the hosts say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.cli.table import ago, cells, notes
from app.config.fleet import Fleet
from app.config.load import load_fleet
from app.deploy.docker import Usage
from app.deploy.row import Look, Row, container_rows, run_rows
from tests.unit.deploy.test_plan import RUNNING

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

CONFIG = """
telegram: sandbox
bots:
  - {name: bot, folder: a, replicas: 2}
  - {name: left, folder: a, group: pair}
  - {name: right, folder: a, group: pair}
"""

TOLD: dict[str, Any] = {
    "bot": "bot",
    "botname": "bot",
    "state": "polling",
    "is_healthy": True,
    "is_leader": True,
    "mode": "polling",
    "last_poll": "2026-11-22T11:59:58+00:00",
    "webhook": None,
    "errors": 1,
    "active_5m": 2,
    "active_24h": 3,
    "dead_updates": 0,
    "outbox": 4,
    "outbox_age": 0.5,
    "log_level": "info",
}


def status(*bots: dict[str, Any], at: str = "2026-11-22T11:59:57+00:00") -> dict[str, Any]:
    return {"version": "1.0", "pid": 7, "started_at": "2026-11-22T10:00:00+00:00", "at": at, "bots": list(bots)}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    (tmp_path / "scripts/a").mkdir(parents=True)
    (tmp_path / "scripts/a/courses.yml").write_text("default: {path: c.yml}\n")
    (tmp_path / "bots_config.yaml").write_text(CONFIG)
    return load_fleet(tmp_path / "bots_config.yaml", {}, need_secrets=False)


def test_a_bot_is_told_of_by_its_host(fleet: Fleet) -> None:
    container = replace(
        RUNNING, started_at=NOW - timedelta(hours=1), labels={"org.opencontainers.image.version": "1.0"}
    )
    look = Look(12.5, 100, 200, status(TOLD))
    rows = container_rows(fleet, {"postgres"}, [container], {"1": look}, NOW)
    assert rows[0] == Row(
        bot="bot",
        service="bot",
        container="fleet-bot-1",
        state="polling",
        health="healthy",
        mode="polling",
        version="1.0",
        image="1",
        started_at=NOW - timedelta(hours=1),
        restarts=0,
        cpu_percent=12.5,
        memory=100,
        memory_limit=200,
        last_poll=datetime(2026, 11, 22, 11, 59, 58, tzinfo=UTC),
        active_5m=2,
        active_24h=3,
        errors=1,
        dead_updates=0,
        outbox=4,
        outbox_age=0.5,
        log_level="info",
    )
    missing = "it has no container; start it: flotilla up"
    assert [(row.bot, row.state, row.note) for row in rows[1:]] == [
        ("left", "missing", missing),
        ("right", "missing", missing),
    ]


def test_replicas_and_the_bots_of_a_group_are_rows_of_their_own(fleet: Fleet) -> None:
    second = replace(RUNNING, id="2", number=2)
    pair = replace(RUNNING, id="3", service="pair")
    told = status({**TOLD, "bot": "left"}, {**TOLD, "bot": "right", "state": "stopped", "is_healthy": True})
    rows = container_rows(fleet, set(), [RUNNING, second, pair], {"3": Look(status=told)}, NOW)
    assert [(row.bot, row.state, row.health) for row in rows] == [
        ("bot/1", "running", "healthy"),
        ("bot/2", "running", "healthy"),
        ("left", "polling", "healthy"),
        ("right", "stopped", ""),
    ]
    assert rows[3].note == "stopped by an operator; start it: flotilla start right"


@pytest.mark.parametrize(
    ("container", "look", "expected"),
    [
        (replace(RUNNING, health="starting"), Look(), ("running", "starting", "")),
        (RUNNING, Look(status=status(TOLD, at="2026-11-22T11:59:00+00:00")), ("running", "healthy", "")),
        (
            replace(RUNNING, health="unhealthy"),
            Look(status=status(TOLD, at="2026-11-22T11:59:00+00:00")),
            ("running", "unhealthy", "its host has not told how it does"),
        ),
        (
            replace(RUNNING, health="starting"),
            Look(status=status({**TOLD, "state": "starting", "is_healthy": False})),
            ("starting", "starting", ""),
        ),
        (
            RUNNING,
            Look(status=status({**TOLD, "state": "token refused", "is_healthy": False})),
            (
                "token refused",
                "unhealthy",
                "Telegram refuses its token; get a new one from @BotFather, put it into .env, then flotilla up",
            ),
        ),
        (
            replace(RUNNING, state="restarting", health="unhealthy", exit_code=78, restarts=5),
            Look(),
            ("restarting", "unhealthy", "ended with exit code 78, restarted 5 times; see its log: flotilla logs bot"),
        ),
        (replace(RUNNING, state="exited", health="unhealthy"), Look(), ("exited", "", "")),
        (
            replace(RUNNING, state="exited", health=None, exit_code=137, is_out_of_memory=True),
            Look(),
            ("exited", "unhealthy", "ended for want of memory; see its log: flotilla logs bot"),
        ),
    ],
)
def test_what_is_wrong(fleet: Fleet, container: Any, look: Look, expected: tuple[str, str, str]) -> None:
    row = container_rows(fleet, set(), [container], {"1": look}, NOW)[0]
    assert (row.state, row.health, row.note) == expected


def test_a_webhook_tells_of_its_last_error(fleet: Fleet) -> None:
    webhook = {"pending_updates": 3, "last_error": "Connection refused", "last_error_at": "2026-11-22T11:00:00+00:00"}
    told = status({**TOLD, "state": "webhook", "mode": "webhook", "webhook": webhook, "dead_updates": 2})
    row = container_rows(fleet, set(), [RUNNING], {"1": Look(status=told)}, NOW)[0]
    assert row.webhook == webhook
    assert notes([row]) == [
        "bot: last error of its webhook: Connection refused (2026-11-22T11:00:00+00:00); 2 updates could not be"
        " processed (table dead_update)"
    ]


def test_services_beside_the_bots_and_what_is_gone_come_last(fleet: Fleet) -> None:
    done = replace(RUNNING, id="2", service="migrate", state="exited", health=None)
    gone = replace(RUNNING, id="3", service="old")
    stopped = replace(done, id="4", service="postgres")
    rows = container_rows(fleet, {"migrate", "postgres"}, [gone, done, stopped], {}, NOW, {"migrate"})[3:]
    assert [(row.bot, row.is_bot, row.state, row.is_well, row.note) for row in rows] == [
        ("migrate", False, "done", True, ""),
        ("postgres", False, "exited", False, "it is stopped; start it: flotilla start postgres"),
        ("old", False, "running", True, "not in the config any more; flotilla up removes it"),
    ]


def test_the_bots_of_a_run_are_told_of_by_it() -> None:
    told = status({**TOLD, "process": "pair"}) | {"processes": [{"process": "pair", "restarts": 2}]}
    row = run_rows(told)[0]
    assert (row.bot, row.service, row.version, row.restarts, row.health) == ("bot", "pair", "1.0", 2, "healthy")


def test_what_a_run_uses_is_that_of_its_process_or_of_those_of_its_bots() -> None:
    one = run_rows(status(TOLD) | {"cpu_percent": 1.5, "memory": 7})[0]
    assert (one.cpu_percent, one.memory) == (1.5, 7)
    silent = run_rows(status({**TOLD, "cpu_percent": None, "memory": None}) | {"processes": []})[0]
    apart = run_rows(status({**TOLD, "cpu_percent": 2.5, "memory": 8}))[0]
    old = run_rows(status(TOLD))[0]
    assert [(row.cpu_percent, row.memory) for row in (silent, apart, old)] == [(None, None), (2.5, 8), (None, None)]


def test_a_run_with_a_token_that_is_refused_is_to_be_started_anew() -> None:
    row = run_rows(status({**TOLD, "state": "token refused", "is_healthy": False}))[0]
    assert row.note == (
        "Telegram refuses its token; get a new one from @BotFather, put it into .env, then start flotilla run anew"
    )


def test_the_use_of_cpu_is_that_between_two_looks() -> None:
    before = Usage(NOW, 1.0, 100, 200)
    assert Usage(NOW + timedelta(seconds=2), 2.0, 100, 200).cpu_percent(before) == 50.0
    assert before.cpu_percent(before) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3660, "1h01m"), (86400, "1d00h"), (200000, "2d07h")],
)
def test_ago(seconds: int, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


WIDE = Row(
    "bot",
    "bot",
    state="polling",
    health="healthy",
    mode="polling",
    version="1.0",
    image="0123456789ab",
    started_at=NOW - timedelta(minutes=5),
    restarts=0,
    cpu_percent=1.25,
    memory=70 * 2**20,
    last_poll=NOW - timedelta(seconds=2),
    active_5m=1,
    active_24h=2,
    errors=0,
    outbox=0,
)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (None, "BOT STATE HEALTH MODE VERSION IMAGE UP RESTARTS CPU MEM UPDATES 5MIN 24H ERRORS OUTBOX"),
        (80, "BOT STATE HEALTH VERSION UP MEM UPDATES 5MIN 24H ERRORS OUTBOX"),
        (40, "BOT STATE HEALTH UPDATES ERRORS"),
        (10, "BOT STATE"),
    ],
)
def test_columns_are_left_out_on_a_narrow_terminal(width: int | None, titles: str) -> None:
    shown, texts = cells([WIDE], NOW, width)
    assert " ".join(column.title for column in shown) == titles
    assert len(texts[0]) == len(shown)


def test_columns_that_nobody_fills_are_left_out() -> None:
    shown, texts = cells([Row("bot", "bot"), Row("other", "other", mode="webhook")], NOW, None)
    assert [column.title for column in shown] == ["BOT", "STATE", "MODE"]
    assert texts == [["bot", "missing", ""], ["other", "missing", "webhook"]]
