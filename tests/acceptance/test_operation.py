"""A fleet in containers as an operator has it: up, status, logs, restart, a changed setting, stop, down."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.project import Project, docker

CONFIG = """
    image: flotilla-test
    version: "{tag}"
    telegram: sandbox
    bots:
      - {{name: one, folder: a, language: en}}
      - {{name: two, folder: a, language: en}}
      - {{name: broken, folder: a, language: en, env: {{BOT_MODE: pigeon}}}}
      - {{name: left, folder: a, group: pair}}
      - {{name: right, folder: a, group: pair}}
"""

COURSE = """
    A: {type: message, text: hello, button: On}
    B: {type: end, text: bye}
"""

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def project(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A fleet that nobody has started; what was started of it is removed afterwards."""
    project = Project(tmp_path_factory.mktemp("fleet"), CONFIG.format(tag=image))
    project.courses("a", default=COURSE)
    try:
        yield project
    finally:
        project.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


@pytest.fixture(scope="module")
def started(project: Project) -> subprocess.CompletedProcess[str]:
    """What ``flotilla up`` says of the fleet, one bot of which is broken."""
    return project.flotilla("up", expect=1)


@pytest.fixture
def fleet(project: Project, started: subprocess.CompletedProcess[str]) -> Project:
    """The fleet, started: the tests of this module go on where the one before has ended."""
    return project


@pytest.fixture
def mended(fleet: Project) -> Project:
    """The fleet with nothing broken in it."""
    config = (fleet.folder / "bots_config.yaml").read_text()
    if "pigeon" in config:
        fleet.write("bots_config.yaml", _mended(config))
        fleet.flotilla("up")
    return fleet


def _mended(config: str) -> str:
    return config.replace(", env: {BOT_MODE: pigeon}", "")


def containers(project: Project) -> dict[str, tuple[str, str]]:
    """Return id and start of each service's container."""
    found = {}
    for container_id in docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={project.name}").split():
        one = json.loads(docker("inspect", container_id))[0]
        found[one["Config"]["Labels"]["com.docker.compose.service"]] = (one["Id"], one["State"]["StartedAt"])
    return found


def status(project: Project, *names: str, expect: int | None = 0) -> dict[str, dict[str, Any]]:
    """Return what ``flotilla status`` says of each bot and service."""
    told = json.loads(project.flotilla("status", "--json", *names, expect=expect).stdout)
    return {row["bot"]: row for row in (*told["bots"], *told["services"])}


def wait_told(project: Project, bot: str, state: str) -> dict[str, Any]:
    """Wait until the host of a bot tells this state of it, and return all that is told."""
    ends = time.monotonic() + 60
    while (told := status(project, bot, expect=None)[bot])["state"] != state:
        assert time.monotonic() < ends
    return told


def test_a_dry_run_tells_what_would_be_made_and_makes_nothing(project: Project) -> None:
    printed = project.flotilla("up", "--dry-run").stdout.splitlines()
    services = ["broken", "migrate", "one", "pair", "postgres", "sandbox", "two"]
    assert [line.split()[:2] for line in printed] == [["new", service] for service in services]
    assert containers(project) == {}
    assert not (project.folder / "compose.yaml").exists()


def test_a_port_that_is_taken_is_named(project: Project) -> None:
    with socket.create_server(("127.0.0.1", project.port)):
        done = project.flotilla("up", "sandbox", "--json", expect=1)
    remedy = f"`ss -ltnp 'sport = :{project.port}'` shows by what; stop that, or choose another port in .env"
    why = f"port {project.port} of 127.0.0.1 is in use; {remedy}"
    assert json.loads(done.stdout)["failed"] == [{"service": "sandbox", "why": why, "log": []}]


def test_one_bot_that_fails_keeps_no_other_from_starting(started: subprocess.CompletedProcess[str]) -> None:
    last = {line.split()[1].rstrip(":"): line.split()[0] for line in started.stdout.splitlines()}
    ready = dict.fromkeys(("postgres", "sandbox", "migrate", "one", "two", "pair"), "ready")
    assert last == {**ready, "broken": "failed"}
    assert "broken: ended with exit code 78, again and again; the end of its log:" in started.stderr
    assert "BOT_MODE" in started.stderr


