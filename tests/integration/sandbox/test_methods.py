"""The Bot API methods over HTTP: results, limits and Telegram's wording."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from app.sandbox.client import Button, LearnerClient, Message, Poll, SandboxClient

PHOTO, SONG = "https://a.io/p.png", "https://a.io/s.mp3"
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)


def keyboard(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"inline_keyboard": [[button] for button in buttons]}


GO = keyboard({"text": "Go", "callback_data": "go"})
ALBUM_OF_ELEVEN = [{"type": "photo", "media": PHOTO}] * 11

REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("sendMessage", {"text": "x"}, "chat_id is empty"),
    ("sendMessage", {"chat_id": 999, "text": "x"}, "chat not found"),
    ("sendMessage", {"chat_id": "@ann", "text": "x"}, "chat not found"),
    ("sendMessage", {"chat_id": 42}, "message text is empty"),
    ("sendMessage", {"chat_id": 42, "text": None}, "message text is empty"),
    ("sendMessage", {"chat_id": 42, "text": " \n "}, "message text is empty"),
    ("sendMessage", {"chat_id": 42, "text": "<b></b>", "parse_mode": "HTML"}, "message text is empty"),
    ("sendMessage", {"chat_id": 42, "text": "x" * 4097}, "message is too long"),
    ("sendMessage", {"chat_id": 42, "text": "🏟" * 2049}, "message is too long"),
    ("sendMessage", {"chat_id": 42, "text": "\ud800"}, "strings must be encoded in UTF-8"),
    ("sendMessage", {"chat_id": 42, "text": "x", "parse_mode": "wiki"}, "unsupported parse_mode"),
    (
        "sendMessage",
        {"chat_id": 42, "text": "a *b", "parse_mode": "Markdown"},
        "can't parse entities: Can't find end of the entity starting at byte offset 2",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "<foo>", "parse_mode": "html"},
        'can\'t parse entities: Unsupported start tag "foo" at byte offset 0',
    ),
    ("sendMessage", {"chat_id": 42, "text": "x", "reply_markup": "{"}, "can't parse reply keyboard markup JSON object"),
    ("sendMessage", {"chat_id": 42, "text": "x", "reply_markup": []}, "object expected as reply markup"),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"callback_data": "a"})},
        "can't parse inline keyboard button: Can't find field \"text\"",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"text": "a"})},
        "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"text": "a", "callback_data": "я" * 33})},
        "BUTTON_DATA_INVALID",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"text": "a", "callback_data": ""})},
        "BUTTON_DATA_INVALID",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"text": " ", "callback_data": "a"})},
        "BUTTON_TEXT_INVALID",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"text": "a", "url": "http://localhost"})},
        "BUTTON_URL_INVALID",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"text": "a", "web_app": {"url": "ftp://a.io"}})},
        "inline keyboard button Web App URL 'ftp://a.io' is invalid: Only HTTPS links are allowed",
    ),
    (
        "sendMessage",
        {"chat_id": 42, "text": "x", "reply_markup": keyboard({"text": "a", "web_app": "https://a.io"})},
        "can't parse inline keyboard button: WebAppInfo must be an Object",
    ),
    ("sendPhoto", {"chat_id": 42}, "there is no photo in the request"),
    ("sendPhoto", {"chat_id": 42, "photo": SONG}, "wrong type of the web page content"),
    ("sendPhoto", {"chat_id": 42, "photo": "asd"}, "wrong file identifier/HTTP URL specified"),
    ("sendPhoto", {"chat_id": 42, "photo": "ftp://a.io/p.png"}, "wrong file identifier/HTTP URL specified"),
    ("sendPhoto", {"chat_id": 42, "photo": "http://[x"}, "wrong file identifier/HTTP URL specified"),
    ("sendPhoto", {"chat_id": 42, "photo": PHOTO, "caption": "x" * 1025}, "message caption is too long"),
    ("sendAudio", {"chat_id": 42, "audio": PHOTO}, "wrong type of the web page content"),
    ("sendVideo", {"chat_id": 42, "video": PHOTO}, "wrong type of the web page content"),
    ("sendVoice", {"chat_id": 42, "voice": PHOTO}, "wrong type of the web page content"),
    ("sendAnimation", {"chat_id": 42, "animation": SONG}, "wrong type of the web page content"),
    ("sendMediaGroup", {"chat_id": 42}, "expected an Array of InputMedia"),
    ("sendMediaGroup", {"chat_id": 42, "media": "["}, "can't parse media JSON object"),
    ("sendMediaGroup", {"chat_id": 42, "media": []}, "there are no messages to send"),
    ("sendMediaGroup", {"chat_id": 42, "media": [1]}, "can't parse InputMedia: expected an Object"),
    ("sendMediaGroup", {"chat_id": 42, "media": ALBUM_OF_ELEVEN}, "too many messages to send as an album"),
    (
        "sendMediaGroup",
        {"chat_id": 42, "media": [{"type": "audio", "media": SONG}, {"type": "photo", "media": PHOTO}]},
        "audio can't be mixed with other media types",
    ),
    (
        "sendMediaGroup",
        {"chat_id": 42, "media": [{"type": "animation", "media": PHOTO}]},
        "media type animation can't be used in an album",
    ),
    (
        "sendMediaGroup",
        {"chat_id": 42, "media": [{"type": "photo", "media": PHOTO}, {"type": "photo", "media": SONG}]},
        'failed to send message #2 with the error message "WEBPAGE_MEDIA_EMPTY"',
    ),
    ("sendPoll", {"chat_id": 42, "options": ["a", "b"]}, "poll question must be non-empty"),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q" * 301, "options": ["a", "b"]},
        "poll question length must not exceed 300",
    ),
    ("sendPoll", {"chat_id": 42, "question": "q"}, "expected an Array of String as options"),
    ("sendPoll", {"chat_id": 42, "question": "q", "options": ["a"]}, "poll must have at least 2 option"),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q", "options": [str(number) for number in range(13)]},
        "poll can't have more than 12 options",
    ),
    ("sendPoll", {"chat_id": 42, "question": "q", "options": ["a", " "]}, "poll options must be non-empty"),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q", "options": ["a", "b" * 101]},
        "poll options length must not exceed 100",
    ),
    ("sendPoll", {"chat_id": 42, "question": "q", "options": ["a", "a"]}, "POLL_OPTION_DUPLICATE"),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q", "options": ["a", 1]},
        "expected an Option to be of type String or InputPollOption",
    ),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q", "options": ["a", "b"], "type": "vote"},
        "unsupported poll type specified",
    ),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q", "options": ["a", "b"], "type": "quiz"},
        "wrong correct option ID specified",
    ),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q", "options": ["a", "b"], "type": "quiz", "correct_option_id": 2},
        "wrong correct option ID specified",
    ),
    (
        "sendPoll",
        {"chat_id": 42, "question": "q", "options": ["a", "b"], "type": "quiz", "correct_option_ids": "x"},
        "can't parse correct_option_ids JSON object",
    ),
    ("stopPoll", {"chat_id": 42, "message_id": 1}, "message with poll to stop not found"),
    (
        "answerCallbackQuery",
        {"callback_query_id": "1"},
        "query is too old and response timeout expired or query ID is invalid",
    ),
    ("editMessageText", {"chat_id": 42, "message_id": 99, "text": "x"}, "message to edit not found"),
    ("editMessageText", {"chat_id": 42, "message_id": 1, "text": "x"}, "message can't be edited"),
    ("editMessageReplyMarkup", {"chat_id": 42, "message_id": 99}, "message to edit not found"),
    ("deleteMessage", {"chat_id": 42, "message_id": 99}, "message to delete not found"),
    ("sendChatAction", {"chat_id": 42, "action": "dance"}, "wrong parameter action in request"),
    ("getFile", {"file_id": "x"}, "invalid file_id"),
    ("setMyCommands", {"commands": 1}, "expected an Array of BotCommand"),
    ("setMyCommands", {"commands": [{"command": "Ü", "description": "x"}]}, "BOT_COMMAND_INVALID"),
    ("setMyCommands", {"commands": [{"command": "a"}]}, "BOT_COMMAND_DESCRIPTION_INVALID"),
    ("setMyCommands", {"commands": [{"command": "a", "description": "b"}] * 101}, "BOT_COMMANDS_TOO_MUCH"),
    ("setMyCommands", {"commands": [], "language_code": "en-US"}, "invalid language code specified"),
    ("setMyCommands", {"commands": [], "scope": 1}, "can't parse BotCommandScope: expected an Object"),
    (
        "setMyCommands",
        {"commands": [], "scope": {"type": "all"}},
        "can't parse BotCommandScope: unsupported type specified",
    ),
    ("setMyCommands", {"commands": [], "scope": {"type": "chat"}}, "chat_id is empty"),
    (
        "answerWebAppQuery",
        {"web_app_query_id": "1", "result": {}},
        "query is too old and response timeout expired or query ID is invalid",
    ),
    ("setWebhook", {"url": "ftp://x"}, "bad webhook: invalid URL specified"),
    ("setWebhook", {"url": "https://x", "secret_token": "ä"}, "secret token contains unallowed characters"),
]


@pytest.mark.parametrize(("method", "params", "words"), REFUSALS)
async def test_wrong_arguments(api: Any, ann: LearnerClient, method: str, params: dict[str, Any], words: str) -> None:
    answer = {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}
    assert await api.ask(method, **params) == (400, answer)


async def test_every_way_to_pass_arguments(api: Any, ann: LearnerClient) -> None:
    params = {"chat_id": "42", "text": "x"}
    form = aiohttp.FormData(params, default_to_multipart=True)
    requests = [
        api.session.get(f"{api.url}/SENDMESSAGE", params=params),
        api.session.post(f"{api.url}/sendmessage", data=params),
        api.session.post(f"{api.url}/sendMessage", json=params),
        api.session.post(f"{api.url}/sendMessage", data=form),
        api.session.post(f"{api.url}/sendMessage?chat_id=42", json={"text": "x"}),
    ]
    for request in requests:
        async with request as response:
            assert (await response.json())["result"]["text"] == "x"
    assert len((await ann.transcript()).by_bot) == len(requests)


async def test_a_message_as_both_sides_see_it(api: Any, ann: LearnerClient) -> None:
    sent = await api.get("sendMessage", chat_id=42, text=" <b>Hi</b> 🏟 <i>you</i> ", parse_mode="HTML", reply_markup=GO)
    entities = [{"type": "bold", "offset": 0, "length": 2}, {"type": "italic", "offset": 6, "length": 3}]
    assert sent == {
        "message_id": 2,
        "from": {"id": 700, "is_bot": True, "first_name": "Demo bot", "username": "demo"},
        "chat": {"id": 42, "first_name": "Ann", "username": "ann", "type": "private"},
        "date": sent["date"],
        "text": "Hi 🏟 you",
        "entities": entities,
        "reply_markup": GO,
    }
    expected = Message(2, True, "Hi 🏟 you", tuple(entities), (Button("Go", "go"),))
    assert (await ann.transcript()).last == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, None),
        ({"link_preview_options": None}, None),
        ({"link_preview_options": {"is_disabled": True, "url": None, "other": 1}}, {"is_disabled": True}),
        ({"link_preview_options": '{"prefer_small_media": true}'}, {"prefer_small_media": True}),
        ({"disable_web_page_preview": "true"}, {"is_disabled": True}),
    ],
)
async def test_link_previews(api: Any, ann: LearnerClient, params: dict[str, Any], expected: Any) -> None:
    sent = await api.get("sendMessage", chat_id=42, text="http://a.io", **params)
    assert sent.get("link_preview_options") == expected


async def test_the_longest_texts(api: Any, ann: LearnerClient) -> None:
    await api.get("sendMessage", chat_id=42, text=f"<b>{'x' * 4096}</b>", parse_mode="HTML")
    await api.get("sendPhoto", chat_id=42, photo=PHOTO, caption="y" * 1024)
    options = [f"{number:0100}" for number in range(12)]
    await api.get("sendPoll", chat_id=42, question="q" * 300, options=options)


async def test_editing(api: Any, ann: LearnerClient) -> None:
    await api.get("sendMessage", chat_id=42, text="old", reply_markup=GO)
    refused = (400, {"ok": False, "error_code": 400, "description": f"Bad Request: {NOT_MODIFIED}"})
    assert await api.ask("editMessageText", chat_id=42, message_id=2, text="old", reply_markup=GO) == refused
    assert await api.ask("editMessageReplyMarkup", chat_id=42, message_id=2, reply_markup=GO) == refused
    await api.get("editMessageText", chat_id=42, message_id=2, text="*new*", parse_mode="Markdown", reply_markup=GO)
    bold = ({"type": "bold", "offset": 0, "length": 3},)
    shown = Message(2, True, "new", bold, (Button("Go", "go"),), edited=True, earlier=("old",))
    assert (await ann.transcript()).last == shown
    await api.get("editMessageReplyMarkup", chat_id=42, message_id=2)
    assert await api.ask("editMessageReplyMarkup", chat_id=42, message_id=2) == refused
    assert (await ann.transcript()).last == Message(2, True, "new", bold, edited=True, earlier=("old",))
    assert await api.get("deleteMessage", chat_id=42, message_id=2) is True
    assert (await ann.transcript()).last is None


async def test_a_message_whose_keyboard_went_is_not_shown_as_edited(api: Any, ann: LearnerClient) -> None:
    await api.get("sendMessage", chat_id=42, text="hi", reply_markup=GO)
    await api.get("editMessageReplyMarkup", chat_id=42, message_id=2)
    assert (await ann.transcript()).last == Message(2, True, "hi")


async def test_only_texts_can_be_edited_as_texts(api: Any, ann: LearnerClient) -> None:
    await api.get("sendPhoto", chat_id=42, photo=PHOTO)
    _, answer = await api.ask("editMessageText", chat_id=42, message_id=2, text="x")
    assert answer["description"] == "Bad Request: there is no text in the message to edit"


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        ("photo", PHOTO),
        ("photo", "https://drive.usercontent.google.com/download?id=x"),
        ("video", "https://a.io/v.mp4"),
        ("audio", SONG),
        ("voice", "https://a.io/v.ogg"),
        ("document", "https://a.io/d.pdf"),
        ("animation", "https://a.io/a.gif"),
    ],
)
async def test_files_by_link_and_by_id(api: Any, ann: LearnerClient, kind: str, link: str) -> None:
    sent = await api.get(f"send{kind.capitalize()}", chat_id=42, caption="*c*", parse_mode="Markdown", **{kind: link})
    media = sent[kind][-1] if kind == "photo" else sent[kind]
    bold = ({"type": "bold", "offset": 0, "length": 1},)
    shown = Message(2, True, "c", bold, media=kind, url=link, file_id=media["file_id"])
    assert (await ann.transcript()).last == shown
    again = await api.get(f"send{kind.capitalize()}", chat_id=42, **{kind: media["file_id"]})
    assert again[kind] == sent[kind]


async def test_a_file_id_belongs_to_its_kind_and_bot(api: Any, ann: LearnerClient, client: SandboxClient) -> None:
    sent = await api.get("sendAudio", chat_id=42, audio=SONG)
    file_id = sent["audio"]["file_id"]
    _, answer = await api.ask("sendPhoto", chat_id=42, photo=file_id)
    assert answer["description"] == "Bad Request: can't use file of type Audio as Photo"
    await client.learner("701:x", 42).send("/start")
    other = type(api)(api.session, api.url.partition("/bot")[0], "701:x")
    _, answer = await other.ask("sendAudio", chat_id=42, audio=file_id)
    assert answer["description"] == "Bad Request: wrong file identifier/HTTP URL specified"


async def test_uploads(api: Any, ann: LearnerClient) -> None:
    form = aiohttp.FormData({"chat_id": "42"})
    form.add_field("document", b"hello", filename="h.txt", content_type="text/plain")
    async with api.session.post(f"{api.url}/sendDocument", data=form) as response:
        document = (await response.json())["result"]["document"]
    assert (document["file_name"], document["mime_type"], document["file_size"]) == ("h.txt", "text/plain", 5)
    path = (await api.get("getFile", file_id=document["file_id"]))["file_path"]
    base, _, bot = api.url.rpartition("/")
    async with api.session.get(f"{base}/file/{bot}/{path}") as response:
        assert await response.read() == b"hello"
    async with api.session.get(f"{base}/file/{bot}/documents/other") as response:
        assert response.status == 404


async def test_a_voice_message_of_the_bot(api: Any, ann: LearnerClient) -> None:
    form = aiohttp.FormData({"chat_id": "42", "caption": "*hear*", "parse_mode": "Markdown", "duration": "7"})
    form.add_field("voice", b"OggS...", filename="v.ogg", content_type="audio/ogg")
    async with api.session.post(f"{api.url}/sendVoice", data=form) as response:
        voice = (await response.json())["result"]["voice"]
    assert (voice["duration"], voice["mime_type"], voice["file_size"]) == (7, "audio/ogg", 7)
    bold = ({"type": "bold", "offset": 0, "length": 4},)
    shown = Message(2, True, "hear", bold, media="voice", file_id=voice["file_id"])
    assert (await ann.transcript()).last == shown


async def test_a_voice_message_of_the_learner(api: Any, ann: LearnerClient) -> None:
    await ann.send_voice(seconds=3)
    voice = (await api.get("getUpdates"))[-1]["message"]["voice"]
    assert (voice["duration"], voice["mime_type"]) == (3, "audio/ogg")
    path = (await api.get("getFile", file_id=voice["file_id"]))["file_path"]
    base, _, bot = api.url.rpartition("/")
    async with api.session.get(f"{base}/file/{bot}/{path}") as response:
        assert (await response.read()).startswith(b"OggS")


async def test_a_file_that_is_too_big_for_bots(api: Any, ann: LearnerClient) -> None:
    await ann.send_file("voice", bytes(20 * 1024 * 1024 + 1), "audio/ogg")
    file_id = (await api.get("getUpdates"))[-1]["message"]["voice"]["file_id"]
    _, answer = await api.ask("getFile", file_id=file_id)
    assert answer["description"] == "Bad Request: file is too big"


async def test_albums(api: Any, ann: LearnerClient) -> None:
    items = [
        {"type": "photo", "media": "attach://mine", "caption": "first"},
        {"type": "video", "media": "https://a.io/v"},
    ]
    form = aiohttp.FormData({"chat_id": "42", "media": json.dumps(items)})
    form.add_field("mine", b"\x89PNG", filename="p.png", content_type="image/png")
    async with api.session.post(f"{api.url}/sendMediaGroup", data=form) as response:
        first, second = (await response.json())["result"]
    assert first["media_group_id"] == second["media_group_id"]
    shown = (await ann.transcript()).by_bot
    assert [(one.media, one.text, one.album) for one in shown] == [
        ("photo", "first", first["media_group_id"]),
        ("video", "", first["media_group_id"]),
    ]


async def test_an_album_of_one_is_accepted(api: Any, ann: LearnerClient) -> None:
    (sent,) = await api.get("sendMediaGroup", chat_id=42, media=[{"type": "photo", "media": PHOTO}])
    assert "media_group_id" not in sent


async def test_a_failing_album_sends_nothing(api: Any, ann: LearnerClient) -> None:
    await api.ask(
        "sendMediaGroup", chat_id=42, media=[{"type": "photo", "media": PHOTO}, {"type": "photo", "media": SONG}]
    )
    assert (await ann.transcript()).by_bot == ()


async def test_polls(api: Any, ann: LearnerClient) -> None:
    options = [{"text": "a"}, {"text": "b", "text_parse_mode": None}]
    sent = await api.get(
        "sendPoll", chat_id=42, question="q?", options=options, type="quiz", correct_option_ids=[1], is_anonymous=False
    )
    poll_id = sent["poll"]["id"]
    shown = Poll(poll_id, "q?", ("a", "b"), "quiz", False, False, False, (1,))
    assert (await ann.transcript()).last == Message(2, True, poll=shown)
    stopped = await api.get("stopPoll", chat_id=42, message_id=2)
    assert (stopped["id"], stopped["is_closed"]) == (poll_id, True)
    _, answer = await api.ask("stopPoll", chat_id=42, message_id=2)
    assert answer["description"] == "Bad Request: poll has already been closed"


async def test_commands_menu(api: Any, client: SandboxClient, ann: LearnerClient) -> None:
    start = [{"command": "start", "description": "Start"}]
    help_ = [{"command": "help", "description": "Help"}]
    await api.get("setMyCommands", commands=start)
    await api.get("setMyCommands", commands=help_, scope={"type": "all_private_chats"}, language_code="en")
    assert await api.get("getMyCommands") == start
    assert await api.get("getMyCommands", language_code="ru") == []
    assert (await ann.transcript()).commands == ("help",)
    boris = client.learner("demo", 43, language_code="ru")
    await boris.open()
    assert (await boris.transcript()).commands == ("start",)
    await api.get("deleteMyCommands", scope={"type": "all_private_chats"}, language_code="en")
    assert (await ann.transcript()).commands == ("start",)


async def test_one_chat_has_a_menu_of_its_own(api: Any, client: SandboxClient, ann: LearnerClient) -> None:
    go = {"command": "go", "description": "Go"}
    scope = {"type": "chat", "chat_id": 42}
    await api.get("setMyCommands", commands=[{"command": "help", "description": "Help"}])
    await api.get("setMyCommands", commands=[go], scope=scope)
    assert await api.get("getMyCommands", scope=scope) == [go]
    assert (await ann.transcript()).commands == ("go",)
    boris = client.learner("demo", 43, language_code="en-GB")
    await boris.open()
    assert (await boris.transcript()).commands == ("help",)
    await api.get("setMyCommands", commands=[], scope=scope)
    assert (await ann.transcript()).commands == ("help",)


async def test_the_menu_of_a_language_serves_its_regions(api: Any, client: SandboxClient, ann: LearnerClient) -> None:
    await api.get("setMyCommands", commands=[{"command": "pomoc", "description": "x"}], language_code="pl")
    ola = client.learner("demo", 43, language_code="pl-PL")
    await ola.open()
    assert (await ola.transcript()).commands == ("pomoc",)
    assert (await ann.transcript()).commands == ()


async def test_chat_action_lasts_until_the_next_message(api: Any, ann: LearnerClient) -> None:
    await api.get("sendChatAction", chat_id=42, action="typing")
    assert (await ann.transcript()).action == "typing"
    await api.get("sendMessage", chat_id=42, text="x")
    assert (await ann.transcript()).action is None


async def test_bots_of_any_token(api: Any, sandbox: Any) -> None:
    me = await api.get("getMe")
    assert {name: me[name] for name in ("id", "is_bot", "first_name", "username", "can_join_groups")} == {
        "id": 700,
        "is_bot": True,
        "first_name": "Demo bot",
        "username": "demo",
        "can_join_groups": True,
    }
    other = type(api)(api.session, sandbox.url, "123456:AA-bb_c")
    assert (await other.get("getMe"))["username"] == "bot123456"
    assert (await api.get("getMe"))["username"] == "demo"


@pytest.mark.parametrize(
    "path", ["bot700:demo-token_A/dance", "botabc/getMe", "bot1:ä/getMe", "bot/getMe", "x", "file/bot1:a/x"]
)
async def test_unknown_methods_and_malformed_tokens(api: Any, sandbox: Any, path: str) -> None:
    async with api.session.get(f"{sandbox.url}/{path}") as response:
        assert (response.status, await response.json()) == (
            404,
            {"ok": False, "error_code": 404, "description": "Not Found"},
        )


async def test_revoked_token(api: Any, client: SandboxClient) -> None:
    version = (await client.wait_bot("demo", lambda state: True))["version"]
    waiting = asyncio.create_task(api.ask("getUpdates", timeout=30))
    await client.wait_bot("demo", lambda state: state["version"] > version)
    await client.revoke("demo")
    assert (await waiting)[0] == 401
    assert await api.ask("getMe") == (401, {"ok": False, "error_code": 401, "description": "Unauthorized"})


async def test_get_chat(api: Any, ann: LearnerClient) -> None:
    chat = await api.get("getChat", chat_id=42)
    assert (chat["id"], chat["type"], chat["username"]) == (42, "private", "ann")


async def test_one_learner_and_two_bots_are_two_chats(api: Any, ann: LearnerClient, client: SandboxClient) -> None:
    other = client.learner("701:x", 42)
    await other.send("hello")
    await api.get("sendMessage", chat_id=42, text="for the first")
    assert [message.text for message in (await other.transcript()).messages] == ["hello"]
