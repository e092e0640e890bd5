"""What systemd is told, and how a process ends whose parent is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.runtime.starter import STOP_AT_EOF, tell_manager, watch_interval

ROOT = Path(__file__).parents[3]
HELD = """
import os, signal, sys, time
from app.runtime import starter
starter.LAST_WORDS_SECONDS = 0.1
if sys.argv[1] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
starter.stop_with_parent(os.environ)
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("ears", "code"), [("", -signal.SIGTERM), ("deaf", 1)])
def test_a_process_ends_with_its_parent(ears: str, code: int) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), STOP_AT_EOF: "true"}
    command = [sys.executable, "-c", HELD, ears]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()
        assert process.wait(60) == code


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told(is_abstract: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(prefix="fl-") as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        place = f"{folder}/notify"
        systemd.bind(f"\0{place}" if is_abstract else place)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{place}" if is_abstract else place)
        tell_manager("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_nobody_is_told_who_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    tell_manager("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    tell_manager("READY=1")


@pytest.mark.parametrize(
    ("environ", "seconds"), [({}, None), ({"WATCHDOG_USEC": ""}, None), ({"WATCHDOG_USEC": "60000000"}, 30.0)]
)
def test_a_sign_of_life_is_due_twice_as_often_as_it_is_waited_for(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert watch_interval(environ) == seconds
