"""The chat page of the sandbox, in a real browser."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from app.config.options import Options
from app.sandbox.client import SandboxClient
from app.sandbox.server import Sandbox
from tests.stage import Stage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1200,900 --lang=en"
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]
T = TypeVar("T")


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


class Page:
    """The page as a person uses it; every look waits until there is something to see."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    async def do(self, act: Callable[[webdriver.Chrome], T]) -> T:
        """Act in the browser until it works, outside the event loop that serves the page."""
        wait = WebDriverWait(self.driver, 15, 0.05, ignored_exceptions=(AssertionError, WebDriverException))
        (result,) = await asyncio.to_thread(wait.until, lambda driver: (act(driver),))
        return result

    async def open(self, path: str = "") -> None:
        await asyncio.to_thread(self.driver.get, "about:blank")
        await asyncio.to_thread(self.driver.get, f"{self.url}/{path}")

    async def click(self, css: str, text: str = "") -> None:
        await self.do(lambda driver: self._find(driver, css, text).click())

    async def type(self, css: str, text: str) -> None:
        await self.do(lambda driver: self._find(driver, css).send_keys(text))

    async def see(self, css: str, text: str = "") -> str:
        return await self.do(lambda driver: self._find(driver, css, text).text)

    async def gone(self, css: str) -> None:
        """Wait until there is nothing of this to see."""

        def is_gone(driver: webdriver.Chrome) -> None:
            assert not any(one.is_displayed() for one in driver.find_elements(By.CSS_SELECTOR, css))

        await self.do(is_gone)

    async def enter(self, css: str) -> None:
        """Look into a frame from now on."""
        await self.do(lambda driver: driver.switch_to.frame(self._find(driver, css)))

    async def leave(self) -> None:
        """Look at the whole page again."""
        await self.do(lambda driver: driver.switch_to.default_content())

    def _find(self, driver: webdriver.Chrome, css: str, text: str = "") -> WebElement:
        shown = [one for one in driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed() and text in one.text]
        assert shown, f"no {css} with {text!r}"
        return shown[-1]


