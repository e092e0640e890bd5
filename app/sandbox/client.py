"""The learners' side of a sandbox for programs: tests, scripted learners."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from app.errors import FlotillaError

PATIENCE = 20.0
"""Seconds a wait takes at most, unless told otherwise."""
Json = dict[str, Any]


class RefusedError(FlotillaError):
    """The sandbox does not let a learner do this."""


class NothingHappenedError(FlotillaError):
    """What was waited for did not come in time; the text holds the end of the transcript."""


@dataclass(frozen=True, slots=True)
class Button:
    """An inline button: with ``data``, with ``url`` or with the mini app at ``app_url``."""

    text: str
    data: str | None = None
    url: str | None = None
    app_url: str | None = None


@dataclass(frozen=True, slots=True)
class App:
    """A mini app that a learner opened: its address with all it is told, and the signed part of that alone."""

    url: str
    init_data: str


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll as the learner sees it; ``vote`` is what they chose, ``None`` if nothing."""

    id: str
    question: str
    options: tuple[str, ...]
    type: str
    is_closed: bool
    is_anonymous: bool
    allows_multiple_answers: bool
    correct: tuple[int, ...] = ()
    vote: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the learner sees it; ``body`` is the Bot API's ``Message``.

    ``text`` is the caption when there is a file; ``media`` is its kind (``photo``), ``url`` its link unless uploaded.
    ``earlier`` are the texts that edits replaced, oldest first.
    """

    id: int
    by_bot: bool
    text: str = ""
    entities: tuple[Mapping[str, Any], ...] = ()
    buttons: tuple[Button, ...] = ()
    media: str | None = None
    url: str | None = None
    file_id: str | None = None
    album: str | None = None
    poll: Poll | None = None
    edited: bool = False
    earlier: tuple[str, ...] = ()
    body: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """A press, and the notice that answered it; ``text`` is ``None`` while it is not answered, empty when silently."""

    id: str
    message_id: int
    data: str
    text: str | None = None
    show_alert: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything in one chat, oldest first."""

    version: int
    messages: tuple[Message, ...] = ()
    notices: tuple[Notice, ...] = ()
    commands: tuple[str, ...] = ()
    action: str | None = None
    blocked: bool = False

    @property
    def by_bot(self) -> tuple[Message, ...]:
        """The messages of the bot."""
        return tuple(message for message in self.messages if message.by_bot)

    @property
    def last(self) -> Message | None:
        """The newest message of the bot."""
        return self.by_bot[-1] if self.by_bot else None

    def after(self, message_id: int) -> tuple[Message, ...]:
        """Return the bot's messages newer than this one."""
        return tuple(message for message in self.by_bot if message.id > message_id)


