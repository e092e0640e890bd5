"""Log lines: their two formats, and the files of bots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from app.observe.logs import BotFiles, configure_logs, get_log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    get_log("x").info("чай готов", bot="samovar", cups=2)
    get_log("x").debug("not shown")
    [line] = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event.pop("timestamp")
    assert event == {"event": "чай готов", "bot": "samovar", "cups": 2, "level": "info"}
    assert "чай" in line


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_shows_no_variables(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(style)  # type: ignore[arg-type]

    def fail(token: str) -> None:
        raise ValueError(f"bad length {len(token)}")

    try:
        fail("123456789:" + "MARKER" * 6)
    except ValueError:
        get_log("x").exception("it failed", bot="a")
    output = capsys.readouterr().err
    assert "bad length 46" in output
    assert "MARKERMARKER" not in output


def test_a_bot_gets_its_own_lines_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "a.log"
    files = configure_logs("json", files={"a": file, "a_bot": file})
    log = get_log("x")
    log.info("first", bot="a")
    log.info("second", bot="a_bot", chat=7)
    log.info("of another", bot="b")
    log.info("of the host")
    files.close()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(event["event"], event["level"]) for event in events] == [("first", "info"), ("second", "info")]


def test_a_log_file_is_rotated(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    files = BotFiles({"a": file})
    for number in range(12):
        files(None, "", {"bot": "a", "event": "x" * 1_000_000, "number": number})
    files.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1"]
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == 12
