"""What operators are told, and when: pure functions from what hosts know of the fleet to messages.

Names, thresholds and waits are those of ``monitoring/prometheus/alerts.yml``; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from app.config.settings import RUNBOOK
from app.config.tokens import redacted
from app.store.watch import Alarm, Situation, Watched

CRASHES = 3
"""So many crashes within ``CRASH_MINUTES`` are a loop."""

OUTBOX_SECONDS = 300.0
"""A message that is not sent after so long is stuck."""

CONNECTIONS_SHARE = 0.85
"""A greater share of PostgreSQL's connections than this is too much."""

NAMES_SHOWN, DETAILS_SHOWN, DETAIL_LENGTH, TEXT_LENGTH = 10, 3, 200, 4000
"""A message of Telegram holds 4096 characters."""


class Alert(StrEnum):
    """What can be wrong; the value is its name in Prometheus, and in lower case its anchor in the runbook."""

    BOT_DOWN = "BotDown"
    CRASH_LOOP = "BotCrashLoop"
    NOT_POLLING = "BotNotPolling"
    TOKEN_REVOKED = "TokenRevoked"  # noqa: S105 - a name
    WEBHOOK_ERRORS = "WebhookErrors"
    MANY_ERRORS = "BotErrors"
    OUTBOX_STUCK = "OutboxStuck"
    TIMERS_LATE = "TimersLate"
    CERTIFICATE_EXPIRING = "CertificateExpiring"
    DATABASE_DOWN = "DatabaseDown"
    CONNECTIONS_FULL = "ConnectionsNearlyFull"
    DISK_FULL = "DiskNearlyFull"


@dataclass(frozen=True, slots=True)
class Rule:
    """How an alert is told: after it went on for ``wait`` seconds, unless a cause of it goes on with the same bot."""

    wait: float
    summary: str
    remedy: str
    causes: tuple[Alert, ...] = ()


_STANDSTILL = (Alert.TOKEN_REVOKED, Alert.BOT_DOWN, Alert.CRASH_LOOP)

