"""The fuzzer that looks for new code, for a moment: it takes every target."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.corpus import ROOT

pytest.importorskip("atheris", reason="atheris has no wheel for this machine or Python: hypothesis alone fuzzes")


def test_a_moment_of_fuzzing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", "3", "press", "interval"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "2 targets held, 0 did not: -"
