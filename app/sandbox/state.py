"""What the sandbox knows: bots, learners, chats, messages, polls. No I/O."""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from app.config.tokens import sandbox_name
from app.sandbox.changes import Changes
from app.sandbox.errors import bad_request, forbidden, not_found, unauthorized
from app.sandbox.updates import UpdateQueue
from app.sandbox.webhook import Webhook

Json = dict[str, Any]
MOST_CALLS = 100_000
"""Calls of one bot that are remembered."""
TOKEN = re.compile(r"\d{1,20}:[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Learner:
    """A person; private chats have the id of the person."""

    id: int
    first_name: str = "Learner"
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = "en"

    def user(self) -> Json:
        """Return the Bot API's ``User``."""
        return {"is_bot": False} | {name: value for name, value in asdict(self).items() if value is not None}

    def chat(self) -> Json:
        """Return the Bot API's ``Chat``."""
        user = self.user()
        return {name: user[name] for name in ("id", "first_name", "last_name", "username") if name in user} | {
            "type": "private"
        }


@dataclass(slots=True)
class Message:
    """A message; ``body`` is the Bot API's ``Message``."""

    body: Json
    by_bot: bool
    edited: bool = False
    poll: Poll | None = None
    media: Media | None = None
    earlier: list[str] = field(default_factory=list)
    """The texts that edits replaced, oldest first."""
    pressable: set[str] = field(default_factory=set)
    """Data of all buttons it ever had: a learner's screen may show old ones."""
    apps: set[str] = field(default_factory=set)
    """Addresses of all mini apps it ever offered."""

    @property
    def id(self) -> int:
        """The message id."""
        return int(self.body["message_id"])

    def show(self, markup: Json | None) -> None:
        """Replace the inline keyboard."""
        if markup is None:
            self.body.pop("reply_markup", None)
            return
        self.body["reply_markup"] = markup
        buttons = [button for row in markup.get("inline_keyboard", []) for button in row]
        self.pressable |= {button["callback_data"] for button in buttons if "callback_data" in button}
        self.apps |= {button["web_app"]["url"] for button in buttons if "web_app" in button}


@dataclass(frozen=True, slots=True)
class Media:
    """A file as one bot knows it: either a link that is never loaded, or uploaded bytes."""

    kind: str
    file_id: str
    url: str | None = None
    content: bytes = b""
    name: str = ""
    mime_type: str = "application/octet-stream"
    seconds: int = 0
    """How long a voice message lasts."""


@dataclass(slots=True)
class Poll:
    """A poll in one chat; ``vote`` is what the learner chose, ``None`` before and after a retraction."""

    id: str
    question: str
    options: list[str]
    type: str = "regular"
    is_anonymous: bool = True
    allows_multiple_answers: bool = False
    allows_revoting: bool = True
    correct_option_ids: list[int] = field(default_factory=list)
    explanation: str = ""
    is_closed: bool = False
    vote: list[int] | None = None

    def body(self) -> Json:
        """Return the Bot API's ``Poll``."""
        chosen = self.vote or []
        body = {
            "id": self.id,
            "question": self.question,
            "options": [
                {"persistent_id": str(index), "text": text, "voter_count": int(index in chosen)}
                for index, text in enumerate(self.options)
            ],
            "total_voter_count": int(bool(chosen)),
            "is_closed": self.is_closed,
            "is_anonymous": self.is_anonymous,
            "type": self.type,
            "allows_multiple_answers": self.allows_multiple_answers,
            "allows_revoting": self.allows_revoting,
            "members_only": False,
        }
        if self.type == "quiz":
            body |= {"correct_option_ids": self.correct_option_ids, "correct_option_id": self.correct_option_ids[-1]}
        return body | ({"explanation": self.explanation} if self.explanation else {})


@dataclass(slots=True)
class Notice:
    """A press, and the answer the learner saw; ``text`` is ``None`` while there is none."""

    id: str
    message_id: int
    data: str
    text: str | None = None
    show_alert: bool = False


@dataclass(slots=True)
class Chat:
    """One learner with one bot."""

    learner: Learner
    messages: dict[int, Message] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    blocked: bool = False
    started: bool = False
    action: str | None = None
    """What the bot does now (``typing``), until its next message."""
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True, slots=True)
class Call:
    """A Bot API call that took effect; ``time`` is seconds since the epoch."""

    method: str
    params: Mapping[str, Any]
    time: float


