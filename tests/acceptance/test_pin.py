"""Versions of bots in use: another one for one bot, its old one again when that does not work, two at a time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app.sandbox.client import LearnerClient
from tests.acceptance.project import ROOT, Project, docker, up

CONFIG = """\
# The fleet of this test.
image: flotilla-test
version: "{tag}"   # of all others
telegram: sandbox
bots:
  - name: school   # the one that changes
    bot_name: the_school
    folder: school
    language: en

  - {{name: other, folder: school, language: en}}
"""

COURSE = """
    A: {type: input, text: "Question 0?"}
    B: {type: input, text: "Question 1?"}
    C: {type: input, text: "Question 2?"}
    Bye: {type: end, text: Bye}
"""

# As `docker build --build-arg VERSION=0.9.0` makes it, in a second.
NEWER = """
    FROM flotilla-test:{tag}
    USER root
    RUN sed -i 's/^Version: .*/Version: 0.9.0/' /opt/flotilla/lib/python3*/site-packages/flotilla-*.dist-info/METADATA
    RUN cd /opt/flotilla/lib/python3*/site-packages/app/store/migrations && echo \\
        "CREATE TABLE more (x int); INSERT INTO schema_version VALUES ('8000_more', '0.1.0');" > 8000_more.sql
    USER 10001:10001
    LABEL org.opencontainers.image.version=0.9.0
"""

CONTRACTING = """
    FROM flotilla-test:{tag}-newer
    USER root
    RUN cd /opt/flotilla/lib/python3*/site-packages/app/store/migrations && echo \\
        "DROP TABLE more; INSERT INTO schema_version VALUES ('8001_less', '0.9.0');" > 8001_less.sql
    USER 10001:10001
"""

BROKEN = """
    FROM flotilla-test:{tag}
    CMD ["sh", "-c", "echo this version is broken; exit 3"]
"""

HANGING = """
    FROM flotilla-test:{tag}
    CMD ["sleep", "infinity"]
"""

PATIENCE = 60.0

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def versions(image: str) -> Iterator[dict[str, str]]:
    """Tags of further versions of the image, by what they are."""
    texts = {"newer": NEWER, "contracting": CONTRACTING, "broken": BROKEN, "hanging": HANGING}
    tags = {name: f"{image}-{name}" for name in (*texts, "own")}
    for name, text in texts.items():
        docker("build", "--tag", f"flotilla-test:{tags[name]}", "-", text=text.format(tag=image))
    yield tags
    docker("image", "rm", *(f"flotilla-test:{tag}" for tag in tags.values()))


@pytest.fixture(scope="module")
def project(image: str, versions: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two bots with one course, up."""
    docker("tag", f"flotilla-test:{image}", f"flotilla-test:{versions['own']}")
    override = f"services: {{sandbox: {{image: 'flotilla-test:{versions['own']}'}}}}\n"
    project = Project(tmp_path_factory.mktemp("fleet"), CONFIG.format(tag=image), override)
    project.courses("school", default=COURSE)
    with up(project):
        yield project


