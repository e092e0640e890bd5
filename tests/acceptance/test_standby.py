"""What an operator does to a fleet in use: a host killed or cut off beside its standby, a bot moved between ways.

The fleet has a group of webhook bots behind the proxy, a polling bot with a standby, and a polling bot to be moved.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from app.sandbox.client import LearnerClient, SandboxClient
from tests.acceptance.project import Project, crash, docker, free_port, up
from tests.acceptance.test_mini_apps import SITE, certify
from tests.stage import play, said

CONFIG = f"""
    image: flotilla-test
    version: "{{tag}}"
    telegram: sandbox
    webhook: {{{{base_url: "{SITE}", ssl_cert_path: certs/cert.pem}}}}
    bots:
      - {{{{name: first, folder: school, language: en, mode: webhook, group: web}}}}
      - {{{{name: second, folder: school, language: en, mode: webhook, group: web}}}}
      - {{{{name: guide, folder: school, language: en, mode: polling, replicas: 2}}}}
      - {{{{name: mover, folder: school, language: en, mode: polling}}}}
"""

# What cuts a host off from the database leaves it its way to Telegram.
NETWORKS = """
    services:
      proxy: {{ports: !override ["127.0.0.1:{port}:8443"]}}
      sandbox: {{networks: [default, telegram]}}
      guide: {{networks: [default, telegram]}}
    networks: {{telegram: {{}}}}
"""

COURSE = """
    Hello: {type: message, text: Hello, button: Go}
    More: {type: message, text: More, button: On}
    Typed: {type: input, text: Type, correct_answer: well, feedback_correct: Right}
    Bye: {type: end, text: Bye}
"""

SAID = ["Hello", "More", "Type", "Right", "Bye"]

# The leader has its bot's advisory lock on a connection of its own; the key is in pg_locks as two halves.
LEADER = """
    SELECT host(client_addr) AS address FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted
        AND (classid::bigint << 32) | objid::bigint = hashtextextended('flotilla:guide', 0)
"""

# What is on record of a run, without repeating what is the same for several.
ROWS = """
    SELECT DISTINCT string_agg(concat_ws(' ', role, element_id, report), '; ' ORDER BY conversation_id) AS rows
    FROM conversation WHERE chat_id > 10 GROUP BY run_id
