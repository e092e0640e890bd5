"""Secrets of a fleet in trouble: every one of them is a marker, and the marker is looked for wherever people look."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import pytest
import yaml

from app.sandbox.client import SandboxClient
from tests.acceptance.project import ROOT, Project, docker, up

MARKER = f"nobodys-{uuid4().hex[:12]}"

SECRETS = {
    "POLLED_TOKEN": f"111111111:AA-polled-{MARKER}-aaaaaaaaaaaa",
    "CALLED_TOKEN": f"222222222:AA-called-{MARKER}-bbbbbbbbbbbb",
    "REVOKED_TOKEN": f"333333333:AA-revoked-{MARKER}-cccccccccccc",
    "ALERT_TOKEN": f"444444444:AA-alert-{MARKER}-dddddddddddd",
    "MODEL_KEY": f"sk-{MARKER}-0123456789abcdef",
    "WEBHOOK_SECRET_TOKEN": f"hook-{MARKER}",
    "POSTGRES_PASSWORD": f"password-{MARKER}",
    "GRAFANA_PASSWORD": f"grafana-{MARKER}",
}

CONFIG = """
    image: flotilla-test
    version: "{tag}"
    telegram: http://telegram:8080
    webhook: {{base_url: "https://bots.example.org"}}
    dialog: {{base_url: "http://telegram:8080/v1", api_key_env: MODEL_KEY, retries: 1}}
    alerts: {{chat_id: 7, token_env: ALERT_TOKEN}}
    bots:
      - {{name: polled, token_env: POLLED_TOKEN, folder: school, language: en}}
      - {{name: called, token_env: CALLED_TOKEN, folder: school, mode: webhook,
           fallback: polling, log_file: logs/called.log}}
      - {{name: revoked, token_env: REVOKED_TOKEN, folder: school, group: others}}
      - {{name: neighbour, token: "${{NEIGHBOUR_TOKEN}}", folder: school, group: others}}
"""

TELEGRAM = """
    services:
      proxy: {{ports: !override []}}
      prometheus: {{ports: !override []}}
      alertmanager:
        ports: !override []
        volumes: ["./hurried.yml:/etc/hurried.yml:ro"]
        command: [--config.file=/etc/hurried.yml, --storage.path=/alertmanager, --cluster.listen-address=]
      telegram:
        image: flotilla-test:{tag}
        command: [flotilla, sandbox, --host, 0.0.0.0]
        init: true
        ports: ["127.0.0.1:${{SANDBOX_PORT}}:8080"]
        healthcheck:
          test: [CMD, bash, -c, exec 3<>/dev/tcp/127.0.0.1/8080]
          start_period: 1m
          start_interval: 1s
"""

COURSE = """
    Hello: {type: message, text: Hello, button: Go}
    Talk: {type: dialog, text: What is your name?, prompt: Be kind, button: On}
    Bye: {type: end, text: Bye}
"""

COMMANDS = [
    ["check"],
    ["generate"],
    ["status"],
    ["status", "--json"],
    ["logs", "--tail", "all"],
    ["versions"],
    ["doctor"],
    ["doctor", "--json"],
    ["up", "--dry-run"],
    ["restart", "polled"],
    ["pin", "polled", "no-such-version"],
    ["bans", "polled"],
]

MONITORS = {
    "prometheus": [
        "9090/api/v1/status/config",
        "9090/api/v1/targets",
        "9090/api/v1/rules",
        "9090/api/v1/query?query=%7B__name__%21%3D%22%22%7D",
    ],
    "alertmanager": ["9093/api/v2/status", "9093/api/v2/alerts", "9093/metrics"],
}
"""What anybody may ask of those who watch the fleet."""

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]


class ProcessList:
    """Everything that ``ps`` could show of this machine, containers included, for the length of a block."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._end = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessList:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue  # it has just ended