@pytest.fixture(autouse=True)
def _named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands know the project by its folder in real life."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", project.name)
    monkeypatch.setenv("SANDBOX_PORT", str(project.port))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def flotilla(project: Project, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run the command in the project's folder; return what it prints on its outputs."""
    command = [sys.executable, "-m", "app.cli.main", *arguments]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def unpinned(project: Project) -> Project:
    """School runs what the fleet runs."""
    if version_of(project, "school") != "0.1.0":
        flotilla(project, "rollback", "school")
    return project


@pytest.fixture
def pinned(project: Project, versions: dict[str, str]) -> Project:
    """School is pinned to the newer version."""
    if version_of(project, "school") != "0.9.0":
        flotilla(project, "pin", "school", versions["newer"])
    return project


def files(project: Project) -> list[bytes]:
    return [(project.folder / name).read_bytes() for name in ("bots_config.yaml", "compose.yaml")]


def others(project: Project) -> dict[str, list[str]]:
    return {service: project.containers(service) for service in ("postgres", "sandbox", "other", "migrate")}


def version_of(project: Project, service: str) -> str:
    told = project.compose("exec", "-T", service, "cat", "/tmp/flotilla-status.json")
    return str(json.loads(told)["version"])


async def learn(learner: LearnerClient, end: asyncio.Event) -> int:
    """Take the course again and again until the event, and once more; nothing may be missing. Return how often."""
    count = 0
    while True:
        is_last = end.is_set()
        answer = await learner.wait_message(await learner.send("/start"), PATIENCE)
        for number in range(3):
            assert answer.text == f"Question {number}?"
            answer = await learner.wait_message(await learner.send(f"answer {number}"), PATIENCE)
        assert answer.text == "Bye"
        count += 1
        if is_last:
            return count


def history(project: Project) -> list[tuple[Any, ...]]:
    return project.query("SELECT botname, from_version, to_version, is_rollback, result FROM pin ORDER BY pin_id")


def test_a_pin_can_be_looked_at_first(unpinned: Project, versions: dict[str, str]) -> None:
    before = files(unpinned)
    told, _ = flotilla(unpinned, "pin", "other", versions["newer"], "--dry-run")
    assert f'+  - {{name: other, version: "{versions["newer"]}", folder: school, language: en}}\n' in told
    assert f"+    image: flotilla-test:{versions['newer']}\n" in told
    assert told.endswith(f"would replace the container of other: flotilla-test:{versions['newer']}\n")
    assert files(unpinned) == before


def test_other_changes_of_what_it_needs_come_first(unpinned: Project, versions: dict[str, str]) -> None:
    before = files(unpinned)
    override = (unpinned.folder / "compose.override.yaml").read_text(encoding="utf-8")
    unpinned.write("compose.override.yaml", override.replace("{", "{postgres: {shm_size: 64m}, ", 1))
    _, told = flotilla(unpinned, "pin", "school", versions["newer"], code=1)
    unpinned.write("compose.override.yaml", override)
    assert told == (
        "the config has changed otherwise, too, and that concerns postgres; "
        "apply that with `flotilla up` first, then pin\n"
    )
    assert files(unpinned) == before


async def test_two_versions_answer_learners_on_one_database(
    unpinned: Project, versions: dict[str, str], image: str
) -> None:
    config, compose = files(unpinned)
    before, newer, end = others(unpinned), versions["newer"], asyncio.Event()
    docker(
        "tag", f"flotilla-test:{newer}", f"flotilla-test:{versions['own']}"
    )  # the sandbox's image is another one now
    async with unpinned.client() as client:
        learners = [client.learner(bot, number) for bot in ("school", "other") for number in (1, 2)]
        walks = [asyncio.create_task(learn(learner, end)) for learner in learners]
        told, _ = await asyncio.to_thread(flotilla, unpinned, "pin", "school", newer)
        end.set()
        counts = await asyncio.gather(*walks)

    assert told == f"school runs {newer} (was {image} (the fleet's own))\n"
    assert (version_of(unpinned, "school"), version_of(unpinned, "other")) == ("0.9.0", "0.1.0")
    assert others(unpinned) == before
    line = b"  - name: school   # the one that changes\n"
    assert files(unpinned)[0] == config.replace(line, line + f'    version: "{newer}"\n'.encode())
    assert files(unpinned)[1] != compose
    assert history(unpinned)[-1] == ("the_school", None, newer, False, "done")
    rows = """
        SELECT run.botname, count(DISTINCT run.run_id) AS runs, count(*) FILTER (WHERE role = 'user') AS answers
        FROM run JOIN conversation USING (run_id) WHERE is_ended GROUP BY 1 ORDER BY 1
    """
    runs = {"other": counts[2] + counts[3], "the_school": counts[0] + counts[1]}
    assert unpinned.query(rows) == [(bot, count, 3 * count) for bot, count in runs.items()]


def test_a_version_that_ends_by_itself_is_given_up(pinned: Project, versions: dict[str, str]) -> None:
    before, alone = files(pinned), others(pinned)
    _, told = flotilla(pinned, "pin", "school", versions["broken"], code=1)

    assert f"school: {versions['broken']} was given up: " in told
    assert f"{pinned.name}-school-1 ended by itself" in told
    assert "\nthis version is broken\n" in told
    assert told.endswith(f"it has {versions['newer']} again\n")
    assert (files(pinned), others(pinned)) == (before, alone)
    assert version_of(pinned, "school") == "0.9.0"
    assert history(pinned)[-1] == ("the_school", versions["newer"], versions["broken"], False, "failed")


def test_a_version_whose_migrations_would_stop_other_bots_is_given_up(
    pinned: Project, versions: dict[str, str]
) -> None:
    before, alone, own = files(pinned), others(pinned), pinned.containers("school")
    _, told = flotilla(pinned, "pin", "school", versions["contracting"], code=1)
    assert (
        f"{versions['contracting']} changes the database so that only Flotilla 0.9.0 and newer work with it; "
        "first pin to such a version: other (0.1.0)" in told
    )
    assert (files(pinned), others(pinned), pinned.containers("school")) == (before, alone, own)
    assert pinned.query("SELECT count(*) AS tables FROM pg_tables WHERE tablename = 'more'") == [(1,)]


def test_ctrl_c_leaves_the_old_version(pinned: Project, versions: dict[str, str]) -> None:
    before = files(pinned)
    command = [sys.executable, "-m", "app.cli.main", "pin", "school", versions["hanging"]]
    with subprocess.Popen(command, cwd=pinned.folder, stderr=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "is not healthy yet" in line)
        os.killpg(process.pid, signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 1
    assert told.endswith(f"school: {versions['hanging']} was given up: interrupted; it has {versions['newer']} again\n")
    assert files(pinned) == before
    assert version_of(pinned, "school") == "0.9.0"
    assert history(pinned)[-1] == ("the_school", versions["newer"], versions["hanging"], False, "interrupted")


def test_a_version_that_the_database_is_too_new_for_names_those_that_work(pinned: Project) -> None:
    """The database has a migration of a later version, which works with 0.9.0 only."""
    psql = ("exec", "-T", "postgres", "psql", "-U", "flotilla", "-d", "flotilla", "--quiet", "-c")
    pinned.compose(*psql, "INSERT INTO schema_version VALUES ('9999_future', '0.9.0', now(), '0.9.0')")
    command = ["docker", "compose", "run", "--rm", "--no-TTY", "--no-deps", "other"]
    done = subprocess.run(command, cwd=pinned.folder, capture_output=True, text=True, check=False)
    pinned.compose(*psql, "DELETE FROM schema_version WHERE migration_id = '9999_future'")
    assert done.returncode == 78
    said = "needs Flotilla 0.9.0 or newer, and this is 0.1.0; use a version that works with it: 0.9.0"
    assert said in done.stdout + done.stderr


def test_a_rollback_returns_to_what_was_good(pinned: Project, versions: dict[str, str], image: str) -> None:
    told, _ = flotilla(pinned, "rollback", "school")
    assert told == f"school runs {image} (the fleet's own) (was {versions['newer']})\n"
    assert files(pinned)[0] == CONFIG.format(tag=image).encode()
    assert version_of(pinned, "school") == "0.1.0"
    assert history(pinned)[-1] == ("the_school", versions["newer"], None, True, "done")
    known = json.loads(flotilla(pinned, "versions", "school", "--json")[0])
    assert [(one["bot"], one["version"], one["is_pinned"]) for one in known["bots"]] == [("school", image, False)]
    assert {image, *versions.values()} <= set(known["local"])
    assert known["history"][0]["actor"] == known["history"][-1]["actor"]
    shown, _ = flotilla(pinned, "versions")
    assert shown.splitlines()[:2] == [f"{bot:6}  {image}  {pinned.name}-{bot}-1 running" for bot in ("school", "other")]
    assert f"rollback school  {versions['newer']} -> the fleet's own  done" in shown.splitlines()[-1]
    _, told = flotilla(pinned, "rollback", "school", code=1)
    assert told.endswith("school has no pin to undo; `flotilla versions school` shows the history\n")
