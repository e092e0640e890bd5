"""``flotilla broadcast`` and the commands that look after broadcasts."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from app.errors import FlotillaError
from tests.integration.cli.conftest import Flotilla


@pytest.fixture
def text(folder: Path, database_url: str) -> str:
    """A text file, and five learners, one of whom has blocked the bot."""
    (folder / "news.txt").write_text("<b>News</b>", encoding="utf-8")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO chat (botname, chat_id, is_blocked, state) "
            "SELECT 'bot', n, n = 5, '{}' FROM generate_series(1, 5) AS n; "
            "INSERT INTO run (botname, chat_id, course_id, is_ended) VALUES ('bot', 2, 'intro', true)"
        )
    return "news.txt"


def stored(database_url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT botname, audience, method, params, state FROM broadcast").fetchall()


def test_from_sending_to_cancelling(flotilla: Flotilla, text: str, database_url: str) -> None:
    waiting = "waiting: no host runs the bot, 0 of 5 sent, 1 blocked"
    assert flotilla("broadcast", "bot", text, "--parse-mode", "html") == [f"broadcast 1: {waiting}"]
    assert stored(database_url) == [
        ("bot", "all", "sendMessage", {"text": "<b>News</b>", "parse_mode": "HTML"}, "running")
    ]
    assert flotilla("broadcast", "status", "1") == [f"broadcast 1: {waiting}"]
    assert flotilla("broadcast", "pause", "1") == ["broadcast 1: paused, 0 of 5 sent, 1 blocked"]
    assert flotilla("broadcast", "pause", "1") == ["broadcast 1: paused, 0 of 5 sent, 1 blocked"]
    assert flotilla("broadcast", "resume", "1") == [f"broadcast 1: {waiting}"]
    assert flotilla("broadcast", "cancel", "1") == ["broadcast 1: cancelled, 0 of 5 sent, 1 blocked"]
    with pytest.raises(FlotillaError) as caught:
        flotilla("broadcast", "resume", "1")
    assert str(caught.value) == "broadcast 1 is cancelled; only one that is paused can be"


def test_who_gets_it(flotilla: Flotilla, text: str, folder: Path, database_url: str) -> None:
    (folder / "chats.csv").write_text("chat_id\n3\n5\n77\n")
    assert flotilla("broadcast", "bot", text, "--dry-run") == [
        "would send to 4 learners (all); 1 more have blocked the bot"
    ]
    assert flotilla("broadcast", "bot", text, "--course", "intro", "--dry-run") == [
        "would send to 1 learners (all, course intro); 0 more have blocked the bot"
    ]
    assert json.loads(
        "\n".join(flotilla("broadcast", "bot", text, "--segment", "chats.csv", "--dry-run", "--json"))
    ) == {
        "bot": "bot",
        "dry_run": True,
        "audience": "chats.csv",
        "chats": 3,
        "blocked": 1,
    }
    assert stored(database_url) == []


def test_the_list(flotilla: Flotilla, text: str) -> None:
    flotilla("broadcast", "bot", text)
    flotilla("broadcast", "send", "other", text, "--segment", "finished:intro")
    assert [line.split("\t")[0::2] for line in flotilla("broadcast", "list")] == [
        ["2", flotilla("broadcast", "list")[0].split("\t")[2], "finished:intro"],
        ["1", flotilla("broadcast", "list")[1].split("\t")[2], "all"],
    ]
    (one,) = json.loads("\n".join(flotilla("broadcast", "list", "bot", "--json")))
    assert {key: one[key] for key in ("broadcast_id", "state", "total", "pending", "blocked", "is_served")} == {
        "broadcast_id": 1,
        "state": "running",
        "total": 5,
        "pending": 4,
        "blocked": 1,
        "is_served": False,
    }


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("status", "9"), "there is no broadcast 9; see `flotilla broadcast list`"),
        (("cancel", "9"), "there is no broadcast 9; see `flotilla broadcast list`"),
        (
            ("bot", "missing.txt"),
            "missing.txt: cannot be read: No such file or directory; name a file that exists",
        ),
    ],
)
def test_what_is_not_there(flotilla: Flotilla, text: str, arguments: tuple[str, ...], error: str) -> None:
    with pytest.raises(FlotillaError) as caught:
        flotilla("broadcast", *arguments)
    assert str(caught.value) == error


def test_nothing_is_begun_with_a_text_that_telegram_would_refuse(
    flotilla: Flotilla, text: str, folder: Path, database_url: str
) -> None:
    (folder / "bad.txt").write_text("<b>News")
    with pytest.raises(FlotillaError, match="Telegram would refuse this HTML"):
        flotilla("broadcast", "bot", "bad.txt", "--parse-mode", "HTML")
    assert stored(database_url) == []


def test_a_text_from_standard_input(flotilla: Flotilla, text: str, database_url: str) -> None:
    flotilla("broadcast", "bot", "-", stdin="Hello")
    assert stored(database_url)[0][3] == {"text": "Hello"}