def test_status_tells_of_every_bot(fleet: Project) -> None:
    rows = status(fleet, expect=1)
    assert {name: row["health"] for name, row in rows.items() if name != "broken"} == {
        **dict.fromkeys(("one", "two", "left", "right", "postgres", "sandbox"), "healthy"),
        "migrate": "",
    }
    assert (rows["one"]["state"], rows["one"]["mode"], rows["one"]["restarts"]) == ("polling", "polling", 0)
    assert rows["one"]["memory"] < rows["one"]["memory_limit"]
    assert rows["left"]["container"] == rows["right"]["container"]
    assert rows["migrate"]["state"] == "done"
    assert rows["broken"]["restarts"] >= 2
    printed = fleet.flotilla("status", expect=1).stdout.splitlines()
    assert printed[0].split()[:3] == ["BOT", "STATE", "HEALTH"]
    assert printed[1].split()[:3] == ["one", "polling", "healthy"]


def test_logs_are_merged_in_the_order_of_time(fleet: Project) -> None:
    lines = [
        json.loads(line) for line in fleet.flotilla("logs", "one", "left", "postgres", "--json").stdout.splitlines()
    ]
    assert {line["bot"] for line in lines} >= {"one", "left", "postgres"}
    assert "right" not in {line["bot"] for line in lines}
    times = [line["timestamp"] for line in lines if line["bot"] in ("one", "left")]
    assert times == sorted(times)
    assert len(fleet.flotilla("logs", "left", "--tail", "1").stdout.splitlines()) == 1
    text = fleet.flotilla("logs", "one").stdout
    assert text.startswith("one | ")
    assert "polling" in text