class SandboxClient:
    """Talks to a sandbox; use it as an asynchronous context manager. A bot is named by username, token or id."""

    def __init__(self, base_url: str) -> None:
        self._base = f"{base_url.rstrip('/')}/sandbox"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    def learner(self, bot: str, learner_id: int, **profile: str) -> LearnerClient:
        """Return the hand of a learner; ``profile``: first_name, last_name, username, language_code."""
        return LearnerClient(self, bot, learner_id, profile)

    async def bots(self) -> list[Json]:
        """Return all bots: id, username, title, revoked, pending_updates, webhook_error."""
        bots: list[Json] = (await self.request("GET", "bots"))["bots"]
        return bots

    async def add_bot(self, token: str, username: str, title: str) -> None:
        """Name the bot of a token."""
        await self.request("POST", "bots", {"token": token, "username": username, "title": title})

    async def wait_bot(self, bot: str, condition: Callable[[Json], bool], patience: float = PATIENCE) -> Json:
        """Wait until the bot's state (as in ``bots``) fulfils the condition, and return it."""
        return await self._wait(f"bots/{quote(bot, safe='')}", condition, patience)

    async def wait_idle(self, bot: str, patience: float = PATIENCE) -> None:
        """Wait until the bot has confirmed all its updates."""
        await self.wait_bot(bot, lambda state: state["pending_updates"] == 0, patience)

    async def calls(self, bot: str, method: str | None = None) -> list[Json]:
        """Return the calls of a bot that took effect, oldest first: method, params, time."""
        calls: list[Json] = await self.request("GET", f"bots/{quote(bot, safe='')}/calls")
        return [call for call in calls if method in (None, call["method"])]

    async def revoke(self, bot: str) -> None:
        """Make the bot's token worthless."""
        await self.request("POST", f"bots/{quote(bot, safe='')}/revoke", {})

    async def inject(self, bot: str, *updates: Json) -> list[int]:
        """Queue raw updates of any shape and return their ids."""
        ids: list[int] = await self.request("POST", f"bots/{quote(bot, safe='')}/updates", {"updates": updates})
        return ids

    async def repeat(self, bot: str, count: int = 1) -> int:
        """Deliver the last updates once more and return how many there were."""
        return int(await self.request("POST", f"bots/{quote(bot, safe='')}/repeat", {"count": count}))

    async def add_fault(
        self,
        kind: str,
        *,
        bot: str | None = None,
        method: str | None = None,
        chat_id: int | None = None,
        times: int = 1,
        **details: str | float,
    ) -> None:
        """Let the next calls that fit fail; ``details``: retry_after and seconds (numbers), description (of a 400)."""
        fault = {"kind": kind, "bot": bot, "method": method, "chat_id": chat_id, "times": times}
        await self.request("POST", "faults", fault | details)

    async def faults(self) -> list[Json]:
        """Return the faults that are still to happen."""
        waiting: list[Json] = await self.request("GET", "faults")
        return waiting

    async def clear_faults(self) -> None:
        """Forget all faults."""
        await self.request("DELETE", "faults")

    async def set_strict(self, strict: bool = True) -> None:
        """Have messages above Telegram's limits refused, or admitted."""
        await self.request("POST", "limits", {"strict": strict})

    async def refused(self) -> int:
        """Return how many messages were above the limits so far."""
        return int((await self.request("GET", "limits"))["refused"])

    async def request(self, verb: str, path: str, body: Json | None = None, query: Json | None = None) -> Any:
        """Send a request and return its answer; raise ``RefusedError`` if it was refused."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90))
        # Unlike bytes, a file does not make aiohttp warn of a long text.
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = {"Content-Type": "application/json"}
        async with self._session.request(
            verb, f"{self._base}/{path}", data=data, params=query, headers=headers
        ) as response:
            answer = await response.json()
            if not response.ok:
                raise RefusedError(str(answer.get("error") or answer.get("description")))
            return answer

    async def _wait(self, path: str, condition: Callable[[Json], bool], patience: float) -> Json:
        """Follow what is at ``path`` until the condition holds."""
        end = time.monotonic() + patience
        state: Json = await self.request("GET", path)
        while not condition(state):
            left = end - time.monotonic()
            if left <= 0:
                raise NothingHappenedError(f"not within {patience:g} s: {path} is {_shortened(state)}")
            state = await self.request(
                "GET", path, query={"after": state["version"], "timeout": f"{min(left, 30):.3f}"}
            )
        return state


class LearnerClient:
    """One learner in the chat with one bot."""

    def __init__(self, client: SandboxClient, bot: str, learner_id: int, profile: Mapping[str, str]) -> None:
        self.id = learner_id
        self._client = client
        self._path = f"bots/{quote(bot, safe='')}/chats/{learner_id}"
        self._profile = dict(profile)

    async def open(self) -> None:
        """Open the chat without writing anything, under the learner's own name and language."""
        await self._act("open", {})

    async def send(self, text: str, *, via_bot: bool = False) -> int:
        """Send a text or command, and return the message id; also ends a block of the bot.

        ``via_bot``: as an inline result of the bot that the learner chose.
        """
        return int(await self._act("text", {"text": text, "via_bot": via_bot}))

    async def send_file(self, kind: str, content: bytes, mime_type: str, caption: str = "", seconds: int = 0) -> int:
        """Send a photo, voice message, ..., and return the message id."""
        body = {"kind": kind, "content": base64.b64encode(content).decode(), "mime_type": mime_type, "caption": caption}
        return int(await self._act("file", body | {"seconds": seconds}))

    async def send_voice(self, content: bytes = b"", seconds: int = 1) -> int:
        """Send a voice message (Ogg Opus), a second of silence if there is no content, and return the message id."""
        sample = files("app.sandbox") / "page" / "voice.ogg"
        return await self.send_file("voice", content or sample.read_bytes(), "audio/ogg", seconds=seconds)

    async def open_app(self, message: Message, button: str | int = 0) -> App:
        """Open the mini app of a button, named by its number from 0 or its text."""
        url = _button(message, button).app_url
        if url is None:
            raise RefusedError(f"button {button!r} of message {message.id} opens no mini app")
        return App(**await self._act("app", {"message_id": message.id, "url": url}))

    async def press(self, message: Message | int, button: str | int = 0) -> str:
        """Press a button and return the id of the callback query.

        ``button`` is its number from 0 or its text when a ``Message`` is given, else its data; the message may be out
        of date, as a learner's screen may be.
        """
        if isinstance(message, Message):
            return str(await self._press(message.id, _data(message, button)))
        return str(await self._press(message, str(button)))

    async def vote(self, message: Message | int, *options: int) -> None:
        """Choose options of a poll by their numbers from 0."""
        await self._act("vote", {"message_id": _id(message), "option_ids": options})

    async def retract(self, message: Message | int) -> None:
        """Take the vote in a poll back."""
        await self.vote(message)

    async def block(self) -> None:
        """Block the bot."""
        await self._act("block", {})

    async def unblock(self) -> None:
        """Let the bot write again."""
        await self._act("unblock", {})

    async def transcript(self) -> Transcript:
        """Return the chat as it is."""
        return read_transcript(await self._client.request("GET", self._path))

    async def wait_for(self, condition: Callable[[Transcript], bool], patience: float = PATIENCE) -> Transcript:
        """Wait until the chat fulfils the condition, and return it; raise ``NothingHappenedError`` if it does not."""
        state = await self._client._wait(self._path, lambda state: condition(read_transcript(state)), patience)
        return read_transcript(state)

    async def wait_message(self, after: int = 0, patience: float = PATIENCE) -> Message:
        """Wait for the bot's first message that is newer than the message ``after``, and return it."""
        return (await self.wait_for(lambda chat: bool(chat.after(after)), patience)).after(after)[0]

    async def wait_notice(self, callback_id: str, patience: float = PATIENCE) -> Notice:
        """Wait until a press is answered, and return the notice."""

        def answered(chat: Transcript) -> list[Notice]:
            return [notice for notice in chat.notices if notice.id == callback_id and notice.text is not None]

        return answered(await self.wait_for(lambda chat: bool(answered(chat)), patience))[0]

    async def _press(self, message_id: int, data: str) -> Any:
        return await self._act("press", {"message_id": message_id, "data": data})

    async def _act(self, action: str, body: Json) -> Any:
        answer = await self._client.request("POST", f"{self._path}/{action}", body | {"learner": self._profile})
        return answer["result"]


