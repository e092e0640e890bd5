"""Mini apps: buttons, what a page is told, what a bot may answer."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from aiogram.utils.web_app import check_webapp_signature, safe_parse_webapp_init_data

from app.sandbox.apps import sign_init_data
from app.sandbox.client import Button, LearnerClient, RefusedError

TOKEN = "700:demo-token_A"
URL = "http://127.0.0.1:8099/app/demo/7"


async def offer(api: Any, url: str = URL) -> None:
    keyboard = {"inline_keyboard": [[{"text": "Open", "web_app": {"url": url}}]]}
    await api.get("sendMessage", chat_id=42, text="An app", reply_markup=keyboard)


async def test_a_page_learns_who_opened_it(api: Any, ann: LearnerClient) -> None:
    await offer(api)
    message = await ann.wait_message()
    assert message.buttons == (Button("Open", app_url=URL),)
    app = await ann.open_app(message, "Open")
    parts = urlsplit(app.url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == URL
    assert parse_qs(parts.fragment)["tgWebAppData"] == [app.init_data]
    told = safe_parse_webapp_init_data(TOKEN, app.init_data)
    assert told.user is not None
    assert (told.user.id, told.user.first_name, told.user.username, told.user.language_code) == (42, "Ann", "ann", "en")


async def test_what_a_page_is_told_cannot_be_changed(api: Any, ann: LearnerClient) -> None:
    await offer(api)
    init_data = (await ann.open_app(await ann.wait_message())).init_data
    fields = dict(parse_qsl(init_data))
    hash_ = fields.pop("hash")
    assert sign_init_data(TOKEN, fields) == init_data
    assert sign_init_data("701:other", fields).rpartition("=")[2] != hash_
    assert check_webapp_signature(TOKEN, init_data)
    assert not check_webapp_signature(TOKEN, init_data.replace("42", "43"))
    assert not check_webapp_signature("701:other", init_data)


async def test_an_address_with_a_fragment_of_its_own(api: Any, ann: LearnerClient) -> None:
    await offer(api, "https://a.io/app#part")
    app = await ann.open_app(await ann.wait_message())
    assert app.url.startswith("https://a.io/app#part&tgWebAppData=")


async def test_only_apps_that_were_offered_open(api: Any, ann: LearnerClient) -> None:
    await api.get(
        "sendMessage", chat_id=42, text="x", reply_markup={"inline_keyboard": [[{"text": "Go", "callback_data": "go"}]]}
    )
    message = await ann.wait_message()
    with pytest.raises(RefusedError, match="button 0 of message 2 opens no mini app"):
        await ann.open_app(message)
    await offer(api)
    app = await ann.wait_message(message.id)
    with pytest.raises(RefusedError, match="button 'Open' of message 3 cannot be pressed: it opens something"):
        await ann.press(app, "Open")


async def test_a_bot_answers_in_the_name_of_the_learner(api: Any, ann: LearnerClient) -> None:
    await offer(api)
    query_id = dict(parse_qsl((await ann.open_app(await ann.wait_message())).init_data))["query_id"]
    content = {"message_text": "*Right!*", "parse_mode": "Markdown"}
    result = {"type": "article", "id": "1", "title": "x", "input_message_content": content}
    await api.get("answerWebAppQuery", web_app_query_id=query_id, result=json.dumps(result))
    (update,) = await api.get("getUpdates")
    message = update["message"]
    assert (message["text"], message["from"]["id"], message["via_bot"]["username"]) == ("Right!", 42, "demo")
    _, answer = await api.ask("answerWebAppQuery", web_app_query_id=query_id, result=result)
    assert "query is too old" in answer["description"]


async def test_a_learner_writes_via_the_bot(api: Any, ann: LearnerClient) -> None:
    await ann.send("Right!", via_bot=True)
    (update,) = await api.get("getUpdates")
    assert update["message"]["via_bot"]["id"] == 700
    await ann.send("own words")
    assert "via_bot" not in (await api.get("getUpdates"))[-1]["message"]
