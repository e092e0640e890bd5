"""What acceptance tests need of the machine, and how they say that it is missing."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of containers where no engine answers."""
    if item.get_closest_marker("containers") and not engine_answers():
        pytest.skip("containers: no Docker engine answers")


@cache
def engine_answers() -> bool:
    """Ask the engine once in a test process."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "version"], capture_output=True, check=False).returncode == 0
