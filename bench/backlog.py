"""What a host does with a backlog: ten thousand timers due at once, ten thousand messages in the outbox."""

from __future__ import annotations

import psycopg

from bench import machine
from bench.botapi import Drive
from bench.figures import Table
from bench.stage import Stage, settle

COUNT = 10_000
BOT = {"BOT_NAME": "bench"}

DUE_NOW = "UPDATE waiting_element SET due_at = now() WHERE is_waiting"

FILL_OUTBOX = """
    WITH met AS (
        INSERT INTO chat (botname, chat_id)
        SELECT 'bench', chat_id FROM generate_series(%(first)s, %(first)s + %(count)s - 1) AS chat_id
    )
    INSERT INTO outbox (botname, chat_id, method, params)
    SELECT 'bench', chat_id, 'sendMessage', jsonb_build_object('chat_id', chat_id, 'text', 'A message that was left.')
    FROM generate_series(%(first)s, %(first)s + %(count)s - 1) AS chat_id
"""


def measure(stage: Stage) -> list[Table]:
    """Let the backlog arise while the host is down, then start it."""
    rows = {"timers due at once": _timers(stage), "messages in the outbox": _outbox(stage)}
    columns = ("count", "seconds", "per second", "CPU ms each")
    return [Table("A backlog", columns, rows, "from the start of the process, its own CPU of about a second included")]


def _timers(stage: Stage) -> tuple[float, ...]:
    token, url = stage.token(), stage.database()
    variables = BOT | {"BOT_API_TOKEN": token, "BOT_FOLDER": "wait/", "DATABASE_URL": url}
    process = stage.start_flotilla(variables)
    stage.greet(token)
    first = stage.chats()
    stage.drive(Drive(token, first, COUNT, 1))
    settle()
    stage.end(process)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DUE_NOW)
    return _work_off(stage, variables, Drive(token, first, COUNT, 0))


def _outbox(stage: Stage) -> tuple[float, ...]:
    token, url, first = stage.token(), stage.database(), stage.chats()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL_OUTBOX, {"first": first, "count": COUNT})
    variables = BOT | {"BOT_API_TOKEN": token, "BOT_FOLDER": "input/", "DATABASE_URL": url}
    return _work_off(stage, variables, Drive(token, first, COUNT, 0))


def _work_off(stage: Stage, variables: dict[str, str], drive: Drive) -> tuple[float, ...]:
    process = stage.start_flotilla(variables)
    report = stage.drive(drive)
    settle()
    cpu = machine.cpu(process.pid)
    stage.end(process)
    return report.answered, report.seconds, report.answered / report.seconds, cpu / max(1, report.answered) * 1e3