RULES = {
    Alert.BOT_DOWN: Rule(
        120, "no process runs it", "flotilla status; flotilla logs BOT; flotilla start BOT", (Alert.TOKEN_REVOKED,)
    ),
    Alert.CRASH_LOOP: Rule(
        0,
        "it crashes again and again",
        "flotilla logs BOT; if a new version does it: flotilla rollback BOT",
        (Alert.TOKEN_REVOKED,),
    ),
    Alert.NOT_POLLING: Rule(
        60, "Telegram gives it no updates", "flotilla doctor; is Telegram reachable from the server?", _STANDSTILL
    ),
    Alert.TOKEN_REVOKED: Rule(
        0, "Telegram refuses its token", "get a new token from @BotFather, put it into .env, flotilla up"
    ),
    Alert.WEBHOOK_ERRORS: Rule(
        180, "Telegram cannot deliver updates to its webhook", "flotilla doctor; flotilla logs proxy", _STANDSTILL
    ),
    Alert.MANY_ERRORS: Rule(0, "it logs many errors", "flotilla logs BOT", _STANDSTILL),
    Alert.OUTBOX_STUCK: Rule(
        60, "its messages do not get to learners", "flotilla logs BOT; is Telegram reachable?", _STANDSTILL
    ),
    Alert.TIMERS_LATE: Rule(120, "learners wait longer than they should", "flotilla logs BOT", _STANDSTILL),
    Alert.CERTIFICATE_EXPIRING: Rule(
        600, "the certificate of its webhook ends soon", "renew it (webhook/ssl_cert_path); flotilla logs proxy"
    ),
    Alert.DATABASE_DOWN: Rule(
        60, "the database does not answer, so no bot does either", "flotilla logs postgres; df -h; flotilla doctor"
    ),
    Alert.CONNECTIONS_FULL: Rule(
        300, "PostgreSQL has few connections left", "run flotilla generate, or raise max_connections of PostgreSQL"
    ),
    Alert.DISK_FULL: Rule(300, "the disk is nearly full", "df -h; docker system df; delete old backups and logs"),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast hosts watch and tell, in seconds.

    ``tick`` is between two looks. What begins within ``group`` is told in one message; what is over stays so for
    ``hold`` before it counts as resolved; what goes on is told again after ``reminder``. Waits of rules are taken
    ``patience`` times.
    """

    tick: float = 5.0
    group: float = 30.0
    hold: float = 60.0
    reminder: float = 4 * 3600.0
    patience: float = 1.0


PACE = Pace()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong now."""

    alert: Alert
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What one message tells."""

    begun: tuple[Alarm, ...] = ()
    ongoing: tuple[Alarm, ...] = ()
    resolved: tuple[Alarm, ...] = ()


def findings(situation: Situation) -> list[Finding]:
    """Return what is wrong, each alert of a bot once however many hosts report it."""
    found = [finding for bot in situation.bots for finding in _findings(bot)]
    share = situation.connections / situation.max_connections
    if share > CONNECTIONS_SHARE:
        detail = f"{situation.connections} of {situation.max_connections} are in use"
        found.append(Finding(Alert.CONNECTIONS_FULL, "", detail))
    first = {(finding.alert, finding.subject): finding for finding in reversed(found)}
    return list(reversed(first.values()))


def _findings(bot: Watched) -> Iterator[Finding]:
    yield from _reported(bot)
    if not bot.is_led:
        detail = "its host lives, but does not run it" if bot.is_alive else "its host is gone"
        yield Finding(Alert.BOT_DOWN, bot.bot, detail)
    if bot.crashes >= CRASHES:
        yield Finding(Alert.CRASH_LOOP, bot.bot, f"{bot.crashes} times within a quarter of an hour")
    if bot.outbox_age is not None and bot.outbox_age > OUTBOX_SECONDS:
        yield Finding(Alert.OUTBOX_STUCK, bot.bot, f"the oldest is {_duration(bot.outbox_age)} old")
    if bot.timers_late:
        yield Finding(Alert.TIMERS_LATE, bot.bot, f"{bot.timers_late} waits are over and not delivered")


def _reported(bot: Watched) -> Iterator[Finding]:
    """Yield what the bot's host has found; of one that is gone only what stays true without it."""
    for name, detail in bot.troubles.items():
        if name not in list(Alert):  # a host of another version knows others
            continue
        alert = Alert(name)
        if bot.is_alive or alert is Alert.TOKEN_REVOKED:
            yield Finding(alert, "" if alert is Alert.DISK_FULL else bot.bot, detail)


def noted(alarms: Iterable[Alarm], found: Iterable[Finding], now: datetime) -> tuple[Alarm, ...]:
    """Return the alarms as they are with these findings: begun, going on, or gone."""
    left = {(str(finding.alert), finding.subject): finding for finding in found}
    after = []
    for alarm in alarms:
        finding = left.pop((alarm.alert, alarm.subject), None)
        if finding is not None:
            after.append(replace(alarm, detail=finding.detail, gone_at=None))
        elif alarm.told_at is not None:
            after.append(alarm if alarm.gone_at else replace(alarm, gone_at=now))
    return (*after, *[Alarm(finding.alert, finding.subject, finding.detail, now) for finding in left.values()])


def news(alarms: Sequence[Alarm], now: datetime, pace: Pace = PACE) -> News | None:
    """Return what to tell now, if anything: what is due waits for what is due a moment later."""
    ongoing = {(alarm.alert, alarm.subject) for alarm in alarms if alarm.gone_at is None}
    begun = {alarm: due for alarm in alarms if (due := _begun(alarm, ongoing, pace)) is not None and due <= now}
    resolved = {alarm: due for alarm in alarms if (due := _resolved(alarm, pace)) is not None and due <= now}
    reminder = timedelta(seconds=pace.reminder)
    told = tuple(alarm for alarm in alarms if alarm.told_at and not alarm.gone_at)
    is_long = any(alarm.told_at and alarm.told_at + reminder <= now for alarm in told)
    dues = [*begun.values(), *resolved.values()]
    if not is_long and (not dues or min(dues) + timedelta(seconds=pace.group) > now):
        return None
    return News(tuple(begun), told if is_long else (), tuple(resolved))


def _begun(alarm: Alarm, ongoing: set[tuple[str, str]], pace: Pace) -> datetime | None:
    """Return when an alarm of which nobody was told is due; ``None`` while one of its causes is told instead."""
    rule = _rule(alarm)
    if alarm.told_at or any((cause, alarm.subject) in ongoing for cause in rule.causes):
        return None
    return alarm.began_at + timedelta(seconds=rule.wait * pace.patience)


def _resolved(alarm: Alarm, pace: Pace) -> datetime | None:
    return alarm.gone_at + timedelta(seconds=pace.hold) if alarm.told_at and alarm.gone_at else None


def _rule(alarm: Alarm) -> Rule:
    """Return the rule of an alarm; one that a host of another version has left needs none to be resolved."""
    return RULES[Alert(alarm.alert)] if alarm.alert in list(Alert) else Rule(0, "", "")


def told(alarms: Iterable[Alarm], message: News, now: datetime) -> tuple[Alarm, ...]:
    """Return the alarms as they are once operators were told."""
    said = {*message.begun, *message.ongoing}
    return tuple(
        replace(alarm, told_at=now) if alarm in said else alarm for alarm in alarms if alarm not in message.resolved
    )


def text_of(message: News, now: datetime, runbook: str = RUNBOOK) -> str:
    """Return the message's text, which fits into one message of Telegram whatever the fleet's size."""
    parts = [
        *_paragraphs("\N{LARGE RED CIRCLE} {names}", message.begun, now, runbook),
        *_paragraphs("\N{LARGE RED CIRCLE} still, for {time}: {names}", message.ongoing, now, runbook),
        *[
            "\N{LARGE GREEN CIRCLE} resolved: " + _names(alert, alarms) + f" (after {_longest(alarms, now)})"
            for alert, alarms in _by_alert(message.resolved)
        ],
    ]
    text = "\n\n".join(parts)
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"


def _paragraphs(head: str, alarms: Sequence[Alarm], now: datetime, runbook: str) -> Iterator[str]:
    for alert, same in _by_alert(alarms):
        rule = _rule(same[0])
        lines = [head.format(names=_names(alert, same), time=_longest(same, now)), rule.summary]
        details = [alarm for alarm in same if alarm.detail]
        if len(details) <= DETAILS_SHOWN:
            lines += [
                redacted(f"{alarm.subject}: {alarm.detail}".removeprefix(": "))[:DETAIL_LENGTH] for alarm in details
            ]
        yield "\n".join([*lines, f"→ {rule.remedy}", f"{runbook}#{alert.lower()}"])


def _by_alert(alarms: Sequence[Alarm]) -> Iterator[tuple[str, list[Alarm]]]:
    rank = {str(alert): position for position, alert in enumerate(Alert)}
    ordered = sorted(alarms, key=lambda alarm: (rank.get(alarm.alert, len(rank)), alarm.alert, alarm.subject))
    for alert, same in groupby(ordered, key=lambda alarm: alarm.alert):
        yield alert, list(same)


def _names(alert: str, alarms: Sequence[Alarm]) -> str:
    names = [alarm.subject for alarm in alarms if alarm.subject]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{alert}: {', '.join(names[:NAMES_SHOWN])}{more}" if names else alert


def _longest(alarms: Sequence[Alarm], now: datetime) -> str:
    return _duration(max(((alarm.gone_at or now) - alarm.began_at).total_seconds() for alarm in alarms))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(seconds, 0):.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
