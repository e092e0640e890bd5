"""Twenty bots, each in a container of its own, started with progress."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.project import Project

BOTS = [f"bot{number:02}" for number in range(1, 21)]

CONFIG = """\
image: flotilla-test
version: "{tag}"
telegram: sandbox
bots:
{bots}
"""

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]


@pytest.fixture
def project(image: str, tmp_path: Path) -> Iterator[Project]:
    """A fleet of twenty that nobody has started; its containers are removed afterwards."""
    bots = "\n".join(f"  - {{name: {name}, folder: a, language: en}}" for name in BOTS)
    project = Project(tmp_path, CONFIG.format(tag=image, bots=bots))
    project.courses("a", default="A: {type: message, text: hello, button: On}\nB: {type: end, text: bye}\n")
    try:
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "5")


def test_twenty_bots_start_with_progress(project: Project) -> None:
    printed = project.flotilla("up", "--timeout", "300").stdout.splitlines()
    ready = [line.split()[1] for line in printed if line.startswith("ready")]
    assert (set(ready[:2]), ready[2]) == ({"postgres", "sandbox"}, "migrate")
    assert sorted(ready[3:]) == BOTS
    told = json.loads(project.flotilla("status", "--json").stdout)
    assert {row["bot"]: (row["state"], row["health"]) for row in told["bots"]} == dict.fromkeys(
        BOTS, ("polling", "healthy")
    )
    assert project.flotilla("up").stdout.splitlines()[0] == "same     23 services"
