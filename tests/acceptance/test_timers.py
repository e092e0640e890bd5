"""Waits in containers whose clock is moved: libfaketime turns that of PostgreSQL and of the bots.

It shows what passes when days do: every process of the fleet sees the new date, and the time until it runs as usual.
It is not the kernel's clock: what the engine and the sandbox see stays the real time, and nothing of ours asks them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.sandbox.client import LearnerClient, SandboxClient
from tests.acceptance.project import Project, docker, up
from tests.stage import said

LIBRARY = next(Path("/usr/lib").glob("*-linux-gnu/faketime/libfaketime.so.1"), None)

CONFIG = """
    image: flotilla-test
    version: "{tag}"
    telegram: sandbox
    bots:
      - {{name: clock, folder: clock, language: en, replicas: 2}}
"""

CLOCKS = """
    x-clock: &clock
      environment:
        LD_PRELOAD: /lib/libfaketime.so.1
        FAKETIME_TIMESTAMP_FILE: /clock/offset
        FAKETIME_NO_CACHE: "1"
        FAKETIME_DONT_FAKE_MONOTONIC: "1"
      volumes: ["./clock:/clock:ro", "{library}:/lib/libfaketime.so.1:ro"]
    services:
      # From the start as the user that it becomes: processes of two users cannot share libfaketime's state.
      postgres: {{<<: *clock, user: postgres}}
      clock: *clock
"""

COURSE = """
    Begin: {type: message, text: Ready?, button: Go}
    Night: {type: delay, text: Good night, wait: %s, goto: Morning}
    Never: {type: message, text: never seen}
    Morning: {type: input, text: Good morning}
    Bye: {type: end, text: Goodbye}
"""

DAY = 24 * 60 * 60

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(300),
    pytest.mark.skipif(LIBRARY is None, reason="faketime is not installed"),
]


@pytest.fixture(scope="module")
def project(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("fleet"), CONFIG.format(tag=image), CLOCKS.format(library=LIBRARY))
    project.courses("clock", default=COURSE % "1d", soon=COURSE % "5s")
    set_clock(project, 0)
    with up(project):
        yield project


@pytest.fixture
async def client(project: Project) -> AsyncIterator[SandboxClient]:
    async with project.client() as client:
        yield client


def set_clock(project: Project, seconds: int) -> None:
    """Let the fleet's clock be so much ahead of the machine's."""
    project.write("clock/offset", f"{seconds:+d}\n")


async def until_night(client: SandboxClient, learner_id: int, course: str = "") -> LearnerClient:
    learner = client.learner("clock", learner_id)
    await learner.send(f"/start {course}".strip())
    await learner.press(await learner.wait_message())
    await learner.wait_for(said("Good night"))
    return learner


async def delivered(project: Project, learner: LearnerClient) -> float:
    """See that the wait is delivered, once; return how many seconds late, by the clock of the fleet."""
    await learner.wait_for(said("Good morning"), patience=60)
    await learner.send("Morning")
    chat = await learner.wait_for(said("Goodbye"))
    assert [message.text for message in chat.by_bot] == ["Ready?", "Good night", "Good morning", "Goodbye"]
    ((late,),) = project.query(
        f"""
        SELECT extract(epoch FROM conversation.date_inserted AT TIME ZONE 'UTC' - due_at)::float8 AS late
        FROM conversation JOIN waiting_element USING (chat_id, element_id)
        WHERE chat_id = {learner.id} AND role = 'bot' AND element_id = 'Morning' AND NOT is_waiting
        """
    )
    print(f"delivered {late:.3f} s after it was due")
    assert late >= 0
    return float(late)


def waits(project: Project, learner: LearnerClient) -> list[tuple[bool, bool]]:
    """Return the learner's waits: whether each is still to come, and whether it is due."""
    found = project.query(
        f"SELECT is_waiting, due_at <= now() AS due FROM waiting_element WHERE chat_id = {learner.id}"
    )
    return [(is_waiting, is_due) for is_waiting, is_due in found]


async def test_a_delay_of_five_seconds(project: Project, client: SandboxClient) -> None:
    await delivered(project, await until_night(client, 1, "soon"))


async def test_a_delay_of_a_day(project: Project, client: SandboxClient) -> None:
    learner = await until_night(client, 2)
    assert waits(project, learner) == [(True, False)]
    set_clock(project, DAY - 10)
    # The hosts look at the database's clock when somebody's wait begins, and once a minute.
    other = await until_night(client, 3, "soon")
    assert waits(project, learner) == [(True, False)]
    await delivered(project, other)
    await delivered(project, learner)


async def test_a_delay_of_a_day_that_ends_while_no_host_is_up(project: Project, client: SandboxClient) -> None:
    learner = await until_night(client, 4)
    await asyncio.to_thread(project.compose, "stop", "clock")
    set_clock(project, 3 * DAY)
    assert waits(project, learner) == [(True, True)]
    await asyncio.to_thread(project.compose, "up", "--detach", "--wait", "--no-recreate", "clock")
    await delivered(project, learner)


async def test_a_delay_that_ends_while_the_hosts_are_being_killed(project: Project, client: SandboxClient) -> None:
    learners = [await until_night(client, learner_id, "soon") for learner_id in range(5, 10)]
    await asyncio.to_thread(project.crash, "clock")
    for learner in learners:
        await delivered(project, learner)
    assert {docker("inspect", "--format", "{{.RestartCount}}", one) for one in project.containers("clock")} == {"1\n"}
