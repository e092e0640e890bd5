"""``flotilla ban``, ``unban`` and ``bans``."""

from __future__ import annotations

from json import loads

import psycopg
import pytest

from app.errors import FlotillaError
from tests.integration.cli.conftest import Flotilla


def test_d27_from_ban_to_exemption(flotilla: Flotilla) -> None:
    assert flotilla("ban", "bot", "7", "--reason", "spam") == ["7 is now banned (was not banned)"]
    assert flotilla("ban", "bot", "7") == ["7 is banned already"]
    assert flotilla("unban", "bot", "7") == ["7 is now not banned (was banned)"]
    assert flotilla("unban", "bot", "7") == ["7 is not banned already"]
    assert flotilla("unban", "bot", "7", "--exempt") == ["7 is now exempt (was not banned)"]
    assert flotilla("ban", "bot", "7") == ["7 is now banned (was exempt)"]


def test_d27_the_list(flotilla: Flotilla, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO bannedparticipants (botname, chat_id, banned_at, ban_reason) "
            "VALUES ('bot', 7, '2024-05-06', 'limit'); INSERT INTO chat (botname, chat_id, username) "
            "VALUES ('bot', 7, 'ann'); INSERT INTO bannedparticipants (botname, chat_id, excluded, banned_at) "
            "VALUES ('bot', 8, 1, '2024-05-07'), ('other', 9, 0, '2024-05-07')"
        )
    assert flotilla("bans", "bot") == ["7\t@ann\tbanned\t2024-05-06\tlimit", "8\t\texempt\t2024-05-07\t"]
    assert loads("\n".join(flotilla("bans", "bot", "--json")))[0] == {
        "chat_id": 7,
        "username": "ann",
        "is_exempt": False,
        "reason": "limit",
        "banned_at": "2024-05-06 00:00:00+00:00",
    }


def test_a_dry_run_changes_nothing(flotilla: Flotilla) -> None:
    assert flotilla("ban", "bot", "7", "--dry-run") == ["7 would be banned (was not banned)"]
    assert flotilla("bans", "bot") == []
    flotilla("ban", "bot", "7")
    assert loads("\n".join(flotilla("unban", "bot", "7", "--dry-run", "--json"))) == {
        "chat_id": 7,
        "before": "banned",
        "after": "not banned",
        "dry_run": True,
    }
    assert flotilla("ban", "bot", "7") == ["7 is banned already"]


def test_a_learner_by_their_username(flotilla: Flotilla, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO chat (botname, chat_id, username) "
            "VALUES ('bot', 7, 'Ann'), ('other', 8, 'ann'), ('bot', 9, NULL), ('bot', 5, 'bob'), ('bot', 6, 'bob')"
        )
    assert flotilla("ban", "bot", "@ann") == ["7 is now banned (was not banned)"]
    assert flotilla("unban", "bot", "Ann") == ["7 is now not banned (was banned)"]
    with pytest.raises(FlotillaError, match=r"^2 learners of 'bot' had the username 'bob'; give a chat id: 5, 6"):
        flotilla("ban", "bot", "@bob")


@pytest.mark.parametrize(
    ("learner", "error"),
    [
        ("@eve", "nobody with the username 'eve' wrote to 'bot'; give their chat id: "),
        ("eve", "nobody with the username 'eve' wrote to 'bot'; give their chat id: "),
        ("@", "nobody with the username '' wrote to 'bot'; give their chat id: "),
        ("0", "'0' is no learner's chat id: it is positive and at most 9007199254740992; "),
        (
            "99999999999999999999",
            "'99999999999999999999' is no learner's chat id: it is positive and at most 9007199254740992; ",
        ),
    ],
)
def test_nobody_is_meant(flotilla: Flotilla, learner: str, error: str) -> None:
    with pytest.raises(FlotillaError) as raised:
        flotilla("ban", "bot", learner)
    where = "a chat id is the number in the column chat_id of the tables run and conversation"
    assert str(raised.value) == f"{error}{where}"
