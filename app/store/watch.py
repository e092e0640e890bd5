"""What the hosts of a fleet tell each other: which bots run where, what is wrong, and what operators know of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.store.connection import Connect

CRASH_MINUTES = 15
"""For so long a crash counts."""

LATE_SECONDS = 5
"""A timer that is due for longer is late, as in ``FIGURES``."""

KEPT = timedelta(days=3)
"""How long it is remembered what ran; a bot that is down for longer is given up."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a host says of one of its bots; ``troubles`` maps names of alerts to details."""

    bot: str
    botname: str
    is_over: bool = False
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watched:
    """A bot that should run on a host. ``is_alive`` is said of the host, ``is_led`` of the bot on whatever host.

    ``crashes`` are those of the bot within ``CRASH_MINUTES``, ``outbox_age`` is in seconds.
    """

    bot: str
    host: str
    is_alive: bool
    is_led: bool
    troubles: Mapping[str, str]
    crashes: int
    outbox_age: float | None
    timers_late: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert that goes on, or has gone a moment ago; operators were told ``told_at``, if at all.

    ``subject`` is a bot, or empty for what concerns all.
    """

    alert: str
    subject: str
    detail: str
    began_at: datetime
    gone_at: datetime | None = None
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All that hosts know of the fleet, at the database's time ``now``."""

    now: datetime
    bots: Sequence[Watched]
    alarms: Sequence[Alarm]
    connections: int
    max_connections: int


# Comes before a statement: the keys of the locks that bots and hosts have.
_HELD = """
    WITH held AS MATERIALIZED (
        SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ExclusiveLock' AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""

# Where a bot starts, its hosts that are gone have crashed.
_BURY = """
    UPDATE watch SET ended_at = now(), is_crashed = true
    WHERE bot = ANY (%(bots)s::text[]) AND host <> %(host)s AND ended_at IS NULL
      AND hashtextextended('flotilla host:' || host, 0) NOT IN (SELECT key FROM held)
"""

_REPORT = """
    INSERT INTO watch (host, bot, botname, ended_at, troubles)
    SELECT %(host)s, bot, botname, CASE WHEN is_over THEN now() END, troubles
    FROM unnest(%(bots)s::text[], %(botnames)s::text[], %(is_over)s::boolean[], %(troubles)s::jsonb[])
        AS new (bot, botname, is_over, troubles)
    ON CONFLICT (host, bot) DO UPDATE SET
        botname = excluded.botname, ended_at = excluded.ended_at, is_crashed = false, troubles = excluded.troubles
"""

_LEAVE = """
    UPDATE watch SET ended_at = now() WHERE host = %(host)s AND ended_at IS NULL
"""

_WATCHED = """
    SELECT bot, host, hashtextextended('flotilla host:' || host, 0) IN (SELECT key FROM held) AS is_alive,
        hashtextextended('flotilla:' || botname, 0) IN (SELECT key FROM held) AS is_led,
        troubles, coalesce(crashes, 0) AS crashes,
        (
            SELECT extract(epoch FROM now() - min(created_at))::float8 FROM outbox
            WHERE outbox.botname = watch.botname AND failed_at IS NULL
        ) AS outbox_age,
        (
            SELECT count(*) FROM waiting_element AS timer
            WHERE timer.botname = watch.botname AND is_waiting AND run_id IS NOT NULL
              AND due_at < now() - make_interval(secs => %(seconds)s)
        ) AS timers_late
    FROM watch LEFT JOIN (
        SELECT bot, count(*) AS crashes FROM watch
        WHERE is_crashed AND ended_at > now() - make_interval(mins => %(minutes)s) GROUP BY bot
    ) AS crashed USING (bot)
    WHERE ended_at IS NULL
    ORDER BY bot, started_at, host
"""

_ALARMS = """
    SELECT alert, subject, detail, began_at, gone_at, told_at FROM alarm ORDER BY began_at, alert, subject
"""

_CONNECTIONS = """
    SELECT now(), count(*),
        current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
    FROM pg_stat_activity WHERE backend_type = 'client backend'
