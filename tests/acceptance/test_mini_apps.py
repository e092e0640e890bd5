"""Mini apps in containers: the generated proxy, HTTPS with an own certificate authority, the pages of two bots."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from app.sandbox.client import App, LearnerClient, SandboxClient
from tests.acceptance.project import Project, free_port, up
from tests.stage import said

HOST = "bots.example.test"
SITE = f"https://{HOST}:8443"
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")

CONFIG = f"""
    image: flotilla-test
    version: "{{tag}}"
    telegram: sandbox
    webhook: {{{{base_url: "{SITE}", ssl_cert_path: certs/cert.pem}}}}
    bots:
      - {{{{name: first, folder: school, language: en, mini_apps: true}}}}
      - {{{{name: second, folder: school, language: en, mini_apps: true}}}}
      - {{{{name: plain, folder: school, language: en}}}}
"""

# The generated file publishes the port of the address, which may be taken on a machine that runs tests.
PORT = """
    services:
      proxy:
        ports: !override ["127.0.0.1:{port}:8443"]
"""

COURSE = """
    Pick:
      type: miniapp
      text: Look at this
      button: Open
      question: {type: multiple_choice, text: "Which is red?", options: [{text: Sky}, {text: Rose}]}
      answer: {actual: Rose, correct_feedback: "Yes, red", incorrect_feedback: "No, blue"}
    Fill:
      type: miniapp
      text: And this
      button: Open
      question: {type: typein, text: "<p>I {q1} here.</p>"}
      answer: {actual: "q1: am"}
    Bye: {type: end, text: Bye}