def read_transcript(state: Json) -> Transcript:
    """Return the transcript in an answer of the sandbox."""
    return Transcript(
        version=state["version"],
        messages=tuple(_message(shown) for shown in state["messages"]),
        notices=tuple(Notice(**notice) for notice in state["notices"]),
        commands=tuple(command["command"] for command in state["commands"]),
        action=state["action"],
        blocked=state["blocked"],
    )


def _message(shown: Json) -> Message:
    body = shown["message"]
    media = shown.get("media") or {}
    rows = body.get("reply_markup", {}).get("inline_keyboard", [])
    return Message(
        id=body["message_id"],
        by_bot=shown["by_bot"],
        text=body.get("text") or body.get("caption", ""),
        entities=tuple(body.get("entities") or body.get("caption_entities", ())),
        buttons=tuple(_read_button(button) for row in rows for button in row),
        media=media.get("kind"),
        url=media.get("url"),
        file_id=media.get("file_id"),
        album=body.get("media_group_id"),
        poll=_poll(body["poll"], shown.get("vote")) if "poll" in body else None,
        edited=shown["edited"],
        earlier=tuple(shown.get("earlier", ())),
        body=body,
    )


def _poll(body: Json, vote: list[int] | None) -> Poll:
    return Poll(
        id=body["id"],
        question=body["question"],
        options=tuple(option["text"] for option in body["options"]),
        type=body["type"],
        is_closed=body["is_closed"],
        is_anonymous=body["is_anonymous"],
        allows_multiple_answers=body["allows_multiple_answers"],
        correct=tuple(body.get("correct_option_ids", ())),
        vote=None if vote is None else tuple(vote),
    )


def _read_button(button: Json) -> Button:
    app = button.get("web_app") or {}
    return Button(button["text"], button.get("callback_data"), button.get("url"), app.get("url"))


def _button(message: Message, button: str | int) -> Button:
    found = [one for number, one in enumerate(message.buttons) if button in (number, one.text)]
    if not found:
        texts = [one.text for one in message.buttons]
        raise RefusedError(f"message {message.id} has no button {button!r}, but {texts}")
    return found[0]


def _data(message: Message, button: str | int) -> str:
    data = _button(message, button).data
    if data is None:
        raise RefusedError(f"button {button!r} of message {message.id} cannot be pressed: it opens something")
    return data


def _id(message: Message | int) -> int:
    return message.id if isinstance(message, Message) else message


def _shortened(state: Json) -> str:
    """Return the end of a state, as a person wants to see it."""
    if "messages" not in state:
        return repr(state)
    last = [(message.by_bot, message.text[:80]) for message in read_transcript(state).messages[-5:]]
    return f"a chat of {len(state['messages'])} messages that ends with {last}"
