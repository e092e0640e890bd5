"""A short soak: all faults at random, and the guarantees hold (``python -m bench.soak`` runs for longer)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(300)
def test_no_guarantee_is_broken() -> None:
    command = [sys.executable, "-m", "bench.soak", "--minutes", "0.4", "--seed", "7"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost (must be 0)                                   0" in done.stdout
