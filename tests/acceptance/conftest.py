"""What acceptance tests need of the machine, and how they say that it is missing."""

from __future__ import annotations

from contextlib import closing
from functools import cache

import docker
import pytest
from docker.errors import DockerException


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of containers where no engine answers."""
    if item.get_closest_marker("containers") and not engine_answers():
        pytest.skip("containers: no Docker engine answers")


@cache
def engine_answers() -> bool:
    """Ask the engine once in a test process."""
    try:
        with closing(docker.from_env(timeout=10)) as engine:
            return bool(engine.ping())
    except DockerException:
        return False
