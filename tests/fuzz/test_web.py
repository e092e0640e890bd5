"""Hostile requests to the pages of mini apps: refused or taken, never an error of the server, nothing of others."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from app.sandbox.client import LearnerClient
from tests.fuzz.corpus import FRAGMENTS
from tests.integration.web.conftest import Web, ann, host, init_data_of, opened, stage, web
from tests.stage import Stage

__all__ = ["ann", "host", "stage", "web"]

REFUSALS = {400, 401, 403, 404, 405, 409, 413, 415}


async def test_any_body(web: Web, ann: LearnerClient) -> None:
    number, _ = await opened(ann)
    chance = random.Random(1)
    values: list[Any] = [
        *FRAGMENTS,
        None,
        True,
        1.5,
        [],
        {},
        number,
        number + 1,
        init_data_of(8),
        init_data_of(7, "other"),
    ]
    for _ in range(150):
        body = {
            name: chance.choice(values) for name in ("conversation_id", "answer", "init_data") if chance.random() < 0.9
        }
        path = chance.choice(["/app/bot/api/submit_response", "/api/submit_response", "/submit_response"])
        answer = await web.ask("POST", path, json=body)
        assert answer.status in REFUSALS, body
    nested = "user=" + "[" * 40_000
    assert (await web.submit(number, "Rose", nested)).status == 401
    assert (await web.question(number, "user=" + "[" * 5_000)).status == 401


@pytest.mark.parametrize(
    "path", ["/app/../../etc/passwd", "/app/bot/%2e%2e/%2e%2e/etc/passwd", "/app/%00/1", "/app/bot/1" + "0" * 40]
)
async def test_paths_lead_to_no_file(web: Web, ann: LearnerClient, path: str) -> None:
    answer = await web.ask("GET", path)
    assert "root:" not in str(answer.body)
    assert answer.status == 404 or "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("answer", ["\0", "Rose\0", "\ud800", "x" * 30_000, "{{Pick}}", "<b>", "{STOP}"])
async def test_an_answer_of_any_characters_is_stored(stage: Stage, web: Web, ann: LearnerClient, answer: str) -> None:
    number, init_data = await opened(ann)
    assert (await web.submit(number, answer, init_data)).status == 200
    async with await psycopg.AsyncConnection.connect(stage.database_url) as connection:
        cursor = await connection.execute("SELECT report FROM conversation WHERE role = 'user'")
        assert await cursor.fetchall() == [(answer.replace("\0", "").encode("utf-8", "replace").decode(),)]
