"""Mini apps: the page that the host serves, and the protocol of all such pages (course-format.md, section 2.9).

The number in a page's address names a step of a run, see ``app.engine.app.app_number``. A question is shown while its
step is on the learner's screen, and answered once, by the learner that Telegram says opened the page.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from app.config.settings import TELEGRAM_API_URL
from app.course.element import Form, MiniApp
from app.course.grammar import element_of
from app.course.markup import MarkupError, parse
from app.engine.app import STEPS
from app.engine.event import AppAnswered, Learner
from app.engine.state import Chat, Run, from_json
from app.runtime.bot import Bot
from app.runtime.pages import app_page
from app.runtime.web import refusal
from app.store.errors import StoreUnavailable
from app.store.rows import RunOwner
from app.store.store import Store
from app.telegram.decode import clean
from app.telegram.init_data import InitDataRefused, claimed_language, learner_of
from app.telegram.lean import import_aiogram
from app.texts import LANGUAGES, Texts, texts_for

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
}
"""Authors may have pages of their own elsewhere. What lets a page in is ``init_data``, which no other site has."""

TELEGRAM_FRAMES = "https://web.telegram.org https://*.telegram.org"
"""Who may show the page in a frame; with another Bot API server than Telegram's, a sandbox may, wherever it is."""

INIT_DATA = web.RequestKey("init_data", str)
LANGUAGE = web.RequestKey("language", str)
"""What is known of who sends a request, for the choice of words."""

_NUMBER = re.compile(r"[0-9]{1,16}")
_PAGE_TEXTS = tuple(f"app_{name}" for name in ("send", "back", "right", "wrong", "taken", "unavailable"))


@dataclass(frozen=True, slots=True)
class Place:
    """A step of a run."""

    run_id: int
    step: int


@dataclass(frozen=True, slots=True)
class Question:
    """A mini app that is on a learner's screen."""

    run: Run
    element: MiniApp


