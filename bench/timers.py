"""How late waits are delivered: ``python bench/timers.py [LEARNERS]``, 200 unless told otherwise.

Every learner starts a wait of five seconds, all within a moment, with one host, the embedded PostgreSQL (which syncs as
in production) and the sandbox in this process. Two figures for each: how long after it was due the wait is committed,
by the database's clock, and when the message is in the learner's chat. The last line is their ratio to the second that
Flotilla promises.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg

from app.config.tokens import sandbox_token
from app.sandbox.client import SandboxClient
from app.sandbox.server import Sandbox
from app.store.embedded import EmbeddedPostgres
from app.store.migrate import migrate
from tests.stage import Stage, said

PROMISED = 1.0
COURSE = """
Night: {type: delay, text: Good night, wait: 5s, goto: Morning}
Morning: {type: end, text: Good morning}
"""
DELIVERED = """
    SELECT chat_id, extract(epoch FROM due_at)::float8,
        extract(epoch FROM date_inserted AT TIME ZONE current_setting('TimeZone'))::float8
    FROM conversation JOIN waiting_element USING (chat_id, element_id) WHERE role = 'bot' AND NOT is_waiting
"""


def main() -> None:
    """Run a fleet of one bot, and print how late its waits were."""
    learners = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with (
        TemporaryDirectory(prefix="flotilla-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as database_url,
        open("/dev/null", "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        migrate(database_url)
        late = asyncio.run(measure(database_url, Path(folder), learners))
    show(late)


async def measure(database_url: str, folder: Path, learners: int) -> list[tuple[float, float]]:
    """Return, for each learner, how many seconds late the wait was committed, and the message in the chat."""
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        stage = Stage(sandbox.url, client, database_url, folder / "scripts")
        stage.course(COURSE)
        host = stage.start()
        await asyncio.gather(*(wait_five_seconds(sandbox.url, 1000 + number) for number in range(learners)))
        await stage.stop(host)
        calls = await client.calls(sandbox_token("bot"), "sendMessage")
    seen = {int(call["params"]["chat_id"]): call["time"] for call in calls if call["params"]["text"] == "Good morning"}
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(DELIVERED).fetchall()
    assert len(rows) == len(seen) == learners, "every wait is delivered once"
    return [(committed - due, seen[chat_id] - due) for chat_id, due, committed in rows]


async def wait_five_seconds(sandbox_url: str, learner_id: int) -> None:
    """Be a learner, with a connection of one's own: those of a client are limited."""
    async with SandboxClient(sandbox_url) as client:
        learner = client.learner(sandbox_token("bot"), learner_id)
        await learner.send("/start")
        await learner.wait_for(said("Good morning"), patience=60)


def show(late: list[tuple[float, float]]) -> None:
    """Print medians, the slowest of twenty and the slowest."""
    print(f"{len(late)} waits of 5 s, seconds late{'median':>12}{'95 %':>10}{'most':>10}")
    for name, values in zip(("committed", "in the chat"), zip(*late, strict=True), strict=True):
        most = sorted(values)
        figures = (statistics.median(most), most[int(len(most) * 0.95)], most[-1])
        print(f"{name:29}" + "".join(f"{figure:>11.3f}" for figure in figures))
    print(f"{'ratio to a second, in the chat':29}" + "".join(f"{figure / PROMISED:>11.3f}" for figure in figures))


if __name__ == "__main__":
    main()
