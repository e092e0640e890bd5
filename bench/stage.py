"""What every measurement stands on: a Bot API, a PostgreSQL, course files, and processes of bots."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import sleep
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from app.store.embedded import EmbeddedPostgres
from app.store.migrate import migrate
from bench import course, machine
from bench.botapi import Drive, Report
from bench.environment import ROOT

READY_SECONDS = 60.0


class Stage:
    """The Bot API on ``url``, PostgreSQL and the course files in ``scripts``; all run on the other core."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scripts = folder / "scripts"
        course.write(self.scripts)
        self._processes: list[subprocess.Popen[Any]] = []
        self._postgres = EmbeddedPostgres(folder / "postgres")
        with machine.pinned(machine.OTHER_CORE):
            self._server = self._postgres.start()
            self.url = f"http://127.0.0.1:{self._start_bot_api()}"
        self._numbers = itertools.count(1)
        self._chats = itertools.count(1_000_000, 100_000)
        self.postgres_pid = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])

    def port(self) -> int:
        """Return a port that is free."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def _start_bot_api(self) -> int:
        port = self.port()
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "bench" / "botapi.py"), str(port)], stdout=subprocess.PIPE, text=True
        )
        self._processes.append(server)
        if server.stdout is None or server.stdout.readline() != "ready\n":
            raise RuntimeError("the Bot API of the benchmark did not start")
        return port

    def database(self, *, is_migrated: bool = True) -> str:
        """Return the URL of a new database."""
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = make_conninfo(self._server, dbname=name)
        if is_migrated:
            migrate(url)
        return url

    def token(self) -> str:
        """Return the token of a new bot."""
        return f"{1000 + next(self._numbers)}:AAbenchbenchbenchbenchbenchbenchben"

    def chats(self) -> int:
        """Return the first of a hundred thousand chat ids that nobody has used."""
        return next(self._chats)

    def start(self, command: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[Any]:
        """Start the process of a bot on the bots' core; its output goes to a file of the stage's folder."""
        path = self.folder / f"output-{next(self._numbers)}.log"
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TELEGRAM_API_URL": self.url, **variables}
        with machine.pinned(machine.BOT_CORE), path.open("w") as output:
            process = subprocess.Popen(
                [*command], cwd=self.folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        self._processes.append(process)
        return process

    def start_flotilla(self, variables: Mapping[str, str]) -> subprocess.Popen[Any]:
        """Start a host, as a container does."""
        common = {"PYTHONPATH": str(ROOT), "SCRIPTS_FOLDER": str(self.scripts)}
        return self.start([sys.executable, "-m", "app"], {**common, **variables})

    def drive(self, drive: Drive) -> Report:
        """Let learners act, and wait until the bot has answered."""
        request = urllib.request.Request(f"{self.url}/control", json.dumps(asdict(drive)).encode())
        with urllib.request.urlopen(request, timeout=drive.patience + 10) as response:
            return Report(**json.load(response))

    def greet(self, token: str) -> None:
        """Return when the bot answers."""
        report = self.drive(Drive(token, self.chats(), 1, 1, patience=READY_SECONDS))
        if not report.answered:
            logs = "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("output-*.log")))
            raise RuntimeError(f"the bot {token.partition(':')[0]} does not answer:\n{logs}")

    def end(self, process: subprocess.Popen[Any]) -> None:
        """Stop a process, gently at first."""
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self._postgres.stop()


@contextmanager
def stage() -> Iterator[Stage]:
    """Set the stage, and clear it away at the end."""
    folder = Path(tempfile.mkdtemp(prefix="flotilla-bench-"))
    folder.chmod(0o755)
    opened = Stage(folder)
    try:
        yield opened
    finally:
        opened.close()
        shutil.rmtree(folder, ignore_errors=True)


def settle(seconds: float = 0.3) -> None:
    """Let bots finish what follows the last message."""
    sleep(seconds)