@pytest.fixture(scope="module")
def project(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    variables = SECRETS | {"NEIGHBOUR_TOKEN": SECRETS["POLLED_TOKEN"].replace("111111111", "555555555")}
    folder = tmp_path_factory.mktemp("fleet")
    project = Project(folder, CONFIG.format(tag=image), TELEGRAM.format(tag=image), variables)
    project.courses("school", default=COURSE)
    with up(project):
        generated = yaml.safe_load((project.folder / "compose.yaml").read_text())["configs"]["alertmanager"]["content"]
        project.write("hurried.yml", generated.replace("group_wait: 30s", "group_wait: 0s"))
        project.compose("up", "--detach", "--wait", "--no-recreate", "prometheus", "alertmanager")
        try:
            yield project
        finally:
            project.compose("--profile", "monitoring", "down", "--timeout", "5")


def until_logged(project: Project, service: str, part: str) -> None:
    """Wait until a service has logged this."""
    command = ["docker", "compose", "--project-name", project.name, "logs", "--follow", "--no-log-prefix", service]
    with subprocess.Popen(command, cwd=project.folder, stdout=subprocess.PIPE, text=True) as logs:
        assert logs.stdout is not None
        found = any(part in line for line in logs.stdout)
        logs.kill()
    assert found, f"{service} ended without logging {part!r}"


async def trouble(project: Project, client: SandboxClient) -> None:
    """Have everything go wrong that tells of itself: calls refused and dropped, a token revoked, the database away."""
    for kind in ("500", "drop_before", "drop_after", "429"):
        await client.add_fault(kind, bot=SECRETS["POLLED_TOKEN"], method="sendMessage")
    learner = client.learner(SECRETS["POLLED_TOKEN"], 7)
    await learner.send("/start")
    chat = await learner.wait_for(lambda chat: any("Hello" in message.text for message in chat.by_bot))
    await learner.press(chat.by_bot[-1])
    await learner.wait_for(lambda chat: any("your name" in message.text for message in chat.by_bot))
    await learner.send("Ann")
    until_logged(project, "polled", "model")
    await client.inject(SECRETS["POLLED_TOKEN"], {"message": {"chat": "broken", "text": 5}})
    await client.revoke(SECRETS["REVOKED_TOKEN"])
    until_logged(project, "others", "refuses this bot's token")
    project.compose("stop", "postgres")
    until_logged(project, "polled", "database")
    project.compose("start", "postgres")
    until_logged(project, "called", "webhook")


def silence(project: Project) -> None:
    """Take Telegram away from all that talk to it."""
    project.compose("stop", "telegram")
    alert = ("--post-data", '[{"labels": {"alertname": "MadeUp"}}]', "--header", "Content-Type: application/json")
    project.compose("exec", "-T", "alertmanager", "wget", "-qO-", *alert, "http://127.0.0.1:9093/api/v2/alerts")
    until_logged(project, "alertmanager", "Notify attempt failed")
    until_logged(project, "polled", "cannot connect to telegram")


def flotilla(project: Project, *arguments: str) -> str:
    """Run a command of the CLI in the project's folder; return all that it prints, whatever comes of it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "COMPOSE_PROJECT_NAME": project.name,
        "SANDBOX_PORT": str(project.port),
    }
    command = [sys.executable, "-m", "app.cli.main", *arguments]
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


async def test_no_secret_is_seen_anywhere(project: Project) -> None:
    with ProcessList() as processes:
        async with project.client() as client:
            await trouble(project, client)
        told = {" ".join(command): flotilla(project, *command) for command in COMMANDS}
        await asyncio.to_thread(silence, project)
        told["doctor without Telegram"] = flotilla(project, "doctor")
    told["docker compose logs"] = project.compose("--profile", "monitoring", "logs")
    for service, addresses in MONITORS.items():
        for address in addresses:
            told[address] = project.compose("exec", "-T", service, "wget", "-qO-", f"http://127.0.0.1:{address}")
    for service in ("polled", "called", "others"):
        container = project.containers(service)[0]
        for file in ("/tmp/flotilla-status.json",):
            told[f"{service}:{file}"] = docker("exec", container, "cat", file)
        scrape = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9400/metrics').read().decode())"
        told[f"{service}/metrics"] = docker("exec", container, "python", "-c", scrape)
    told["log file"] = docker("exec", project.containers("called")[0], "cat", "/var/log/flotilla/called/called.log")
    dump = ("exec", "-T", "postgres", "pg_dump", "-U", "flotilla", "-d", "flotilla")
    told["the database"] = project.compose(*dump)
    told["files"] = "".join(
        path.read_text(errors="replace") for path in project.folder.rglob("*") if path.is_file() and path.name != ".env"
    )
    told["processes"] = b"\n".join(processes.seen).decode(errors="replace")
    assert {place for place, text in told.items() if MARKER in text} == set()
    assert all(told.values()), "a place that was not looked at proves nothing"


def test_a_secret_in_a_wrong_place_is_not_repeated(project: Project, tmp_path: Path) -> None:
    wrong = Project(
        tmp_path,
        f"""
        bots:
          - {{name: a, token: "{SECRETS["POLLED_TOKEN"]}", folder: school}}
          - {{name: "{SECRETS["CALLED_TOKEN"]}", token_env: "{SECRETS["REVOKED_TOKEN"]}", folder: school}}
    """,
    )
    printed = flotilla(wrong, "check")
    assert "bots_config.yaml" in printed
    assert MARKER not in printed
