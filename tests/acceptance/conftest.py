"""What acceptance tests need of the machine, and how they say that it is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from uuid import uuid4

import pytest

from tests.acceptance.project import ROOT, docker

KEY = "sk-this-is-nobodys-business"
"""The key of the model in .env: of the fleets of tests, and of the checkout from which their image is made."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of containers where no engine answers."""
    if item.get_closest_marker("containers") and not engine_answers():
        pytest.skip("containers: no Docker engine answers")


@cache
def engine_answers() -> bool:
    """Ask the engine once in a test process."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "version"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The tag of ``flotilla-test``, an image of this checkout as operators have it: with secrets in .env."""
    tag, checkout = uuid4().hex[:8], tmp_path_factory.mktemp("checkout")
    for file in ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, checkout)
    for folder in ("app", "db", "monitoring"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / ".env").write_text(f"MODEL_KEY={KEY}\n")
    docker("build", "--tag", f"flotilla-test:{tag}", str(checkout))
    yield tag
    docker("image", "rm", f"flotilla-test:{tag}")
