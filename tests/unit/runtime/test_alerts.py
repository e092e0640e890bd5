"""What operators are told, and when."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from app.runtime.alerts import (
    CONNECTIONS_SHARE,
    CRASHES,
    OUTBOX_SECONDS,
    RULES,
    Alert,
    Finding,
    News,
    findings,
    news,
    noted,
    text_of,
    told,
)
from app.runtime.signs import (
    CERTIFICATE_SECONDS,
    DAY,
    DISK_SHARE,
    ERROR_SECONDS,
    ERRORS,
    POLL_SECONDS,
    WEBHOOK_SECONDS,
)
from app.store.watch import CRASH_MINUTES, Alarm, Situation, Watched

START = datetime(2026, 11, 22, 3, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


WELL = Watched("a", "h1", is_alive=True, is_led=True, troubles={}, crashes=0, outbox_age=None, timers_late=0)
DOWN = Finding(Alert.BOT_DOWN, "a", "its host is gone")


def situation(*bots: Watched, connections: int = 5) -> Situation:
    return Situation(START, bots, (), connections, 100)


@pytest.mark.parametrize(
    ("bot", "found"),
    [
        (WELL, []),
        (replace(WELL, is_led=False, is_alive=False), [DOWN]),
        (replace(WELL, is_led=False), [Finding(Alert.BOT_DOWN, "a", "its host lives, but does not run it")]),
        (replace(WELL, is_alive=False), []),  # another host leads it
        (replace(WELL, crashes=CRASHES - 1), []),
        (replace(WELL, crashes=CRASHES), [Finding(Alert.CRASH_LOOP, "a", "3 times within a quarter of an hour")]),
        (replace(WELL, outbox_age=OUTBOX_SECONDS), []),
        (replace(WELL, outbox_age=610.0), [Finding(Alert.OUTBOX_STUCK, "a", "the oldest is 10 min old")]),
        (replace(WELL, timers_late=2), [Finding(Alert.TIMERS_LATE, "a", "2 waits are over and not delivered")]),
        (replace(WELL, troubles={"WebhookErrors": "refused"}), [Finding(Alert.WEBHOOK_ERRORS, "a", "refused")]),
        (replace(WELL, troubles={"DiskNearlyFull": "3% free"}), [Finding(Alert.DISK_FULL, "", "3% free")]),
        (replace(WELL, troubles={"OfAnotherVersion": "?"}), []),
        (replace(WELL, is_alive=False, troubles={"BotNotPolling": "for long"}), []),
        (replace(WELL, is_alive=False, troubles={"TokenRevoked": ""}), [Finding(Alert.TOKEN_REVOKED, "a")]),
    ],
)
def test_what_is_wrong_with_a_bot(bot: Watched, found: list[Finding]) -> None:
    assert findings(situation(bot)) == found


def test_two_hosts_of_a_bot_report_it_once() -> None:
    gone = replace(WELL, is_led=False, is_alive=False, troubles={"TokenRevoked": ""})

    assert findings(situation(gone, replace(gone, host="h2", is_alive=True))) == [
        Finding(Alert.TOKEN_REVOKED, "a"),
        DOWN,
    ]


def test_connections_that_run_short() -> None:
    limit = round(CONNECTIONS_SHARE * 100)

    assert findings(situation(connections=limit)) == []
    assert findings(situation(connections=limit + 1)) == [
        Finding(Alert.CONNECTIONS_FULL, "", f"{limit + 1} of 100 are in use")
    ]


ALARM = Alarm("BotDown", "a", "its host is gone", START)
TOLD = replace(ALARM, told_at=after(150))
GONE = replace(TOLD, gone_at=after(300))


@pytest.mark.parametrize(
    ("before", "found", "now", "alarms"),
    [
        ([], [DOWN], 0, [ALARM]),
        ([ALARM], [DOWN], 5, [ALARM]),
        ([ALARM], [Finding(Alert.BOT_DOWN, "a", "other")], 5, [replace(ALARM, detail="other")]),
        ([ALARM], [], 5, []),  # nobody was told, and nobody need be
        ([TOLD], [], 300, [GONE]),
        ([GONE], [], 310, [GONE]),
        ([GONE], [DOWN], 310, [TOLD]),
        ([ALARM], [Finding(Alert.BOT_DOWN, "b")], 5, [Alarm("BotDown", "b", "", after(5))]),
    ],
)
def test_an_alarm_begins_goes_on_and_goes(
    before: list[Alarm], found: list[Finding], now: float, alarms: list[Alarm]
) -> None:
    assert list(noted(before, found, after(now))) == alarms


REVOKED = Alarm("TokenRevoked", "a", "", START)


@pytest.mark.parametrize(
    ("alarms", "now", "message"),
    [
        ([], 0, None),
        ([ALARM], 120 + 29, None),
        ([ALARM], 120 + 30, News(begun=(ALARM,))),
        ([REVOKED], 29, None),
        ([REVOKED], 30, News(begun=(REVOKED,))),
        # what is due by then comes along, what is not due yet does not
        (
            [ALARM, replace(ALARM, subject="b", began_at=after(29)), replace(ALARM, subject="c", began_at=after(31))],
            150,
            News(begun=(ALARM, replace(ALARM, subject="b", began_at=after(29)))),
        ),
        # the cause is told, its effect is not, with the same bot
        ([REVOKED, ALARM], 150, News(begun=(REVOKED,))),
        ([replace(REVOKED, told_at=after(30)), ALARM], 150, None),
        ([replace(REVOKED, subject="b"), ALARM], 150, News(begun=(replace(REVOKED, subject="b"), ALARM))),
        (
            [replace(REVOKED, told_at=after(30), gone_at=after(60)), ALARM],
            150,
            News(begun=(ALARM,), resolved=(replace(REVOKED, told_at=after(30), gone_at=after(60)),)),
        ),
        ([TOLD], 3600, None),
        ([GONE], 300 + 60 + 29, None),
        ([GONE], 300 + 60 + 30, News(resolved=(GONE,))),
        # a reminder tells of all that goes on
        ([TOLD], 150 + 4 * 3600 - 1, None),
        (
            [TOLD, replace(TOLD, subject="b", told_at=after(9000)), GONE],
            150 + 4 * 3600,
            News(ongoing=(TOLD, replace(TOLD, subject="b", told_at=after(9000))), resolved=(GONE,)),
        ),
        (
            [Alarm("OfAnotherVersion", "a", "", START, after(1), after(1))],
            91,
            News(resolved=(Alarm("OfAnotherVersion", "a", "", START, after(1), after(1)),)),
        ),
    ],
)
def test_when_a_message_is_sent_and_what_it_tells(alarms: list[Alarm], now: float, message: News | None) -> None:
    assert news(alarms, after(now)) == message


def test_what_was_told_is_known() -> None:
    other = replace(ALARM, subject="b")
    message = News(begun=(ALARM,), ongoing=(TOLD,), resolved=(GONE,))

    assert told([ALARM, TOLD, GONE, other], message, after(500)) == (
        replace(ALARM, told_at=after(500)),
        replace(TOLD, told_at=after(500)),
        other,
    )


def messages(found_at: dict[int, list[Finding]], seconds: int) -> list[tuple[int, News]]:
    """Return what is told while every five seconds this is found; the newest findings before count."""
    alarms: tuple[Alarm, ...] = ()
    sent, found = [], []
    for second in range(0, seconds, 5):
        found = found_at.get(second, found)
        alarms = noted(alarms, found, after(second))
        if (message := news(alarms, after(second))) is not None:
            sent.append((second, message))
            alarms = told(alarms, message, after(second))
    return sent


def test_two_hundred_bots_that_fall_and_rise_together_are_two_messages() -> None:
    fallen = [Finding(Alert.BOT_DOWN, f"bot{number}") for number in range(200)]
    sent = messages({0: fallen[:100], 10: fallen, 600: fallen[:50], 605: []}, 1200)

    assert [(second, len(message.begun), len(message.resolved)) for second, message in sent] == [
        (150, 200, 0),
        (690, 0, 200),
    ]


def test_a_bot_that_comes_and_goes_quickly_is_told_of_once() -> None:
    found_at: dict[int, list[Finding]] = {second: [DOWN] if second // 40 % 2 else [] for second in range(400, 1200, 40)}

    assert [second for second, _ in messages({0: [DOWN], **found_at, 1200: [DOWN]}, 1500)] == [150]


def test_a_bot_that_is_down_for_a_moment_is_not_told_of() -> None:
    assert messages({0: [DOWN], 115: []}, 600) == []


def test_reminders_come_every_few_hours() -> None:
    sent = messages({0: [DOWN]}, 10 * 3600)

    assert [(second, bool(message.begun), bool(message.ongoing)) for second, message in sent] == [
        (150, True, False),
        (150 + 4 * 3600, False, True),
        (150 + 8 * 3600, False, True),
    ]


def test_the_text_of_a_message() -> None:
    failing = Alarm("WebhookErrors", "b", "Connection refused", START)
    full = Alarm("DiskNearlyFull", "", "3% are free", START)

    assert text_of(News(begun=(full, failing, replace(ALARM, subject="b"), ALARM), resolved=(GONE,)), after(600)) == (
        "🔴 BotDown: a, b\n"
        "no process runs it\n"
        "a: its host is gone\n"
        "b: its host is gone\n"
        "→ flotilla status; flotilla logs BOT; flotilla start BOT\n"
        "docs/runbook.md#botdown\n"
        "\n"
        "🔴 WebhookErrors: b\n"
        "Telegram cannot deliver updates to its webhook\n"
        "b: Connection refused\n"
        "→ flotilla doctor; flotilla logs proxy\n"
        "docs/runbook.md#webhookerrors\n"
        "\n"
        "🔴 DiskNearlyFull\n"
        "the disk is nearly full\n"
        "3% are free\n"
        "→ df -h; docker system df; delete old backups and logs\n"
        "docs/runbook.md#disknearlyfull\n"
        "\n"
        "🟢 resolved: BotDown: a (after 5 min)"
    )


def test_the_text_of_a_reminder() -> None:
    assert text_of(News(ongoing=(TOLD,)), after(4 * 3600)).startswith("🔴 still, for 4 h: BotDown: a\nno process")


def test_the_runbook_may_be_elsewhere() -> None:
    assert text_of(News(begun=(ALARM,)), START, "https://wiki/flotilla").endswith("\nhttps://wiki/flotilla#botdown")


def test_many_bots_are_counted() -> None:
    alarms = tuple(replace(ALARM, subject=f"b{number:03}") for number in range(200))

    assert text_of(News(begun=alarms), START).startswith(
        "🔴 BotDown: b000, b001, b002, b003, b004, b005, b006, b007, b008, b009 and 190 more\nno process runs it\n→ "
    )


def test_the_longest_message_fits_and_holds_no_token() -> None:
    token = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
    alarms = tuple(
        Alarm(alert, letter * 64, f"{token} {letter * 900}", START) for alert in Alert for letter in ("a", "b", "c")
    )
    text = text_of(News(begun=alarms, ongoing=alarms, resolved=alarms), after(60))

    assert len(text.encode("utf-16-le")) // 2 <= 4096
    assert token not in text


def test_every_alert_has_a_rule_and_no_cause_is_its_own() -> None:
    assert set(RULES) == set(Alert)
    assert all(alert not in rule.causes for alert, rule in RULES.items())
    assert all(re.fullmatch("[A-Z][A-Za-z]+", alert) for alert in Alert)


ROOT = Path(__file__).parents[3]
PROMETHEUS = yaml.safe_load((ROOT / "monitoring/prometheus/alerts.yml").read_text())["groups"][0]["rules"]


def test_prometheus_has_the_same_alerts_and_waits() -> None:
    units = {"": 0, "m": 60}
    waits = {
        rule["alert"]: int(rule.get("for", "0")[:-1] or 0) * units[rule.get("for", "")[-1:]] for rule in PROMETHEUS
    }

    assert waits == {str(alert): rule.wait for alert, rule in RULES.items()}


@pytest.mark.parametrize(
    ("alert", "condition"),
    [
        (Alert.CRASH_LOOP, f"[{CRASH_MINUTES}m])) >= {CRASHES}"),
        (Alert.NOT_POLLING, f"> {POLL_SECONDS:g}"),
        (Alert.WEBHOOK_ERRORS, f"< {WEBHOOK_SECONDS:g}"),
        (Alert.MANY_ERRORS, f"[{ERROR_SECONDS / 60:g}m])) >= {ERRORS}"),
        (Alert.OUTBOX_STUCK, f"> {OUTBOX_SECONDS:g}"),
        (Alert.CERTIFICATE_EXPIRING, f"< {CERTIFICATE_SECONDS / DAY:g} * {DAY:g}"),
        (Alert.CONNECTIONS_FULL, f"> {CONNECTIONS_SHARE:g}"),
        (Alert.DISK_FULL, f"< {DISK_SHARE:g}"),
    ],
)
def test_prometheus_has_the_same_thresholds(alert: Alert, condition: str) -> None:
    (expression,) = [rule["expr"] for rule in PROMETHEUS if rule["alert"] == alert]
    assert condition in expression


def test_every_alert_has_its_section_in_the_runbook() -> None:
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert set(Alert) <= set(sections)