class Bot:
    """A bot that is played by the test."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._offset = 0

    async def call(self, method: str, **params: Any) -> Any:
        async with self._session.post(f"{self._url}/{method}", json=params) as response:
            answer = await response.json()
            assert answer["ok"], answer
            return answer["result"]

    async def update(self, kind: str) -> Any:
        """Return the next update of this kind."""
        while True:
            for update in await self.call("getUpdates", offset=self._offset, timeout=15, limit=1):
                self._offset = update["update_id"] + 1
                if kind in update:
                    return update[kind]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox({"1:a": ("first_bot", "First bot"), "2:b": ("second_bot", "Второй бот")}) as sandbox:
        yield sandbox


@pytest.fixture
async def bot(sandbox: Sandbox) -> AsyncIterator[Bot]:
    async with aiohttp.ClientSession() as session:
        yield Bot(session, f"{sandbox.url}/bot1:a")


@pytest.fixture
async def page(sandbox: Sandbox, chromium: webdriver.Chrome) -> AsyncIterator[Page]:
    page = Page(chromium, sandbox.url)
    await page.open()
    yield page
    problems: list[Any] = chromium.get_log("browser")  # type: ignore[no-untyped-call]
    await asyncio.to_thread(chromium.get, "about:blank")
    chromium.get_log("browser")  # type: ignore[no-untyped-call]
    assert problems == []


async def test_a_learner_talks_to_a_bot(page: Page, bot: Bot) -> None:
    await bot.call("setMyCommands", commands=[{"command": "help", "description": "What to do"}])
    await page.click(".bot", "First bot")
    await page.click("#start")
    start = await bot.update("message")
    assert (start["text"], start["from"]["language_code"]) == ("/start", "en")
    chat = start["chat"]["id"]

    button = {"inline_keyboard": [[{"text": "Go on", "callback_data": "go"}]]}
    text = "<b>Hello</b> and <tg-spoiler>secret</tg-spoiler>"
    sent = await bot.call("sendMessage", chat_id=chat, text=text, parse_mode="HTML", reply_markup=button)
    assert await page.see(".bubble strong") == "Hello"
    await page.click(".spoiler")
    await page.see(".spoiler.open", "secret")
    await page.click(".key", "Go on")
    press = await bot.update("callback_query")
    await bot.call("answerCallbackQuery", callback_query_id=press["id"], text="Going on")
    await page.see("#toasts", "Going on")
    await bot.call("editMessageText", chat_id=chat, message_id=sent["message_id"], text="Changed")
    await page.see(".bubble", "Changed")

    poll = {"chat_id": chat, "question": "Which?", "options": ["this", "that"], "is_anonymous": False}
    await bot.call("sendPoll", **poll, type="quiz", correct_option_id=1, explanation="That is it")
    await page.click(".choice", "this")
    assert (await bot.update("poll_answer"))["option_ids"] == [0]
    await page.see(".result.wrong", "this")
    await page.see(".result.right", "that")
    await page.see(".poll .note", "That is it")

    await bot.call("sendPoll", **poll, allows_multiple_answers=True)
    await page.click(".poll form label", "this")
    await page.click(".poll form label", "that")
    await page.click(".poll form button")
    assert (await bot.update("poll_answer"))["option_ids"] == [0, 1]
    await page.click(".poll .quiet")
    assert (await bot.update("poll_answer"))["option_ids"] == []

    await page.type("#text", "two\nlines".replace("\n", Keys.SHIFT + Keys.ENTER + Keys.SHIFT) + Keys.ENTER)
    assert (await bot.update("message"))["text"] == "two\nlines"
    await page.click("#menu-button")
    await page.click("#menu button", "/help")
    assert (await bot.update("message"))["text"] == "/help"
    await bot.call("sendChatAction", chat_id=chat, action="typing")
    await page.see("#chat-status", "is typing")


def can_be_played(driver: webdriver.Chrome) -> None:
    """Wait until the browser has read the voice message, a second long."""
    duration = driver.execute_script("return document.querySelector('.bubble.mine audio').duration")
    assert duration == pytest.approx(1, abs=0.05)


async def test_a_voice_message(page: Page, bot: Bot) -> None:
    await page.click(".bot", "First bot")
    await page.click("#start")
    await bot.update("message")
    await page.click("#voice")
    await page.see("#toasts", "There is no microphone")
    voice = (await bot.update("message"))["voice"]
    assert (voice["mime_type"], voice["duration"]) == ("audio/ogg", 1)
    await page.do(can_be_played)


async def test_a_new_learner_speaks_russian_and_opens_a_link(page: Page, bot: Bot, sandbox: Sandbox) -> None:
    await page.click("#new-learner")
    await page.type("#profile [name=first_name]", "Аня")
    await page.type("#profile [name=username]", "anya")
    await page.do(lambda driver: Select(driver.find_element(By.NAME, "language_code")).select_by_value("ru"))
    await page.click("#save")
    await page.see("#learner-label", "Вы")
    await page.open("#first_bot?start=spring")
    await page.click("#start", "Начать")
    start = await bot.update("message")
    assert (start["text"], start["from"]["first_name"], start["from"]["username"]) == ("/start spring", "Аня", "anya")
    link = "https://t.me/second_bot?start=other"
    await bot.call("sendMessage", chat_id=start["chat"]["id"], text=f"go to {link}.")
    await page.click(".bubble a", link)
    await page.see("#chat-title", "Второй бот")
    await page.click("#start")
    async with SandboxClient(sandbox.url) as client:
        chat = await client.learner("second_bot", start["chat"]["id"]).wait_for(lambda chat: bool(chat.messages))
    assert chat.messages[0].text == "/start other"


COURSE = """
Pick:
  type: miniapp
  text: Look at this
  button: Open
  question: {type: multiple_choice, text: "Which is red?", options: [{text: Sky}, {text: Rose}]}
  answer: {actual: Rose, correct_feedback: "Yes, red"}
