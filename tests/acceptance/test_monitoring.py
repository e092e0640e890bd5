"""The profile ``monitoring`` with the real Prometheus and Alertmanager: rules, dashboards, every alert on its way."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import yaml

from app.config.load import load_fleet
from app.deploy.monitoring import configs
from app.sandbox.client import LearnerClient, SandboxClient, Transcript
from tests.acceptance.conftest import KEY
from tests.acceptance.project import ROOT, Project, docker, free_port
from tests.acceptance.test_mini_apps import SITE, certify
from tests.stage import play, said

RULES = ROOT / "monitoring" / "prometheus" / "alerts.yml"
RULE_TESTS = ROOT / "tests" / "cases" / "monitoring" / "alerts.test.yml"
TEMPLATES = ROOT / "monitoring" / "alertmanager"
DASHBOARDS = ROOT / "monitoring" / "grafana" / "dashboards"
CASES = ROOT / "tests" / "cases" / "compose"
IMAGES = {
    name: service.get("image")
    for name, service in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].items()
}
PROMETHEUS, ALERTMANAGER, GRAFANA = IMAGES["prometheus"], IMAGES["alertmanager"], IMAGES["grafana"]
EXPORTER = IMAGES["postgres-exporter"]

CONFIG = f"""
    image: flotilla-test
    version: "{{tag}}"
    telegram: sandbox
    alerts: {{{{chat_id: 4711, token_env: ALERTS_TOKEN, runbook: "https://wiki.example.org/runbook"}}}}
    webhook: {{{{base_url: "{SITE}", ssl_cert_path: certs/cert.pem}}}}
    dialog: {{{{base_url: "http://model:8900/v1", api_key_env: MODEL_KEY, model: tiny}}}}
    defaults: {{{{language: en, memory: 300m}}}}
    bots:
      - {{{{name: stopped, folder: school}}}}
      - {{{{name: crashing, folder: school}}}}
      - {{{{name: hooked, folder: school, mode: webhook}}}}
      - {{{{name: doubled, folder: school, replicas: 2}}}}
      - {{{{name: talking, folder: talk, group: many}}}}
      - {{{{name: failing, folder: failing, group: many}}}}
      - {{{{name: mute, folder: school, group: many}}}}
      - {{{{name: revoked, folder: school, group: many}}}}
      - {{{{name: stuck, folder: school, group: many}}}}
      - {{{{name: late, folder: late, group: many}}}}
"""

OVERRIDE = """
    services:
      model:
        image: flotilla-test:{tag}
        init: true
        stop_grace_period: 2s
        command: [python, /srv/model_server.py, --host, 0.0.0.0]
        volumes: ["{server}:/srv/model_server.py:ro"]
      proxy: {{ports: !override ["127.0.0.1:{proxy}:8443"]}}
      postgres-exporter: {{image: "{exporter}"}}
      monitoring: {{volumes: ["./alerts.yml:/usr/share/flotilla/monitoring/prometheus/alerts.yml:ro"]}}
      prometheus: {{ports: !override ["127.0.0.1:{prometheus}:9090"]}}
      alertmanager: {{ports: !override ["127.0.0.1:{alertmanager}:9093"]}}
      grafana: {{ports: !override ["127.0.0.1:{grafana}:3000"]}}
"""

SERVICES = ("stopped", "crashing", "hooked", "doubled", "many", "model", "proxy")
OURS = ("prometheus", "alertmanager", "postgres-exporter")

# What Debian has of the exporter, where the real image cannot be had.
STAND_IN = """\
FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus-postgres-exporter busybox \\
    && ln -s /usr/bin/busybox /usr/local/bin/wget
USER nobody
ENTRYPOINT ["/usr/bin/prometheus-postgres-exporter"]
"""

SCHOOL = """
    Hello: {type: message, text: Hello, button: Go}
    Typed: {type: input, text: Type, correct_answer: well, feedback_correct: Right}
    Bye: {type: end, text: Bye}
"""

TALK = """
    Talk: {type: dialog, text: Hello! What is your name?, prompt: "Be kind, then write {STOP}."}
    Wait: {type: delay, text: One moment, wait: 1s, goto: Bye}
    Bye: {type: end, text: Farewell}