class Bot:
    """One bot: its chats, files and updates."""

    def __init__(self, token: str, username: str, title: str, changes: Changes) -> None:
        self.token = token
        self.id = int(token.partition(":")[0])
        self.username = username
        self.title = title
        self.revoked = False
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, Media] = {}
        self.commands: dict[str, list[Json]] = {}
        self.presses: dict[str, tuple[Chat, Notice]] = {}
        """The presses that are not answered yet, by the id of their callback query."""
        self.app_queries: dict[str, Chat] = {}
        """The mini apps that were opened and not answered yet, by the id of their query."""
        self.calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self.changes = changes
        # As with Telegram, ids never come again, though a new sandbox knows nothing of an earlier one.
        self.updates = UpdateQueue(changes, first_id=time.time_ns() // 1_000_000)
        self.webhook: Webhook | None = None
        self._last_message_id = 0

    def user(self) -> Json:
        """Return the Bot API's ``User``."""
        return {"id": self.id, "is_bot": True, "first_name": self.title, "username": self.username}

    def chat(self, chat_id: int) -> Chat:
        """Return the chat with this learner, opened if need be."""
        if chat_id not in self.chats:
            self.chats[chat_id] = Chat(Learner(chat_id))
        return self.chats[chat_id]

    def open_chat(self, chat_id: int) -> Chat:
        """Return the chat if the bot may write to it; raise ``ApiError`` if not."""
        chat = self.chats.get(chat_id)
        if chat is None or not chat.started:
            raise bad_request("chat not found")
        if chat.blocked:
            raise forbidden("bot was blocked by the user")
        return chat

    def add(self, chat: Chat, by_bot: bool, content: Json) -> Message:
        """Add a message of the bot or the learner to the chat."""
        self._last_message_id += 1
        author = self.user() if by_bot else chat.learner.user()
        head = {"message_id": self._last_message_id, "from": author, "chat": chat.learner.chat()}
        message = Message(head | {"date": int(time.time())} | content, by_bot)
        chat.messages[message.id] = message
        if by_bot:
            chat.action = None
        self.changed(chat)
        return message

    def changed(self, chat: Chat) -> None:
        """Tell those who follow the chat that it changed."""
        chat.changes.mark()
        self.changes.mark()

    def set_commands(self, menu: str, commands: list[Json]) -> None:
        """Replace a menu, which all learners see at once; an empty one is none."""
        self.commands.pop(menu, None)
        if commands:
            self.commands[menu] = commands
        for chat in self.chats.values():
            self.changed(chat)

    def set_webhook(self, webhook: Webhook | None) -> None:
        """Deliver to this webhook from now on, or to nobody but ``getUpdates``."""
        self.webhook = webhook
        self.updates.webhook_active = webhook is not None
        if webhook is not None:
            self.updates.end_polling()
        self.changes.mark()

    def keep(self, kind: str, **parts: Any) -> Media:
        """Store a file under a new id."""
        media = Media(kind, f"{kind}-{self.id}-{secrets.token_urlsafe(12)}", **parts)
        self.files[media.file_id] = media
        return media


def _names_of(token: str) -> tuple[str, str]:
    """Return username and title of a bot that nobody has named."""
    name = sandbox_name(token)
    if name is None:
        number = token.partition(":")[0]
        return f"bot{number}", f"Bot {number}"
    return name, name.replace("_", " ").replace("-", " ").capitalize()


class World:
    """All bots of one sandbox. ``names`` gives some tokens a (username, title)."""

    def __init__(self, names: Mapping[str, tuple[str, str]]) -> None:
        self.changes = Changes()
        self._names = dict(names)
        self._bots: dict[str, Bot] = {}
        for token in self._names:
            self.bot(token)

    def __iter__(self) -> Iterator[Bot]:
        return iter(self._bots.values())

    def bot(self, token: str) -> Bot:
        """Return the bot of this token, created at first sight; raise ``ApiError`` if it is no token or was revoked."""
        if not TOKEN.fullmatch(token):
            raise not_found()
        if token not in self._bots:
            username, title = self._names.get(token) or _names_of(token)
            self._bots[token] = Bot(token, username, title, self.changes)
            self.changes.mark()
        if self._bots[token].revoked:
            raise unauthorized()
        return self._bots[token]

    def find(self, name: str) -> Bot | None:
        """Return the bot with this username, token or id."""
        return next((bot for bot in self if name in (bot.username, bot.token, str(bot.id))), None)
