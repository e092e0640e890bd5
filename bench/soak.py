"""Everything goes wrong at random while learners learn: `python -m bench.soak [--minutes 10] [--seed 1]`.

Two hosts share bots in polling and webhook mode, one standing by or sharing the load of the other; learners go through
a course with polls, buttons, typed answers, waits and a dialog with a model. Meanwhile hosts are killed and stopped,
PostgreSQL is restarted and crashes, connections break or fall silent, the Bot API fails, updates come again and the
course is edited. One table says what came of it; the exit code is 1 if a guarantee of docs/guarantees.md is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import OperationalError

from app.config.tokens import sandbox_token
from app.sandbox.client import NothingHappenedError, SandboxClient
from app.sandbox.server import Sandbox
from bench.environment import ROOT
from tests.integration.faults.ledger import Row, counted, dead, once, pending, query, recorded, seen
from tests.integration.faults.server import Server
from tests.model_server import ModelServer
from tests.proxy import Gate, Wire
from tests.stage import play, said

BOTS = {"polled_a": "polling", "polled_b": "polling", "hooked_a": "webhook", "hooked_b": "webhook"}
CLASS_SIZE = 5
"""Learners of each bot at a time."""

PATIENCE = 180.0
"""Seconds without a message after which a learner's lesson counts as lost."""

COURSE = """
Welcome: {type: message, text: Welcome (edition %d)}
Ready: {type: message, text: Ready?, button: Go}
Quiz: {type: quiz, text: Quiz, answers: [{text: a, correct: yes, feedback: Right}, {text: b}]}
Name: {type: input, text: Name, correct_answer: Anna, feedback_correct: Well typed}
Wait: {type: delay, wait: 1s, text: One moment, goto: Choice}
Choice: {type: multi_choice, text: Choice, answers: [{text: c, correct: yes}, {text: d}], feedback_correct: Well chosen}
Talk: {type: dialog, text: Let us talk, prompt: "Be kind, then write {STOP}."}
Vote: {type: question, text: Vote, answers: [{text: e}, {text: f}]}
End: {type: end, text: Goodbye (edition %d)}
"""
ANSWERS = {"Name": "Anna", "Let us talk": "hello", "You said: hello": "bye"}
END = "Goodbye (edition"
EDITION = re.compile(r" \(edition \d+\)")
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'fleet'"
TURNS = "SELECT count(*) FROM (SELECT xmin::text FROM seen_update UNION SELECT xmin::text FROM conversation) AS turn"


@dataclass
class Happened:
    """A fault, from its beginning to when nothing of it was left but its consequences."""

    kind: str
    begin: float
    end: float = 0.0


@dataclass
class Outcome:
    """What a bot's learners saw, compared with what they should have seen."""

    lessons: int = 0
    messages: int = 0
    lost: int = 0
    disordered: int = 0
    doubled: int = 0
    counted: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def outside(self) -> int:
        """Messages that came twice though no host said that this might be."""
        return max(0, self.doubled - self.counted)


class Process:
    """A host in a process of its own, with its own way to the database."""

    def __init__(self, name: str, wire: Wire, folder: Path, variables: dict[str, str]) -> None:
        self.wire = wire
        self.port = _free_port()
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._variables = variables
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        variables = {
            **os.environ,
            **self._variables,
            "PYTHONPATH": str(ROOT),
            "PAGES_PORT": str(self.port),
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.wire.port}/fleet",
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "app", cwd=self._folder, env=variables, stderr=log
            )

    async def end(self, *, is_killed: bool = False) -> None:
        """End it; who does not stop in time is killed, as a container is."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.kill() if is_killed else self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 30)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def keep_up(self) -> None:
        """Start it again when it ended by itself, as a container's restart policy does."""
        if self._process is None or self._process.returncode is not None:
            await self.start()


