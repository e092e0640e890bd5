"""Keeps the processes of a fleet running on one machine: starts them, starts those that die again, stops them all."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from app.errors import EXIT_CONFIG
from app.observe.logs import get_log
from app.runtime.starter import STOP_AT_EOF

STOP_SECONDS = 25.0
"""How long a child may take to stop before it is killed; a host takes less."""

LAST_OUTPUT_SECONDS = 2.0
"""How long the rest of a dead child's output is waited for: somebody else may hold its pipe."""

LONGEST_LINE = 1024 * 1024
"""Bytes; of longer lines the rest is left out."""

LOOP = 3
"""So many deaths, each soon after the start, are called a crash loop."""

log = get_log(__name__)

Write = Callable[[str, bytes], None]
"""Takes the name of a child and a line of its output, with the newline."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs; it gets this environment and nothing of its parent's.

    It starts ``delay`` seconds after its parent: Telegram does not admit a whole fleet at once.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds pass before a child that died is started again.

    ``first``, twice as many each further time, at most ``longest``; anew from ``first`` once it ran for ``well``.
    """

    first: float = 1.0
    longest: float = 60.0
    well: float = 60.0

    def before(self, death: int) -> float:
        """Return the wait after the ``death``-th death in a row, counted from 1."""
        return float(min(self.first * 2 ** min(death - 1, 30), self.longest))


class Standing(StrEnum):
    """How a child is doing."""

    RUNNING = "running"
    WAITING = "waiting"
    REFUSED = "wrong settings"
    STOPPED = "stopped"


class Child:
    """One process that is kept running; ``deaths`` counts those in a row, ``restarts`` all further starts."""

    def __init__(self, program: Program, write: Write, patience: Patience = Patience()) -> None:
        self.program = program
        self.standing = Standing.STOPPED
        self.deaths = 0
        self.restarts = 0
        self.last_line = ""
        self._write = write
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self, delay: float = 0.0) -> None:
        """Keep the process running, ``delay`` seconds from now on; without effect if it is kept already."""
        if self._keeping is None or self._keeping.done():
            self.standing = Standing.WAITING
            self._keeping = asyncio.create_task(self._keep(delay), name=self.program.name)

    async def stop(self) -> None:
        """End the process: gracefully, and by force when that takes too long; it is not started again."""
        if self._keeping is None:
            return
        if not self._keeping.cancelling():  # a second time would cut the waiting for its end off
            self._keeping.cancel()
        await asyncio.wait([self._keeping])
        self.standing = Standing.STOPPED

    def kill(self) -> None:
        """End the process at once."""
        self._signal(signal.SIGKILL)

    async def ended(self) -> None:
        """Wait until the process is not kept running any more."""
        if self._keeping is not None:
            await asyncio.wait([self._keeping])

    async def _keep(self, delay: float) -> None:
        await asyncio.sleep(delay)
        self.deaths = 0
        while True:
            started = time.monotonic()
            code = await self._run()
            if code == EXIT_CONFIG:
                self.standing = Standing.REFUSED
                log.error("wrong settings; not started again until told to", **self._obituary(code))
                return
            self.deaths = 1 if time.monotonic() - started >= self._patience.well else self.deaths + 1
            pause = self._patience.before(self.deaths)
            self._tell_of_death(code, pause)
            self.standing = Standing.WAITING
            await asyncio.sleep(pause)
            self.restarts += 1

    async def _run(self) -> int:
        """Run the process to its end and return its exit code; a cancelled run ends it."""
        program = self.program
        process = await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.PIPE,  # closed by the system when this process is gone, which the child notices
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**program.environment, STOP_AT_EOF: "true"},
            cwd=program.folder,
            limit=LONGEST_LINE,
            start_new_session=True,  # Ctrl+C is for the parent, which stops the children in their order
        )
        self._process, self.standing = process, Standing.RUNNING
        log.info("process started", bot=program.name, pid=process.pid)
        output = asyncio.create_task(self._forward(process))
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await self._end(process)
            raise
        finally:
            self._process = None
            await asyncio.wait([output], timeout=LAST_OUTPUT_SECONDS)
            output.cancel()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            log.error("did not stop in time; killed", bot=self.program.name, seconds=STOP_SECONDS)
            self._signal(signal.SIGKILL)
            await process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _forward(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        async for line in _lines(process.stdout):
            self.last_line = line.decode(errors="replace").strip() or self.last_line
            self._write(self.program.name, line)

    def _tell_of_death(self, code: int, pause: float) -> None:
        if self.deaths < LOOP:
            log.warning("process died; starting it again", seconds=pause, **self._obituary(code))
        else:
            told = {"deaths_in_a_row": self.deaths, "last_line": self.last_line}
            log.error("crash loop: it dies again and again", seconds=pause, **told, **self._obituary(code))

    def _obituary(self, code: int) -> dict[str, str]:
        return {"bot": self.program.name, "cause": f"exit code {code}" if code >= 0 else _signal_name(-code)}


class Children:
    """All children of this process; see ``run``."""

    def __init__(self, programs: Iterable[Program], write: Write, patience: Patience = Patience()) -> None:
        self.all = {program.name: Child(program, write, patience) for program in programs}
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End ``run``; asked a second time, without waiting for anybody."""
        if self._stop.is_set():
            log.warning("asked twice to stop: killing what still runs")
            for child in self.all.values():
                child.kill()
        self._stop.set()

    async def run(self) -> None:
        """Keep all children running until ``stop``, then stop them, all at the same time."""
        for child in self.all.values():
            child.start(child.program.delay)
        try:
            await self._stop.wait()
        finally:
            await asyncio.gather(*(child.stop() for child in self.all.values()))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those for real time
        return f"signal {number}"


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Give the lines of a stream, and its last one even if it was cut off; one that is too long is left out."""
    while True:
        try:
            line = await stream.readuntil()
        except asyncio.IncompleteReadError as cut:
            if cut.partial:
                yield cut.partial + b"\n"
            return
        except asyncio.LimitOverrunError as overrun:
            await stream.readexactly(overrun.consumed)
            continue
        yield line
