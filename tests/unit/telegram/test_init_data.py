"""Who opened the page of a mini app, and what does not prove it."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from app.engine.event import Learner
from app.telegram.init_data import InitDataRefused, claimed_language, learner_of

TOKEN = "700:demo-token_A"
OPENED = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANN = {"id": 42, "first_name": "Ann", "username": "ann", "language_code": "ru"}


def signed(token: str = TOKEN, **fields: Any) -> str:
    """Sign as Telegram documents it."""
    values = {"query_id": "q", "user": json.dumps(ANN), "auth_date": str(int(OPENED.timestamp()))} | fields
    text = "\n".join(f"{name}={values[name]}" for name in sorted(values))
    key = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    return urlencode({**values, "hash": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()})


def test_who_opened_the_page() -> None:
    assert learner_of(signed(), TOKEN, OPENED) == Learner(42, "ann", "ru")
    nameless = signed(user=json.dumps({"id": 42, "first_name": "Ann"}))
    assert learner_of(nameless, TOKEN, OPENED) == Learner(42, None, None)


@pytest.mark.parametrize(
    "init_data",
    [
        "",
        "x",
        "user=1",
        "hash=",
        signed("700:demo-token_B"),
        signed().replace("42", "43"),
        signed() + "0",
        signed()[:-64],
        signed() + "&user=" + urlencode({"": json.dumps(ANN | {"id": 43})})[1:],
        signed().rpartition("=")[0] + "=%D1%8F",
        signed(user="{"),
        signed(user="Ann"),
        signed(user='{"id": "x"}'),
        signed(auth_date="yesterday"),
    ],
)
def test_what_is_not_signed_by_telegram(init_data: str) -> None:
    with pytest.raises(InitDataRefused) as refused:
        learner_of(init_data, TOKEN, OPENED)
    assert str(refused.value) == "init_data is not signed by telegram for this bot; open the page from the chat"


def test_a_page_nobody_opened() -> None:
    fields = {"auth_date": str(int(OPENED.timestamp()))}
    text = f"auth_date={fields['auth_date']}"
    key = hmac.new(b"WebAppData", TOKEN.encode(), hashlib.sha256).digest()
    init_data = urlencode({**fields, "hash": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()})
    with pytest.raises(InitDataRefused, match="init_data names no user; open the page with an inline button"):
        learner_of(init_data, TOKEN, OPENED)


def test_a_page_proves_nothing_after_a_day() -> None:
    assert learner_of(signed(), TOKEN, OPENED + timedelta(hours=24)).chat_id == 42
    with pytest.raises(InitDataRefused) as refused:
        learner_of(signed(), TOKEN, OPENED + timedelta(hours=24, seconds=1))
    assert str(refused.value) == "init_data is of 2026-05-01 12:00 UTC; open the page again from the chat"


@pytest.mark.parametrize(
    ("init_data", "language"),
    [
        (signed("700:another"), "ru"),
        (signed(user='{"id": 1}'), None),
        (signed(user='{"language_code": 1}'), None),
        (signed(user="[]"), None),
        (signed(user="{"), None),
        pytest.param("user=" + "[" * 60_000, None, id="nested"),
        ("", None),
    ],
)
def test_the_language_that_a_page_claims(init_data: str, language: str | None) -> None:
    assert claimed_language(init_data) == language
