"""Times, and lines of logs, as people write and read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.cli.lines import Lines, event_of
from app.cli.logfile import follow_files, read_files
from app.cli.logs import TimeError, moment

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("3w", NOW - timedelta(weeks=3)),
        ("2026-11-22T10:00:00Z", NOW - timedelta(hours=2)),
        ("2026-11-22T13:00+03:00", NOW - timedelta(hours=2)),
    ],
)
def test_a_moment(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "5", "h", "-3h", "2026-13-01"])
def test_no_moment(text: str) -> None:
    with pytest.raises(TimeError) as error:
        moment(text, NOW)
    assert str(error.value) == f"{text!r} is no time; write 30s, 15m, 2h, 3d, or a time like 2026-11-22T21:00"


def line(event: str, second: int, bot: str = "one") -> str:
    return json.dumps(
        {"bot": bot, "event": event, "level": "info", "timestamp": f"2026-11-22T12:00:{second:02}.123456Z"}
    )


def test_an_event_is_written_as_run_writes_it() -> None:
    lines = Lines(width=5)
    assert lines.text("one", line("polling", 1)) == "one   | 2026-11-22T12:00:01.123Z [info     ] polling"
    assert lines.text("three", "plain text", NOW) == "three | 2026-11-22T12:00:00Z plain text"
    assert Lines(has_color=True).text("one", "text").startswith("\x1b[36mone | \x1b[0m")


@pytest.mark.parametrize("text", ["", "plain", "{broken", '{"no": "event"}', "[1]"])
def test_no_event(text: str) -> None:
    assert event_of(text) is None


def test_log_files_are_merged_with_those_put_aside(tmp_path: Path) -> None:
    (tmp_path / "a.log.1").write_text(line("first", 1) + "\n")
    (tmp_path / "a.log").write_text(line("third", 3) + "\nnot an event\n" + line("fifth", 5) + "\n")
    (tmp_path / "b.log").write_text(line("second", 2, "two") + "\n" + line("fourth", 4, "two") + "\n")
    paths = [tmp_path / "b.log", tmp_path / "a.log", tmp_path / "none.log"]
    events = [event["event"] for _, _, event in read_files(paths, None, None)]
    assert events == ["first", "second", "third", "fourth", "fifth"]
    assert [event["event"] for _, _, event in read_files(paths, None, 1)] == ["fourth", "fifth"]
    since = datetime(2026, 11, 22, 12, 0, 3, tzinfo=UTC)
    assert [event["event"] for _, _, event in read_files(paths, since, None)] == ["third", "fourth", "fifth"]


def test_a_log_file_is_followed_also_when_it_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(line("old", 1) + "\n")
    following = follow_files([path])
    with path.open("a") as file:
        file.write(line("new", 2) + "\n" + line("newer", 3)[:20])
    assert next(following)[2]["event"] == "new"
    with path.open("a") as file:
        file.write(line("newer", 3)[20:] + "\n")
    assert next(following)[2]["event"] == "newer"
    path.rename(tmp_path / "a.log.1")
    path.write_text(line("newest", 4) + "\n")
    assert next(following)[2]["event"] == "newest"
