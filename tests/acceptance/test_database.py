"""Commands on the database: of a fleet in containers, through its migrate service; of a server elsewhere, from here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import psycopg
import pytest

from app.config.tokens import sandbox_token
from app.sandbox.client import LearnerClient, Message, SandboxClient
from app.sandbox.server import Sandbox
from app.store.connection import wait_until_ready
from tests.acceptance.project import ROOT, Project, docker, up
from tests.integration.store.old_tables import OLD_TABLES
from tests.stage import Stage, said

CONFIG = """
    image: flotilla-test
    version: "{tag}"
    telegram: sandbox
    bots:
      - {{name: school, bot_name: the_school, folder: school, language: en}}
"""

COURSES = """
    default: {path: default.yml}
    closed: {path: default.yml, restricted: yes, decline_text: "By invitation only"}
    night: {path: db}
"""

COURSE = """
    Begin: {type: message, text: Welcome, button: Go}
    Ask: {type: input, text: Your name?}
    Bye: {type: end, text: Bye}
"""

NIGHT = "Stars: {type: message, text: Look up, button: On}\nEnd: {type: end, text: Sleep well}\n"

OLD_ROWS = """
    INSERT INTO run (chat_id, username, botname, course_id) VALUES (101, 'ann', 'the_school', 'default');
    INSERT INTO conversation (chat_id, username, course_id, element_id, element_type, role, json, report, run_id)
    VALUES (101, 'ann', 'default', 'Begin', 'message', 'bot',
        '{"element_data": {"type": "message", "text": "Welcome", "button": "Go"}}', 'Welcome', 1);
"""

ADOPTED = "the_school: 1 chat goes on\n"

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def project(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A fleet of which only database and sandbox are up, and the database is the old program's."""
    project = Project(tmp_path_factory.mktemp("fleet"), CONFIG.format(tag=image))
    project.write("scripts/school/courses.yml", COURSES)
    project.write("scripts/school/default.yml", COURSE)
    with up(project, "postgres", "sandbox"):
        psql = (
            "exec",
            "-T",
            "postgres",
            "psql",
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "flotilla",
            "-d",
            "flotilla",
        )
        project.compose(*psql, text=OLD_TABLES + OLD_ROWS)
        yield project


def flotilla(project: Project, *arguments: str, text: str = "", fleet: bool = False) -> str:
    """Run the command in a container of the migrate service, as docs/operating.md says; return what it prints."""
    files = [f"--volume={project.folder}/{name}:/app/{name}:ro" for name in ("bots_config.yaml", "scripts")]
    mounts = files if fleet else []
    return project.compose("run", "--rm", "-T", *mounts, "migrate", "flotilla", *arguments, text=text)


async def learner_of_the_old_program(client: SandboxClient, sandbox_url: str, bot: str) -> LearnerClient:
    """Return a learner whose chat ends with a message of the old program: Welcome, with its button."""
    await client.add_bot(sandbox_token(bot), bot, "School")
    learner = client.learner(bot, 101, username="ann")
    await learner.send("/start")
    url = f"{sandbox_url}/bot{sandbox_token(bot)}"
    keyboard = {"inline_keyboard": [[{"text": "Go", "callback_data": "got_it"}]]}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/getUpdates") as answer:
            (update,) = (await answer.json())["result"]
        async with http.post(f"{url}/getUpdates", json={"offset": update["update_id"] + 1}) as answer:
            assert (await answer.json())["result"] == []
        message = {"chat_id": 101, "text": "Welcome", "reply_markup": keyboard}
        async with http.post(f"{url}/sendMessage", json=message) as answer:
            assert (await answer.json())["ok"]
    return learner


async def test_a_fleet_in_containers_adopts_the_old_program_s_database(project: Project) -> None:
    async with project.client() as client:
        learner = await learner_of_the_old_program(client, f"http://127.0.0.1:{project.port}", "school")
        assert "applied 0001" in await asyncio.to_thread(flotilla, project, "migrate")
        assert await asyncio.to_thread(flotilla, project, "adopt", "--dry-run", fleet=True) == ADOPTED
        told = await asyncio.to_thread(flotilla, project, "adopt", "--yes", fleet=True)
        assert told == f"{ADOPTED}done; start the fleet, and everybody goes on where they stand\n"
        await asyncio.to_thread(project.compose, "up", "--detach", "--wait")
        await learner.press((await learner.transcript()).by_bot[-1])
        await learner.wait_for(said("Your name?"))
        await learner.send("Ann")
        await learner.wait_for(said("Bye"))