"""

WRITTEN = (
    "bot Hello Hello; user Hello Go; bot More More; user More On; "
    "bot Typed Type; user Typed well; bot Typed Right; bot Bye Bye"
)

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def config(image: str) -> str:
    return CONFIG.format(tag=image)


@pytest.fixture(scope="module")
def project(config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    variables = {"WEBHOOK_SECRET_TOKEN": "nobody-else-may-know-this"}
    project = Project(tmp_path_factory.mktemp("fleet"), config, NETWORKS.format(port=free_port()), variables)
    project.courses("school", default=COURSE)
    (project.folder / "certs").mkdir()
    certify(project.folder / "certs")
    with up(project):
        yield project


@pytest.fixture
async def client(project: Project) -> AsyncIterator[SandboxClient]:
    async with project.client() as client:
        yield client


def addresses(container: str) -> set[str]:
    """Return the addresses of a container in all its networks."""
    networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
    return {network["IPAddress"] for network in networks.values()}


def leader(project: Project) -> str:
    """Return the container that polls the guide."""
    ((address,),) = project.query(LEADER)
    return next(one for one in project.containers("guide") if address in addresses(one))


def start_again(project: Project) -> None:
    """Have both containers of the guide up and healthy, whatever ended them."""
    project.compose("up", "--detach", "--wait", "--no-recreate", "guide")


async def until_asked(client: SandboxClient, bot: str, learner_id: int) -> LearnerClient:
    learner = client.learner(bot, learner_id)
    await learner.send("/start")
    await play(learner, said("Type"))
    return learner


async def answered(learner: LearnerClient, patience: float) -> None:
    """Answer the question, and see that the bot goes on, with nothing lost or twice; say how long it took."""
    began = time.monotonic()
    await learner.send("well")
    chat = await learner.wait_for(said("Bye"), patience)
    print(f"answered after {time.monotonic() - began:.1f} s")
    assert [message.text for message in chat.by_bot] == SAID


async def test_a_webhook_group_and_a_bot_with_a_standby(client: SandboxClient) -> None:
    for bot in ("first", "second", "guide", "mover"):
        learner = await until_asked(client, bot, 1)
        await answered(learner, 20)
        set_for = [call["params"]["url"] for call in await client.calls(bot, "setWebhook")]
        assert set_for == ([f"{SITE}/webhook/{bot}"] if bot in ("first", "second") else [])


async def test_a_standby_answers_when_the_first_is_killed(project: Project, client: SandboxClient) -> None:
    learner, other = await until_asked(client, "guide", 2), await until_asked(client, "guide", 3)
    first = leader(project)
    # The engine starts nothing again that an operator killed: who answers can only be the standby.
    docker("kill", "--signal", "KILL", first)
    await answered(learner, 10)
    second = leader(project)
    assert second != first
    start_again(project)
    crash(second)
    await answered(other, 10)
    start_again(project)


async def test_a_standby_answers_when_the_first_is_cut_off(project: Project, client: SandboxClient) -> None:
    learner, other = await until_asked(client, "guide", 4), await until_asked(client, "guide", 5)
    first, network = leader(project), f"{project.name}_default"
    docker("network", "disconnect", network, first)
    # Keepalives do not count while something that was sent waits for its receipt, as this does.
    project.query("SELECT pg_notify('flotilla_timer', 'guide')::text AS told")
    await answered(learner, 20)
    second = leader(project)
    assert second != first
    docker("network", "connect", "--alias", "guide", network, first)
    docker("kill", "--signal", "KILL", second)
    await answered(other, 20)
    assert leader(project) == first
    start_again(project)


async def course_after_course(client: SandboxClient, bot: str, learner_id: int, done: asyncio.Event) -> int:
    """Go through the course again and again, for the last time after ``done``; return how often."""
    learner, courses, is_last = client.learner(bot, learner_id), 0, False
    while not is_last:
        is_last = done.is_set()
        sent = await learner.send("/start")
        await learner.wait_message(sent, 60)
        await play(learner, said("Bye"), {"Type": "well"}, patience=60)
        courses += 1
    chat = await learner.transcript()
    assert [message.text for message in chat.by_bot] == SAID * courses
    return courses


def others(project: Project) -> dict[str, str]:
    """Return the services by the ids of their containers, but for the bot that is moved.

    The proxy is one of those that change: it serves only the routes that there are.
    """
    found = map(json.loads, project.compose("ps", "--all", "--format", "json").splitlines())
    return {one["ID"]: one["Service"] for one in found if one["Service"] not in ("mover", "proxy")}


def move(project: Project, config: str, mode: str) -> None:
    """Change one word of the config, as an operator does."""
    before, mover = config.split("{name: mover")
    project.write("bots_config.yaml", f"{before}{{name: mover{mover.replace('mode: polling', f'mode: {mode}')}")
    project.generate()
    project.compose("up", "--detach", "--wait")


async def test_a_bot_moves_while_learners_are_active(project: Project, config: str, client: SandboxClient) -> None:
    before = others(project)
    for number, (mode, is_webhook) in enumerate((("webhook", True), ("polling", False))):
        done, playing = asyncio.Event(), []
        async with asyncio.TaskGroup() as tasks:
            for learner_id, bot in enumerate(("mover", "mover", "mover", "first", "guide"), 11 + 10 * number):
                playing.append(tasks.create_task(course_after_course(client, bot, learner_id, done)))
            await asyncio.to_thread(move, project, config, mode)
            done.set()
        print(f"to {mode}: {[task.result() for task in playing]} courses")
        calls = [call["method"] for call in await client.calls("mover") if call["method"].endswith("Webhook")]
        assert calls[-1] == ("setWebhook" if is_webhook else "deleteWebhook")
        assert others(project) == before
    assert project.query(ROWS) == [(WRITTEN,)]
    assert project.query("SELECT count(*) AS pending FROM outbox") == [(0,)]
    assert project.query("SELECT count(*) AS dead FROM dead_update") == [(0,)]