"""

_DROP_ALARMS = """
    DELETE FROM alarm USING unnest(%(alerts)s::text[], %(subjects)s::text[]) AS gone (alert, subject)
    WHERE alarm.alert = gone.alert AND alarm.subject = gone.subject
"""

_PUT_ALARMS = """
    INSERT INTO alarm (alert, subject, detail, began_at, gone_at, told_at)
    SELECT * FROM unnest(
        %(alerts)s::text[], %(subjects)s::text[], %(details)s::text[],
        %(began_at)s::timestamptz[], %(gone_at)s::timestamptz[], %(told_at)s::timestamptz[]
    )
    ON CONFLICT (alert, subject) DO UPDATE SET
        detail = excluded.detail, began_at = excluded.began_at, gone_at = excluded.gone_at, told_at = excluded.told_at
"""

_FORGET = """
    DELETE FROM watch WHERE ended_at < now() - %(kept)s
"""

# Of a host that is gone nothing says when that was.
_GIVE_UP = """
    UPDATE watch SET ended_at = now()
    FROM alarm
    WHERE ended_at IS NULL AND alert = %(alert)s AND subject = bot AND gone_at IS NULL AND began_at < now() - %(kept)s
"""


class Watch:
    """The tables in which hosts watch each other."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def report(self, host: str, entries: Collection[Entry], *, is_first: bool = False) -> None:
        """Say how a host's bots do; if ``is_first``, those that ran on hosts that are gone count as crashed there.

        The host must be alive for others, see ``BotLocks``.
        """
        columns = {
            "host": host,
            "bots": [entry.bot for entry in entries],
            "botnames": [entry.botname for entry in entries],
            "is_over": [entry.is_over for entry in entries],
            "troubles": [Jsonb(dict(entry.troubles)) for entry in entries],
        }
        async with self._connect() as connection, connection.pipeline():
            if is_first:
                await connection.execute(_HELD + _BURY, columns)
            await connection.execute(_REPORT, columns)

    async def leave(self, host: str) -> None:
        """Say that a host ends as it should."""
        async with self._connect() as connection:
            await connection.execute(_LEAVE, {"host": host})

    async def situation(self) -> Situation:
        """Return what runs, what should run, and what is known to be wrong."""
        late = {"minutes": CRASH_MINUTES, "seconds": LATE_SECONDS}
        async with self._connect() as connection, connection.pipeline():
            watched = connection.cursor(row_factory=class_row(Watched))
            await watched.execute(_HELD + _WATCHED, late)
            alarms = connection.cursor(row_factory=class_row(Alarm))
            await alarms.execute(_ALARMS)
            counted = await connection.execute(_CONNECTIONS)
            ((now, connections, most),) = await counted.fetchall()
            return Situation(now, await watched.fetchall(), await alarms.fetchall(), connections, most)

    async def keep(self, before: Sequence[Alarm], after: Sequence[Alarm]) -> None:
        """Replace the alarms that were known by those that are now."""
        keys = {(alarm.alert, alarm.subject) for alarm in after}
        gone = [alarm for alarm in before if (alarm.alert, alarm.subject) not in keys]
        new = [alarm for alarm in after if alarm not in before]
        if not gone and not new:
            return
        async with self._connect() as connection, connection.pipeline():
            await connection.execute(_DROP_ALARMS, _columns(gone))
            await connection.execute(_PUT_ALARMS, _columns(new))

    async def forget(self, alert: str) -> None:
        """Forget what ended long ago, and give up the bots of which that ``alert`` has told for long."""
        async with self._connect() as connection, connection.pipeline():
            await connection.execute(_FORGET, {"kept": KEPT})
            await connection.execute(_GIVE_UP, {"kept": KEPT, "alert": alert})


def _columns(alarms: Sequence[Alarm]) -> dict[str, list[object]]:
    return {
        "alerts": [alarm.alert for alarm in alarms],
        "subjects": [alarm.subject for alarm in alarms],
        "details": [alarm.detail for alarm in alarms],
        "began_at": [alarm.began_at for alarm in alarms],
        "gone_at": [alarm.gone_at for alarm in alarms],
        "told_at": [alarm.told_at for alarm in alarms],
    }