class _Refused(Exception):
    """A request that is refused with this status; ``text`` names one of ``Texts``."""

    def __init__(self, status: int, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


class Apps:
    """The routes of mini apps for the bots of one host."""

    def __init__(self, bots: Sequence[Bot], store: Store, telegram_url: str) -> None:
        self._bots = {bot.settings.name: bot for bot in bots}
        self._store = store
        self._framed_by = TELEGRAM_FRAMES if telegram_url == TELEGRAM_API_URL else "http: https:"
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        if any(bot.settings.options.app_url for bot in bots):
            import_aiogram()  # which checks who opens a page; nobody shall wait for it then

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; those without a bot in their path are the old program's."""
        shown, answered = _spoken(self.show), _spoken(self.take)
        questions = ("/app/{bot}/api/questions", "/api/questions", "/get_questions")
        answers = ("/app/{bot}/api/submit_response", "/api/submit_response", "/submit_response")
        return [
            *(web.get(path, shown) for path in questions),
            *(web.post(path, answered) for path in answers),
            *(web.options(path, _allow) for path in (*questions, *answers)),
            web.get("/app/{bot}/{number:[0-9]+}", _spoken(self.page)),
        ]

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Return the page; it finds its question by itself."""
        bot = self._bots.get(request.match_info["bot"])
        if bot is None:
            raise _Refused(404, "app_unknown")
        page = app_page(_page_texts(), bot.settings.language, self._framed_by)
        return web.Response(text=page.text, content_type="text/html", headers={"Content-Security-Policy": page.policy})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Return the question, without what would give the right answer away.

        Only the learner it was asked of sees it, if the page says who opened it: ``Authorization: tma INIT_DATA``.
        """
        place = _place(request.query.get("conversation_id"))
        bot, owner = await self._owner(request, place)
        scheme, _, init_data = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "tma":
            request[INIT_DATA] = init_data
            _require_owner(bot, owner, init_data)
        element = (await self._question(bot, owner, place)).element
        options = [{"text": option} for option in element.options]
        shown = {"type": element.form.value, "text": element.question}
        return _json(shown | ({"options": options} if element.form is Form.MULTIPLE_CHOICE else {}))

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Take an answer, once, and say whether it is right."""
        body = await _body(request)
        place, answer = _place(body.get("conversation_id")), body.get("answer")
        init_data = body.get("init_data")
        if not isinstance(answer, str) or not isinstance(init_data, str):
            raise _Refused(400, "app_unreadable")
        request[INIT_DATA] = init_data
        bot, owner = await self._owner(request, place)
        learner = _require_owner(bot, owner, init_data)
        async with self._busy[bot.botname]:
            question = await self._question(bot, owner, place)
            event = AppAnswered(learner, datetime.now(UTC), place.run_id, place.step, clean(answer))
            if not await bot.feed(event):
                raise _Refused(503, "app_unavailable")
            chat = await self._chat(bot, owner)
        return _json(_verdict(question, chat, bot.texts(learner.language_code)))

    async def _owner(self, request: web.Request, place: Place) -> tuple[Bot, RunOwner]:
        """Return whose run it is and their bot: the one in the path, if there is one there."""
        owner = await self._store.owner_of_run(place.run_id)
        bots = [bot for bot in self._bots.values() if owner is not None and bot.botname == owner.botname]
        if not bots or owner is None or request.match_info.get("bot", bots[0].settings.name) != bots[0].settings.name:
            raise _Refused(404, "app_unknown")
        request[LANGUAGE] = bots[0].settings.language or ""
        return bots[0], owner

    async def _chat(self, bot: Bot, owner: RunOwner) -> Chat:
        record = await self._store.chat(bot.botname, owner.chat_id)
        return from_json(record.state) if record is not None and record.state else Chat()

    async def _question(self, bot: Bot, owner: RunOwner, place: Place) -> Question:
        """Return what is on the learner's screen, if it is the question of this place."""
        run = (await self._chat(bot, owner)).run
        if run is not None and (run.run_id, run.step) == (place.run_id, place.step) and not run.is_ended:
            element = element_of(run.element_id, run.body)
            if isinstance(element, MiniApp):
                return Question(run, element)
        raise _Refused(409, "app_closed")


def _place(number: object) -> Place:
    if not isinstance(number, int | str) or not _NUMBER.fullmatch(str(number)):
        raise _Refused(400, "app_unreadable")
    run_id, step = divmod(int(str(number)), STEPS)
    if run_id >= 2**31:
        raise _Refused(404, "app_unknown")
    return Place(run_id, step)


def _require_owner(bot: Bot, owner: RunOwner, init_data: str) -> Learner:
    """Return the learner who opened the page, if it is they whom it was offered to."""
    try:
        learner = learner_of(init_data, bot.settings.token, datetime.now(UTC))
    except InitDataRefused:
        raise _Refused(401, "app_unproven") from None
    if learner.chat_id != owner.chat_id:
        raise _Refused(403, "app_foreign")
    return learner


def _verdict(question: Question, chat: Chat, texts: Texts) -> dict[str, Any]:
    """Return what the answer was worth, as it is stored; ``correct`` is ``None`` where nothing is right or wrong."""
    run, element = chat.runs.get(question.run.course_id), question.element
    score = run.scores.get(element.id) if run is not None and element.correct_answer is not None else None
    if score is None:
        return {"correct": None, "feedback": _plain(element, element.feedback_correct) or texts.app_taken}
    if score.score >= score.maxscore:
        return {"correct": True, "feedback": _plain(element, element.feedback_correct) or texts.app_right}
    return {"correct": False, "feedback": _plain(element, element.feedback_incorrect) or texts.app_wrong}


def _plain(element: MiniApp, text: str | None) -> str:
    try:
        return parse(text or "", element.parse_mode).plain
    except MarkupError:
        return text or ""


async def _body(request: web.Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise _Refused(400, "app_unreadable") from None
    if not isinstance(body, dict):
        raise _Refused(400, "app_unreadable")
    return body


def _json(body: Mapping[str, Any]) -> web.Response:
    return web.json_response({"ok": True, **body}, headers=CORS)


async def _allow(request: web.Request) -> web.StreamResponse:
    return web.Response(status=204, headers=CORS)


def _page_texts() -> dict[str, dict[str, str]]:
    return {language: {name: getattr(texts_for(language), name) for name in _PAGE_TEXTS} for language in LANGUAGES}


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _spoken(handler: Handler) -> Handler:
    """Say refusals in the learner's language, as far as it is known."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except _Refused as refused:
            status, text = refused.status, refused.text
        except StoreUnavailable:
            status, text = 503, "app_unavailable"
        return refusal(status, getattr(texts_for(_language(request)), text), CORS)

    return answer


def _language(request: web.Request) -> str:
    """Return the bot's language, else that of who opened the page, else the browser's."""
    accepted = request.headers.get("Accept-Language", "").partition(",")[0].partition(";")[0]
    return request.get(LANGUAGE) or claimed_language(request.get(INIT_DATA, "")) or accepted