"""

LATE = """
    Wait: {type: delay, text: Soon, wait: 5s, goto: Bye}
    Bye: {type: end, text: Bye}
"""

FAILING = """
from aiogram import Router

router = Router()


@router.message()
async def fail(message):
    raise RuntimeError("made up by a test")
"""

# Takes so many of PostgreSQL's connections that 90 are in use, until it is ended.
CROWD = """
import psycopg, os, time
taken = [psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)]
count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
while taken[0].execute(count).fetchone()[0] < 90:
    taken.append(psycopg.connect(os.environ["DATABASE_URL"]))
time.sleep(600)
"""

HURRIED_RULES = {
    r"for: \d+m": "for: 1s",
    r"(poll_age_seconds\)) > 120": r"\1 > 40",
    r"(outbox_age_seconds\)) > 300": r"\1 > 5",
    # A full disk would be everybody's.
    r"(disk_size_bytes\)) < 0\.1": r"\1 < 2",
}
"""How a minute is made of a quarter of an hour. The expressions are those of the operators, but for these numbers."""

HURRIED_CONFIGS = {
    r"((scrape|evaluation)_interval): 15s": r"\1: 1s",
    r"refresh_interval: 15s": "refresh_interval: 1s",
    r"group_wait: 30s": "group_wait: 1s",
    r"group_interval: 5m": "group_interval: 1s",
}

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


def tool(name: str, image: str, folder: Path, *command: str) -> str:
    """Run a tool of an image in a folder, and return what it prints."""
    mounts = (f"--volume={folder}:/files:ro", f"--volume={TEMPLATES}:/etc/flotilla/alertmanager:ro")
    return docker("run", "--rm", "--user", "0", "--entrypoint", name, "--workdir", "/files", *mounts, image, *command)


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(RULE_TESTS, tmp_path)
    assert "SUCCESS" in tool("promtool", PROMETHEUS, tmp_path, "test", "rules", RULE_TESTS.name)


@pytest.mark.parametrize("case", ["group", "pinned", "server"])
def test_prometheus_and_alertmanager_take_what_is_generated(case: str, tmp_path: Path) -> None:
    for name, text in configs(load_fleet(CASES / f"{case}.in.yaml", {}, need_secrets=False)).items():
        (tmp_path / f"{name}.yml").write_text(text)
    check = ("check", "config", "--syntax-only", "prometheus.yml")
    assert "SUCCESS" in tool("promtool", PROMETHEUS, tmp_path, *check)
    assert "SUCCESS" in tool("promtool", PROMETHEUS, tmp_path, "check", "rules", "bots.yml")
    assert "SUCCESS" in tool("amtool", ALERTMANAGER, tmp_path, "check-config", "alertmanager.yml")


def hurried(text: str, changes: Mapping[str, str]) -> str:
    """Return the text with shorter times; each change has to be one."""
    for pattern, shorter in changes.items():
        text, count = re.subn(pattern, shorter, text)
        assert count, f"nothing like {pattern}"
    return text


def can_be_had(image: str) -> bool:
    """Tell whether the engine has an image, or a registry it reaches."""
    commands = (["docker", "image", "inspect", image], ["docker", "pull", "--quiet", image])
    return any(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)


@pytest.fixture(scope="module")
def exporter() -> Iterator[str]:
    """An image of the exporter: the real one where there is a registry."""
    if can_be_had(EXPORTER):
        yield EXPORTER
        return
    tag = f"flotilla-exporter:{uuid4().hex[:8]}"
    docker("build", "--tag", tag, "-", text=STAND_IN)
    yield tag
    docker("image", "rm", tag)


@pytest.fixture(scope="module")
def project(image: str, exporter: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The fleet with its monitoring, in a hurry."""
    variables = {"MODEL_KEY": KEY, "WEBHOOK_SECRET_TOKEN": "nobody-else-may-know-this"}
    ports = {name: free_port() for name in ("proxy", "prometheus", "alertmanager", "grafana")}
    override = OVERRIDE.format(tag=image, exporter=exporter, server=ROOT / "tests/model_server.py", **ports)
    project = Project(tmp_path_factory.mktemp("fleet"), CONFIG.format(tag=image), override, variables)
    for folder, course in {"school": SCHOOL, "talk": TALK, "late": LATE, "failing": SCHOOL}.items():
        project.courses(folder, default=course)
    project.write("scripts/failing/handlers.py", FAILING)
    (project.folder / "certs").mkdir()
    certify(project.folder / "certs")
    project.generate()
    project.write("alerts.yml", hurried(RULES.read_text(), HURRIED_RULES))
    compose = project.folder / "compose.yaml"
    compose.write_text(hurried(compose.read_text(), HURRIED_CONFIGS))
    try:
        project.compose("up", "--detach", "--wait", *SERVICES, *OURS)
        yield project
    finally:
        project.compose("--profile", "monitoring", "down", "--volumes", "--timeout", "2")