class Soak:
    """One run."""

    def __init__(self, folder: Path, server: Server, client: SandboxClient, seed: int, *, is_short: bool) -> None:
        self.folder = folder
        self.server = server
        self.client = client
        self.chance = random.Random(seed)
        self.is_short = is_short
        self.processes: list[Process] = []
        self.happened: list[Happened] = []
        self.progress: dict[str, list[float]] = defaultdict(list)
        self.outcomes = {bot: Outcome() for bot in BOTS}
        self.expected: tuple[list[str], list[Row]] = ([], [])
        self.database_url = ""
        self._edition = 0
        self._learner_ids = iter(range(1000, 10**9))

    def edit(self) -> None:
        """Give the course another edition."""
        self._edition += 1
        folder = self.folder / "scripts"
        folder.mkdir(exist_ok=True)
        (folder / "new").write_text(COURSE % (self._edition, self._edition))
        (folder / "new").replace(folder / "course.yml")
        (folder / "courses.yml").write_text("default: {path: course.yml}\n")

    async def lesson(self, bot: str) -> tuple[list[str], list[Row]]:
        """Let a new learner go through the course; return what they saw and what is recorded."""
        learner_id = next(self._learner_ids)
        learner = self.client.learner(sandbox_token(bot), learner_id, username=f"learner{learner_id}")
        await learner.send("/start")
        steps = self.progress[bot]
        chat = await play(
            learner, said(END), ANSWERS, lambda: steps.append(time.monotonic()), PATIENCE, knows_repeats=True
        )
        rows = await self._recorded(learner_id, bot)
        bare = [tuple(EDITION.sub("", str(value)) for value in row) for row in rows]
        return [EDITION.sub("", text) for text in seen(chat)], bare

    async def _recorded(self, learner_id: int, bot: str) -> list[Row]:
        """Read the rows when the database is there."""
        while True:
            try:
                return await asyncio.to_thread(recorded, self.database_url, learner_id, bot)
            except OperationalError:
                await asyncio.sleep(0.2)

    async def learn(self, bot: str, until: float) -> None:
        """Let one learner after the other go through the course."""
        outcome = self.outcomes[bot]
        while time.monotonic() < until:
            outcome.lessons += 1
            try:
                self._judge(outcome, *await self.lesson(bot))
            except NothingHappenedError as trouble:
                outcome.lost += 1
                outcome.notes.append(f"{bot}: {trouble}")

    def _judge(self, outcome: Outcome, texts: list[str], rows: list[Row]) -> None:
        expected_texts, expected_rows = self.expected
        outcome.messages += len(texts)
        outcome.doubled += len(texts) - len(once(texts))
        missing = (Counter(expected_texts) - Counter(texts)) + (Counter(expected_rows) - Counter(rows))
        surplus = (Counter(once(texts)) - Counter(expected_texts)) + (Counter(rows) - Counter(expected_rows))
        outcome.lost += missing.total()
        if missing or surplus:
            outcome.notes.append(f"missing {dict(missing)}, not expected {dict(surplus)}")
        if surplus or (not missing and (once(texts) != expected_texts or rows != expected_rows)):
            outcome.disordered += 1

    async def disturb(self, until: float) -> None:
        """Let one fault after the other happen, each kind before any comes again."""
        kinds: list[Callable[[], Awaitable[str]]] = []
        while time.monotonic() < until:
            if not kinds:
                kinds = [self._kill, self._stop, self._restart, self._crash, self._drop, self._cut, self._silence]
                kinds += [self._fail_api] * 3 + [self._repeat] * 2 + [self._edit]
                self.chance.shuffle(kinds)
            begin = time.monotonic()
            kind = await kinds.pop()()
            self.happened.append(Happened(kind, begin, time.monotonic()))
            await asyncio.sleep(self.chance.uniform(0.2, 1.0 if self.is_short else 4.0))
            for process in self.processes:
                await process.keep_up()

    def _some_process(self) -> Process:
        return self.chance.choice(self.processes)

    async def _kill(self) -> str:
        process = self._some_process()
        await process.end(is_killed=True)
        await process.start()
        return "host killed"

    async def _stop(self) -> str:
        process = self._some_process()
        await process.end()
        await process.start()
        return "host stopped"

    async def _restart(self) -> str:
        await asyncio.to_thread(self.server.restart, "fast")
        return "database restarted"

    async def _crash(self) -> str:
        await asyncio.to_thread(self.server.restart, "immediate")
        return "database crashed"

    async def _drop(self) -> str:
        await asyncio.to_thread(self.server.execute, TERMINATE)
        return "connections dropped"

    async def _cut(self) -> str:
        self._some_process().wire.cut()
        return "network cut"

    async def _silence(self) -> str:
        wire = self._some_process().wire
        wire.silence()
        await asyncio.sleep(self.chance.uniform(1, 4 if self.is_short else 20))
        wire.heal()
        return "network silent"

    async def _fail_api(self) -> str:
        kind = self.chance.choice(["500", "429", "drop_before", "drop_after", "delay"])
        method = self.chance.choice(["sendMessage", "sendPoll", "getUpdates", None])
        bot = sandbox_token(self.chance.choice(list(BOTS)))
        await self.client.add_fault(
            kind, bot=bot, method=method, times=self.chance.randint(1, 5), retry_after=1, seconds=1.0
        )
        return f"bot api: {kind}"

    async def _repeat(self) -> str:
        await self.client.repeat(sandbox_token(self.chance.choice(list(BOTS))), self.chance.randint(1, 30))
        return "updates repeated"

    async def _edit(self) -> str:
        await asyncio.to_thread(self.edit)
        return "course edited"

    async def quiet(self) -> bool:
        """Wait until nothing is pending; tell whether that came to be."""
        try:
            async with asyncio.timeout(90):
                for bot in BOTS:
                    await self.client.wait_idle(sandbox_token(bot), 90)
                while await asyncio.to_thread(pending, self.database_url):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except (TimeoutError, NothingHappenedError):
            return False
        return True

    def count_repeats(self) -> None:
        """Read in the hosts' logs what they may have sent twice."""
        for process in self.processes:
            lines = process.log.read_bytes().splitlines()
            for bot, outcome in self.outcomes.items():
                outcome.counted += counted(b"\n".join(line for line in lines if f'"{bot}"'.encode() in line))

    def recoveries(self) -> dict[str, list[float]]:
        """Return, by kind of fault, how long after each the last of the bots went on."""
        found = defaultdict(list)
        for fault in self.happened:
            nexts = [next((at for at in steps if at > fault.end), None) for steps in self.progress.values()]
            known = [at - fault.end for at in nexts if at is not None]
            if known:
                found[fault.kind].append(max(known))
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hosted(hook_url: str) -> str:
    """Return the bots as a host is told of them."""
    bots = []
    for name, mode in BOTS.items():
        bot = {"name": name, "bot_name": name, "mode": mode, "language": "en"}
        bots.append(bot | ({"webhook_url": f"{hook_url}/webhook/{name}"} if mode == "webhook" else {}))
    return json.dumps(bots)


