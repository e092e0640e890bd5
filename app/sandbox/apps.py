"""Mini apps: what Telegram tells a page that a learner opens from a button, and what the bot may answer.

Source: https://core.telegram.org/bots/webapps
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from app.sandbox.arguments import Arguments, entity_bodies, parsed_text
from app.sandbox.errors import bad_request
from app.sandbox.state import Bot, Chat

VERSION = "8.0"
Json = dict[str, Any]


def launch(bot: Bot, chat: Chat, url: str) -> Json:
    """Return the address a learner's Telegram opens (``url``) and the signed part of it (``init_data``)."""
    query_id = secrets.token_urlsafe(12)
    bot.app_queries[query_id] = chat
    user = chat.learner.user() | {"allows_write_to_pm": True}
    fields = {"query_id": query_id, "user": json.dumps(user, ensure_ascii=False), "auth_date": str(int(time.time()))}
    init_data = sign_init_data(bot.token, fields)
    told = urlencode({"tgWebAppData": init_data, "tgWebAppVersion": VERSION, "tgWebAppPlatform": "web"})
    return {"url": f"{url}{'&' if '#' in url else '#'}{told}", "init_data": init_data}


def sign_init_data(token: str, fields: Mapping[str, str]) -> str:
    """Return the fields as a query string with the ``hash`` that proves that Telegram told them to this bot's app."""
    text = "\n".join(f"{name}={value}" for name, value in sorted(fields.items()))
    key = hmac.digest(b"WebAppData", token.encode(), hashlib.sha256)
    return urlencode({**fields, "hash": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()})


def answer_web_app_query(bot: Bot, args: Arguments) -> Json:
    """Post a text into the chat in the learner's name, once for each mini app that was opened."""
    query_id = args.text("web_app_query_id")
    if query_id not in bot.app_queries:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    content = _article(args.json("result", "can't parse InlineQueryResult JSON object"))
    chat = bot.app_queries.pop(query_id)
    message = bot.add(chat, False, content | {"via_bot": bot.user()})
    bot.updates.push("message", message.body)
    return {"inline_message_id": secrets.token_urlsafe(16)}


def _article(result: Any) -> Json:
    if not isinstance(result, dict) or result.get("type") != "article":
        raise bad_request("the sandbox posts results of the type article only")
    content = result.get("input_message_content")
    if not isinstance(content, dict) or not str(content.get("message_text", "")).strip():
        raise bad_request("message text is empty")
    parsed = parsed_text(str(content["message_text"]), str(content.get("parse_mode") or ""), content.get("entities"))
    entities = entity_bodies(parsed)
    return {"text": parsed.plain} | ({"entities": entities} if entities else {})