class Prometheus:
    """What Prometheus knows."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._url = f"http://{address}/api/v1"

    async def get(self, path: str, **query: str) -> Any:
        async with self._session.get(f"{self._url}/{path}", params=query) as answer:
            body = await answer.json()
            assert body["status"] == "success", body
            return body["data"]

    async def has(self, expression: str) -> bool:
        """Tell whether an expression has had a value within the last minutes."""
        now = time.time()
        found = await self.get("query_range", query=expression, start=f"{now - 300}", end=f"{now}", step="2")
        return any(value != "NaN" for series in found["result"] for _, value in series["values"])

    async def until(self, expression: str) -> None:
        """Wait until an expression has a value; Prometheus itself cannot be waited for."""
        async with asyncio.timeout(60):
            while True:
                if (await self.get("query", query=expression))["result"]:
                    return
                await asyncio.sleep(0.2)


def expressions() -> dict[str, str]:
    """Return the expressions of all dashboards by where they stand, variables filled in."""
    found = {}
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", []):
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


def filled_in(expression: str, bot: str) -> str:
    """Put into an expression what Grafana would for a bot."""
    for variable, value in {"$__rate_interval": "1m", "$bot": bot, "$course": "default"}.items():
        expression = expression.replace(variable, value)
    return expression


async def learn(client: SandboxClient) -> None:
    """Let learners do what there is to do."""
    for bot in ("crashing", "hooked", "doubled"):
        learner = client.learner(bot, 1)
        await learner.send("/start")
        await play(learner, said("Bye"), {"Type": "well"})
    talker = client.learner("talking", 1)
    await talker.send("/start")
    await talker.wait_for(said("What is your name?"))
    await talker.send("Ann. Bye!")
    await talker.wait_for(said("Farewell"))


async def trouble(project: Project, client: SandboxClient, prometheus: Prometheus) -> None:
    """Bring about whatever there is an alert for, but for the end of the database."""
    run = partial(asyncio.to_thread, project.compose)
    await client.add_fault("delay", bot="mute", method="getUpdates", seconds=600, times=1000)
    await client.learner("mute", 1).send("ends the poll that is under way")
    await client.add_fault("500", bot="stuck", method="sendMessage", times=1_000_000)
    await client.learner("stuck", 1).send("/start")
    await client.revoke("revoked")
    waiting = client.learner("late", 1)
    await waiting.send("/start")
    await waiting.wait_for(said("Soon"))
    hold = "SELECT * FROM chat WHERE botname = 'late' FOR UPDATE; SELECT pg_sleep(600)"
    await run("exec", "--detach", "postgres", "psql", "-U", "flotilla", "-c", hold)
    failing = client.learner("failing", 1)
    await failing.send("/start")
    for _ in range(12):
        await failing.send("not for the course")
    await run("exec", "--detach", "many", "python", "-c", CROWD)
    await run("stop", "stopped")
    for count in range(1, 4):
        await asyncio.to_thread(project.crash, "crashing")
        await prometheus.until(f'changes(process_start_time_seconds{{service="crashing"}}[15m]) >= {count}')


async def shut_out(project: Project, client: SandboxClient) -> None:
    """Let Telegram call a webhook in vain, and the bot look at it."""
    await asyncio.to_thread(project.compose, "stop", "proxy")
    await client.learner("hooked", 1).send("/start")
    await client.wait_bot("hooked", lambda bot: bot["webhook_error"] is not None)
    await asyncio.to_thread(project.compose, "restart", "hooked")


async def told(operator: LearnerClient, alert: str, what: str) -> None:
    """Wait until the operators' chat has an alert that says this and links to its section."""
    link = f"https://wiki.example.org/runbook#{alert.lower()}"

    def is_there(chat: Transcript) -> bool:
        return any(
            f" {alert}\n" in message.text
            and what in message.text
            and link in [entity.get("url") for entity in message.entities]
            for message in chat.by_bot
        )

    await operator.wait_for(is_there, patience=90)


