"""What a pin would change, and what stops it before it begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.config.fleet import Bot
from app.config.load import load_fleet
from app.config.settings import Mode
from app.deploy.compose import compose
from app.deploy.pin import lack_of, plan
from app.errors import FlotillaError

CONFIG = """\
image: ghcr.io/acme/flotilla
version: "1.4.0"
telegram: sandbox
bots:
  - {name: a, folder: x}
  - {name: b, folder: x, group: web, version: "1.3.0"}  # held back
  - name: c
    group: web
    version: "1.3.0"
    folder: x
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (tmp_path / "scripts/x").mkdir(parents=True)
    (tmp_path / "scripts/x/courses.yml").write_text("{}")
    (tmp_path / "bots_config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize(
    ("bot", "version", "expected"),
    [
        ("a", "1.5.0", CONFIG.replace("{name: a,", '{name: a, version: "1.5.0",')),
        ("c", "1.5.0", CONFIG.replace("1.3.0", "1.5.0")),
        ("b", None, CONFIG.replace(', version: "1.3.0"', "").replace('    version: "1.3.0"\n', "")),
    ],
)
def test_both_files_change_as_if_by_hand(folder: Path, bot: str, version: str | None, expected: str) -> None:
    fleet = load_fleet(Path("bots_config.yaml"), {}, need_secrets=False)
    planned = plan(fleet, next(one for one in fleet.bots if one.name == bot), version)

    assert (planned.config.before, planned.config.after) == (CONFIG.encode(), expected.encode())
    (folder / "bots_config.yaml").write_text(expected)
    by_hand = compose(load_fleet(Path("bots_config.yaml"), {}, need_secrets=False))
    assert (planned.compose.before, planned.compose.after.decode()) == (None, by_hand)


def test_a_byte_order_mark_stays(folder: Path) -> None:
    (folder / "bots_config.yaml").write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
    fleet = load_fleet(Path("bots_config.yaml"), {}, need_secrets=False)
    assert plan(fleet, fleet.bots[0], "2").config.after.startswith(b"\xef\xbb\xbfimage:")


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (("d", "1"), "bots_config.yaml: there is no bot 'd'; it has a, b, c", 2),
        (("a", "1:2"), "'1:2' is not an image tag; write it like \"1.4.0\"", 2),
        (("a", "1", "--config", "no.yaml"), "no.yaml: no such file; write one with 'flotilla init'", 78),
    ],
)
def test_what_cannot_be_pinned(folder: Path, arguments: tuple[str, ...], text: str, code: int) -> None:
    result = CliRunner().invoke(cli, ["pin", *arguments])
    assert isinstance(result.exception, FlotillaError)
    assert (str(result.exception), result.exception.exit_code) == (text, code)


def test_without_an_engine_nothing_changes(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["pin", "a", "1.5.0"])
    assert isinstance(result.exception, FlotillaError)
    assert str(result.exception).startswith("no Docker engine answers at tcp://127.0.0.1:1")
    assert sorted(os.listdir(folder)) == ["bots_config.yaml", "scripts"]
    assert (folder / "bots_config.yaml").read_text() == CONFIG


LATER = "2026-05-04T12:00:00+00:00"
STANDBY = {"state": "standby", "is_healthy": True, "last_poll": None, "webhook": None}
POLLING = {"state": "polling", "is_healthy": True, "last_poll": LATER, "webhook": None}
HOOKED = {"state": "webhook", "is_healthy": True, "last_poll": None, "webhook": {"checked_at": LATER}}


@pytest.mark.parametrize(
    ("mode", "seen", "lack"),
    [
        ("polling", [None], "a has not completed a poll yet"),
        ("polling", [STANDBY], "a has not completed a poll yet"),
        ("polling", [{**POLLING, "is_healthy": False}], "a has not completed a poll yet"),
        ("polling", [STANDBY, POLLING], ""),
        ("webhook", [STANDBY], "a has not looked at its webhook yet"),
        ("webhook", [{**HOOKED, "webhook": {"checked_at": None}}], "a has not looked at its webhook yet"),
        ("webhook", [HOOKED, None], ""),
        ("webhook", [POLLING], ""),
    ],
)
def test_a_bot_works_when_it_has_heard_of_telegram(mode: str, seen: list[dict[str, Any] | None], lack: str) -> None:
    bot = Bot.model_construct(name="a", mode=Mode(mode))
    assert lack_of(bot, seen) == lack


@pytest.mark.parametrize("state", ["token refused", "failed", "stopped"])
def test_a_bot_that_has_given_up(state: str) -> None:
    with pytest.raises(FlotillaError, match=rf"^the bot a does not work: {state}$"):
        lack_of(Bot.model_construct(name="a", mode=Mode.POLLING), [POLLING, {**STANDBY, "state": state}])
