"""Processes that are kept running: they die, hang, talk and stop."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from app.runtime import children as module
from app.runtime.children import Child, Children, Patience, Program, Standing
from tests.stage import until

HASTY = Patience(first=0.01, longest=0.04, well=1000)
WAIT = "import signal; print('ready', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"


def program(name: str, code: str, folder: Path) -> Program:
    return Program(name, (sys.executable, "-c", code), {"PATH": os.environ["PATH"]}, folder)


class Crowd:
    """Running children and what they have written."""

    def __init__(self, folder: Path, patience: Patience, codes: dict[str, str]) -> None:
        self.written: list[tuple[str, str]] = []
        programs = [program(name, code, folder) for name, code in codes.items()]
        self.children = Children(programs, self._write, patience)

    def __getitem__(self, name: str) -> Child:
        return self.children.all[name]

    def _write(self, name: str, line: bytes) -> None:
        self.written.append((name, line.decode()))

    def lines(self, name: str) -> list[str]:
        return [line for writer, line in self.written if writer == name]

    async def wait_lines(self, name: str, count: int) -> None:
        await until(lambda: len(self.lines(name)) >= count)


@asynccontextmanager
async def crowd(folder: Path, patience: Patience = HASTY, **codes: str) -> AsyncIterator[Crowd]:
    found = Crowd(folder, patience, codes)
    running = asyncio.create_task(found.children.run())
    await asyncio.sleep(0)  # all are being started now
    try:
        yield found
    finally:
        found.children.stop()
        await running


def plain(output: str) -> list[str]:
    """Return lines without their colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_child_is_started_again_and_the_others_live(tmp_path: Path) -> None:
    async with crowd(tmp_path, a=WAIT, b=WAIT) as both:
        await both.wait_lines("a", 1)
        await both.wait_lines("b", 1)
        other, first = both["b"].pid, both["a"].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await both.wait_lines("a", 2)
        assert both["a"].pid != first
        assert (both["a"].restarts, both["b"].pid, both["b"].restarts) == (1, other, 0)


@pytest.mark.parametrize(
    ("death", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (100, 60.0), (10_000, 60.0)]
)
def test_each_wait_is_longer_than_the_one_before(death: int, seconds: float) -> None:
    assert Patience().before(death) == seconds


async def test_a_crash_loop_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with crowd(tmp_path, bad="print('no bread'); raise SystemExit(3)", good=WAIT) as both:
        await both.wait_lines("bad", 4)
        assert both["good"].standing is Standing.RUNNING
    told = [line for line in plain(capsys.readouterr().out) if "died" in line or "crash loop" in line]
    assert ["process died; starting it again" in line for line in told[:2]] == [True, True]
    assert all(part in told[2] for part in ("crash loop", "exit code 3", "deaths_in_a_row=3", "no bread"))


async def test_who_ran_well_is_not_in_a_loop(tmp_path: Path) -> None:
    async with crowd(tmp_path, Patience(first=0.01, longest=0.04, well=0), a="print('x')") as one:
        await one.wait_lines("a", 4)
        assert one["a"].deaths == 1


async def test_wrong_settings_are_not_tried_again(tmp_path: Path) -> None:
    async with crowd(tmp_path, a="raise SystemExit(78)") as one:
        await until(lambda: one["a"].standing is Standing.REFUSED)
        await one["a"].ended()
        assert (one["a"].restarts, one["a"].pid) == (0, None)
        one["a"].start()
        await one["a"].ended()
        assert one["a"].standing is Standing.REFUSED


async def test_one_is_stopped_and_started(tmp_path: Path) -> None:
    async with crowd(tmp_path, a=WAIT, b=WAIT) as both:
        await both.wait_lines("a", 1)
        pid = both["a"].pid
        assert pid is not None
        await asyncio.gather(both["a"].stop(), both["a"].stop())
        assert (both["a"].standing, is_alive(pid)) == (Standing.STOPPED, False)
        both["a"].start()
        await both.wait_lines("a", 2)
        assert both["b"].restarts == 0


async def test_who_is_started_by_an_operator_does_not_wait_for_its_turn_in_the_fleet(tmp_path: Path) -> None:
    written: list[str] = []
    late = replace(program("a", WAIT, tmp_path), delay=1000.0)
    all_of_them = Children([late], lambda _, line: written.append(line.decode()))
    running = asyncio.create_task(all_of_them.run())
    await until(lambda: all_of_them.all["a"].standing is Standing.WAITING)
    await all_of_them.all["a"].stop()
    all_of_them.all["a"].start()
    await until(lambda: written == ["ready\n"])
    all_of_them.stop()
    await running


async def test_who_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    async with crowd(tmp_path, a=DEAF) as one:
        await one.wait_lines("a", 1)
        pid = one["a"].pid
    assert pid is not None
    assert not is_alive(pid)


async def test_a_second_request_to_stop_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 1000)
    async with crowd(tmp_path, a=DEAF) as one:
        await one.wait_lines("a", 1)
        one.children.stop()
        await until(lambda: one["a"]._keeping is not None and one["a"]._keeping.cancelling() > 0)


async def test_lines_arrive_whole(tmp_path: Path) -> None:
    code = (
        "import sys; sys.stdout.write('one\\ntwo'); sys.stdout.flush(); sys.stderr.write('x' * 3_000_000 + '\\nlast')"
    )
    async with crowd(tmp_path, a=f"{code}; raise SystemExit(78)") as one:
        await one["a"].ended()
        lines = one.lines("a")
    assert lines[0] == "one\n"
    assert lines[-1] == "last\n"
    assert max(map(len, lines)) <= module.LONGEST_LINE


async def test_the_environment_is_the_program_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEBODY_S_TOKEN", "123")
    code = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'})); raise SystemExit(78)"
    async with crowd(tmp_path, a=code) as one:
        await one["a"].ended()
    assert one.lines("a") == ["['PATH', 'STOP_AT_EOF']\n"]
