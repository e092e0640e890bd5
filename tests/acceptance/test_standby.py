"""What an operator does to a fleet in use: a host killed or cut off beside its standby, a bot moved between ways.

The fleet has a webhook bot and a group of them behind the proxy, each in two replicas, a polling bot with a standby,
and a polling bot to be moved.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from app.sandbox.client import LearnerClient, SandboxClient, Transcript
from tests.acceptance.project import Project, crash, docker, free_port, up
from tests.acceptance.test_mini_apps import SITE, certify
from tests.stage import play, said

CONFIG = f"""
    image: flotilla-test
    version: "{{tag}}"
    telegram: sandbox
    webhook: {{{{base_url: "{SITE}", ssl_cert_path: certs/cert.pem}}}}
    bots:
      - {{{{name: first, folder: school, language: en, mode: webhook, group: web, replicas: 2}}}}
      - {{{{name: second, folder: school, language: en, mode: webhook, group: web, replicas: 2}}}}
      - {{{{name: alone, folder: school, language: en, mode: webhook, replicas: 2}}}}
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

DRILL = "\n".join(f"Q{number}: {{type: input, text: Question {number}}}" for number in range(1, 31))

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
    FROM conversation WHERE chat_id {chats} GROUP BY run_id
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
    project.courses("school", default=COURSE, drill=DRILL)
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
    for bot in ("first", "second", "alone", "guide", "mover"):
        learner = await until_asked(client, bot, 1)
        await answered(learner, 20)
        set_for = [call["params"]["url"] for call in await client.calls(bot, "setWebhook")]
        assert set_for == ([f"{SITE}/webhook/{bot}"] if bot in REPLICATED else [])


REPLICATED = {"first": "web", "second": "web", "alone": "alone"}
"""Bots with replicas, and their services."""


def senders(project: Project, bot: str) -> set[str]:
    """Return the hosts that took what was written to a bot: who commits a turn sends the chat's messages."""
    return {host for (host,) in project.query(f"SELECT DISTINCT sender FROM chat WHERE botname = '{bot}'")}


async def drill(client: SandboxClient, bot: str, learner_id: int) -> list[str]:
    """Answer all questions before any is asked; return what the bot said."""
    learner = client.learner(bot, learner_id)
    await learner.send("/start drill")
    for number in range(1, 30):
        await learner.send(str(number))
    chat = await learner.wait_for(said("Question 30"), 60)
    return [message.text for message in chat.by_bot]


async def test_replicas_share_their_learners(project: Project, client: SandboxClient) -> None:
    """Both replicas take requests, and each learner gets everything once and in order all the same."""
    drills = [drill(client, bot, learner_id) for bot in REPLICATED for learner_id in range(100, 110)]
    asked = [f"Question {number}" for number in range(1, 31)]
    assert await asyncio.gather(*drills) == [asked] * len(drills)
    for bot in REPLICATED:
        assert len(senders(project, bot)) == 2, bot


async def course_after_repeats(client: SandboxClient, bot: str, learner_id: int, ended: asyncio.Event) -> int:
    """Go through the course as ``course_after_course`` does, while what was said last may be said again."""
    learner, courses, is_last = client.learner(bot, learner_id), 0, False
    while not is_last:
        is_last = ended.is_set()
        sent = await learner.send("/start")
        await learner.wait_for(lambda chat, since=sent: bool(said_since(chat, since)), 60)
        chat = await play(
            learner,
            lambda chat, since=sent: "Bye" in said_since(chat, since),
            {"Type": "well"},
            patience=60,
            knows_repeats=True,
        )
        assert list(dict.fromkeys(said_since(chat, sent))) == SAID
        courses += 1
    return courses


def said_since(chat: Transcript, message_id: int) -> list[str]:
    """Return what the bot said in a course that was started by a message: older messages may come again before."""
    texts = [message.text for message in chat.after(message_id)]
    return texts[texts.index("Hello") :] if "Hello" in texts else []


async def test_a_killed_replica_takes_nothing_with_it(project: Project, client: SandboxClient) -> None:
    ended, playing = asyncio.Event(), []
    async with asyncio.TaskGroup() as tasks:
        for learner_id, bot in enumerate([*REPLICATED] * 4, 200):
            playing.append(tasks.create_task(course_after_repeats(client, bot, learner_id, ended)))
        for service in ("web", "alone"):
            victim = (await asyncio.to_thread(project.containers, service))[0]
            await asyncio.to_thread(docker, "kill", "--signal", "KILL", victim)
        await asyncio.to_thread(project.compose, "up", "--detach", "--wait", "--no-recreate", "web", "alone")
        ended.set()
    print(f"{[task.result() for task in playing]} courses")
    all_is_written(project, ">= 200")


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


def all_is_written(project: Project, chats: str) -> None:
    """See that all runs of some chats are on record in full, and that nothing waits."""
    assert project.query(ROWS.format(chats=chats)) == [(WRITTEN,)]
    assert project.query("SELECT count(*) AS pending FROM outbox") == [(0,)]
    assert project.query("SELECT count(*) AS dead FROM dead_update") == [(0,)]


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
    all_is_written(project, "BETWEEN 11 AND 99")
