"""What a host writes about itself and its bots into the file that the command line reads."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from app.config.settings import Mode, WebhookSettings
from app.runtime import host as host_module
from app.runtime.bot import State
from app.runtime.host import Host
from app.runtime.status import FILE_NAME
from tests.integration.runtime.test_replicas import free_port
from tests.stage import Stage, until

COURSE = "Hello: {type: input, text: hello}"
TIMES = ("at", "started_at", "last_poll", "figures_at", "checked_at")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "STATUS_SECONDS", 0.05)


def read(folder: Path) -> dict[str, Any]:
    """Return the status as it is in the file; ``{}`` before it is written."""
    file = folder / FILE_NAME
    return json.loads(file.read_bytes()) if file.is_file() else {}


def timeless(status: dict[str, Any]) -> dict[str, Any]:
    """Return the status with ``True`` for each time that is of now."""
    now = datetime.now(UTC)

    def shown(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shown(key, inner) for key, inner in value.items()}
        if key in TIMES and value is not None:
            return abs((now - datetime.fromisoformat(value)).total_seconds()) < 60
        return value

    return {**shown("", status), "bots": [shown("", bot) for bot in status["bots"]]}


def nothing_known() -> dict[str, None]:
    keys = ("active_5m", "active_24h", "active_7d", "dead_updates", "outbox", "outbox_age", "timers_late", "jobs_open")
    return dict.fromkeys([*keys, "figures_at"])


async def test_each_bot_is_told_of(stage: Stage, tmp_path: Path) -> None:
    stage.course(COURSE)
    leader = stage.start(stage.bot("shared"))
    await until(lambda: [bot.state for bot in leader.bots] == [State.POLLING])
    stage.listen = ("127.0.0.1", free_port())
    hook = WebhookSettings(f"http://127.0.0.1:{stage.listen[1]}/webhook/hooked", "s3cret")
    bots = [stage.bot("polled"), stage.bot("hooked", mode=Mode.WEBHOOK, webhook=hook), stage.bot("shared")]
    host = Host(stage.settings(*bots), tmp_path / "heartbeat")
    running = asyncio.create_task(host.run())

    def is_complete() -> bool:
        found = {bot["bot"]: bot for bot in read(tmp_path).get("bots", [])}
        return bool(
            found
            and found["polled"]["state"] == State.POLLING
            and found["hooked"]["webhook"]
            and found["shared"]["state"] == State.STANDBY
        )

    await until(is_complete)
    await stage.learner("polled").send("/start")
    await until(lambda: read(tmp_path)["bots"][0]["last_poll"] is not None)

    common = {"is_healthy": True, "last_poll": None, "webhook": None, "errors": 0, "log_level": "info"}
    leads = {**common, "is_leader": True}
    hooked = {"checked_at": True, "pending_updates": 0, "last_error": None, "last_error_at": None}
    status = timeless(read(tmp_path))
    known = [{key: bot.pop(key) for key in nothing_known()} for bot in status["bots"]]
    assert known[2] == nothing_known()
    assert status == {
        "host": status["host"],
        "version": __version__,
        "cpu_percent": status["cpu_percent"],
        "memory": status["memory"],
        "pid": os.getpid(),
        "started_at": True,
        "at": True,
        "bots": [
            {**leads, "bot": "polled", "botname": "polled", "state": "polling", "mode": "polling", "last_poll": True},
            {**leads, "bot": "hooked", "botname": "hooked", "state": "webhook", "mode": "webhook", "webhook": hooked},
            {
                **common,
                "bot": "shared",
                "botname": "shared",
                "state": "standby",
                "mode": "polling",
                "is_leader": False,
            },
        ],
    }
    host.stop()
    await running
    assert [name for name in os.listdir(tmp_path) if name.startswith("flotilla")] == [FILE_NAME]


async def test_a_host_that_is_not_healthy_tells_too(stage: Stage, tmp_path: Path) -> None:
    stage.course(COURSE)
    settings = stage.settings(stage.bot())
    host = Host(type(settings)(settings.bots, settings.database_url, "http://127.0.0.1:1"), tmp_path / "heartbeat")
    running = asyncio.create_task(host.run())
    await until(lambda: bool(read(tmp_path)))
    (bot,) = read(tmp_path)["bots"]
    assert (bot["state"], bot["is_healthy"], (tmp_path / "heartbeat").exists()) == ("starting", False, False)
    host.stop()
    await running
