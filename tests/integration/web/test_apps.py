"""The protocol of mini apps, through a running host: questions, answers, and who may give them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from app.engine.app import app_number
from app.runtime.bot import State
from app.runtime.host import Host
from app.sandbox.client import LearnerClient
from app.texts import texts_for
from tests.integration.web.conftest import COURSE, Web, bot_with_page, free_port, init_data_of, opened
from tests.stage import Stage, outage, said, until

EN = texts_for("en")
DAY = 24 * 60 * 60


def refused(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


async def rows(stage: Stage) -> list[tuple[Any, ...]]:
    """Return what the transcript holds of mini apps: element, role, report, score."""
    async with await psycopg.AsyncConnection.connect(stage.database_url) as connection:
        cursor = await connection.execute(
            "SELECT element_id, role, report, score, maxscore FROM conversation "
            "WHERE element_type = 'miniapp' ORDER BY conversation_id"
        )
        return await cursor.fetchall()


async def test_a_learner_answers_every_question(stage: Stage, web: Web, ann: LearnerClient) -> None:
    first, init_data = await opened(ann)
    question = await web.question(first, init_data)
    assert question.short == (
        200,
        {
            "ok": True,
            "type": "multiple_choice",
            "text": "Which is red?",
            "options": [{"text": "Sky"}, {"text": "Rose"}],
        },
    )
    answer = await web.submit(first, " Rose", init_data)
    assert answer.short == (200, {"ok": True, "correct": True, "feedback": "Yes, red"})

    await ann.wait_for(said("And this"))
    second, init_data = await opened(ann)
    question = await web.question(second, init_data)
    text = "<p>I {q1} here and you {q2} there.</p>"
    assert question.short == (200, {"ok": True, "type": "typein", "text": text})
    answer = await web.submit(second, "q2: are, q1: is", init_data)
    assert answer.short == (200, {"ok": True, "correct": False, "feedback": EN.app_wrong})

    await ann.wait_for(said("At last"))
    third, init_data = await opened(ann)
    answer = await web.submit(third, "q1: Ann", init_data)
    assert answer.short == (200, {"ok": True, "correct": None, "feedback": EN.app_taken})
    chat = await ann.wait_for(said("Bye"))
    assert [message.text for message in chat.by_bot] == [
        "Look at this", "Yes, red", "And this", EN.app_wrong, "At last", EN.app_taken, "Bye",
    ]  # fmt: skip
    assert await rows(stage) == [
        ("Pick", "bot", "Look at this", None, None),
        ("Pick", "user", " Rose", None, None),
        ("Pick", "bot", "Yes, *red*", 1, 1),
        ("Fill", "bot", "And this", None, None),
        ("Fill", "user", "q2: are, q1: is", None, None),
        ("Fill", "bot", EN.app_wrong, 0, 1),
        ("Free", "bot", "At last", None, None),
        ("Free", "user", "q1: Ann", None, None),
        ("Free", "bot", EN.app_taken, None, None),
    ]


async def test_d43_the_button_leads_to_the_page(web: Web, ann: LearnerClient) -> None:
    message = (await ann.transcript()).last
    assert message is not None
    assert (message.text, message.buttons[0].text) == ("Look at this", "Open")
    page = await web.ask("GET", urlsplit(str(message.buttons[0].app_url)).path)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("questions", "answers"),
    [
        ("/app/bot/api/questions", "/app/bot/api/submit_response"),
        ("/api/questions", "/api/submit_response"),
        ("/get_questions", "/submit_response"),
    ],
)
async def test_d43_old_routes_work(web: Web, ann: LearnerClient, questions: str, answers: str) -> None:
    number, init_data = await opened(ann)
    question = await web.question(number, path=questions)
    assert (question.status, question.body["text"]) == (200, "Which is red?")
    assert (await web.submit(str(number), "Sky", init_data, answers)).body["correct"] is False


async def test_a_page_elsewhere_may_ask_and_answer(web: Web, host: Host) -> None:
    preflight = await web.ask("OPTIONS", "/api/submit_response", headers={"Origin": "https://a.io"})
    assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")
    refusal = await web.submit(1, "x", "x", "/api/submit_response")
    assert refusal.headers["Access-Control-Allow-Origin"] == "*"


async def test_who_did_not_open_the_page_cannot_answer(stage: Stage, web: Web, ann: LearnerClient) -> None:
    number, init_data = await opened(ann)
    unproven = [
        "",
        "hash=1",
        init_data[:-1] + ("0" if init_data[-1] != "0" else "1"),
        init_data.replace("Learner", "Teacher"),
        init_data_of(7, "another_bot"),
        init_data_of(7, age=DAY + 60),
    ]
    for data in unproven:
        assert (await web.submit(number, "Rose", data)).short == (401, refused(EN.app_unproven)), data
        assert (await web.question(number, data)).short == (401, refused(EN.app_unproven)), data
    for data in (init_data_of(8), init_data_of(-7)):
        assert (await web.submit(number, "Rose", data)).short == (403, refused(EN.app_foreign))
        assert (await web.question(number, data)).short == (403, refused(EN.app_foreign))
    assert await rows(stage) == [("Pick", "bot", "Look at this", None, None)]
    assert (await web.submit(number, "Rose", init_data_of(7, age=DAY - 60))).status == 200


async def test_refusals_are_in_the_learners_language(stage: Stage, web: Web) -> None:
    stage.start(replace(bot_with_page(stage, web), language=None))
    olga = stage.learner(language_code="ru")
    await olga.send("/start")
    await olga.wait_message()
    number, init_data = await opened(olga)
    ru = texts_for("ru")
    foreign = init_data_of(8, language_code="ru")
    assert (await web.submit(number, "Rose", foreign)).short == (403, refused(ru.app_foreign))
    answer = await web.ask("GET", "/app/bot/api/questions?conversation_id=1", headers={"Accept-Language": "ru-RU,en"})
    assert answer.short == (404, refused(ru.app_unknown))
    assert (await web.submit(number, "Rose", init_data)).status == 200
    assert (await web.submit(number, "Rose", init_data)).short == (409, refused(ru.app_closed))


async def test_a_question_that_is_not_on_the_screen(web: Web, ann: LearnerClient) -> None:
    number, init_data = await opened(ann)
    closed = (409, refused(EN.app_closed))
    for other in (number + 1, number - 1):
        assert (await web.submit(other, "Rose", init_data)).short == closed
        assert (await web.question(other, init_data)).short == closed
    assert (await web.submit(number, "Rose", init_data)).status == 200
    assert (await web.submit(number, "Rose", init_data)).short == closed
    assert (await web.question(number, init_data)).short == closed


async def test_an_answer_counts_once(stage: Stage, web: Web, ann: LearnerClient) -> None:
    number, init_data = await opened(ann)
    answers = await asyncio.gather(*(web.submit(number, "Rose", init_data) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    await ann.wait_for(said("And this"))
    assert [row[1] for row in await rows(stage)] == ["bot", "user", "bot", "bot"]


@pytest.mark.parametrize(
    ("number", "status", "text"),
    [
        (app_number(999, 1), 404, EN.app_unknown),
        (app_number(2**31, 1), 404, EN.app_unknown),
        (0, 404, EN.app_unknown),
        (-1, 400, EN.app_unreadable),
        ("x", 400, EN.app_unreadable),
        ("1" * 17, 400, EN.app_unreadable),
        (None, 400, EN.app_unreadable),
        (True, 400, EN.app_unreadable),
        (1.5, 400, EN.app_unreadable),
        ([1], 400, EN.app_unreadable),
    ],
)
async def test_numbers_that_lead_nowhere(web: Web, host: Host, number: Any, status: int, text: str) -> None:
    assert (await web.submit(number, "Rose", init_data_of(7))).short == (status, refused(text))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 60_000, b'{"conversation_id": 1000001}'])
async def test_bodies_that_are_not_answers(web: Web, host: Host, body: bytes) -> None:
    answer = await web.ask("POST", "/app/bot/api/submit_response", data=body)
    assert answer.short == (400, refused(EN.app_unreadable))


@pytest.mark.parametrize(("answer", "init_data"), [(1, "x"), (None, "x"), ("x", None), ("x", {})])
async def test_fields_that_are_not_texts(web: Web, host: Host, answer: Any, init_data: Any) -> None:
    number = app_number(1, 1)
    assert (await web.submit(number, answer, init_data)).short == (400, refused(EN.app_unreadable))


async def test_d1_a_bot_serves_its_own_questions_only(stage: Stage, web: Web) -> None:
    stage.course(COURSE, "other/")
    stage.start(bot_with_page(stage, web), bot_with_page(stage, web, "other", folder="other/"))
    ann = stage.learner("other")
    await ann.send("/start")
    await ann.wait_message()
    number, init_data = await opened(ann)
    unknown = (404, refused(EN.app_unknown))
    assert (await web.submit(number, "Rose", init_data)).short == unknown
    assert (await web.question(number, init_data)).short == unknown
    assert (await web.ask("GET", f"/app/nobody/{number}")).short == unknown
    assert (await web.submit(number, "Rose", init_data, "/app/other/api/submit_response")).status == 200


async def test_a_standby_takes_answers_too(stage: Stage, web: Web, ann: LearnerClient) -> None:
    number, init_data = await opened(ann)
    stage.listen = ("127.0.0.1", free_port())
    standby = web.at(stage.listen[1])
    host = stage.start(bot_with_page(stage, web))
    await until(lambda: [bot.state for bot in host.bots] == [State.STANDBY])
    assert (await standby.submit(number, "Rose", init_data)).status == 200
    await ann.wait_for(said("And this"))


async def test_an_answer_while_the_database_is_away(stage: Stage, web: Web, host: Host, ann: LearnerClient) -> None:
    number, init_data = await opened(ann)
    async with outage(stage):
        await until(lambda: host.bots[0].state is State.STARTING)
        assert (await web.submit(number, "Rose", init_data)).short == (503, refused(EN.app_unavailable))
        assert (await web.question(number, init_data)).short == (503, refused(EN.app_unavailable))
    await until(lambda: host.bots[0].state is State.POLLING, 60)
    assert (await web.submit(number, "Rose", init_data)).status == 200
    await ann.wait_for(said("And this"))


async def test_the_page_needs_nothing_from_elsewhere(web: Web, host: Host) -> None:
    page = await web.ask("GET", "/app/bot/1000001")
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].startswith("'sha256-")
    assert policy["connect-src"] == "'self'"
    assert "src=" not in page.body
    assert page.headers["X-Content-Type-Options"] == "nosniff"
