"""Webhooks in containers: a group behind the generated proxy, HTTPS with a certificate of an own authority."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from app.config.fleet import Fleet
from app.config.load import load_fleet
from app.deploy.proxy import caddyfile
from tests.acceptance.project import Project, docker, free_port, up
from tests.acceptance.test_mini_apps import HOST, SITE, certify
from tests.stage import play, said

SECRET = "nobody-else-may-know-this"
HEADER = "X-Telegram-Bot-Api-Secret-Token"

CONFIG = f"""
    image: flotilla-test
    version: "{{tag}}"
    telegram: sandbox
    webhook: {{{{base_url: "{SITE}", ssl_cert_path: certs/cert.pem}}}}
    bots:
      - {{{{name: first, folder: school, language: en, mode: webhook, group: web}}}}
      - {{{{name: second, folder: school, language: en, mode: webhook, group: web}}}}
      - {{{{name: third, folder: school, language: en, group: web}}}}
"""

PORT = """
    services:
      proxy:
        ports: !override ["127.0.0.1:{port}:8443"]
"""

COURSE = """
    Hello: {type: message, text: Hello, button: Go}
    Typed: {type: input, text: Type, correct_answer: well, feedback_correct: Right}
    Bye: {type: end, text: Bye}
"""

GATED = f"""
    webhook: {{base_url: "{SITE}", ssl_cert_path: certs/cert.pem, only_telegram: true}}
    bots:
      - {{name: first, token_env: TOKEN, folder: school, mode: webhook, mini_apps: true}}
"""

CASES = Path(__file__).parents[1] / "cases" / "compose"

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def port() -> int:
    """The port of this machine that takes the place of 8443."""
    return free_port()


@pytest.fixture(scope="module")
def project(image: str, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    variables = {"WEBHOOK_SECRET_TOKEN": SECRET}
    folder = tmp_path_factory.mktemp("fleet")
    project = Project(folder, CONFIG.format(tag=image), PORT.format(port=port), variables)
    project.courses("school", default=COURSE)
    (project.folder / "certs").mkdir()
    certify(project.folder / "certs")
    with up(project):
        yield project


async def post(project: Project, port: int, path: str, body: bytes = b"{}", secret: str = SECRET) -> tuple[int, str]:
    """Call the proxy as Telegram does; return status and answer."""
    trust = ssl.create_default_context(cafile=str(project.folder / "certs" / "ca.pem"))
    headers = {"Host": HOST, HEADER: secret}
    url = f"https://127.0.0.1:{port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers, ssl=trust, server_hostname=HOST) as response,
    ):
        return response.status, await response.text()


async def test_a_course_through_the_proxy(project: Project) -> None:
    async with project.client() as client:
        for bot in ("first", "second", "third"):
            learner = client.learner(bot, 7)
            await learner.send("/start")
            chat = await play(learner, said("Bye"), {"Type": "well"})
            assert [message.text for message in chat.by_bot] == ["Hello", "Type", "Right", "Bye"]
        set_for = [(bot, await client.calls(bot, "setWebhook")) for bot in ("first", "second", "third")]
    assert [(bot, call["params"]["url"]) for bot, calls in set_for for call in calls] == [
        ("first", f"{SITE}/webhook/first"),
        ("second", f"{SITE}/webhook/second"),
    ]


async def test_what_the_proxy_lets_through(project: Project, port: int) -> None:
    update = {"update_id": 5, "message": None}
    for path, body, secret, status in (
        ("/webhook/first", json.dumps(update).encode(), SECRET, 200),
        ("/webhook/first", b"{}", "guessed", 401),
        ("/webhook/second", b"", SECRET, 400),
        ("/webhook/first", bytes(1_200_000), SECRET, 413),
        ("/webhook/third", b"{}", SECRET, 404),
        ("/webhook/first/", b"{}", SECRET, 404),
        ("/webhook", b"{}", SECRET, 404),
        ("/", b"{}", SECRET, 404),
    ):
        assert (await post(project, port, path, body, secret))[0] == status, path


async def test_a_secret_never_gets_into_a_log(project: Project, port: int) -> None:
    project.compose("stop", "web")
    try:
        status, _ = await post(project, port, "/webhook/first")
        assert status in (502, 503)
    finally:
        project.compose("up", "--detach", "--wait", "web")
    logs = project.compose("logs", "proxy")
    assert "/webhook/first" in logs
    assert SECRET not in project.compose("logs")


def write_caddyfile(folder: Path, fleet: Fleet) -> tuple[str, ...]:
    """Write the proxy's files; return how a container gets them."""
    certify(folder)
    (folder / "Caddyfile").write_text(caddyfile(fleet).replace("${WEBHOOK_BASE_URL}", SITE))
    mounts = (("Caddyfile", "Caddyfile"), ("cert.pem", "certificate.pem"), ("cert.key", "certificate.key"))
    return tuple(part for ours, its in mounts for part in ("--volume", f"{folder / ours}:/etc/caddy/{its}:ro"))


@pytest.mark.parametrize("case", ["webhook", "pages", "group", "certificate"])
def test_caddy_takes_what_is_generated(case: str, tmp_path: Path) -> None:
    volumes = write_caddyfile(tmp_path, load_fleet(CASES / f"{case}.in.yaml", {}, need_secrets=False))
    command = ("caddy", "validate", "--adapter", "caddyfile", "--config", "/etc/caddy/Caddyfile")
    docker("run", "--rm", *volumes, "caddy:2", *command)


async def test_only_telegram_may_call_if_so_wished(tmp_path: Path) -> None:
    project, port = Project(tmp_path, GATED), free_port()
    project.courses("school", default=COURSE)
    fleet = load_fleet(tmp_path / "bots_config.yaml", {}, need_secrets=False)
    (tmp_path / "certs").mkdir()
    volumes = write_caddyfile(tmp_path / "certs", fleet)
    container = docker("run", "--detach", "--publish", f"127.0.0.1:{port}:8443", *volumes, "caddy:2").strip()
    try:
        await listening(port, tmp_path / "certs" / "ca.pem")
        assert (await post(project, port, "/webhook/first"))[0] == 403
        # A page is for everybody; that nobody serves it here is another matter.
        assert (await post(project, port, "/app/first/1"))[0] == 503
    finally:
        docker("rm", "--force", container)


async def listening(port: int, authority: Path) -> None:
    """Wait until the proxy takes connections: the engine takes them for it before that, and drops them."""
    trust = ssl.create_default_context(cafile=str(authority))
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=HOST)
                writer.close()
                return
            await asyncio.sleep(0.1)