TOLD = {
    "CertificateExpiring": "The certificate of hooked's webhook ends soon",
    "BotDown": "stopped does not run",
    "BotCrashLoop": "crashing starts again and again",
    "BotNotPolling": "mute gets no answer from Telegram",
    "TokenRevoked": "Telegram refuses the token of revoked",
    "WebhookErrors": "Telegram does not get through to hooked",
    "BotErrors": "failing logs many errors",
    "OutboxStuck": "Messages of stuck do not get out",
    "TimersLate": "Waits of late do not end on time",
    "ConnectionsNearlyFull": "PostgreSQL is nearly out of connections",
    "DiskNearlyFull": "The disk is nearly full",
    "DatabaseDown": "PostgreSQL does not answer",
}


async def test_grafana_takes_its_data_source_and_dashboards(project: Project) -> None:
    if not can_be_had(GRAFANA):
        pytest.skip(f"{GRAFANA} is not here, and no registry is reached")
    project.compose("up", "--detach", "--wait", "grafana")
    address = project.compose("port", "grafana", "3000").strip()
    async with aiohttp.ClientSession(f"http://{address}", auth=aiohttp.BasicAuth("admin", "sandbox")) as session:
        async with session.get("/api/search", params={"type": "dash-db"}) as answer:
            found = {board["uid"] for board in await answer.json()}
        async with session.get("/api/datasources/uid/prometheus/health") as answer:
            health = await answer.json()
    assert found == {f"flotilla-{path.stem}" for path in DASHBOARDS.glob("*.json")}
    assert health["status"] == "OK"


def commands_of_the_runbook() -> Iterator[list[str]]:
    """Yield what the runbook has executed in containers, as words."""
    blocks = re.findall(r"(?:^ {4,}.+\n)+", (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    for block in blocks:
        words = shlex.split(block.replace("\\\n", ""))
        if words[:3] == ["docker", "compose", "exec"]:
            yield words[3:]


async def test_every_alert_reaches_its_chat_and_every_panel_has_data(project: Project) -> None:
    """All in one: each part takes its minute, and they can take the same."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert set(TOLD) == {rule["alert"] for rule in rules}
    address = project.compose("port", "prometheus", "9090").strip()
    async with project.client() as client, aiohttp.ClientSession() as session:
        prometheus, operator = Prometheus(session, address), client.learner("alerts", 4711)
        await operator.send("/start")
        await prometheus.until('count(up{job="bots"} == 1) == 6')
        await learn(client)
        await trouble(project, client, prometheus)
        await told(operator, "CertificateExpiring", TOLD["CertificateExpiring"])
        await shut_out(project, client)
        for alert in TOLD.keys() - {"DatabaseDown"}:
            await told(operator, alert, TOLD[alert])
        await asyncio.to_thread(project.compose, "start", "stopped")
        await operator.wait_for(said("BotDown resolved\nwas: stopped does not run"), patience=60)
        empty = {
            place: expression
            for place, expression in expressions().items()
            if not any([await prometheus.has(filled_in(expression, bot)) for bot in ("talking", "hooked", "crashing")])
        }
        assert empty == {}
        for command in commands_of_the_runbook():
            await asyncio.to_thread(project.compose, "exec", "-T", *command)
        await asyncio.to_thread(project.compose, "kill", "postgres")
        await told(operator, "DatabaseDown", TOLD["DatabaseDown"])