Fill:
  type: miniapp
  text: And this
  button: Fill in
  question:
    type: typein
    text: |
      <form><p style="color: teal">I {q1} here, you <b>{q2}</b> there.</p></form>
      <b id="trap" onclick="document.body.remove()">A trap</b><script>document.body.remove()</script>
  answer: {actual: "q1: am, q2: are", incorrect_feedback: "Not quite"}
Bye: {type: end, text: Bye}
"""


@pytest.fixture
async def school(sandbox: Sandbox, database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage with a running bot that asks in mini apps."""
    async with SandboxClient(sandbox.url) as client:
        stage = Stage(sandbox.url, client, database_url, tmp_path)
        stage.course(COURSE)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            stage.listen = ("127.0.0.1", probe.getsockname()[1])
        url = f"http://127.0.0.1:{stage.listen[1]}/app/school/"
        settings = stage.bot("school", options=Options(app_url=url))
        stage.start(replace(settings, language=None))
        yield stage
        await stage.close()


async def test_a_learner_answers_in_mini_apps(page: Page, school: Stage, chromium: webdriver.Chrome) -> None:
    await page.click(".bot", "School")
    await page.click("#start")
    await page.click(".key", "Open")
    await page.enter("#app iframe")
    await page.see("#title", "Which is red?")
    await page.click("#options button", "Rose")
    await page.see("#result.right", "Yes, red")
    await page.leave()
    await page.gone("#app")
    await page.see(".bubble", "Yes, red")

    await page.click(".key", "Fill in")
    await page.enter("#app iframe")
    await page.click("#trap")
    assert await page.see("#content p") == "I here, you there."
    await page.do(lambda driver: driver.find_element(By.NAME, "q1").send_keys("am" + Keys.TAB))
    await page.do(lambda driver: driver.switch_to.active_element.send_keys("is" + Keys.ENTER))
    await page.see("#result.wrong", "Not quite")
    await page.click("#back", "Back to the chat")
    await page.leave()
    await page.gone("#app")
    await page.see(".bubble", "Bye")
    blocked: list[Any] = chromium.get_log("browser")  # type: ignore[no-untyped-call]
    assert ["Content Security Policy" in entry["message"] for entry in blocked] == [True]


async def test_a_mini_app_speaks_russian_and_says_why_it_is_closed(page: Page, school: Stage) -> None:
    olga = school.learner("school", 77, first_name="Olga", language_code="ru")
    await olga.send("/start")
    app = await olga.open_app(await olga.wait_message())
    metrics = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    await asyncio.to_thread(page.driver.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", metrics)
    await asyncio.to_thread(page.driver.get, app.url)
    await page.see("#title", "Which is red?")
    assert await page.do(lambda driver: driver.execute_script("return document.documentElement.lang")) == "ru"
    assert await page.do(lambda driver: driver.execute_script("return document.body.scrollWidth")) <= 360
    async with aiohttp.ClientSession() as session:
        parts = urlsplit(app.url)
        body = {"conversation_id": parts.path.rpartition("/")[2], "answer": "Sky", "init_data": app.init_data}
        url = f"http://{parts.netloc}/api/submit_response"
        async with session.post(url, json=body) as response:
            assert response.status == 200
    await page.click("#options button", "Rose")
    await page.see("#result.wrong", "уже закрыт")
    await page.see("#back", "Вернуться в чат")
    await asyncio.to_thread(page.driver.execute_cdp_cmd, "Emulation.clearDeviceMetricsOverride", {})
    problems: list[Any] = page.driver.get_log("browser")  # type: ignore[no-untyped-call]
    assert ["409" in entry["message"] for entry in problems] == [True]


async def test_a_narrow_screen_shows_one_thing_at_a_time(page: Page, chromium: webdriver.Chrome) -> None:
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    await asyncio.to_thread(chromium.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", metrics)
    await page.click(".bot", "First bot")
    await page.see("#chat-title", "First bot")
    assert not await page.do(lambda driver: driver.find_element(By.ID, "side").is_displayed())
    assert await page.do(lambda driver: driver.execute_script("return document.body.scrollWidth")) == 390
    await page.click("#back")
    await page.see("#side")
    await asyncio.to_thread(chromium.execute_cdp_cmd, "Emulation.clearDeviceMetricsOverride", {})