"""

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certify(folder: Path) -> None:
    """Make an authority, ca.pem, and what it signs for the host: cert.pem and cert.key."""
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *new, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority")
    openssl(folder, "req", *new, "-keyout", "cert.key", "-out", "cert.csr", "-subj", f"/CN={HOST}")
    (folder / "extensions").write_text(
        f"subjectAltName=DNS:{HOST}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    signed = ("-in", "cert.csr", "-out", "cert.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl(folder, "x509", "-req", *signed, "-days", "2", "-extfile", "extensions")


@pytest.fixture(scope="module")
def port() -> int:
    """The port of this machine that takes the place of 8443."""
    return free_port()


@pytest.fixture(scope="module")
def project(image: str, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("fleet"), CONFIG.format(tag=image), PORT.format(port=port))
    project.courses("school", default=COURSE)
    (project.folder / "certs").mkdir()
    certify(project.folder / "certs")
    with up(project):
        yield project


@pytest.fixture
async def client(project: Project) -> AsyncIterator[SandboxClient]:
    async with project.client() as client:
        yield client


class Web:
    """A client of the proxy that believes the own authority and no other."""

    def __init__(self, session: aiohttp.ClientSession, port: int, authority: Path) -> None:
        self._session = session
        self._port = port
        self._ssl = ssl.create_default_context(cafile=str(authority))

    async def ask(self, verb: str, path: str, **options: Any) -> tuple[int, str, Any]:
        """Return status, type and content of an answer."""
        options["headers"] = {"Host": HOST, **options.get("headers", {})}
        url = f"https://127.0.0.1:{self._port}{path}"
        async with self._session.request(verb, url, ssl=self._ssl, server_hostname=HOST, **options) as response:
            is_json = response.content_type == "application/json"
            content = await response.json() if is_json else await response.text()
            return response.status, response.content_type, content

    async def question(self, app: App, path: str) -> tuple[int, str, Any]:
        params = {"conversation_id": number_of(app)}
        return await self.ask("GET", path, params=params, headers={"Authorization": f"tma {app.init_data}"})

    async def answer(self, app: App, text: str, path: str) -> tuple[int, str, Any]:
        body = {"conversation_id": number_of(app), "answer": text, "init_data": app.init_data}
        return await self.ask("POST", path, json=body)


@pytest.fixture
async def web(project: Project, port: int) -> AsyncIterator[Web]:
    async with aiohttp.ClientSession() as session:
        yield Web(session, port, project.folder / "certs" / "ca.pem")


def number_of(app: App) -> str:
    return urlsplit(app.url).path.rpartition("/")[2]


async def opened(learner: LearnerClient, text: str) -> App:
    """Open the mini app under the message with this text."""
    chat = await learner.wait_for(said(text))
    return await learner.open_app(chat.by_bot[-1])


async def begin(client: SandboxClient, bot: str, learner_id: int) -> tuple[LearnerClient, App]:
    learner = client.learner(bot, learner_id)
    await learner.send("/start")
    return learner, await opened(learner, "Look at this")


@pytest.mark.parametrize("bot", ["first", "second"])
async def test_a_learner_answers_in_the_page_of_each_bot(client: SandboxClient, web: Web, bot: str) -> None:
    learner, app = await begin(client, bot, 1)
    assert app.url.startswith(f"{SITE}/app/{bot}/{number_of(app)}#tgWebAppData=")
    status, kind, page = await web.ask("GET", f"/app/{bot}/{number_of(app)}")
    assert (status, kind, "<html" in page) == (200, "text/html", True)
    api = f"/app/{bot}/api"
    assert await web.question(app, f"{api}/questions") == (
        200,
        "application/json",
        {
            "ok": True,
            "type": "multiple_choice",
            "text": "Which is red?",
            "options": [{"text": "Sky"}, {"text": "Rose"}],
        },
    )
    told = {"ok": True, "correct": True, "feedback": "Yes, red"}
    assert await web.answer(app, "Rose", f"{api}/submit_response") == (200, "application/json", told)
    app = await opened(learner, "And this")
    assert (await web.answer(app, "q1: am", f"{api}/submit_response"))[2]["correct"] is True
    await learner.wait_for(said("Bye"))


async def test_pages_made_for_the_old_program_reach_the_first_bot(client: SandboxClient, web: Web) -> None:
    learner, app = await begin(client, "first", 2)
    assert (await web.question(app, "/get_questions"))[2]["text"] == "Which is red?"
    told = {"ok": True, "correct": False, "feedback": "No, blue"}
    assert (await web.answer(app, "Sky", "/submit_response"))[2] == told
    app = await opened(learner, "And this")
    assert (await web.question(app, "/api/questions"))[2]["text"] == "<p>I {q1} here.</p>"
    assert (await web.answer(app, "q1: am", "/api/submit_response"))[2]["correct"] is True
    await learner.wait_for(said("Bye"))


async def test_nothing_else_is_served(client: SandboxClient, web: Web) -> None:
    _, app = await begin(client, "second", 3)
    for path in ("/", "/app/", "/app/plain/1", "/app/nobody/1", "/metrics", "/webhook/first"):
        assert (await web.ask("GET", path))[0] == 404, path
    assert (await web.question(app, "/app/first/api/questions"))[0] == 404


@pytest.mark.browser
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
async def test_a_browser_opens_the_page(client: SandboxClient, port: int) -> None:
    learner, app = await begin(client, "second", 4)
    await asyncio.to_thread(choose_in_browser, app.url, port, "Rose")
    await learner.wait_for(said("And this"))


def choose_in_browser(url: str, port: int, option: str) -> None:
    """Open the page and choose; the browser does not know the authority, and is told not to mind."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--ignore-certificate-errors"):
        options.add_argument(flag)
    options.add_argument(f"--host-resolver-rules=MAP {HOST}:8443 127.0.0.1:{port}")
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.get(url)
        wait = WebDriverWait(driver, 15, 0.05)
        wait.until(lambda one: one.find_elements(By.CSS_SELECTOR, "#options button"))
        next(one for one in driver.find_elements(By.CSS_SELECTOR, "#options button") if one.text == option).click()
        wait.until(lambda one: one.find_elements(By.CSS_SELECTOR, "#result.right"))
    finally:
        driver.quit()