def test_followed_logs_go_on_after_a_restart_which_touches_no_other(fleet: Project) -> None:
    before = containers(fleet)
    command = [sys.executable, "-u", "-m", "app.cli.main", "logs", "--follow", "--tail", "0", "--json", "one"]
    with subprocess.Popen(
        command, cwd=fleet.folder, env=fleet.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert fleet.flotilla("restart", "one").stdout == f"restarted {fleet.name}-one-1\n"
        assert following.stdout is not None
        assert next(line for line in following.stdout if json.loads(line)["event"] == "polling")
        following.send_signal(signal.SIGINT)
        following.communicate()
    after = containers(fleet)
    assert following.returncode == 0
    assert {name for name in after if after[name] != before[name]} - {"broken"} == {"one"}
    assert {name: one[0] for name, one in after.items()} == {name: one[0] for name, one in before.items()}


def test_a_bot_of_a_group_is_stopped_and_started_alone(fleet: Project) -> None:
    before = containers(fleet)["pair"]
    assert fleet.flotilla("stop", "left").stdout == f"stopped left in {fleet.name}-pair-1\n"
    command = ["python", "-m", "app.runtime.ask", '{"do": "status"}']
    told = json.loads(docker("exec", before[0], *command))
    assert {bot["bot"]: bot["state"] for bot in told["bots"]} == {"left": "stopped", "right": "polling"}
    assert fleet.flotilla("start", "left").stdout == f"started left in {fleet.name}-pair-1\n"
    assert containers(fleet)["pair"] == before


def test_a_bot_that_was_stopped_alone_stays_so_until_an_operator_starts_it(fleet: Project) -> None:
    fleet.flotilla("stop", "left")
    docker("restart", "--time", "20", containers(fleet)["pair"][0])
    note = wait_told(fleet, "left", "stopped")["note"]
    assert note == "stopped by an operator; start it: flotilla start left"
    would = fleet.flotilla("up", "--dry-run").stderr.splitlines()
    assert f"would start left in {fleet.name}-pair-1" in would
    fleet.flotilla("restart", "pair")
    wait_told(fleet, "left", "polling")


def test_a_name_that_nobody_has(fleet: Project) -> None:
    done = fleet.flotilla("restart", "tow", expect=2)
    assert done.stderr == "bots_config.yaml: there is no bot 'tow'; did you mean 'two'?\n"


def test_a_changed_setting_of_one_leaves_the_others_alone(fleet: Project) -> None:
    before = containers(fleet)
    config = (fleet.folder / "bots_config.yaml").read_text()
    fleet.write("bots_config.yaml", _mended(config))
    printed = fleet.flotilla("up").stdout.splitlines()
    assert [" ".join(line.split()) for line in printed[:2]] == ["changed broken its settings", "same 6 services"]
    after = containers(fleet)
    assert {name for name in after if after[name] != before[name]} == {"broken", "migrate"}
    assert after["broken"][0] != before["broken"][0]
    assert status(fleet, "broken")["broken"]["health"] == "healthy"


def test_a_container_that_cannot_be_made_has_no_log_to_show(mended: Project) -> None:
    config = (mended.folder / "bots_config.yaml").read_text()
    before = containers(mended)["two"]
    mended.write("bots_config.yaml", config.replace("{name: two,", '{name: two, version: "no-such",'))
    (failure,) = json.loads(mended.flotilla("up", "two", "--json", expect=1).stdout)["failed"]
    mended.write("bots_config.yaml", config)
    assert (failure["service"], failure["log"]) == ("two", [])
    assert failure["why"].startswith("docker compose create failed (exit code ")
    assert containers(mended)["two"] == before
    mended.flotilla("generate")


def test_what_is_gone_from_the_config_is_removed(mended: Project) -> None:
    config = (mended.folder / "bots_config.yaml").read_text()
    lines = [line for line in config.splitlines() if "name: broken" not in line]
    mended.write("bots_config.yaml", "\n".join(lines) + "\n")
    assert "not in the config any more" in status(mended)["broken"]["note"]
    printed = mended.flotilla("up").stdout.splitlines()
    assert "gone     broken    not in the config any more" in printed
    assert "broken" not in containers(mended)


def test_stopped_bots_are_started_again_by_up(mended: Project) -> None:
    before = containers(mended)
    mended.flotilla("stop", "two")
    assert status(mended, "two", expect=1)["two"]["state"] == "exited"
    printed = mended.flotilla("up").stdout.splitlines()
    assert printed[-1] == f"chat page http://127.0.0.1:{mended.port}"
    assert "start    two       its container is exited" in printed
    assert containers(mended)["two"][0] == before["two"][0]


def test_bots_without_their_database_are_a_failure_to_doctor_and_to_status(mended: Project) -> None:
    docker("stop", f"{mended.name}-postgres-1")
    found = mended.flotilla("doctor", expect=1).stdout.splitlines()
    assert [line for line in found if line.startswith("fail ")] == [
        "fail     database   its container does not run, and bots do; `flotilla start postgres` starts it;"
        " `flotilla logs postgres` says why"
    ]
    row = status(mended, "postgres")["postgres"]
    assert (row["state"], row["note"]) == ("exited", "it is stopped; start it: flotilla start postgres")
    mended.flotilla("start", "postgres")
    wait_told(mended, "one", "polling")


def test_an_up_that_is_interrupted_says_how_to_go_on(mended: Project) -> None:
    mended.flotilla("stop", "one")
    command = [sys.executable, "-m", "app.cli.main", "up", "one"]
    with subprocess.Popen(
        command,
        cwd=mended.folder,
        env=mended.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        assert up.stderr is not None
        assert up.stdout.readline() == "start    one       its container is exited\n"
        up.send_signal(signal.SIGINT)
        said = up.stderr.read()
    assert (said, up.returncode) == ("interrupted; what has started goes on, and `flotilla up` does the rest\n", 130)
    mended.flotilla("up", "one")


def test_down_asks_before_it_deletes_the_database(fleet: Project) -> None:
    fleet.flotilla("down", "--volumes", expect=1)  # nobody answers
    assert "one" in containers(fleet)
    fleet.flotilla("down", "--volumes", "--yes")
    assert containers(fleet) == {}
    assert fleet.name not in docker("volume", "ls")
    assert "nothing of bots_config.yaml runs here" in fleet.flotilla("status", expect=1).stderr