async def soak(minutes: float, seed: int, folder: Path) -> int:
    """Run, print the table and return the exit code."""
    server = Server(folder / "postgres")
    await asyncio.to_thread(server.start)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(server.close)
        sandbox = await stack.enter_async_context(Sandbox())
        client = await stack.enter_async_context(SandboxClient(sandbox.url))
        model = await stack.enter_async_context(ModelServer())
        run = Soak(folder, server, client, seed, is_short=minutes < 1)
        run.edit()
        run.database_url = await asyncio.to_thread(server.database)
        wires = [await stack.enter_async_context(Wire(server.socket)) for _ in range(2)]
        hook = await stack.enter_async_context(Gate([]))
        variables = {
            "FLOTILLA_BOTS": hosted(hook.url),
            "TELEGRAM_API_URL": sandbox.url,
            "WEBHOOK_SECRET_TOKEN": "s3cret",
            "DIALOG": json.dumps({"base_url": model.url, "model": "tiny", "api_key_env": "MODEL_KEY"}),
            "MODEL_KEY": "x",
        }
        run.processes = [Process(f"host{number}", wire, folder, variables) for number, wire in enumerate(wires)]
        hook.targets = [f"http://127.0.0.1:{process.port}" for process in run.processes]
        for process in run.processes:
            stack.push_async_callback(process.end, is_killed=True)
            await process.start()
        run.expected = await run.lesson("polled_a")
        end = time.monotonic() + minutes * 60
        learning = [asyncio.create_task(run.learn(bot, end)) for bot in BOTS for _ in range(CLASS_SIZE)]
        await run.disturb(end)
        await client.clear_faults()
        await asyncio.gather(*learning)
        is_quiet = await run.quiet()
        for process in run.processes:
            await process.end()
        run.count_repeats()
        return report(run, is_quiet=is_quiet)


def report(run: Soak, *, is_quiet: bool) -> int:
    """Print the table; return 1 if a guarantee is broken."""
    outcomes = list(run.outcomes.values())
    ((updates,),) = query(run.database_url, "SELECT count(*) FROM seen_update")
    ((turns,),) = query(run.database_url, TURNS)
    left, buried = pending(run.database_url), dead(run.database_url)
    must_be_none = {
        "lost": sum(one.lost for one in outcomes),
        "out of order": sum(one.disordered for one in outcomes),
        "pending at the end": left + (not is_quiet and not left),
        "set aside": buried,
        "duplicates outside the window": sum(one.outside for one in outcomes),
    }
    doubled = sum(one.doubled for one in outcomes)
    table: list[tuple[str, object]] = [
        ("lessons", sum(one.lessons for one in outcomes)),
        ("updates", updates),
        ("turns", turns),
        ("messages", sum(one.messages for one in outcomes)),
        ("faults", len(run.happened)),
        ("duplicates inside the window", doubled - must_be_none["duplicates outside the window"]),
        ("  that hosts counted at most", sum(one.counted for one in outcomes)),
        *((f"{name} (must be 0)", count) for name, count in must_be_none.items()),
    ]
    for name, value in table:
        print(f"{name:<44}{value:>8}")
    print(f"\n{'fault':<30}{'times':>6}{'median s':>10}{'longest s':>11}   until the last bot went on")
    kinds = Counter(fault.kind for fault in run.happened)
    waits = run.recoveries()
    for kind, times in sorted(kinds.items()):
        some = waits.get(kind, [])
        figures = f"{statistics.median(some):>10.1f}{max(some):>11.1f}" if some else ""
        print(f"{kind:<30}{times:>6}{figures}")
    for note in [note for one in outcomes for note in one.notes]:
        print("broken:", note)
    return int(any(must_be_none.values()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="flotilla-soak-"))
    folder.chmod(0o755)
    try:
        return asyncio.run(soak(options.minutes, options.seed, folder))
    finally:
        if options.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