async def test_people_are_let_in_and_kept_out(project: Project) -> None:
    await asyncio.to_thread(project.compose, "up", "--detach", "--wait")
    async with project.client() as client:
        bob = client.learner("school", 102, username="bob")
        await bob.send("/start closed")
        await bob.wait_for(said("By invitation only"))
        people = ("participants", "add", "the_school", "closed", "--file", "-")
        told = await asyncio.to_thread(flotilla, project, *people, text="username\nbob\n@carol\n")
        assert told == "+ closed\tbob\n+ closed\tcarol\nadded 2, 0 known already\n"
        await bob.send("/start closed")
        await bob.wait_for(said("Welcome"))
    assert await asyncio.to_thread(flotilla, project, "participants", "list", "the_school") == (
        "closed\t@bob\t102\nclosed\t@carol\t\n"
    )
    await asyncio.to_thread(flotilla, project, "ban", "the_school", "102", "--reason", "spam")
    told = await asyncio.to_thread(flotilla, project, "bans", "the_school")
    assert told.split("\t")[:3] == ["102", "@bob", "banned"]
    await asyncio.to_thread(flotilla, project, "unban", "the_school", "102")
    assert await asyncio.to_thread(flotilla, project, "bans", "the_school") == ""


async def test_commands_find_the_database_of_the_containers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the checkout, with the bot's name of the config, a file of this machine, and its input."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", project.name)
    project.write("people.csv", "username\ndora\n")
    from_checkout(project, "migrate")
    assert "added 1, " in from_checkout(project, "participants", "add", "school", "closed", "--file", "people.csv")
    assert "added 1, " in from_checkout(project, "participants", "add", "school", "closed", "--file", "-", text="ed\n")
    from_checkout(project, "ban", "school", "7")
    assert from_checkout(project, "bans", "school").startswith("7\t")
    from_checkout(project, "unban", "school", "7")
    assert project.query("SELECT username FROM courseparticipants WHERE username < 'f' ORDER BY 1 DESC LIMIT 2") == [
        ("ed",),
        ("dora",),
    ]
    for id_ in ("7", "8"):
        from_checkout(project, "unban", "school", id_)


def from_checkout(project: Project, *arguments: str, text: str = "") -> str:
    """Run the command on this machine, which has no DATABASE_URL; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "app.cli.main", *arguments]
    done = subprocess.run(
        command, cwd=project.folder, env=environment, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == f"database  container {project.name}-postgres-1\n"
    return done.stdout


async def test_a_course_comes_into_the_database_while_the_bot_runs(project: Project) -> None:
    await asyncio.to_thread(project.compose, "up", "--detach", "--wait")
    add = ("course", "import", "the_school", "-", "--id", "night")
    told = await asyncio.to_thread(flotilla, project, *add, text=NIGHT)
    assert told.startswith("imported 'night': 2 elements\n")
    async with project.client() as client:
        learner = client.learner("school", 103)
        await learner.press(await first_of_night(learner))
        await learner.wait_for(said("Sleep well"))
    assert await asyncio.to_thread(flotilla, project, "course", "export", "the_school", "night") == NIGHT


async def first_of_night(learner: LearnerClient) -> Message:
    """Ask for the course until the bot has it, which is a matter of seconds."""
    async with asyncio.timeout(30):
        answer = await learner.wait_message(await learner.send("/start night"))
        while "link does not work" in answer.text:
            answer = await learner.wait_message(await learner.send("/start night"))
    return answer


@pytest.fixture
def published() -> Iterator[str]:
    """The URL of a PostgreSQL in a container of nobody's fleet, whose port is published."""
    name = f"flotilla-test-{uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, "-e", "POSTGRES_PASSWORD=pa ss/w", "-p", "127.0.0.1::5432", "postgres:17")
    try:
        address = docker("port", name, "5432").split()[0]
        yield f"postgresql://postgres:pa%20ss%2Fw@{address}/postgres"
    finally:
        docker("rm", "--force", "--volumes", name)


def here(folder: Path, database_url: str, *arguments: str) -> str:
    """Run the command on this machine, with the database in its environment; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": database_url}
    command = [sys.executable, "-m", "app.cli.main", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_a_database_whose_port_is_published_is_adopted_from_outside(published: str, tmp_path: Path) -> None:
    await wait_until_ready(published, 60, lambda _remaining, _reason: None)
    with psycopg.connect(published) as connection:
        connection.execute(OLD_TABLES)
        connection.execute(OLD_ROWS)
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        stage = Stage(sandbox.url, client, published, tmp_path / "scripts")
        stage.course(COURSE, "school/")
        (tmp_path / "bots_config.yaml").write_text(
            "telegram: sandbox\nbots: [{name: the_school, folder: school, language: en}]\n"
        )
        learner = await learner_of_the_old_program(client, sandbox.url, "the_school")
        assert "applied 0001" in await asyncio.to_thread(here, tmp_path, published, "migrate")
        assert ADOPTED in await asyncio.to_thread(here, tmp_path, published, "adopt", "--yes")
        stage.start(stage.bot("the_school", "school/"))
        await learner.press((await learner.transcript()).by_bot[-1])
        await learner.wait_for(said("Your name?"))
        await stage.close()
