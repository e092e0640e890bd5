"""How fast bots may start."""

from __future__ import annotations

from app.config.pace import earliest, start_delay
from app.config.settings import TELEGRAM_API_URL


def test_telegram_admits_twenty_bots_a_minute() -> None:
    assert [earliest(bots) for bots in (1, 20, 21, 40)] == [0, 0, 3, 60]
    assert [start_delay(index, TELEGRAM_API_URL) for index in (0, 19, 20, 39)] == [0, 0, 3, 60]


def test_other_servers_admit_all_at_once() -> None:
    assert start_delay(39, "http://localhost:8080") == 0
