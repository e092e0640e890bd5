"""The lean import of aiogram, each time in a process of its own: an import happens once in a process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).parents[3]
CALLS = Path(__file__).with_name("lean_calls.py")

USER = {"id": 7, "is_bot": False, "first_name": "Ann", "new_field_of_user": {"a": [1]}}
CHAT = {"id": 7, "type": "private", "first_name": "Ann"}
MESSAGE = {"message_id": 5, "date": 1700000000, "chat": CHAT, "from": USER, "text": "/start"}
POLL = {
    "id": "77",
    "question": "2+2?",
    "options": [{"persistent_id": "0", "text": "4", "voter_count": 1}],
    "total_voter_count": 1,
    "is_closed": True,
    "is_anonymous": False,
    "type": "quiz",
    "allows_multiple_answers": False,
    "allows_revoting": False,
    "members_only": False,
}
BLOCKED = {"status": "kicked", "user": USER, "until_date": 0}
MEMBER = {"chat": CHAT, "from": USER, "date": 1, "old_chat_member": {"status": "member", "user": USER}}
UPDATES = [
    {"update_id": 1, "message": MESSAGE, "new_field_of_update": 1},
    {
        "update_id": 2,
        "callback_query": {"id": "99", "from": USER, "chat_instance": "1", "message": MESSAGE, "data": "1"},
    },
    {"update_id": 3, "poll_answer": {"poll_id": "77", "user": USER, "option_ids": [0], "option_persistent_ids": ["0"]}},
    {"update_id": 4, "my_chat_member": MEMBER | {"new_chat_member": BLOCKED}},
    {"update_id": 5, "update_type_of_the_future": {"a": 1}},
]
RESULTS: dict[str, Any] = {
    "getMe": USER,
    "getUpdates": UPDATES,
    "sendMediaGroup": [MESSAGE],
    "stopPoll": POLL,
    "sendPoll": MESSAGE | {"poll": POLL},
    "getWebhookInfo": {"url": "", "has_custom_certificate": False, "pending_update_count": 0},
    "getFile": {"file_id": "f", "file_unique_id": "u", "file_path": "a.oga"},
}
TRUE = {
    "answerCallbackQuery", "deleteMessage", "sendChatAction", "setMyCommands", "setWebhook", "deleteWebhook",
}  # fmt: skip
REFUSALS: dict[str, dict[str, Any]] = {
    "400": {"ok": False, "error_code": 400, "description": "Bad Request: no"},
    "429": {"ok": False, "error_code": 429, "description": "Too Many", "parameters": {"retry_after": 3}},
}
KEYBOARD = '{"inline_keyboard": [[{"text": "Yes", "callback_data": "1:2"}]]}'

Call = tuple[str, dict[str, str]]


@asynccontextmanager
async def bot_api() -> AsyncIterator[tuple[str, list[Call]]]:
    """A server that answers every method; yields its address and the calls it got, to be filled."""
    calls: list[Call] = []

    async def answer(request: web.Request) -> web.Response:
        method = request.match_info["method"]
        fields = {name: text_of(value) for name, value in (await request.post()).items()}
        calls.append((method, fields))
        if refusal := REFUSALS.get(fields.get("chat_id", "")):
            return web.json_response(refusal, status=refusal["error_code"])
        return web.json_response({"ok": True, "result": RESULTS.get(method, True if method in TRUE else MESSAGE)})

    app = web.Application()
    app.router.add_post("/bot1:token/{method}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", calls
    finally:
        await runner.cleanup()


def text_of(value: str | bytes | bytearray | web.FileField) -> str:
    """Return a field's text; an uploaded file's name and content."""
    return f"{value.filename}={value.file.read().decode()}" if isinstance(value, web.FileField) else str(value)


async def python(*arguments: str, path: Path = ROOT) -> tuple[str, str]:
    """Run a fresh interpreter to its end; return its output and its errors."""
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", *arguments, env=environment, stdout=pipe, stderr=pipe
    )
    output, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    return output.decode(), errors.decode()


def without_keys(calls: list[Call]) -> list[Call]:
    """The calls without the random names that aiogram gives uploads."""
    return [
        (method, {n: v for n, v in fields.items() if "=" not in v and "attach://" not in v}) for method, fields in calls
    ]


async def test_all_calls_and_answers_equal_those_of_the_plain_import() -> None:
    outcomes = {}
    for way in ("plain", "lean"):
        async with bot_api() as (url, calls):
            output, errors = await python(str(CALLS), way, url)
        outcomes[way] = (json.loads(output), without_keys(calls), errors)
    assert outcomes["lean"] == outcomes["plain"]


async def test_calls_and_answers_arrive_as_they_were_meant() -> None:
    async with bot_api() as (url, calls):
        output, _ = await python(str(CALLS), "lean", url)
    assert [method for method, _ in calls] == [
        "getMe", "sendMessage", "sendMessage", "sendPhoto", "sendVideo", "sendAudio", "sendVoice", "sendDocument",
        "sendMediaGroup", "sendPoll", "stopPoll", "answerCallbackQuery", "editMessageText", "editMessageReplyMarkup",
        "deleteMessage", "sendChatAction", "setMyCommands", "setWebhook", "getWebhookInfo", "deleteWebhook", "getFile",
        "sendMessage", "sendMessage",
        "getUpdates", "sendMessage", "answerCallbackQuery", "sendMessage",
    ]  # fmt: skip
    assert calls[1] == (
        "sendMessage",
        {"chat_id": "7", "text": "<b>hi</b>", "parse_mode": "HTML", "reply_markup": KEYBOARD},
    )
    assert "5.txt=four" in calls[7][1].values()
    assert calls[-1] == ("sendMessage", {"chat_id": "7", "text": "welcome", "reply_markup": KEYBOARD})
    results = json.loads(output)
    assert results[0] == ["User", USER]
    assert results[-6] == ["Update", UPDATES[4]]
    assert [name for name, _ in results[-5:]] == [
        "Message",
        "CallbackQuery",
        "PollAnswer",
        "ChatMemberUpdated",
        "Message",
    ]


LEAN = "from app.telegram.lean import import_aiogram; import_aiogram()\n"


async def test_models_stay_unbuilt_until_they_are_used() -> None:
    output, _ = await python(
        "-c",
        f"from pydantic import BaseModel; before = dict(vars(BaseModel))\n{LEAN}"
        "from aiogram.types import Chat, Message\n"
        "print(Message.__pydantic_complete__, Chat.__pydantic_complete__)\n"
        "chat = Chat(id=1, type='private')\n"
        "print(Message.__pydantic_complete__, Chat.__pydantic_complete__)\n"
        "print(dict(vars(BaseModel)) == before)",
    )
    assert output.split() == ["False", "False", "False", "True", "True"]


async def test_the_class_of_an_answer_is_built_once() -> None:
    output, _ = await python(
        "-c",
        f"{LEAN}import gc\nfrom aiogram.methods.base import Response\nfrom aiogram.types import Update\n"
        "def use():\n"
        "    Response[list[Update]].model_validate({'ok': True, 'result': []})\n"
        "    return id(Response[list[Update]].__pydantic_validator__)\n"
        "first = use(); gc.collect(); print(first == use())",
    )
    assert output.split() == ["True"]


async def test_an_aiogram_that_was_imported_before_is_left_alone() -> None:
    output, errors = await python("-c", f"import aiogram\n{LEAN}print(aiogram.types.Message.__pydantic_complete__)")
    assert (output, errors) == ("True\n", "")


async def test_an_aiogram_that_changed_is_imported_the_plain_way(tmp_path: Path) -> None:
    move_a_module(tmp_path / "aiogram")
    output, errors = await python(
        "-c",
        f"{LEAN}import aiogram\nprint(aiogram.types.Message.__pydantic_complete__, aiogram.__file__)",
        path=tmp_path,
    )
    assert output == f"True {tmp_path}/aiogram/__init__.py\n"
    assert errors == (
        "aiogram is imported the plain way, which takes 100 MiB more: "
        "ModuleNotFoundError: No module named 'aiogram.client.context_controller'\n"
    )


def move_a_module(target: Path) -> None:
    """Make an aiogram in which one module that the lean import needs has another name."""
    spec = find_spec("aiogram")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent
    for file in source.rglob("*.py"):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text()
        if "context_controller" in text:
            copy.write_text(text.replace("context_controller", "context"))
        else:
            copy.symlink_to(file)
    (target / "client/context_controller.py").rename(target / "client/context.py")
